"""The log: group commit over a keeper, and the journal, which is the first keeper."""
