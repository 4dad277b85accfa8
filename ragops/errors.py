"""The one family of failures that ragops shows to people and to scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """Exit codes of every command; part of the public interface."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNHEALTHY = 3
    CHANGES = 4
    LOCKED = 5
    INTEGRITY = 6
    MISSING = 7
    INTERRUPTED = 130


class RagopsError(Exception):
    """A failure with everything its reader needs.

    `code` is a stable snake_case word for scripts, `message` states what happened, `hint` is the command that mends it,
    `exit_code` is what the process ends with. None of them may hold a secret.
    """

    default_exit = ExitCode.FAILED

    def __init__(self, code: str, message: str, hint: str = "", *, exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.exit_code = self.default_exit if exit_code is None else exit_code


class UsageError(RagopsError):
    """The command line was used wrongly, or input named on it is not valid."""

    default_exit = ExitCode.USAGE


@dataclass(frozen=True)
class Problem:
    """One fault of a file that a person wrote: `where` it is, which `key`, and what was expected."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class InvalidInputError(UsageError):
    """A file is not valid; carries every problem found in it, not only the first."""

    def __init__(self, code: str, message: str, problems: Sequence[Problem], hint: str = "") -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(code, f"{message}{lines}", hint)


class UnhealthyError(RagopsError):
    """A service does not answer, or not as it should."""

    default_exit = ExitCode.UNHEALTHY


class LockedError(RagopsError):
    """Another run holds the lock."""

    default_exit = ExitCode.LOCKED


class IntegrityError(RagopsError):
    """A checksum, signature, count or verification failed."""

    default_exit = ExitCode.INTEGRITY


class MissingError(RagopsError):
    """Something needed is not there: an engine, an image, a plugin, a port, disk space."""

    default_exit = ExitCode.MISSING


class StoreMissingError(MissingError):
    """A file of a repository is not there."""


class StoreRefusedError(MissingError):
    """A repository takes new files only: it lets none be replaced or removed, at least not this one."""


class InterruptedRunError(RagopsError):
    """The user ended the run; the state is consistent and the next run continues."""

    default_exit = ExitCode.INTERRUPTED


_MARK = "ragops-error:"


def encode_error(error: RagopsError) -> str:
    """Return the error as one line that survives quoting by another program; `decode_error` finds it again."""
    values = {"code": error.code, "message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}
    return _MARK + json.dumps(values)


def decode_error(text: str) -> RagopsError | None:
    """Return the first encoded error inside `text`, None if there is none."""
    start = text.find(_MARK)
    if start < 0:
        return None
    try:
        values, _ = json.JSONDecoder().raw_decode(text[start + len(_MARK) :])
        return RagopsError(values["code"], values["message"], values["hint"], exit_code=ExitCode(values["exit_code"]))
    except (ValueError, KeyError, TypeError):
        return None
