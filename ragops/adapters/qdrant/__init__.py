"""Qdrant's API."""
