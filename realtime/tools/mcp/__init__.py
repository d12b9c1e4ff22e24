"""Tools of MCP servers. `config` and `results` need no SDK."""
