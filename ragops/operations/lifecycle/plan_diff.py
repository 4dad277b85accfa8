"""What a plan changes and where reality drifted, in words, from the engine's steps."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.pulumi.events import SECRET_TEXT, Action, Phase

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from ragops.adapters.pulumi.events import Step

_COMPONENT = "ragops:"
_INTERNAL = ("__provider", "__defaults", "state", "digest", "digests", "id", "rendered", "container_id", "restarts")
_FINE = ("running", "as written")
_CONFIG_LABEL = "io.ragops.config"  # a digest of files whose change is shown where they are
# What a container that does not run seems to have lost.
_OF_RUNNING = frozenset({"ports", "mustRun", "start"})
_READY = "-ready"
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


def changes(steps: Iterable[Step], stopped: Collection[str] = ()) -> tuple[Change, ...]:
    """The changes among the steps of a preview or an up; components and refreshes are no changes of their own.

    A replacement is one change, though the engine takes several steps for it. `stopped` are resources that `up` starts
    before the engine looks: what it would only change because they do not run is none.
    """
    own = [step for step in steps if step.phase is Phase.STARTED and _is_own(step)]
    skipped = {step.resource for step in own if step.resource in stopped and step.old and _is_stopped_only(step)}
    found: dict[tuple[str, Action], Change] = {}
    for step in own:
        key, halved = (step.resource, step.action), step.action is Action.REPLACE and not (step.old and step.new)
        if step.resource not in skipped and (key not in found or (not found[key].details and not halved)):
            details = (
                () if halved else tuple(_details(step))
            )  # one of its steps: the old one goes, or the new one comes
            found[key] = Change(step.resource, step.action, details)
    return tuple(found.values())


def _is_own(step: Step) -> bool:
    return step.action is not Action.REFRESH and not step.type.startswith(_COMPONENT)


def _is_stopped_only(step: Step) -> bool:
    """Whether all that differs comes of its being stopped."""
    if not step.new:
        return False
    differing = {key for key in {*step.old, *step.new} if _plain(step.old.get(key)) != _plain(step.new.get(key))}
    return differing - set(_INTERNAL) <= _OF_RUNNING


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


def merged(resources: Iterable[Drifted], seen: Iterable[tuple[str, str]]) -> tuple[Drifted, ...]:
    """What the engine's refresh found and what the machine says (resource, words), each thing told once.

    The machine's words are the better ones; that an instance does not serve is another word for its being stopped.
    """
    told = tuple(Drifted(resource, words) for resource, words in seen)
    known = {item.resource for item in told}
    found: list[Drifted] = []
    for item in resources:
        name = item.resource.removesuffix(_READY)
        if name not in known:
            known.add(name)
            found.append(Drifted(name, item.detail))
    return (*found, *told)


def _details(step: Step) -> Iterator[str]:
    if step.action not in (Action.UPDATE, Action.REPLACE):
        return
    state = step.old_outputs.get("state")
    if state not in (None, *_FINE):
        yield f"is {state}: it will be as provisioned again"
    yield from _differences(step.old, step.new, "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted({*old, *new}):
        before, after = _plain(old.get(key)), _plain(new.get(key))
        if before == after or key in _INTERNAL:
            continue
        name = f"{prefix}{key}"
        if _hidden(before) or _hidden(after):
            yield f"{name}: secret values change"
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{name}/")
        elif isinstance(before, list) and isinstance(after, list):
            yield from (f"{name}: - {_shown(item)}" for item in before if item not in after)
            yield from (f"{name}: + {_shown(item)}" for item in after if item not in before)
        elif "\n" in f"{before}{after}":
            yield from _text_diff(name, str(before or ""), str(after or ""))
        else:
            yield f"{name}: {_shown(before)} → {_shown(after)}"


def _plain(value: Any) -> Any:
    """The value without what the engine notes for itself at every level, and labels by their names."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in ("__defaults", _CONFIG_LABEL)}
    if not isinstance(value, list):
        return value
    if value and all(isinstance(item, dict) and {"label", "value"} <= item.keys() for item in value):
        return _plain({item["label"]: item["value"] for item in value})
    return sorted((_plain(item) for item in value), key=str)


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
