"""The generated passwords of an environment: one JSON object, 0600, by name."""

from __future__ import annotations

import json
import secrets as random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_BYTES = 24  # 192 bits, 32 characters of the URL-safe alphabet: no engine has to quote them


def load(path: Path) -> dict[str, str]:
    """Return all secrets by name; empty if the file is not there yet.

    Raises RagopsError `secrets_unreadable` if the file is no such object.
    """
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RagopsError(
            "secrets_unreadable",
            f"cannot read {path}: {type(error).__name__}",
            "restore it from your copy: without it the running services do not let ragops in",
        ) from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise RagopsError(
            "secrets_unreadable", f"cannot read {path}: it is not a JSON object of strings", "restore it from your copy"
        )
    return values


def preview(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Every secret, with values made up for what is missing of `names`; the file stays as it is."""
    values = load(path)
    return values | {name: random.token_urlsafe(_BYTES) for name in names if name not in values}


def ensure(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Generate what is missing of `names`, keep all else; returns every secret."""
    values, before = preview(path, names), load(path)
    if values.keys() != before.keys():
        save(path, values)
        record_ages(path, values.keys() - before.keys())
    return values


def save(path: Path, values: Mapping[str, str]) -> None:
    """Put all secrets in place at once. Raises MissingError (disk_full), RagopsError; the old ones are there then."""
    write_atomic(path, json.dumps(values, indent=2) + "\n", SECRET_MODE)


def generate() -> str:
    """Return a new value."""
    return random.token_urlsafe(_BYTES)


def read_ages(path: Path) -> dict[str, datetime]:
    """Return when each secret was generated, if it is recorded. Nothing depends on this file."""
    try:
        noted = json.loads(_ages_file(path).read_text())
        return {str(name): datetime.fromisoformat(value) for name, value in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def record_ages(path: Path, names: Iterable[str]) -> None:
    """Note that `names` were generated now."""
    now = datetime.now(tz=UTC).replace(microsecond=0)
    noted = {**read_ages(path), **dict.fromkeys(names, now)}
    content = {name: when.isoformat() for name, when in sorted(noted.items())}
    write_atomic(_ages_file(path), json.dumps(content, indent=2) + "\n", SECRET_MODE)


def _ages_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}.ages.json")
