"""Which process holds a repository's lock."""

from __future__ import annotations

from ragops.adapters.process_identity import Identity, myself

__all__ = ["Identity", "myself"]
