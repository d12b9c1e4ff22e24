"""One run: steps until its outcome, their tool calls, and which model answers when one fails."""
