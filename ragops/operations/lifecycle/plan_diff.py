"""Changes of a plan and drift, as text, from the engine's steps."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.pulumi.events import SECRET_TEXT, Action, Phase
from ragops.runtimes.contract import ResourceDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from ragops.adapters.pulumi.events import Step

    Describe = Callable[[str], ResourceDescription]

_COMPONENT = "ragops:"
_INTERNAL = frozenset({"__provider", "__defaults", "state", "digest", "digests", "id", "rendered"})
_FINE = ("running", "as written", "present")
_MOST_LINES = 20  # of one text: who wants all of it has the files


@dataclass(frozen=True)
class Change:
    """One resource that `up` would change. `details` are lines of a readable diff, without secrets."""

    resource: str
    action: Action
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class DriftItem:
    """One resource that is not as it was provisioned."""

    resource: str
    detail: str


def _by_name(urn: str) -> ResourceDescription:
    return ResourceDescription(urn.rpartition("::")[2])


def changes(steps: Iterable[Step], stopped: Collection[str] = (), describe: Describe = _by_name) -> tuple[Change, ...]:
    """Return the changes among the steps of a preview or an up; components and refreshes are no changes of their own.

    A replacement is one change, though the engine takes several steps for it. `stopped` are resources that `up` starts
    before the engine looks: what it would only change because they do not run is none. `describe` is the runtime's.
    """
    own = [step for step in steps if step.phase is Phase.STARTED and _is_own(step)]
    skipped = {
        step.resource for step in own if step.resource in stopped and step.old and _is_stopped_only(step, describe)
    }
    found: dict[tuple[str, Action], Change] = {}
    for step in own:
        key, halved = (step.resource, step.action), step.action is Action.REPLACE and not (step.old and step.new)
        if step.resource not in skipped and (key not in found or (not found[key].details and not halved)):
            # One of its steps: the old one goes, or the new one comes
            details = () if halved else tuple(_details(step, describe(step.urn or step.resource)))
            found[key] = Change(step.resource, step.action, details)
    return tuple(found.values())


def _is_own(step: Step) -> bool:
    return step.action is not Action.REFRESH and not step.type.startswith(_COMPONENT)


def _is_stopped_only(step: Step, describe: Describe) -> bool:
    """Whether all that differs comes of its being stopped."""
    if not step.new:
        return False
    description = describe(step.urn or step.resource)
    return {name for name, _before, _after in _differing(step.old, step.new, description)} <= description.of_running


def drifted(steps: Iterable[Step]) -> tuple[DriftItem, ...]:
    """Return the resources that the refresh found in another state."""
    found = {}
    for step in steps:
        state = step.new_outputs.get("state")
        if step.action is Action.DELETE and not step.type.startswith(_COMPONENT):
            found[step.resource] = DriftItem(step.resource, "is gone")
        elif state not in (None, step.old_outputs.get("state")):
            found[step.resource] = DriftItem(step.resource, str(state))
    return tuple(found.values())


def merged(
    resources: Iterable[DriftItem], seen: Iterable[tuple[str, str]], describe: Describe = _by_name
) -> tuple[DriftItem, ...]:
    """Return what the engine's refresh found and what the machine reports (resource, words), each thing once.

    The machine's words are the better ones; that an instance does not serve is another word for its being stopped.
    """
    reported = tuple(DriftItem(resource, words) for resource, words in seen)
    known = {item.resource for item in reported}
    found: list[DriftItem] = []
    for item in resources:
        name = describe(item.resource).instance
        if name not in known:
            known.add(name)
            found.append(DriftItem(name, item.detail))
    return (*found, *reported)


def _details(step: Step, description: ResourceDescription) -> Iterator[str]:
    if step.action not in (Action.UPDATE, Action.REPLACE):
        return
    state = step.old_outputs.get("state")
    if state not in (None, *_FINE):
        yield f"is {state}: it will be as provisioned again"
    yield from _differences(step.old, step.new, description, "")


def _differing(
    old: Mapping[str, Any], new: Mapping[str, Any], description: ResourceDescription
) -> Iterator[tuple[str, Any, Any]]:
    """Every property that differs and that plans show, with its value before and after."""
    inside = {"__defaults", *description.hidden}
    for key in sorted({*old, *new} - _INTERNAL - description.hidden):
        before, after = _plain(old.get(key), inside), _plain(new.get(key), inside)
        if before != after:
            yield key, before, after


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], description: ResourceDescription, prefix: str
) -> Iterator[str]:
    for key, before, after in _differing(old, new, description):
        name = f"{prefix}{key}"
        if _hidden(before) or _hidden(after):
            yield f"{name}: secret values change"
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, description, f"{name}/")
        elif isinstance(before, list) and isinstance(after, list):
            yield from (f"{name}: - {_shown(item)}" for item in before if item not in after)
            yield from (f"{name}: + {_shown(item)}" for item in after if item not in before)
        elif "\n" in f"{before}{after}":
            yield from _text_diff(name, str(before or ""), str(after or ""))
        else:
            yield f"{name}: {_shown(before)} → {_shown(after)}"


def _plain(value: Any, hidden: Collection[str]) -> Any:
    """Return the value without what is hidden at every level, and labels by their names."""
    if isinstance(value, dict):
        return {key: _plain(item, hidden) for key, item in value.items() if key not in hidden}
    if not isinstance(value, list):
        return value
    if value and all(isinstance(item, dict) and {"label", "value"} <= item.keys() for item in value):
        return _plain({item["label"]: item["value"] for item in value}, hidden)
    return sorted((_plain(item, hidden) for item in value), key=str)


def _hidden(value: Any) -> bool:
    """Return whether the engine shows a secret: an object with a masked ciphertext, or its mask."""
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
