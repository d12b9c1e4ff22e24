"""Tools of MCP servers. Only `servers`, `wire` and `words` need the SDK."""
