"""From a request to a job of the engine, and from its sample paths to the answer."""
