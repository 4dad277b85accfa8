"""A development engine: Qdrant Edge behind the part of Qdrant's REST API that ragops and its RAG API call.

One node, one shard a collection, exact search. A point has one dense vector without a name, and sparse ones with names.
What it serves answers as Qdrant does; everything else of Qdrant's API answers 501. The shapes follow Qdrant's OpenAPI
description of `API_VERSION`.
"""

from __future__ import annotations

API_VERSION = "1.19.0"
TITLE = "Qdrant Edge behind Qdrant's REST API (ragops development engine)"
