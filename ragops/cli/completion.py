"""Values for a shell's completion, and the command that prints a shell's script.

A completion has a second at most, prints nothing of its own, and has no candidates if anything fails.
"""

from __future__ import annotations

import contextlib
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ragops.config.load import Project

_SECONDS = 0.8  # for a database or a repository that does not answer


class Shell(StrEnum):
    """Shells that have a script."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_choices=False)],
) -> None:
    """Print the script that completes commands, options and names in a shell.

    Services, environments, collections, recovery points, secrets and tokens are completed from the project in the
    current folder, or the one of --config and --env.

    Example: ragops completion bash > ragops-completion.bash
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name="ragops", complete_var="_RAGOPS_COMPLETE", shell=shell.value)
    current = state(context)
    current.console.document({"shell": shell.value, "script": script})
    current.console.text(script.strip())


# --- candidates ------------------------------------------------------------------------------------------------------


def environments(context: typer.Context, incomplete: str) -> list[str]:
    """Return the environments that the project has a file for."""
    from ragops.config.load import find_config
    from ragops.config.load import list_environments as found
    from ragops.config.paths import DEFAULT_ENVIRONMENT

    def names() -> Iterable[str]:
        config = context.find_root().params.get("config")
        return (DEFAULT_ENVIRONMENT, *found(Path(config) if config else find_config(Path.cwd())))

    return _candidates(names, incomplete)


def services(context: typer.Context, incomplete: str) -> list[str]:
    """Return the services that are not named yet."""
    from ragops.services import SERVICES

    return _candidates(lambda: [one.name for one in SERVICES], incomplete, context)


def data_services(context: typer.Context, incomplete: str) -> list[str]:
    """Return the services that recovery points have parts of."""
    from ragops.services import SERVICES

    return _candidates(lambda: [one.name for one in SERVICES if one.backup()], incomplete, context)


def repairable(incomplete: str) -> list[str]:
    """Return the services that `repair` has a tool for."""
    return _starting(["redis"], incomplete)


def points(context: typer.Context, incomplete: str) -> list[str]:
    """Return `latest` and the recovery points of all repositories that answer in time, newest first."""
    from ragops.operations.backup.list_points import each_id
    from ragops.operations.repositories import open_repositories

    def names() -> Iterable[str]:
        repos = open_repositories(_project(context))
        return ("latest", *_in_time(each_id(repos)))

    return _candidates(names, incomplete, context)


def points_or_clean(context: typer.Context, incomplete: str) -> list[str]:
    """Return the recovery points and the word `clean` of `restore`."""
    return [*points(context, incomplete), *_starting(["clean"], incomplete)]


def collections(context: typer.Context, incomplete: str) -> list[str]:
    """Return the collections in the database, if it answers in time."""
    from ragops.operations.data.ingest import collection_names

    def names() -> Iterable[str]:
        project = _project(context)
        return _in_time(collection_names(project))

    return _candidates(names, incomplete, context)


def tokens(context: typer.Context, incomplete: str) -> list[str]:
    """Return names and ids of the tokens that have not expired."""
    from datetime import UTC, datetime

    from ragops.operations.gateway.tokens import list_tokens

    def names() -> Iterable[str]:
        lines = list_tokens(_project(context).paths.gateway, datetime.now(tz=UTC))
        live = [line for line in lines if not line.expired]
        return [*dict.fromkeys(line.name for line in live), *(line.kid for line in live)]

    return _candidates(names, incomplete, context)


def secrets(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of generated secrets."""
    from ragops.operations.lifecycle.secrets import list_secrets

    return _candidates(lambda: [line.name for line in list_secrets(_project(context))], incomplete, context)


def _project(context: typer.Context) -> Project:
    from ragops.config.load import load

    given = context.find_root().params
    config = given.get("config")
    return load(Path(config) if config else None, given.get("env"))


def _candidates(names: Callable[[], Iterable[str]], incomplete: str, context: typer.Context | None = None) -> list[str]:
    """Return the names that begin with `incomplete` and are not typed yet; none if a failure hides them."""
    found: list[str] = []
    with contextlib.suppress(Exception):
        found.extend(names())
    typed = {item for value in context.params.values() if isinstance(value, list) for item in value} if context else ()
    return [name for name in _starting(found, incomplete) if name not in typed]


def _in_time(names: Iterable[str]) -> list[str]:
    """Return those of `names` that are there within a second: others wait for a server."""
    found: list[str] = []

    def collect() -> None:
        with contextlib.suppress(Exception):
            for name in names:
                found.append(name)  # noqa: PERF402  each is there as soon as it is found

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return list(found)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
