"""The edge: Socket.IO and HTTP in front of the hub. Nothing behind it knows of either."""
