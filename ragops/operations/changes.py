"""What a plan changes and where reality drifted, in words, from the engine's steps."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.pulumi_events import SECRET_TEXT, Action, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ragops.adapters.pulumi_events import Step

_COMPONENT = "ragops:"
_INTERNAL = ("__provider", "state", "digest", "digests", "id", "rendered")
_MOST_LINES = 20  # of one text: who wants all of it has the files


@dataclass(frozen=True)
class Change:
    """One resource that `up` would change. `details` are lines of a readable diff, without secrets."""

    resource: str
    action: Action
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drifted:
    """One resource that is not as it was provisioned."""

    resource: str
    detail: str


def changes(steps: Iterable[Step]) -> tuple[Change, ...]:
    """The changes among the steps of a preview or an up; components and refreshes are no changes of their own.

    A replacement is one change, though the engine takes several steps for it.
    """
    found: dict[tuple[str, Action], Change] = {}
    for step in steps:
        own = step.action is not Action.REFRESH and not step.type.startswith(_COMPONENT)
        if own and step.phase is Phase.STARTED:
            found.setdefault((step.resource, step.action), Change(step.resource, step.action, tuple(_details(step))))
    return tuple(found.values())


def drifted(steps: Iterable[Step]) -> tuple[Drifted, ...]:
    """Where the refresh found something else than the state says."""
    found = {}
    for step in steps:
        state = step.new_outputs.get("state")
        if step.action is Action.DELETE and not step.type.startswith(_COMPONENT):
            found[step.resource] = Drifted(step.resource, "is gone")
        elif state not in (None, step.old_outputs.get("state")):
            found[step.resource] = Drifted(step.resource, str(state))
    return tuple(found.values())


def _details(step: Step) -> Iterator[str]:
    if step.action not in (Action.UPDATE, Action.REPLACE):
        return
    state = step.old_outputs.get("state")
    if state not in (None, "running"):
        yield f"is {state}: it will be as provisioned again"
    yield from _differences(step.old, step.new, "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after or key in _INTERNAL:
            continue
        name = f"{prefix}{key}"
        if _hidden(before) or _hidden(after):
            yield f"{name}: secret values change"
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{name}/")
        elif "\n" in f"{before}{after}":
            yield from _text_diff(name, str(before or ""), str(after or ""))
        else:
            yield f"{name}: {_shown(before)} → {_shown(after)}"


def _hidden(value: Any) -> bool:
    """The engine shows a secret as an object with a masked ciphertext, or as its mask."""
    return value == SECRET_TEXT or (isinstance(value, dict) and "ciphertext" in value)


def _text_diff(name: str, before: str, after: str) -> Iterator[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    yield name
    shown = [line for line in [*lines][2:] if not line.startswith("@@")]  # after the names of both sides
    for line in shown[:_MOST_LINES]:
        yield f"  {line}"
    if len(shown) > _MOST_LINES:
        yield f"  … {len(shown) - _MOST_LINES} more lines"


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
