"""Qdrant: the vectors of the chunks."""
