"""Change a cluster node by node."""
