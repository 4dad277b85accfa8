"""Checks of what ragops writes for Prometheus and Alertmanager, by their own checkers, before they read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import RagopsError, UsageError
from ragops.operations.lifecycle.secret_files import read_secret_files
from ragops.runtimes.registry import host_of
from ragops.services.contract import Check, Status
from ragops.services.observability.files_check import fault_in, files_checks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.config.load import Project
    from ragops.services.observability.files_check import FilesCheck

_NAME = "observability"
_HINT = "correct `observability:` in ragops.yaml"


def refuse_unreadable(project: Project) -> None:
    """Raise UsageError (observability_refused) if Prometheus or Alertmanager would not take its configuration.

    Also UsageError (secret_file_unreadable, secret_file_open). What has no checker here is not checked.
    """
    for one, fault in _judged(project):
        if fault:
            what = f"cannot use the configuration of {one.title}: {one.tool} reports: {fault}"
            raise UsageError("observability_refused", what, _HINT)


def findings(project: Project) -> tuple[Check, ...]:
    """Return doctor's checks, one for each program that has a configuration; none without observability."""
    try:
        return tuple(_finding(one, fault) for one, fault in _judged(project))
    except RagopsError as error:
        return (Check(_NAME, Status.DOWN, error.message, error.hint),)


def _finding(one: FilesCheck, fault: str | None) -> Check:
    if fault:
        return Check(_NAME, Status.DOWN, f"{one.tool} refuses the configuration of {one.title}: {fault}", _HINT)
    if fault is None:
        return Check(_NAME, Status.OK, f"the configuration of {one.title} is not checked: {one.tool} is not here")
    return Check(_NAME, Status.OK, f"{one.tool} takes the configuration of {one.title}")


def _judged(project: Project) -> Iterator[tuple[FilesCheck, str | None]]:
    """Yield each check with what its program has against the files: empty if nothing, None if it is not here."""
    settings, host = project.settings, host_of(project)
    if settings.observability is None:
        return
    contents = read_secret_files(settings, project.paths.root)
    labels = {"platform": settings.name, "environment": project.paths.environment}
    for one in files_checks(settings.observability, labels, contents, host.facts.traits):
        done = host.check_files(one.image, one.command, one.files)
        yield one, None if done is None else "" if done.good else fault_in(done.lines)
