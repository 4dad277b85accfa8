"""The file that the engine is started with."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003
from pathlib import Path  # noqa: TC003  pydantic looks it up

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragops.adapters.secret_file import ReloadingSecretFile
from ragops.errors import InvalidInputError, MissingError, Problem, UsageError


class EdgeConfig(BaseModel):
    """`storage` is a folder of the engine's own; every request must bring a key of `api_key_file`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    storage: Path
    api_key_file: Path


def load(path: Path) -> EdgeConfig:
    """Read `path`. Raises InvalidInputError (config_invalid), MissingError (config_missing)."""
    try:
        return EdgeConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MissingError("config_missing", f"cannot read {path}: {error.strerror}", "run `ragops up`") from error
    except ValidationError as error:
        problems = [Problem(str(path), ".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]
        raise InvalidInputError("config_invalid", f"{path} is not valid", problems, "run `ragops up`") from error


def read_keys(path: Path) -> Callable[[], tuple[str, ...]]:
    """Return a reader of the valid API keys, one a line of the file: two during a rotation.

    Raises MissingError (api_key_missing), UsageError (api_key_empty): it never runs without one.
    """
    try:
        file = ReloadingSecretFile(path)
    except OSError as error:
        raise MissingError("api_key_missing", f"cannot read {path}: {error.strerror}", "run `ragops up`") from error
    if not file.lines():
        raise UsageError("api_key_empty", f"{path} is empty", "run `ragops up`")
    return file.lines
