"""Checks of paths in a store, and URLs without their credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PARTIAL = ".partial-"
_SECRET_WORDS = ("key", "secret", "token", "pass")


def check_path(path: str) -> str:
    """`path` itself. Raises RagopsError (repository_error) if it leads out of the store or to a temporary file."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.startswith(PARTIAL) for part in parts) or "\0" in path:
        raise RagopsError(
            "repository_error",
            f"cannot use {path!r} as the path of a file in a repository",
            "check the program that wrote this name",
        )
    return path


def is_temporary(path: str) -> bool:
    """Return whether it lies on the way to a file that somebody is still writing."""
    return any(part.startswith(PARTIAL) for part in path.split("/"))


def redact_url(url: str) -> str:
    """Return the place without user, password and query, which may hold credentials."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    place, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def extract_password(url: str) -> str:
    """Return the password that a URL holds, empty if it has none."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def find_secrets(options: Mapping[str, Any], inside: bool = False) -> Iterator[str]:
    """Yield the values of options that may be keys or passwords."""
    for name, value in options.items():
        secret = inside or any(word in str(name).lower() for word in _SECRET_WORDS)
        if isinstance(value, dict):
            yield from find_secrets(value, secret)
        elif secret and isinstance(value, str) and value:
            yield value
