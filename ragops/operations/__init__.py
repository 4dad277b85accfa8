"""Use cases in plain steps: the order across services."""
