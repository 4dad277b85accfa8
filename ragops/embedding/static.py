"""Static embeddings: the mean of one vector for each token, from weights that a package brings, without a server.

The weights and the tokenizer are WordLlama's (32,000 tokens, 256 numbers, MIT), read from the folder of the package
`wordllama`. The package itself is not imported: its loader looks for the tokenizer in a wrong place, then downloads it.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.embedding.spec import STATIC_DIMENSIONS, STATIC_NAME
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEIGHTS, _TENSOR = Path("weights", "l2_supercat_256.safetensors"), "embedding.weight"
_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
_AT_ONCE = 64  # texts: their tokens' vectors are held together


class StaticEmbedder:
    """Vectors of length 1; other weights or another way to use them are a new version in `name`."""

    name = STATIC_NAME
    dimensions = STATIC_DIMENSIONS

    def __init__(self) -> None:
        self._tokenizer, self._weights = _load()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in order; a text without words has one too."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _AT_ONCE):
            vectors += self._embed(texts[start : start + _AT_ONCE])
        return vectors

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
