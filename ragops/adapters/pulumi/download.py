"""Download of the engine as Pulumi publishes it: archive and checksums of a release."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from ragops.adapters.pulumi import pins
from ragops.adapters.pulumi.pins import ENGINE_HINT, require_free_space
from ragops.errors import IntegrityError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FREE_BYTES = 800_000_000
_TIMEOUT = httpx.Timeout(30, connect=5)
_ARCHIVE_SECONDS = 1800
_ATTEMPTS = 3
_ENGINE_MEMBER = PurePosixPath("pulumi/pulumi")
_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def release_files(version: str, system: str, machine: str) -> tuple[str, str]:
    """Return the names of the archive for `system` and `machine` (of the platform module), and of the checksums of all.

    Raises MissingError (engine_missing) if no such archive is published.
    """
    try:
        target = f"{_SYSTEMS[system]}-{_MACHINES[machine.lower()]}"
    except KeyError:
        message = f"Pulumi publishes no engine that ragops can use on {system} {machine}"
        raise MissingError("engine_missing", message, ENGINE_HINT) from None
    return f"pulumi-v{version}-{target}.tar.gz", f"pulumi-{version}-checksums.txt"


def download(version: str, urls: Sequence[str], folder: Path, binary: Path, progress: Callable[[str], None]) -> None:
    """Write the engine of release `version` to `binary`; the archive is stored in `folder`.

    The first of `urls` that answers is taken. MissingError if none does, IntegrityError if the archive is not the one
    in the published checksums, or holds what no release holds.
    """
    require_free_space(folder, _FREE_BYTES)
    name, checksums = release_files(version, platform.system(), platform.machine())
    archive = folder / name
    failures = []
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        for base in urls:
            try:
                _fetch_verified(client, base, checksums, archive, progress)
            except httpx.HTTPError as error:
                failures.append(f"{httpx.URL(base).host}: {_reason(error)}")
            else:
                unpack_engine(archive, binary)
                return
    message = f"cannot download the Pulumi engine {version} ({'; '.join(failures)})"
    raise MissingError("engine_missing", message, ENGINE_HINT)


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return str(error) or type(error).__name__


def _fetch_verified(
    client: httpx.Client, base: str, checksums: str, archive: Path, progress: Callable[[str], None]
) -> None:
    sums = archive.with_name(checksums)
    _fetch(client, f"{base}/{checksums}", sums, progress)
    expected = published_digest(sums.read_text("utf-8", errors="replace"), archive.name)
    actual = _fetch(client, f"{base}/{archive.name}", archive, progress)
    if actual != expected:
        message = f"{archive.name} has SHA-256 {actual}, published is {expected}"
        raise IntegrityError("engine_checksum", message, "nothing was installed; run it again, or use --from-source")
    pinned = pins.ENGINE_SHA256.get(archive.name, actual)
    if actual != pinned:
        message = f"{archive.name} has SHA-256 {actual}, this ragops is pinned to {pinned}"
        hint = (
            "nothing was installed; run `ragops engine install --from-source`, and report it: the server is not trusted"
        )
        raise IntegrityError("engine_checksum", message, hint)


def published_digest(checksums: str, name: str) -> str:
    """Return the SHA-256 of file `name` in the text of a release's checksums; IntegrityError if it is not there."""
    for line in checksums.splitlines():
        digest, _, file = line.strip().partition(" ")
        if file.strip().lstrip("*") == name:
            return digest.lower()
    message = f"the published checksums have no line for {name}"
    raise IntegrityError("engine_checksum", message, "nothing was installed; run it again, or use --from-source")


def _fetch(client: httpx.Client, url: str, target: Path, progress: Callable[[str], None]) -> str:
    def again(state: RetryCallState) -> None:
        progress(f"{target.name}: attempt {state.attempt_number} failed, trying again")

    retrying = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=0.25, max=4),
        retry=retry_if_exception(_may_pass),
        before_sleep=again,
        reraise=True,
    )
    return retrying(_stream, client, url, target, progress)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.TransportError)


def _stream(client: httpx.Client, url: str, target: Path, progress: Callable[[str], None]) -> str:
    """Write what `url` has to `target`; returns its SHA-256."""
    digest = hashlib.sha256()
    deadline = time.monotonic() + _ARCHIVE_SECONDS
    with client.stream("GET", url) as response, target.open("wb") as file:
        response.raise_for_status()
        report = _Report(target.name, int(response.headers.get("content-length", 0)), progress)
        for block in response.iter_raw(1 << 20):
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"not there after {_ARCHIVE_SECONDS // 60} minutes")
            digest.update(block)
            file.write(block)
            report.add(len(block))
    return digest.hexdigest()


class _Report:
    """Progress of a download, reported each tenth; small files are not reported."""

    def __init__(self, name: str, total: int, progress: Callable[[str], None]) -> None:
        self._name, self._total, self._progress = name, total, progress
        self._done = 0

    def add(self, count: int) -> None:
        """Count `count` more bytes."""
        before, self._done = self._done, self._done + count
        if self._total < 10 << 20 or before * 10 // self._total == self._done * 10 // self._total:
            return
        self._progress(f"{self._name}: {self._done >> 20} of {self._total >> 20} MiB")


def unpack_engine(archive: Path, binary: Path) -> None:
    """Write the engine of a release `archive` to `binary`, executable; IntegrityError if it is no such archive.

    Only this one file is taken: inline programs need no language plugins. An archive that has a path out of its own
    folder is refused whole.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = [member for member in tar if _is_engine(member)]
            source = tar.extractfile(members[0]) if members else None
            if source is None:
                raise _bad_archive(archive.name, f"has no {_ENGINE_MEMBER}")
            with source, binary.open("xb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _bad_archive(archive.name, f"cannot be read: {error}") from error
    binary.chmod(0o755)


def _is_engine(member: tarfile.TarInfo) -> bool:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise _bad_archive(member.name, "leads out of the archive")
    return member.isreg() and path == _ENGINE_MEMBER


def _bad_archive(name: str, what: str) -> IntegrityError:
    return IntegrityError("engine_archive", f"{name} {what}", "nothing was installed; use --from-source")
