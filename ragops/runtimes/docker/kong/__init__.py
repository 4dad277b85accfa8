"""Kong's hot configuration."""
