"""The server: address, access, limits, sessions and their frames."""
