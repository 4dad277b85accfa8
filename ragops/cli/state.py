"""The global options, carried from the application's callback to every command."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.cli.console import Console

if TYPE_CHECKING:
    import typer

    from ragops.config.load import Project
    from ragops.operations.session import Session


@dataclass(frozen=True)
class State:
    """Global options of one run."""

    console: Console
    config: Path | None = None
    environment: str | None = None

    def project(self) -> Project:
        """Load ragops.yaml."""
        from ragops.config.load import load

        return load(self.config, self.environment)

    def session(self, lock_wait: float = 0.0) -> Session:
        """Open the environment for the command that is running."""
        from ragops.operations.session import Session

        return Session(self.project(), command_line(), self.console.message, lock_wait)


def state(context: typer.Context) -> State:
    """The State of a command."""
    found = context.obj
    return found if isinstance(found, State) else State(Console())


def command_line() -> str:
    """The command as it was typed, for locks and the audit trail; secrets are never options."""
    return " ".join(["ragops", *sys.argv[1:]])
