"""The file that the engine is started with."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic looks it up

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragops.errors import InvalidInputError, MissingError, Problem, UsageError


class EdgeConfig(BaseModel):
    """`storage` is a folder of the engine's own; `api_key_file` holds the key that every request must bring."""

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


def read_key(path: Path) -> bytes:
    """The API key. Raises MissingError (api_key_missing), UsageError (api_key_empty): it never runs without one."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise MissingError("api_key_missing", f"cannot read {path}: {error.strerror}", "run `ragops up`") from error
    if not key:
        raise UsageError("api_key_empty", f"{path} is empty", "run `ragops up`")
    return key
