"""The crontab of the current user, through the program `crontab`."""

from __future__ import annotations

import os
import shutil
import subprocess

import psutil

from ragops.errors import MissingError, RagopsError

READ = ("crontab", "-l")
WRITE = ("crontab", "-")

_LIMIT = 30.0
_DAEMONS = ("cron", "crond", "cronie", "fcron", "dcron")


class Crontab:
    """Text of this user's crontab; bytes that are no UTF-8 come and go as surrogates."""

    def available(self) -> bool:
        """Return whether there is a crontab to be had on this machine."""
        return shutil.which(READ[0]) is not None

    def read(self) -> str:
        """Return all of it, empty if there is none. Raises MissingError (cron_missing), RagopsError.

        An unreadable one is an error and never counts as empty: it would be overwritten.
        """
        done = _run(READ)
        stderr = _words(done.stderr)
        if done.returncode != 0 and not _is_none(stderr):
            hint = "can you run `crontab -l`?"
            raise RagopsError("crontab_unreadable", f"cannot read the crontab, so it was not changed: {stderr}", hint)
        return "" if done.returncode != 0 else done.stdout.decode("utf-8", "surrogateescape")

    def write(self, text: str) -> None:
        """Put `text` in its place. Raises RagopsError (crontab_refused); it then is as it was before."""
        done = _run(WRITE, text.encode("utf-8", "surrogateescape"))
        if done.returncode != 0:
            what = f"cannot write the crontab, the old one stays: {_words(done.stderr)}"
            raise RagopsError("crontab_refused", what, "look at it with `crontab -l`")


def daemon_runs() -> bool:
    """Return whether a cron daemon is seen on this machine."""
    return any((process.info["name"] or "").lower() in _DAEMONS for process in psutil.process_iter(["name"]))


def _is_none(stderr: str) -> bool:
    """Return whether crontab only states that there is none yet: as Vixie's and cronie's do, or as busybox's does."""
    lower = stderr.lower()
    return "no crontab for" in lower or ("can't open" in lower and "no such file" in lower)


def _run(arguments: tuple[str, ...], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(arguments, input=text, env=environment, capture_output=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise RagopsError("crontab_timeout", f"{arguments[0]} took over {_LIMIT:.0f} s", "is it waiting?") from error
    except OSError as error:
        what = f"cannot run crontab: {error.strerror}"
        raise MissingError(
            "cron_missing", what, "install cron: `apt-get install cron`, `dnf install cronie`"
        ) from error


def _words(stderr: bytes) -> str:
    return stderr.decode(errors="replace").strip()[-500:] or "it gives no reason"
