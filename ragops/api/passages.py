"""Passages that were found, as objects and as the JSON of a response: either is made if it is needed, and once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, overload

import orjson
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from ragops.adapters.qdrant.searching import Hit


@dataclass(frozen=True)
class FoundPassage:
    """A piece of a document, the headings above it, and how near it is to the question.

    Its fields are those of a response (`schemas.Passage`), in the same order.
    """

    id: str
    document_id: int | str | None
    path: str
    position: int | None
    score: float
    text: str
    heading: str = ""
    collection: str = ""


_SERIALIZER = TypeAdapter(tuple[FoundPassage, ...]).serializer


def to_json(passages: Iterable[FoundPassage]) -> bytes:
    """Return passages as responses have them, an array in JSON."""
    return passages.json if isinstance(passages, Passages) else _SERIALIZER.to_json(tuple(passages))


class Passages(Sequence[FoundPassage]):
    """Passages of one search, best first; `json` is what `to_json` returns, `top_score` the best of their scores.

    Those out of the cache become objects only if one asks for them.
    """

    def __init__(self, passages: Sequence[FoundPassage]) -> None:
        self._passages: Sequence[FoundPassage] | None = passages
        self._count = len(passages)
        self.top_score = max((passage.score for passage in passages), default=None)
        self.json = _SERIALIZER.to_json(tuple(passages))

    def encode(self, mode: str) -> bytes:
        """Return them as the cache keeps them: a line of what else is known of them, and the array."""
        return orjson.dumps([mode, self._count, self.top_score]) + b"\n" + self.json

    @classmethod
    def decode(cls, content: bytes) -> tuple[str, Self]:
        """Return the mode and the passages of `encode`; raises ValueError."""
        head, separator, json = content.partition(b"\n")
        if not separator:
            raise ValueError("not an answer of the cache")
        mode, count, top_score = orjson.loads(head)
        found = cls.__new__(cls)
        found._passages, found._count, found.top_score, found.json = None, count, top_score, json
        return mode, found

    def _all(self) -> Sequence[FoundPassage]:
        if self._passages is None:
            self._passages = tuple(FoundPassage(**one) for one in orjson.loads(self.json))
        return self._passages

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> FoundPassage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FoundPassage]: ...
    def __getitem__(self, index: int | slice) -> FoundPassage | Sequence[FoundPassage]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self._all()) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self._all()))


def passage_of(hit: Hit, collection: str) -> FoundPassage:
    """Return a passage; payloads are written by ingest, what others left out is empty rather than an error."""
    payload = hit.payload
    document, position = payload.get("document_id"), payload.get("position")
    return FoundPassage(
        id=hit.id,
        document_id=document if isinstance(document, int | str) else None,
        path=str(payload.get("path", "")),
        position=position if isinstance(position, int) else None,
        score=hit.score,
        text=str(payload.get("text", "")),
        heading=str(payload.get("heading", "")),
        collection=collection,
    )
