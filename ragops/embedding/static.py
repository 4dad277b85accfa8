"""Static embeddings: the mean of one vector for each token, from weights that a package brings, without a server.

The weights and the tokenizer are WordLlama's (32,000 tokens, 256 numbers, MIT), read from the folder of the package
`wordllama`. The package itself is not imported: its loader looks for the tokenizer in a wrong place, then downloads it.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.embedding.batch import join_titles
from ragops.embedding.hashing import is_common
from ragops.embedding.spec import FORMER_STATIC_NAME, STATIC_DIMENSIONS, STATIC_NAME
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEIGHTS, _TENSOR = Path("weights", "l2_supercat_256.safetensors"), "embedding.weight"
_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
_AT_ONCE = 64  # texts: their tokens' vectors are held together
_TITLE_WEIGHT = 0.3  # of a passage's title, next to its text (bench/search_quality.py --tune)
_URL = re.compile(r"https?://\S+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARK = re.compile(r"[^\w\s]|_{2,}")


class StaticEmbedder:
    """Vectors of length 1; other weights or another way to use them are a new version in `name`.

    Version 1 took texts as they are. Since version 2 addresses, marks and the words of every English text are left out,
    case does not matter, and a title counts more than by its few words.
    """

    dimensions = STATIC_DIMENSIONS

    def __init__(self, name: str = STATIC_NAME) -> None:
        self.name = name
        self._tokenizer, self._weights = _load()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in order; a text without words has one too."""
        if self.name != FORMER_STATIC_NAME:
            texts = [_significant(text) for text in texts]
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _AT_ONCE):
            vectors += self._embed(texts[start : start + _AT_ONCE])
        return vectors

    def embed_titled(self, texts: Sequence[str], titles: Sequence[str]) -> list[list[float]]:
        """One vector for each passage, in order, towards its title if it has one."""
        if self.name == FORMER_STATIC_NAME:
            return self.embed(join_titles(texts, titles))
        found = self.embed(texts)
        by_title = dict(zip(set(titles), self.embed([*set(titles)]), strict=True))
        return [
            _towards(vector, by_title[title]) if title else vector for vector, title in zip(found, titles, strict=True)
        ]

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        import numpy as np

        # Lone surrogates are no text for the tokenizer.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        ids = [found.ids for found in self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)]
        found = np.zeros((len(ids), STATIC_DIMENSIONS), dtype=np.float32)
        for place, tokens in enumerate(ids):
            if tokens:
                found[place] = self._weights[tokens].mean(axis=0)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        found[lengths[:, 0] == 0, 0] = 1.0
        result: list[list[float]] = (found / np.where(lengths == 0, 1.0, lengths)).tolist()
        return result


def _significant(text: str) -> str:
    """Return the words of a text that carry a meaning, in lower case; all of them if none does."""
    found = _MARK.sub(" ", _LINK.sub(r"\1", _URL.sub(" ", text))).lower().split()
    return " ".join([word for word in found if not is_common(word)] or found) or text


def _towards(vector: list[float], title: list[float]) -> list[float]:
    mixed = [own + _TITLE_WEIGHT * its for own, its in zip(vector, title, strict=True)]
    length = math.hypot(*mixed)
    return [value / length for value in mixed] if length else vector


def _package_folder() -> Path:
    package = find_spec("wordllama")
    if package is None or not package.submodule_search_locations:
        raise ImportError("No module named 'wordllama'")
    return Path(package.submodule_search_locations[0])


@cache
def _load() -> tuple[Any, Any]:
    """Return the tokenizer and the weights. Raises MissingError (embedder_missing)."""
    try:
        import numpy as np
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = _package_folder()
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        weights = load_file(folder / _WEIGHTS)[_TENSOR].astype(np.float32)
    except (ImportError, OSError, KeyError) as error:
        what = f"cannot load the embedder {STATIC_NAME}: {error}"
        hint = "run `pip install 'ragops-platform[static]'`, or set `kind: hashing` in `api.embedder`"
        raise MissingError("embedder_missing", what, hint) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, weights
