"""Embeddings from a server of models, over the protocol of Ollama or OpenAI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

from ragops.embedding import protocols, responses
from ragops.embedding.batch import PROBE
from ragops.embedding.protocols import Fault, ServerError
from ragops.errors import MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.embedding.spec import ModelSpec

_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_KINDS: dict[Fault, type[RagopsError]] = {
    Fault.DOWN: UnhealthyError,
    Fault.SLOW: UnhealthyError,
    Fault.BUSY: UnhealthyError,
    Fault.UNREADABLE: UnhealthyError,
    Fault.KEY: MissingError,
    Fault.MISSING: MissingError,
}


class ServerEmbedder:
    """Synchronous. `dimensions` are asked of the model if the specification has none.

    `cut` counts the texts of which Ollama read the beginning alone, because they are longer than the model's context.
    `key` returns the key to send, empty for none; `sleep` waits so many seconds when the server is busy.
    """

    def __init__(
        self,
        spec: ModelSpec,
        key: Callable[[], str] = lambda: "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = spec.space
        self.model = spec.model
        self.passage_prefix = spec.prefixes[1]
        self.cut = 0
        self._spec = spec
        self._key = key
        self._sleep = sleep
        self._dimensions = spec.dimensions
        self._client = httpx.Client(
            base_url=protocols.base_url(spec.kind, spec.url or ""),
            timeout=httpx.Timeout(spec.batch_timeout, connect=min(spec.batch_timeout, protocols.CONNECT_SECONDS)),
            trust_env=False,
        )

    @property
    def dimensions(self) -> int:
        """Length of every vector; raises RagopsError if the model cannot be asked."""
        if self._dimensions is None:
            self._dimensions = len(self._ask([PROBE])[0])
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each passage, in order.

        Raises UnhealthyError (KIND_unreachable, KIND_slow, KIND_busy, KIND_answer_unreadable), MissingError
        (KIND_key_refused, KIND_model_missing), RagopsError (KIND_refused, KIND_failed) for texts that it does not take.
        """
        vectors: list[list[float]] = []
        for start in range(0, len(texts), self._spec.batch_size):
            vectors += self._ask(
                [f"{self.passage_prefix}{text}" for text in texts[start : start + self._spec.batch_size]]
            )
        return vectors

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            vectors = self._uncut(texts) if self._spec.kind == "ollama" else self._vectors(texts)
        except ServerError as error:
            raise self._error(error) from error
        self._dimensions = len(vectors[0]) if vectors else self._dimensions
        return vectors

    def _uncut(self, texts: Sequence[str]) -> list[list[float]]:
        """Ask Ollama, which does not report what it cuts: it has to refuse that, and only such a text is cut then."""
        try:
            return self._vectors(texts, cuts=False)
        except ServerError as error:
            if not error.is_too_long:
                raise
        if len(texts) == 1:
            found = self._vectors(texts)
            self.cut += 1
            return found
        half = len(texts) // 2
        return [*self._uncut(texts[:half]), *self._uncut(texts[half:])]

    def _vectors(self, texts: Sequence[str], *, cuts: bool = True) -> list[list[float]]:
        answer = self._post(protocols.embed_body(self._spec, texts, cuts=cuts))
        return responses.read_vectors(self._spec.kind, answer, len(texts), self._dimensions)

    def _post(self, body: dict[str, Any]) -> Any:
        """Send a request; a server that is busy or loads the model is waited for as long as a batch may take."""
        waited, pause, can_repeat = 0.0, _PAUSE, True
        while True:
            try:
                return self._attempt(body)
            except httpx.RemoteProtocolError as error:  # it had closed a connection that was idle
                if not can_repeat:
                    raise protocols.call_error(error, self._spec.batch_timeout) from error
                can_repeat = False
            except httpx.HTTPError as error:
                raise protocols.call_error(error, self._spec.batch_timeout) from error
            except ServerError as error:
                if error.fault is not Fault.BUSY or waited >= self._spec.batch_timeout:
                    raise
                seconds = min(max(error.wait or 0.0, pause), _LONGEST_PAUSE)
                self._sleep(seconds)
                waited, pause = waited + seconds, pause * 2

    def _attempt(self, body: dict[str, Any]) -> Any:
        key, path = self._key(), protocols.path(self._spec.kind, "embed")
        most, content = responses.most_bytes(len(body["input"]), self._dimensions), bytearray()
        end = time.monotonic() + self._spec.batch_timeout
        with self._client.stream("POST", path, json=body, headers=protocols.headers(key)) as response:
            for part in response.iter_bytes():
                responses.add_bytes(content, part, most)
                if time.monotonic() > end:  # the time-out of the client is that of each part
                    raise protocols.slow(self._spec.batch_timeout)
            return responses.read_response(response, bytes(content), key)

    def _error(self, error: ServerError) -> RagopsError:
        spec, fault = self._spec, error.fault
        what = f"{protocols.title(spec.kind)} at {spec.url} cannot embed with {spec.model}: {error}"
        code = f"{spec.kind}_{fault.value}"
        return _KINDS.get(fault, RagopsError)(code, what, self._hint(fault))

    def _hint(self, fault: Fault) -> str:
        spec = self._spec
        is_ollama = spec.kind == "ollama"
        match fault:
            case Fault.DOWN:
                return "start it: `ollama serve`" if is_ollama else "start the server, or correct the embedder's `url`"
            case Fault.SLOW:
                return "set a longer `batch_timeout` or a smaller `batch_size` for the model in ragops.yaml"
            case Fault.KEY:
                return "put the server's key into `key_file` of the model, a file that is 0600"
            case Fault.MISSING:
                return f"get the model: `ollama pull {spec.model}`" if is_ollama else "name a model that it serves"
            case Fault.BUSY:
                return "try again later: what is stored stays"
            case Fault.UNREADABLE:
                return "correct the `url` and the `kind` of the model in ragops.yaml"
        return "set the model's true `dimensions`, or a smaller `chunkSize` of the collection"
