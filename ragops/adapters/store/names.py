"""What paths and places may be called, and what of a place people may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit

from ragops.errors import RagopsError

PARTIAL = ".partial-"


def check_path(path: str) -> str:
    """`path` itself. Raises RagopsError (repository_error) where it leads out of the store or to a temporary file."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.startswith(PARTIAL) for part in parts) or "\0" in path:
        raise RagopsError(
            "repository_error", f"{path!r} is no path of a file in a repository", "look at who wrote its name"
        )
    return path


def is_partial(path: str) -> bool:
    """Whether it lies on the way to a file that somebody is still writing."""
    return any(part.startswith(PARTIAL) for part in path.split("/"))


def public_name(url: str) -> str:
    """The place without user, password and query, which may hold credentials."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    place, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def password_of(url: str) -> str:
    """The password that a URL holds, empty where it has none."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
