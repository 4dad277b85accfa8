"""ragops: provisions a self-hosted RAG platform and keeps it alive."""

__version__ = "0.1.0"
