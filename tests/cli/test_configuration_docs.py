"""docs/configuration.md names every key of ragops.yaml, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

from ragops.config.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner:
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{field.alias or name}"


def documented() -> set[str]:
    table = PAGE.read_text().split("\n## ")[0]  # the first table; others explain values
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`([a-z_.]+)`", row)}


def test_every_key_is_documented_and_no_other() -> None:
    assert documented() == set(keys(Settings))
