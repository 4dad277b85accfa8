"""Change the live gateway: configuration and tokens."""
