"""The log: rows and folds (pure), the SQLite journal, and the group commit."""
