"""The hot log's engine: the Valkey or Redis that servers share."""
