"""From a ServiceSpec to a container."""
