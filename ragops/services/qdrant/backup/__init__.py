"""Snapshots of Qdrant's shards: dump, verify, restore."""
