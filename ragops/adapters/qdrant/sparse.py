"""The sparse vectors of chunks: BM25 weights of their words, made by Qdrant itself from a text.

The server's model and the development engine's give the same vectors (tests/contract/test_qdrant_hybrid.py).
"""

from __future__ import annotations

NAME = "bm25"
MODEL = "qdrant/bm25"
