"""A platform on a new machine, from nothing but a repository and the key that opens it."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters import locks
from ragops.adapters.files import make_dir
from ragops.adapters.progress import Progress, ignore_progress
from ragops.config.load import CONFIG_NAME, load
from ragops.config.paths import PASSAGE_MODE
from ragops.errors import InterruptedRunError, RagopsError
from ragops.operations.backup.point_condition import held_by
from ragops.operations.backup.project_archive import SEALED_PART
from ragops.operations.data.cache import invalidate_answer_cache
from ragops.operations.lifecycle import provision
from ragops.operations.lifecycle.data_guard import Empty
from ragops.operations.observe.restore_proof import note_restored
from ragops.operations.observe.wait_healthy import wait_for_answers, wait_settled
from ragops.operations.repositories import staging_of
from ragops.operations.restore import project_files as write_project
from ragops.operations.restore.locate import Candidate, RecoverState, command_of, keep_progress, older_good
from ragops.operations.restore.project_files import project_files
from ragops.operations.restore.restore import RestoreRequest, restore
from ragops.operations.session import Session
from ragops.recovery.local_history import History
from ragops.recovery.manifest import PLATFORM
from ragops.services.contract import NotRestored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.pulumi.events import OnStep
    from ragops.operations.observe.health import Health
    from ragops.recovery.point import RecoveryPoint

_LOCK = ("recover",)
_REVOKED = (
    "tokens that were revoked after the recovery point was taken are valid again: look at `ragops token list`,"
    " and revoke them once more"
)
_NEW_SECRETS = (
    "the recovery point is not encrypted and so has no secrets: new ones were made, and applications need them"
    " (`ragops outputs --show-secrets`), and new tokens (`ragops token issue NAME`)"
)


@dataclass(frozen=True)
class RecoverResult:
    """A platform that is back; times in seconds (`files`: settings and secrets), `notes` what is left to do."""

    point: RecoveryPoint
    folder: str
    environment: str
    files_seconds: float
    up_seconds: float
    restore_seconds: float
    seconds: float
    health: Health
    notes: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether health finds nothing, but a schema that was not in the recovery point either, and all is back."""
        return not self.health.unsettled and not any(isinstance(note, NotRestored) for note in self.notes)


@dataclass
class _Run:
    """One run."""

    found: Candidate
    command: str
    notice: Callable[[str], None]
    on_progress: OnStep
    progress: RecoverState
    notes: list[str]
    seconds: dict[str, float]

    def recorded_step(self, progress: RecoverState) -> None:
        """Note how far it is."""
        self.progress = progress
        keep_progress(self.found.request.paths, progress)


def recover(
    found: Candidate, command: str, notice: Callable[[str], None], on_progress: OnStep = ignore_progress
) -> RecoverResult:
    """Write the settings and secrets, then up, restore, health; the same call continues an interrupted run.

    Raises as `find`, `up` and `restore` do, IntegrityError (sealed_part_invalid, project_files_missing).
    """
    paths, started = found.request.paths, time.monotonic()
    make_dir(paths.root)
    make_dir(paths.state, PASSAGE_MODE)
    with locks.hold_locks(paths.locks, _LOCK, command, 0.0, notice):
        progress = replace(found.earlier or RecoverState(""), point=found.point.id)  # another one than an earlier run's
        run = _Run(found, command, notice, on_progress, progress, [], {})
        run.recorded_step(run.progress)
        _timed(run, "files", lambda: _files(run))
        project = load(paths.root / CONFIG_NAME, found.request.environment, pass_over_unread=True)
        session = Session(project, command, notice)
        _timed(run, "up", lambda: provision.up(session, None, on_progress, empty=Empty.FILL))
        _timed(run, "restore", lambda: _restore(run, session))
        wait_for_answers(session, on_progress=on_progress)
        health = wait_settled(session)
        notes = (*run.notes, *_notes(found, session))
        paths.recover_journal.unlink(missing_ok=True)
    seconds = {name: round(value, 3) for name, value in run.seconds.items()}
    return RecoverResult(
        point=found.point,
        folder=str(paths.root),
        environment=paths.environment,
        files_seconds=seconds["files"],
        up_seconds=seconds["up"],
        restore_seconds=seconds["restore"],
        seconds=round(time.monotonic() - started, 3),
        health=health,
        notes=notes,
    )


def _timed(run: _Run, name: str, step: Callable[[], object]) -> None:
    started = time.monotonic()
    step()
    run.seconds[name] = time.monotonic() - started


def _files(run: _Run) -> None:
    """Secrets first: with settings alone somebody might start the platform, and others would be made."""
    if run.progress.settled:
        run.on_progress(Progress("files", "there from the run that was interrupted, left as they are", final=True))
        return
    paths = run.found.request.paths
    with project_files(run.found.repos, run.found.point, run.on_progress, secrets=True) as files:
        if files.sealed:
            unknown = write_project.write_secrets(paths, files.sealed)
            run.notes += [f"{name} in the recovery point is nothing that this ragops knows" for name in unknown]
        write_project.write_settings(paths, files)
    run.recorded_step(replace(run.progress, settled=True))
    run.on_progress(Progress("files", f"settings{' and secrets' if files.sealed else ''} written", final=True))


def _restore(run: _Run, session: Session) -> None:
    """No safety recovery point: there was nothing here."""
    if run.progress.restored:
        return
    started = time.monotonic()
    request = RestoreRequest(run.found.point.id, safety=False)
    repos = replace(run.found.repos, staging=staging_of(session.project))  # ragops.yaml may name a larger disk
    with session.changing():
        try:
            result = restore(request, session.platform(), repos, session.restore_journal(), on_progress=run.on_progress)
        except InterruptedRunError:
            raise
        except RagopsError as error:
            _say_state(run, session, error)
            raise
        run.notes += [*result.notes, *(note for item in result.services for note in item.notes)]
        history, manifest = History(session.project.paths.history), run.found.point.manifest
        history.record_sequence(manifest.sequence)
        history.record_restored_counts(held_by(manifest.parts))
        services = [part.service for part in manifest.parts]
        if not result.missing:
            note_restored(session, run.found.point, services, time.monotonic() - started)
        run.recorded_step(replace(run.progress, restored=True, failed=False))
        invalidate_answer_cache(session)


def _say_state(run: _Run, session: Session, error: RagopsError) -> None:
    """Add to the error what runs now, what it holds, and the commands that continue from here."""
    request, point = run.found.request, run.found.point
    run.recorded_step(replace(run.progress, failed=True))
    left = session.restore_journal().read()
    done = left.done if left and left.point == point.id else ()
    empty = [name for name in session.endpoints() if point.manifest.parts_of(name) and name not in done]
    error.message += (
        f"\nthe platform in {request.paths.root} is up; restored: {', '.join(done) or 'nothing'}; still empty:"
        f" {', '.join(empty) or 'nothing'}"
    )
    ways = [
        f"{error.hint}; then continue: `{command_of(request)}`" if error.hint else f"continue: `{command_of(request)}`"
    ]
    if older := older_good(run.found):
        ways.append(f"or take the one before: `{command_of(request, older)}`")
    config = request.paths.root / CONFIG_NAME
    ways.append(f"or remove all of it: `{shlex.join(['ragops', '--config', str(config), 'down', '--purge-data'])}`")
    error.hint = "; ".join(ways)


# --- what is left to do ----------------------------------------------------------------------------------------------


def _notes(found: Candidate, session: Session) -> Iterator[str]:
    has_secrets = any(part.name == SEALED_PART for part in found.point.manifest.parts_of(PLATFORM))
    yield _REVOKED if has_secrets else _NEW_SECRETS
    yield from (f"before the next command: {problem}" for problem in session.project.unread)
    try:
        repos = session.repositories()
    except RagopsError as error:  # such as keys of a repository, which the recovery point has not
        yield f"before the next backup: {error.message}; {error.hint}"
        return
    here = _place(found.repos.primary.name)
    if here not in {_place(repository.name) for repository in repos.members}:
        yield (
            f"ragops.yaml names another repository, {repos.primary.name}: later recovery points go there, and"
            f" `ragops backup list` looks there alone; to keep this one, under `backup:` set `repository: {here}`"
        )
    if found.signer not in repos.trusted_keys():
        yield (
            f"the key that signed it, {found.signer}, is not trusted by ragops.yaml: to use its other recovery points,"
            " add it under `backup:` to `verify_keys`"
        )
    if repos.recipients and repos.identity_file and not repos.identity_file.exists():
        yield f"ragops.yaml names {repos.identity_file} as `backup.identity_file`, which is not here"


def _place(name: str) -> str:
    """Return a repository's name, whichever way its folder was written."""
    return name.rstrip("/") if "://" in name else str(Path(name).resolve())
