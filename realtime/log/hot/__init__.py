"""The hot log: the log of all sessions in a Valkey or Redis that several workers share."""
