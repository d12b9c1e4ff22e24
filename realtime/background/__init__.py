"""What happens beside the conversations: summaries, deleting what is old, collecting garbage."""
