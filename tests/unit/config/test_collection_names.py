"""Names of collections: one rule for files, the command line, ingest and the vector store."""

from __future__ import annotations

import pytest

from ragops.config.collection_names import is_usable
from ragops.services.qdrant import names


@pytest.mark.parametrize("name", ["a", "_a", "0", "A.b-c_d", "x" * 255, "ragops-docs", "ragops-healthy"])
def test_usable(name: str) -> None:
    assert is_usable(name)
    assert not names.is_internal(name)


@pytest.mark.parametrize(
    "name", [names.HEALTH_COLLECTION, f"a{names.RESTORE_SUFFIX}", f"{names.PROVEN_PREFIX}a", f"A{names.RESTORE_SUFFIX}"]
)
def test_names_of_ragops_own_are_not_usable(name: str) -> None:
    assert not is_usable(name)
