"""Checks of `ragops doctor` that pass unless something raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.services.contract import Check, Status

if TYPE_CHECKING:
    from collections.abc import Callable


def run_check(name: str, examine: Callable[[], str]) -> Check:
    """Return a check with the text that `examine` returns; down, with message and hint, if it raises RagopsError."""
    try:
        return Check(name, Status.OK, examine())
    except RagopsError as error:
        return Check(name, Status.DOWN, error.message, error.hint)
