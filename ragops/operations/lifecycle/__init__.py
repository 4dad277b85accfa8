"""Make a platform exist, change it, remove it."""
