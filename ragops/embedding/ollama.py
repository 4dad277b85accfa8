"""Embeddings from a model that Ollama serves (its HTTP API, POST /api/embed).

What is sent and how answers are read are pure functions: ingest uses them synchronously, the API asynchronously.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import httpx

from ragops.errors import RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Sequence

EMBED_PATH = "/api/embed"
_BATCH = 32


def embed_request(model: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return the JSON body of POST /api/embed; the model cuts a text that is too long."""
    return {"model": model, "input": list(texts), "truncate": True}


def read_embeddings(answer: Any, count: int, dimensions: int | None) -> list[list[float]]:
    """Return the vectors of an answer; ValueError if they are not `count` finite ones of `dimensions` each."""
    vectors = answer.get("embeddings") if isinstance(answer, dict) else None
    if not isinstance(vectors, list) or len(vectors) != count:
        raise ValueError(f"the answer does not hold {count} embeddings")
    wanted = dimensions if dimensions is not None else len(vectors[0])
    for vector in vectors:
        if len(vector) != wanted or not wanted:
            raise ValueError(f"the model gives vectors of {len(vector)} dimensions, not {wanted}")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in vector):
            raise ValueError("the answer holds something else than finite numbers")
    return [[float(value) for value in vector] for vector in vectors]


def read_error(response: httpx.Response) -> str:
    """Return Ollama's error text, at most 200 characters of it."""
    try:
        values = response.json()
        text = str(values["error"])
    except (ValueError, KeyError, TypeError):
        text = f"status {response.status_code}"
    return text[:200]


class OllamaEmbedder:
    """Synchronous; times in seconds. `dimensions` are asked of the model if they are not given."""

    def __init__(self, url: str, model: str, dimensions: int | None = None, timeout: float = 60.0) -> None:
        self.name = model
        self._url = url.rstrip("/")
        self._dimensions = dimensions
        self._client = httpx.Client(base_url=self._url, timeout=timeout, trust_env=False)

    @property
    def dimensions(self) -> int:
        """Length of every vector; raises RagopsError where the model cannot be asked."""
        if self._dimensions is None:
            self._dimensions = len(self._ask(["dimensions"])[0])
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in order; raises RagopsError (ollama_unreachable, ollama_refused)."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _BATCH):
            vectors += self._ask(texts[start : start + _BATCH])
        return vectors

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            response = self._client.post(EMBED_PATH, json=embed_request(self.name, texts))
        except httpx.HTTPError as error:
            raise UnhealthyError(
                "ollama_unreachable",
                f"Ollama at {self._url}: {type(error).__name__}: {error}",
                "start it: ollama serve",
            ) from error
        if response.status_code != httpx.codes.OK:
            hint = f"get the model: ollama pull {self.name}"
            raise RagopsError("ollama_refused", f"Ollama cannot embed with {self.name}: {read_error(response)}", hint)
        try:
            return read_embeddings(response.json(), len(texts), self._dimensions)
        except (ValueError, TypeError) as error:
            hint = "ingest again after a change of the model, or set its true dimensions"
            raise RagopsError("ollama_refused", f"answer of {self.name}: {error}", hint) from error
