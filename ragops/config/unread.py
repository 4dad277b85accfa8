"""Keys that a runtime does not read. They are refused: what somebody wrote and nothing follows is a trap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragops.errors import Problem
from ragops.runtimes import registry
from ragops.services.sections import image_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Key = tuple[str | int, ...]


def find_unread(runtime: str) -> tuple[str, ...]:
    """Return the keys that `runtime` does not read, dotted; none if there is no such runtime."""
    return tuple(_ignored(runtime))


def describe_unread(sources: Iterable[tuple[Mapping[str, Any], Mapping[Key, str]]]) -> Iterator[Problem]:
    """Return the keys without effect in the sources (values and place of each key, the later over the earlier).

    A key stays unreported if the runtime of its own file reads it and only a later source chooses another one:
    ragops.yaml may describe containers, and ragops.dev.yaml the same platform as processes.
    """
    given = list(sources)
    final = _runtime(values for values, _lines in given)
    for index, (values, lines) in enumerate(given):
        own = _runtime(values for values, _lines in given[: index + 1])
        for dotted in find_unread(final):
            if dotted in find_unread(own) or own == final:
                yield from _written(values, lines, tuple(dotted.split(".")), final)


def drop_unread(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without the keys that their runtime does not read."""
    kept = {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
    for dotted in find_unread(_runtime([values])):
        section, _, name = dotted.partition(".")
        if not name:
            kept.pop(section, None)
        elif isinstance(kept.get(section), dict):
            kept[section].pop(name, None)
    return kept


def _runtime(sources: Iterable[Mapping[str, Any]]) -> str:
    chosen = [str(values["runtime"]) for values in sources if values.get("runtime")]
    return chosen[-1] if chosen else registry.DEFAULT


def _ignored(runtime: str) -> Mapping[str, str]:
    """Every key without effect with the reason; a section stands for all of its keys."""
    if runtime not in registry.names():
        return {}
    facts = registry.facts(runtime)
    found = dict(facts.ignored_settings)
    for key in () if facts.traits.uses_images else image_keys():
        found.setdefault(key, "")
    return found


def _written(values: Mapping[str, Any], lines: Mapping[Key, str], key: Key, runtime: str) -> Iterator[Problem]:
    found: Any = values
    for part in key:
        if not isinstance(found, dict) or part not in found:
            return
        found = found[part]
    if found in (None, "", {}):  # no value
        return
    below = [(*key, name) for name in found] if isinstance(found, dict) else [key]
    why = _ignored(runtime).get(".".join(map(str, key)))
    text = f"has no effect with `runtime: {runtime}`{f': {why}' if why else ''}; remove it"
    for each in below:
        yield Problem(lines.get(each) or lines.get(key, ""), ".".join(map(str, each)), text)
