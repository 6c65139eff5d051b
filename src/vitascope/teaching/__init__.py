"""A head in closed form on photographs that are known by their features, for the command, Python and the server."""
