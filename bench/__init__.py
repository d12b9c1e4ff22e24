"""The benchmark: this server beside its peers, on one upstream and with the same clients."""
