"""Notes of `ragops plan` on collections whose layout costs more than that of a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.qdrant.failures import suppress_missing
from ragops.config.collection_names import base
from ragops.errors import RagopsError
from ragops.services.qdrant.backup.proven_copies import user_collections
from ragops.services.qdrant.cluster.nodes import connect
from ragops.services.qdrant.shard_layout import LayoutRules, worse_than_default

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.operations.session import Session

_SECONDS = 5.0
_NAMED = 5


def describe_layouts(session: Session) -> tuple[str, ...]:
    """Return a note for each such collection with the command that changes it, nothing if Qdrant does not answer."""
    if not session.project.paths.endpoints.exists():
        return ()
    try:
        found = list(_find(session))
    except RagopsError:
        return ()
    more = (f"and {len(found) - _NAMED} more collections: `ragops health qdrant`",) if len(found) > _NAMED else ()
    return (*found[:_NAMED], *more)


def _find(session: Session) -> Iterator[str]:
    endpoint = session.endpoint("qdrant")
    rules = LayoutRules.of(endpoint)
    if rules is None:
        return
    with connect(endpoint, _SECONDS) as nodes:
        for name in user_collections(nodes.first):
            with suppress_missing():  # deleted in between
                if worse := worse_than_default(name, nodes.first.collection(name), rules):
                    yield f"{worse}; `ragops cluster reshard {base(name)}` changes it"
