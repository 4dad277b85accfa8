"""Rows of rag.collections, and collections-config.json."""
