"""Finds what a new machine is to be made from: a repository, a recovery point in it, and who vouches for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import make_dir
from ragops.adapters.state_file import StateFile
from ragops.adapters.storage.open import open_store
from ragops.config.backup import PlaceSettings
from ragops.config.load import CONFIG_NAME, resolve_environment
from ragops.config.paths import DEFAULT_ENVIRONMENT, PASSAGE_MODE, ProjectPaths
from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.operations.backup.keygen import verify_keys_in
from ragops.recovery.manifest import FILE_NAME, is_point_id
from ragops.recovery.repositories import Repositories
from ragops.recovery.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.point import RecoveryPoint


@dataclass(frozen=True)
class RecoverRequest:
    """From where, and into which folder: paths are relative to `here`.

    `reference` is an id, the start of one, or `latest`; `identity` opens what is encrypted; `verify_key` is whose
    signature is taken; `options` a file (0600) with keys and passwords for the repository.
    """

    repository: str
    folder: Path
    here: Path
    environment: str | None = None
    reference: str = "latest"
    identity: Path | None = None
    verify_key: str = ""
    options: Path | None = None

    @property
    def paths(self) -> ProjectPaths:
        """Return the paths of the new project."""
        return ProjectPaths(self.here / self.folder, resolve_environment(self.environment))


@dataclass(frozen=True)
class RecoverState:
    """How far a run came with the recovery point `point`; `settled`: the files are there, and may be edited.

    `failed`: its data could not be restored, so that another point may be tried in its place.
    """

    point: str
    settled: bool = False
    restored: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Candidate:
    """A recovery point to begin with, or to continue with; `vouched` states whether the key of its signer was named."""

    request: RecoverRequest
    repos: Repositories
    point: RecoveryPoint
    vouched: bool
    earlier: RecoverState | None

    @property
    def signer(self) -> str:
        """The key that its manifest was signed with."""
        return self.point.signed.signature.key


def locate_point(request: RecoverRequest) -> Candidate:
    """Return the recovery point to begin or to continue with; nothing is written.

    Raises UsageError (already_initialised, other_recovery, no_recovery_point, identity_invalid), MissingError
    (no_recovery_point, identity_missing, a repository out of reach), IntegrityError (signer_unknown).
    """
    earlier = _earlier(request)
    options = str((request.here / request.options).resolve()) if request.options else ""
    store = open_store(PlaceSettings(url=request.repository, options_file=options), request.here)
    paths, keys = request.paths, _keys(request)
    repository = Repository(store, paths.environment)
    point = _point(request, repository, earlier)
    signer = point.signed.signature.key
    if keys and signer not in keys:
        what = f"recovery point {point.id} was signed by {signer}, and not by {' or '.join(keys)}"
        hint = "name the right key: --verify-key; if none of yours has signed it, somebody else wrote it"
        raise IntegrityError("signer_unknown", what, hint)
    repos = Repositories(
        (repository,), paths.staging, paths.signing_key, verify_keys=(signer,), identity_file=_identity(request)
    )
    repos.load_identities(point)
    return Candidate(request, repos, point, bool(keys), earlier)


def command_of(request: RecoverRequest, point: str = "") -> str:
    """Return the command that asks for the same again, of `point` if another one is named."""
    environment = ["--env", request.environment] if request.environment else []
    words = ["ragops", *environment, "recover", request.repository, "--into", str(request.folder)]
    named = (("--identity", request.identity), ("--verify-key", request.verify_key), ("--options", request.options))
    for option, value in named:
        words += [option, str(value)] if value else []
    wanted = point or ("" if request.reference == "latest" else request.reference)
    return shlex.join([*words, *(["--point", wanted] if wanted else [])])


def older_good(found: Candidate) -> str:
    """Return the id of the newest good recovery point that is older, of the same signer; empty without one."""
    sequence = found.point.manifest.sequence
    for point in found.repos.primary.list_cached().points:
        if point.manifest.is_good and point.manifest.sequence < sequence and point.signed.signature.key == found.signer:
            return point.id
    return ""


def keep_progress(paths: ProjectPaths, progress: RecoverState) -> None:
    """Note how far it is, for the next run. Raises RagopsError."""
    make_dir(paths.recover_journal.parent, PASSAGE_MODE)
    StateFile(paths.recover_journal, RecoverState).write(progress)


def _earlier(request: RecoverRequest) -> RecoverState | None:
    """Return what an interrupted run left. Raises UsageError if the folder has a project already."""
    paths = request.paths
    if found := StateFile(paths.recover_journal, RecoverState).read():
        return found
    for path in (paths.root / CONFIG_NAME, paths.secrets):
        if path.exists():
            hint = "name an empty folder: --into DIR; a platform that is there gets its data back by `ragops restore`"
            raise UsageError("already_initialised", f"{path} is already there", hint)
    return None


def _keys(request: RecoverRequest) -> tuple[str, ...]:
    """Whose signature is taken: the one key that was named, else those that the identity's file names."""
    if request.verify_key:
        return (request.verify_key,)
    identity = _identity(request)
    return verify_keys_in(identity) if identity else ()


def _identity(request: RecoverRequest) -> Path | None:
    return request.here / request.identity if request.identity else None


def _point(request: RecoverRequest, repository: Repository, earlier: RecoverState | None) -> RecoveryPoint:
    """Return the one that was asked for; `latest` continues with that of an interrupted run, whatever came after it."""
    reference = earlier.point if earlier and request.reference == "latest" else request.reference
    try:
        point = repository.get(reference)
    except RagopsError as error:
        if error.code != "no_recovery_point" or repository.list().points:
            raise
        _refuse_inner_folder(request, repository)
        names = sorted(name for name in repository.store.list_folders() if not is_point_id(name))
        there = f"it has the environments {', '.join(names)}: --env NAME" if names else "it is empty, or elsewhere"
        what = f"there is no recovery point of environment {repository.environment} in {repository.name}"
        raise MissingError("no_recovery_point", what, there) from error
    if earlier and earlier.point != point.id and not earlier.failed:
        what = f"an interrupted run began with recovery point {earlier.point} in {request.paths.root}"
        hint = f"continue with it: --point {earlier.point}; or name an empty folder: --into DIR"
        raise UsageError("other_recovery", what, hint)
    return point


def _refuse_inner_folder(request: RecoverRequest, repository: Repository) -> None:
    """Raise UsageError (not_a_repository) if the folder of an environment, or of one recovery point, was named."""
    here = request.repository.rstrip("/")
    above, _, name = here.rpartition("/")
    if any(map(is_point_id, repository.store.list_folders())):
        what = f"{here} is the folder of an environment, and not of a repository, which is the one above"
        raise UsageError("not_a_repository", what, _from(above or "..", name))
    if is_point_id(name) and any(entry.path == FILE_NAME for entry in repository.store.list_entries()):
        upper, _, environment = above.rpartition("/")
        what = f"{here} is the folder of one recovery point, and not of a repository, which is two above"
        raise UsageError("not_a_repository", what, _from(upper or "../..", environment, "--point", name))


def _from(repository: str, environment: str, *more: str) -> str:
    named = [] if environment in ("", DEFAULT_ENVIRONMENT) else ["--env", environment]
    return f"`{shlex.join(['ragops', *named, 'recover', repository, *more])}`"
