"""The project's files in a recovery point: staged to be read, and written into an empty folder."""

from __future__ import annotations

import contextlib
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import PUBLIC_MODE, SECRET_MODE, make_dir, write_atomic
from ragops.config.load import CONFIG_NAME
from ragops.config.paths import PASSAGE_MODE
from ragops.errors import IntegrityError
from ragops.hints import OTHER_POINT
from ragops.operations.backup.project_archive import OPTIONS, SEALED_PART
from ragops.operations.backup.staging import staged_parts
from ragops.recovery.manifest import PLATFORM
from ragops.services.gateway import certificate, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.progress import OnProgress
    from ragops.config.paths import ProjectPaths
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories


@dataclass(frozen=True)
class ProjectFiles:
    """ragops.yaml, its overlay if there is one, and the archive of secrets if it was asked for and is there."""

    config: Path
    overlay: Path | None
    sealed: Path | None = None

    @property
    def settings(self) -> tuple[Path, ...]:
        """The files of settings, the later over the earlier."""
        return (self.config, *([self.overlay] if self.overlay else []))


@contextlib.contextmanager
def project_files(
    repos: Repositories, point: RecoveryPoint, on_progress: OnProgress, *, secrets: bool
) -> Iterator[ProjectFiles]:
    """Return the files, gone when the block ends; the secrets only if they are asked for.

    Raises IntegrityError (project_files_missing), and as `staged_parts`.
    """
    parts = [part for part in point.manifest.parts_of(PLATFORM) if secrets or part.name != SEALED_PART]
    # An overlay is called as the file that it lies over, with the environment in its name: it is the longer one.
    names = sorted((part.name for part in parts if part.name != SEALED_PART), key=len)
    if len(names) not in (1, 2):
        what = f"cannot read the project: recovery point {point.id} has {len(names)} files of settings, not one or two"
        raise IntegrityError("project_files_missing", what, OTHER_POINT)
    with staged_parts(repos, point, parts, on_progress) as folder:
        own = folder / PLATFORM
        sealed = own / SEALED_PART
        overlay = own / names[1] if len(names) > 1 else None
        yield ProjectFiles(own / names[0], overlay, sealed if sealed.exists() else None)


_ALWAYS = "secrets.json"
_OPTIONS = re.compile(rf"{OPTIONS}/(?!\.ragops/|ragops\.)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LARGEST = 64 << 20  # bytes of a file of secrets or credentials
# The Pulumi state states which processes and containers there are, and this machine has none of them: `up` would take
# them for lost, and with a state in common the old machine's would be taken for ours.
_LEFT_OUT = "pulumi"


def write_settings(paths: ProjectPaths, files: ProjectFiles) -> None:
    """Write ragops.yaml and its overlay, whatever they were called. Raises RagopsError."""
    config = paths.root / CONFIG_NAME
    if files.overlay:
        write_atomic(config.with_name(f"{config.stem}.{paths.environment}{config.suffix}"), files.overlay.read_bytes())
    write_atomic(config, files.config.read_bytes())


def write_secrets(paths: ProjectPaths, sealed: Path) -> tuple[str, ...]:
    """Write what the archive holds of secrets, signing key and credentials, each with the mode that it was made with.

    Returns the names of unknown files, which are left out. Raises IntegrityError (sealed_part_invalid) if
    anything in it is not what ragops packs, before anything is written.
    """
    targets = _targets(paths)
    contents, unknown = _contents(sealed, set(targets))
    for name, content in contents.items():
        path, mode = targets.get(name) or (paths.root / name.partition("/")[2], SECRET_MODE)
        make_dir(path.parent, PASSAGE_MODE)
        if name in targets or not path.exists():
            write_atomic(path, content, mode)
    return tuple(unknown)


def _targets(paths: ProjectPaths) -> dict[str, tuple[Path, int]]:
    """Return path and mode of each file of the archive."""
    pair = certificate.FILES
    return {
        _ALWAYS: (paths.secrets, SECRET_MODE),
        "signing.pem": (paths.signing_key, SECRET_MODE),
        f"gateway/{tokens.CREDENTIALS}": (paths.gateway / tokens.CREDENTIALS, SECRET_MODE),
        f"gateway/{tokens.JWKS}": (paths.gateway / tokens.JWKS, PUBLIC_MODE),
        f"gateway/{pair[0]}": (paths.gateway / pair[0], PUBLIC_MODE),
        f"gateway/{pair[1]}": (paths.gateway / pair[1], SECRET_MODE),
    }


def _contents(sealed: Path, known: set[str]) -> tuple[dict[str, bytes], list[str]]:
    found: dict[str, bytes] = {}
    unknown = []
    try:
        with tarfile.open(sealed, "r:") as archive:
            for member in _checked(archive):
                if member.name not in known and not _OPTIONS.fullmatch(member.name):
                    unknown.append(member.name)
                elif member.size > _LARGEST or (stream := archive.extractfile(member)) is None:
                    raise _invalid(f"{member.name} has {member.size} bytes")
                else:
                    found[member.name] = stream.read()
    except (tarfile.TarError, OSError, ValueError) as error:
        raise _invalid(f"it cannot be read: {type(error).__name__}") from error
    if _ALWAYS not in found:  # new ones would lock everybody out of the data that come back
        raise _invalid(f"it has no {_ALWAYS}")
    return found, unknown


def _checked(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Return the regular files but those of the Pulumi state. Raises IntegrityError for what ragops never packs.

    Nothing is ever extracted to the paths of the archive: files have places of their own. Still, an archive with a link
    or a way out of its folder is no backup of ragops, and nothing in it is to be trusted.
    """
    for member in archive:
        parts = member.name.split("/")
        if member.name.startswith("/") or ".." in parts or "" in parts or "\0" in member.name:
            raise _invalid(f"{member.name!r} leads out of it")
        if parts[0] == _LEFT_OUT:
            continue
        if member.isdir():
            continue
        if not member.isreg():
            raise _invalid(f"{member.name!r} is not a regular file")
        tarfile.data_filter(member, "/nowhere")
        yield member


def _invalid(what: str) -> IntegrityError:
    message = f"cannot read the archive of secrets in the recovery point: it is not what it should be: {what}"
    return IntegrityError("sealed_part_invalid", message, "use another recovery point, and find out who wrote this one")
