"""Small state files that health and metrics read."""
