"""Repositories, keys and staging folder of one environment."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error, make_dir
from ragops.adapters.process_identity import format_mark, is_mark_gone
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.recovery import signing
from ragops.recovery.codec import load_identities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.recovery.local_history import History
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repository import Repository
    from ragops.recovery.signing import SigningKey

_PRIVATE = 0o700


@dataclass(frozen=True)
class Repositories:
    """`members`: the first is written to, the others get copies. `pinned` are keys that are trusted.

    `identity_file` opens what is encrypted to `recipients`; writing never needs it.
    """

    members: tuple[Repository, ...]
    staging: Path
    signing_key_file: Path
    recipients: tuple[str, ...] = ()
    verify_keys: tuple[str, ...] = ()
    identity_file: Path | None = None
    history: History | None = None

    @property
    def primary(self) -> Repository:
        """Return the repository that is written to."""
        return self.members[0]

    @property
    def copies(self) -> tuple[Repository, ...]:
        """Return the other repositories."""
        return self.members[1:]

    def without_copies(self) -> Repositories:
        """Return the same target without copies, for data of this machine alone."""
        return replace(self, members=self.members[:1])

    def repository(self, wanted: str | None) -> Repository:
        """Return the repository by its URL or folder, or its number from 1 on. Raises UsageError."""
        if wanted is None:
            return self.primary
        if wanted.isdecimal() and 0 < int(wanted) <= len(self.members):
            return self.members[int(wanted) - 1]
        for repository in self.members:
            if wanted.rstrip("/") in (repository.name.rstrip("/"), repository.store.name.rstrip("/")):
                return repository
        names = ", ".join(f"{number} ({item.name})" for number, item in enumerate(self.members, 1))
        raise UsageError("no_such_repository", f"there is no repository {wanted!r} in ragops.yaml", f"one of: {names}")

    def find(self, reference: str, wanted: str | None = None) -> tuple[Repository, RecoveryPoint]:
        """Return the recovery point `reference`, from the first repository or the `wanted` one.

        Raises as `Repository.get`, with the way to another repository that has it.
        """
        chosen = self.repository(wanted)
        try:
            return chosen, chosen.get(reference)
        except RagopsError as error:
            error.hint = self._find_other_copies(chosen, reference) or error.hint
            raise

    def add_copy_hint(self, error: RagopsError, chosen: Repository, ident: str) -> None:
        """Set the hint of an error about a damaged recovery point: other copies, and how to repair this one."""
        if other := self._find_other_copies(chosen, ident):
            error.hint = f"{other}; `ragops backup copy {ident}` puts a whole copy in the place of a damaged one"

    def _find_other_copies(self, chosen: Repository, reference: str) -> str:
        """Return a hint with the other repositories that have it; those that cannot be reached are left out."""
        found = []
        for number, repository in enumerate(self.members, 1):
            if repository is not chosen:
                with contextlib.suppress(RagopsError):
                    points = repository.list_cached()
                    if points.latest() if reference == "latest" else points.find_by_prefix(reference):
                        found.append(f"`--repository {number}` ({repository.name})")
        return f"there is one elsewhere: {' or '.join(found)}" if found else ""

    def last_sequence(self) -> int:
        """Return the highest known number of a recovery point: here, and in the copies that can be reached."""
        numbers = [self.history.read().sequence if self.history else 0]
        for repository in self.copies:
            with contextlib.suppress(RagopsError):  # its copy will fail, and be reported
                numbers.append(repository.list_cached().next_sequence - 1)
        return max(numbers)

    def signing_key(self) -> SigningKey:
        """Return this project's own key, created if there is none yet."""
        return signing.load_or_create(self.signing_key_file)

    def trusted_keys(self) -> frozenset[str]:
        """Return the keys whose recovery points are trusted: those of `backup.verify_keys` and our own."""
        own = signing.load(self.signing_key_file)
        return frozenset({*self.verify_keys, *([own.public] if own else [])})

    def load_identities(self, point: RecoveryPoint) -> tuple[object, ...]:
        """Return the identities of the point; none if it is not encrypted. Raises MissingError, UsageError."""
        if not point.manifest.is_encrypted:
            return ()
        if self.identity_file is None:
            what = f"cannot decrypt recovery point {point.id}: it is encrypted, and no identity is named that opens it"
            hint = "name the file that `ragops backup keygen` wrote: --identity FILE"
            raise MissingError("identity_missing", what, hint)
        return load_identities(self.identity_file)

    @contextlib.contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """Create a folder with mode 0700 for parts on their way, removed when the block ends. Raises RagopsError."""
        self._clear()
        folder = self.staging / f"{format_mark()}-{secrets.token_hex(4)}"
        try:
            make_dir(folder, _PRIVATE)
            yield folder
        except OSError as error:
            raise explain_os_error(error, f"write in {self.staging}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def journal_path(self, name: str) -> Path:
        """Return the path of a file that outlives a killed run."""
        return self.staging / "journal" / name

    def _clear(self) -> None:
        """Remove what killed runs left: whole copies of data."""
        if not self.staging.is_dir():
            return
        for folder in self.staging.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another run is clearing too
                if is_mark_gone(folder.name, folder.stat().st_mtime):
                    shutil.rmtree(folder, ignore_errors=True)
