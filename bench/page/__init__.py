"""What the page costs its reader, measured in a real browser before a real server."""
