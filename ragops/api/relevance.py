"""What of the points that were found is shown: each text once, and nothing if nothing answers the question."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ragops.embedding.hashing import stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.searching import Hit

# Of the question's words, the share that the best passage has to have; else only its vector can make it count.
LEAST_SHARE = 0.25
_LOOKED_AT = 10
_NOT_A_WORD = re.compile(r"\W+")
# Scripts that write words without spaces between: their characters stand for words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Cosines that vectors of unlike texts do not reach (bench/search_quality.py): hashing has none, as two short texts of
# the same bucket are alike.
_FLOORS = {"hashing": 1.01, "static": 0.6, "wordllama": 0.6}
_FLOOR = 0.5


def floor_of(embedder: str, configured: float | None) -> float:
    """Return the least cosine that counts without common words: what is configured, else that of the embedder."""
    if configured is not None:
        return configured
    return next((floor for kind, floor in _FLOORS.items() if embedder.startswith(kind)), _FLOOR)


def fold(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits best first, without those whose text differs from a better one's in space and signs alone."""
    seen: set[str] = set()
    kept = []
    for hit in sorted(hits, key=lambda one: (-one.score, one.id)):
        text = str(hit.payload.get("text", ""))
        key = _NOT_A_WORD.sub(" ", text).strip().casefold() or text or hit.id
        if key not in seen:
            seen.add(key)
            kept.append(hit)
    return kept


def shares_words(question: str, hits: Sequence[Hit]) -> bool:
    """Whether one of the best passages has enough of the question's words; true for a question without words."""
    wanted = _words(question)
    if not wanted:
        return True
    texts = (f"{hit.payload.get('path', '')} {hit.payload.get('text', '')}" for hit in hits[:_LOOKED_AT])
    return any(len(wanted & _all_words(text)) >= LEAST_SHARE * len(wanted) for text in texts)


def _all_words(text: str) -> set[str]:
    """Return the words of a passage, those that say nothing too: a question may have no others."""
    return {*_words(text), *_NOT_A_WORD.sub(" ", text).casefold().split()}


def _words(text: str) -> set[str]:
    return {*stems(_UNSPACED.sub(" ", text)), *_UNSPACED.findall(text)}
