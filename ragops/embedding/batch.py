"""Vectors for many texts of which a model may refuse some: what it refuses costs that text, not its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import LockedError, MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.embedding import Embedder, Vector

PROBE = "ragops"  # a text that every model takes
# These mean that nothing would go better with the next text.
FATAL = (UnhealthyError, MissingError, LockedError)


@dataclass(frozen=True)
class RejectedText:
    """A text that the model does not take, with its reason."""

    reason: str


def embed_batch(embedder: Embedder, texts: Sequence[str], titles: Sequence[str] = ()) -> list[Vector | RejectedText]:
    """Return a vector or the refusal of each text, in order.

    `titles` are those of the texts, if they have some. An embedder with `embed_titled` gives them a weight of their
    own, for any other they are the first line. A batch that is refused is halved until the texts at fault are alone.
    Raises UnhealthyError and MissingError as the embedder does, and UnhealthyError (embedder_faulty) if it refuses all
    texts and one that any model takes.
    """
    if titles and hasattr(embedder, "embed_titled"):
        return [*embedder.embed_titled(texts, titles)]
    if titles:
        texts = join_titles(texts, titles)
    found = _halve(embedder, texts)
    if found and all(isinstance(one, RejectedText) for one in found):
        _require_working(embedder)
    return found


def join_titles(texts: Sequence[str], titles: Sequence[str]) -> list[str]:
    """Return each text below its title."""
    return [f"{title}\n{text}" if title else text for text, title in zip(texts, titles, strict=True)]


def _halve(embedder: Embedder, texts: Sequence[str]) -> list[Vector | RejectedText]:
    try:
        return [*embedder.embed(texts)]
    except FATAL:
        raise
    except RagopsError as error:
        if len(texts) == 1:
            return [RejectedText(error.message)]
    half = len(texts) // 2
    return [*_halve(embedder, texts[:half]), *_halve(embedder, texts[half:])]


def _require_working(embedder: Embedder) -> None:
    try:
        embedder.embed([PROBE])
    except FATAL:
        raise
    except RagopsError as error:
        raise UnhealthyError("embedder_faulty", error.message, error.hint) from error
