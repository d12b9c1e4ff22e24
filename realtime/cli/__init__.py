"""The command line beside `serve`: `--check`, what an operator does, log lines."""
