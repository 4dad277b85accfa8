"""Commands of ragops inside messages and hints, completed with the options of the command that shows them.

`ragops up` in a hint of `ragops plan --env live` would act on the default environment, which may be the one in
production. All output passes through `complete_commands`, so that no hint needs to add the options itself.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER_POINT = "use another recovery point: `ragops backup list`"  # if one cannot be read or restored

# The first words of commands that act on an environment: all but `init` and `engine`.
COMMANDS = (
    "backup", "cluster", "collection", "completion", "doctor", "down", "drift", "gateway", "health", "images", "ingest",
    "logs", "metrics", "migrate", "outputs", "plan", "query", "recover", "repair", "restore", "schedule", "secrets",
    "service", "slo", "status", "token", "unlock", "up",
)  # fmt: skip
_COMMAND = re.compile(rf"(?<![\w./-])ragops (?P<given>(?:--\S+ )*)(?=(?:{'|'.join(COMMANDS)})\b(?P<rest>[^`;\n]*))")
_SHOWN = frozenset({"hint", "message", "detail", "notes", "note", "now", "question"})
_OTHERS_DATA = frozenset({"passages", "metadata", "payload", "answer", "results"})


@dataclass(frozen=True)
class CommandOptions:
    """The global options that chose where the command acts; empty if they were not given."""

    environment: str = ""
    config: str = ""

    @property
    def options(self) -> str:
        """The options as they are typed."""
        found = [("--config", self.config), ("--env", self.environment)]
        return "".join(f"{name} {shlex.quote(value)} " for name, value in found if value)


_current = CommandOptions()


def set_options(environment: str | None, config: str | None) -> None:
    """Have `complete_commands` complete commands with these options from now on."""
    global _current
    _current = CommandOptions(environment or "", config or "")


def set_options_of(arguments: Sequence[str]) -> None:
    """Use the options in the arguments of a command line from now on, as `set_options` does."""
    found: dict[str, str] = {}
    before = ""
    for argument in arguments:
        if argument == "--":
            break
        name, is_given, value = argument.partition("=")
        if before in ("--env", "--config"):
            found[before] = argument
        elif is_given and name in ("--env", "--config"):
            found[name] = value
        before = argument if before not in ("--env", "--config") else ""
    set_options(found.get("--env"), found.get("--config"))


def complete_commands(text: str, where: CommandOptions | None = None) -> str:
    """Return the text with every command of ragops in it completed; one that names an environment itself stays."""
    options = (where or _current).options
    if not options or "ragops " not in text:
        return text

    def complete(found: re.Match[str]) -> str:
        if "--env" in found["given"] + found["rest"] or "--help" in found["rest"]:
            return found[0]
        return f"ragops {options}{found['given']}"

    return _COMMAND.sub(complete, text)


def complete_document(value: Any, key: str = "") -> Any:
    """JSON values with the texts that are meant for people completed; data stay as they are."""
    if isinstance(value, dict):
        return {name: item if name in _OTHERS_DATA else complete_document(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [complete_document(item, key) for item in value]
    return complete_commands(value) if isinstance(value, str) and key in _SHOWN else value
