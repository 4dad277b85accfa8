"""Settings: files and environment to one typed model."""
