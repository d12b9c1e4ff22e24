"""The engine: the Valkey or Redis that servers share."""
