"""The sparse vectors of chunks: BM25 weights of their words, made by Qdrant itself from a text.

The server's model and the development engine's give the same vectors (tests/contract/test_qdrant_hybrid.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping  # noqa: TC003  a NamedTuple reads the annotation
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

NAME = "bm25"
MODEL = "qdrant/bm25"
LANGUAGE = "english"
# Scripts that write words without spaces between: Thai, Lao, Burmese, Khmer, kana, Han.
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff\u3400-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{UNSPACED}]+")
_VERSION = 2  # raised when the same text would get other weights
_CHARACTERS_OF_TOKEN = 7  # of a text without its stop words, about
_LEAST_LENGTH = 8.0


class WordText(NamedTuple):
    """A text that Qdrant turns into weights, and the options of its model for that."""

    text: str
    options: Mapping[str, Any] = {}


@dataclass(frozen=True)
class WordModel:
    """How the words of chunks and questions become weights; `language` names stop words and stemmer.

    Version 1 knows English alone, takes accents literally and finds no part of a run of Han or kana.
    """

    language: str = LANGUAGE
    version: int = _VERSION

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> WordModel:
        """Return the model of a collection from its chunking parameters."""
        version = int(params.get("words") or 1)
        return cls(params.get("language") or LANGUAGE, version) if version > 1 else cls(LANGUAGE, 1)

    @property
    def params(self) -> dict[str, Any]:
        """What of the chunking parameters describes it; nothing for version 1, which was not recorded."""
        return {"words": self.version, "language": self.language} if self.version > 1 else {}

    def of_passage(self, text: str, chunk_size: int) -> WordText:
        """Return the text of a chunk of at most about `chunk_size` characters."""
        if self.version == 1:
            return WordText(text)
        length = max(chunk_size / _CHARACTERS_OF_TOKEN, _LEAST_LENGTH)
        return WordText(_RUN.sub(_parts, _normal(text)), {**self._options, "avg_len": length})

    def of_question(self, text: str) -> WordText:
        """Return the text of a question."""
        return WordText(text) if self.version == 1 else WordText(_RUN.sub(_pairs, _normal(text)), self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {"language": self.language, "ascii_folding": True}


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _pairs(run: re.Match[str]) -> str:
    """Return the neighbours in a run of characters as words; a single one is a word itself."""
    return f" {' '.join(map(''.join, pairwise(run[0]))) or run[0]} "


def _parts(run: re.Match[str]) -> str:
    """Return the neighbours and the characters, for questions of a single one."""
    return f"{_pairs(run)}{' '.join(run[0])} " if len(run[0]) > 1 else _pairs(run)
