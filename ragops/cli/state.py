"""The global options, carried from the application's callback to every command."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.adapters.project_owner import require_ownership, switch_to_owner
from ragops.cli.console import Console
from ragops.errors import UsageError

if TYPE_CHECKING:
    import typer

    from ragops.config.load import Project
    from ragops.operations.session import Session


# What root may do in the project of another user, for it writes nothing there.
_READ_ONLY = frozenset(
    {"cluster status", "cluster verify", "health", "logs", "migrate status", "outputs", "status", "token list"}
)


@dataclass(frozen=True)
class State:
    """Global options of one run; `command` is what runs, without the program's name: `backup run`."""

    console: Console
    config: Path | None = None
    environment: str | None = None
    as_owner: bool = False
    command: str = ""

    def project(self) -> Project:
        """Load ragops.yaml. Raises UsageError (not_owner) if the project is another user's."""
        from ragops.config.load import find_config, load

        path = (self.config or find_config(Path.cwd())).resolve()
        if path.exists():
            require_ownership(path.parent, _typed(self.command), reads_only=self.command in _READ_ONLY)
        return load(self.config, self.environment)

    def names_project(self) -> bool:
        """Return whether there is a project here, or one that was asked for: some commands need none."""
        from ragops.config.load import find_config

        if self.config or self.environment:
            return True
        try:
            find_config(Path.cwd())
        except UsageError:
            return False
        return True

    def begin_project(self, folder: Path) -> None:
        """Make sure that a new project in `folder` will be its owner's. Raises UsageError (not_owner)."""
        if self.as_owner:
            switch_to_owner(folder.resolve())
        require_ownership(folder.resolve(), _typed(self.command), reads_only=False)

    def become_owner(self) -> None:
        """Continue as the owner of the project, if there is one already: before anything is opened."""
        from ragops.config.load import find_config

        try:
            path = self.config or find_config(Path.cwd())
        except UsageError:
            return  # the command makes the project, or needs none
        switch_to_owner(path.resolve().parent)

    def session(self, lock_wait: float = 0.0) -> Session:
        """Open the environment for the command that is running."""
        from ragops.operations.session import Session

        return Session(self.project(), command_line(), self.console.message, lock_wait)


def state(context: typer.Context) -> State:
    """Return the State of a command."""
    found = context.obj
    words: list[str] = []
    inner: typer.Context | Any = context
    while inner.parent is not None:  # the outermost one is the program, whatever it was started as
        words.insert(0, str(inner.info_name))
        inner = inner.parent
    return replace(found if isinstance(found, State) else State(Console()), command=" ".join(words))


def _typed(command: str) -> str:
    """Return the command with its arguments as it was typed, for a hint that repeats it."""
    words = sys.argv[1:]
    return shlex.join(words) if set(command.split()) <= set(words) else command


def command_line() -> str:
    """Return the command as it was typed, for locks and the audit trail; secrets are never options."""
    typed = " ".join(["ragops", *sys.argv[1:]])
    return typed.encode("utf-8", "backslashreplace").decode()  # an argument may be any bytes, their files are UTF-8
