"""Options that every command takes, before or after its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAGS = ("--json", "--quiet", "--verbose", "--no-color", "--as-owner")
VALUES = ("--config", "--env")


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with the global options first, wherever they were typed; what follows `--` stays."""
    first: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in FLAGS or argument.startswith(tuple(f"{option}=" for option in VALUES)):
            first.append(argument)
        elif argument in VALUES:
            first += [argument, *([value] if (value := next(remaining, None)) is not None else [])]
        else:
            rest.append(argument)
    return first + rest
