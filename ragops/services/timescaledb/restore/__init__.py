"""Build a database from a recovery point, and let it take the place of the old one."""
