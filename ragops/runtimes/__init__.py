"""How a ServiceSpec becomes something that runs."""
