"""The HTTP side of the server: routes, bodies, keys, limits, problem details."""
