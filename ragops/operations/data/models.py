"""The models of an environment: embedders that collections may name, and the keys of their servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ragops import embedding
from ragops.adapters.private_file import read_words
from ragops.adapters.qdrant.sparse import LANGUAGE
from ragops.embedding.null_embedder import BM25_NAME, NullEmbedder
from ragops.embedding.spec import HASHING_DIMENSIONS, STATIC_NAME, local_spec
from ragops.errors import RagopsError, UsageError
from ragops.services.api import configuration
from ragops.services.api.settings import ApiSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ragops.config.model import Settings
    from ragops.embedding import Embedder
    from ragops.embedding.spec import ModelSpec
    from ragops.operations.session import Session

_NAMED = 20


@dataclass
class Models:
    """Embedders by name, the default first, each opened when it is first asked for; `read_key` reads a key file.

    `words_alone`: search is by words, so that no collection needs its embedder. `language` is that of the words.
    """

    specs: Mapping[str, ModelSpec]
    read_key: Callable[[str], str]
    words_alone: bool = False
    language: str = LANGUAGE
    _opened: dict[str, Embedder] = field(default_factory=dict)

    @property
    def default(self) -> str:
        """The name of the embedder for collections that name none."""
        return BM25_NAME if self.words_alone else next(iter(self.specs))

    def check(self, name: str) -> ModelSpec:
        """Return what `name` means. Raises UsageError (embedding_model_unknown) with the names that there are."""
        found = self.specs.get(name) or local_spec(name)
        if found is None:
            hint = "use one of these names, or add the model to `api.models` of ragops.yaml"
            what = f"cannot use embedding model {name!r}: {self.find_fault(name)}"
            raise UsageError("embedding_model_unknown", what, hint)
        return found

    def find_fault(self, name: str) -> str:
        """Return what is wrong with the name of a model; empty if there is one."""
        if name in self.specs or local_spec(name):
            return ""
        names = list(dict.fromkeys([*self.specs, STATIC_NAME, f"hashing-{HASHING_DIMENSIONS}-v1"]))
        more = ", …" if len(names) > _NAMED else ""
        return f"there is none of that name; there are {', '.join(names[:_NAMED])}{more}"

    def open(self, name: str) -> Embedder:
        """Return the embedder of that name. Raises UsageError (embedding_model_unknown), MissingError."""
        if self.words_alone:
            return NullEmbedder()
        if name not in self._opened:
            spec = self.check(name)
            key = partial(self.read_key, spec.key_file) if spec.key_file else str
            self._opened[name] = embedding.make(spec, key)
        return self._opened[name]


def find_models(session: Session) -> Models:
    """Return the embedders of this environment, reached from this machine. Raises UsageError (embedder_missing)."""
    settings, root = session.project.settings, session.project.paths.root
    api = _api(settings)
    ollama = getattr(settings, "ollama", None)
    url, own = (f"http://127.0.0.1:{ollama.port}", ollama.models) if ollama else ("", ())
    distribution = session.host.facts.traits.distribution
    words_alone = settings.search.mode == "sparse"
    if words_alone:
        api = configuration.without_model(api)
    specs, language = configuration.known_models(api, distribution, url, own), settings.search.language
    return Models(specs, partial(_read_key, root), words_alone, language)


def model_keys(settings: Settings, root: Path) -> dict[str, str]:
    """Return the contents of the key files of `api:`, by their names there; relative ones are relative to `root`.

    Raises UsageError (key_file_unreadable, key_file_open).
    """
    return {name: _read_key(root, name) + "\n" for name in _api(settings).key_files}


def _api(settings: Settings) -> ApiSettings:
    # A project whose settings have no section `api:` is asked with the defaults of one.
    return getattr(settings, "api", None) or ApiSettings()


def _read_key(root: Path, name: str) -> str:
    """Return the first line of a key file that only its owner can read."""
    path = root / name
    words = read_words(path, f"key_file {path}", "key_file", "key")
    if len(words) != 1 or not (words[0].isascii() and words[0].isprintable()):
        what = f"cannot use key_file {path}: it does not hold one key"
        raise RagopsError("key_file_unreadable", what, "write the key there")
    return words[0]
