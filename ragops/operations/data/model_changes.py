"""What a change of the models in ragops.yaml means for the collections that were made with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragops.adapters.qdrant.sparse import LANGUAGE
from ragops.embedding.null_embedder import BM25_NAME
from ragops.errors import RagopsError
from ragops.operations.data.models import find_models
from ragops.services.api.configuration import vector_settings
from ragops.services.timescaledb.collections.made_with import count_chunks, made_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.timescaledb.collections.made_with import MadeWith

_SECONDS = 5.0
_NAMED = 10
_WORDS = {"model": "model", "dimensions": "dimensions", "passage_prefix": "prefix of passages"}


def describe_changes(session: Session) -> tuple[str, ...]:
    """Return what becomes of collections whose embedder is another one than was provisioned, or is asked otherwise.

    Each names the collections, with their chunks if the database answers, and the commands to run. Nothing for a model
    that no collection was made with. The last one is on another `search.language`.
    """
    if not session.project.paths.endpoints.exists():
        return ()
    return (*_describe_models(session), *_describe_language(session))


def _describe_language(session: Session) -> tuple[str, ...]:
    before, wanted = session.endpoint("api").options.get("language", LANGUAGE), session.project.settings.search.language
    if before == wanted:
        return ()
    what = f"search.language changes from {before} to {wanted}: collections keep the language that they were built with"
    return (f"{what}, and are asked by it, until `ragops ingest --rebuild` has built them again",)


def _describe_models(session: Session) -> tuple[str, ...]:
    options, models = session.endpoint("api").options, find_models(session)
    if models.words_alone:  # no vector is asked for
        return ()
    used = _Used.of(session)
    if options.get("models") == "":  # search was by words alone, and asked no model
        return _describe_vectors(used)
    default = options.get("embedder", "")
    before: dict[str, dict[str, Any]] = json.loads(options.get("models") or "{}") or {
        name: {} for name in [default] if name
    }
    now = {name: vector_settings(spec) for name, spec in models.specs.items()}
    found = []
    for name, settings in before.items():
        if models.find_fault(name):
            found.append(_describe_gone(name, used))
        elif name in now and (changed := _differences(settings, now[name])):
            found.append(_describe_changed(name, changed, now[name], used))
        elif name == default != models.default:
            found.append(_describe_default(name, models.default, used))
    return tuple(text for text in found if text)


class _Used:
    """The collections by the embedder of their vectors; `rows` is None if the database does not answer."""

    def __init__(self, database: Endpoint | None, rows: Sequence[MadeWith] | None) -> None:
        self._database = database
        self.rows = rows

    @classmethod
    def of(cls, session: Session) -> _Used:
        try:
            database = session.endpoint("timescaledb")
            return cls(database, made_with(database, _SECONDS))
        except RagopsError:
            return cls(None, None)

    def by(self, embedder: str) -> list[MadeWith]:
        """Return the collections that were made with an embedder."""
        return [row for row in self.rows or () if row.embedder == embedder]

    def describe(self, names: Sequence[str]) -> str:
        """Return the names with their chunks, as far as they can be counted."""
        try:
            counts = count_chunks(self._database, names, _SECONDS) if self._database else {}
        except RagopsError:  # too many to count in time
            counts = {}
        shown = [f"{name} ({counts[name]:,} chunks)" if name in counts else name for name in names[:_NAMED]]
        return ", ".join(shown) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys of settings that change vectors and are not what they were; none if they were not stored."""
    return [key for key in before if before[key] != now.get(key)]


def _describe_vectors(used: _Used) -> tuple[str, ...]:
    names = [row.name for row in used.by(BM25_NAME)]
    if not names:
        return ()
    what = f"search is no longer by words alone: {used.describe(names)} have no vectors, and are searched by words"
    return (f"{what} until `ragops ingest --rebuild {' '.join(names[:_NAMED])}` has built them again",)


def _describe_changed(name: str, keys: Sequence[str], now: Mapping[str, Any], used: _Used) -> str:
    what = f"the embedding model {name} changes ({', '.join(_WORDS.get(key, key) for key in keys)})"
    if used.rows is None:
        what = f"{what}: vectors of collections that were made with it become useless"
        return f"{what}; run `ragops ingest --rebuild NAME` for each of them after `ragops up`"
    # The model's own number of dimensions may be written down without any change.
    same = keys == ["dimensions"] and now["dimensions"] is not None
    names = [row.name for row in used.by(name) if not (same and row.dimensions == now["dimensions"])]
    if not names:
        return ""
    again = f"run `ragops ingest --rebuild {' '.join(names[:_NAMED])}` after `ragops up`"
    return f"{what}: the vectors of {used.describe(names)} become useless; {again}"


def _describe_gone(name: str, used: _Used) -> str:
    what = f"the embedding model {name} is no longer among the models"
    if used.rows is None:
        what = f"{what}: collections that were made with it cannot be asked"
        return f"{what} until {_choose('NAME')}"
    names = [row.name for row in used.by(name)]
    return f"{what}: {used.describe(names)} cannot be asked until {_choose(names[0])}" if names else ""


def _describe_default(before: str, now: str, used: _Used) -> str:
    what = f"the embedder changes from {before} to {now}"
    names = [row.name for row in used.by(before)]
    if used.rows is not None and not names:
        return ""
    whose = used.describe(names) if names else f"collections whose `embeddingModel` is {before}"
    commands = " and ".join(_commands(names[0] if names else "NAME", now))
    return f"{what}: {before} and its vectors stay with {whose}; to change one, run {commands}"


def _choose(collection: str, model: str = "MODEL") -> str:
    """Return the commands that give a collection another model."""
    return f"{' and '.join(_commands(collection, model))} are run"


def _commands(collection: str, model: str) -> tuple[str, str]:
    return f"`ragops collection set {collection} --model {model}`", f"`ragops ingest --rebuild {collection}`"
