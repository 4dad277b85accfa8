"""Containers of a running platform: commands, files, data."""
