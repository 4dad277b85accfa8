"""The store of a repository, from its entry in ragops.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ragops.adapters.files import explain_os_error
from ragops.adapters.storage.drivers import SFTP
from ragops.adapters.storage.folder import FolderStore
from ragops.adapters.storage.names import redact_url
from ragops.adapters.storage.objects import ObjectStore
from ragops.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.storage import Store
    from ragops.config.backup import PlaceSettings

_OTHERS = 0o077
_FILES = ("known_hosts", "key_filename")


def open_store(place: PlaceSettings, root: Path) -> Store:
    """Return the store at `place`; folders and files are relative to `root`. Nothing is connected or created yet.

    Raises UsageError (repository_options) if the url or options_file is not what it should be.
    """
    scheme, mark, _ = place.url.partition("://")
    if not mark or scheme == "file":
        return FolderStore(root / (_folder(place.url) if mark else place.url))
    if "::" in place.url:
        raise _wrong(f"{redact_url(place.url)}: a repository cannot be in a chain of file systems", "name one place")
    options = {**place.options, **(_read(root / place.options_file) if place.options_file else {})}
    if scheme in SFTP:
        options.update({name: str(root / str(options[name])) for name in _FILES if options.get(name)})
    return ObjectStore(place.url, options)


def _folder(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise _wrong(f"{redact_url(url)} names a folder of another machine", "mount it, or use sftp://")
    return unquote(parts.path)


def _read(path: Path) -> dict[str, Any]:
    """Keys and passwords: nothing of the content may be in an error."""
    import yaml

    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _wrong(f"options_file {path} does not exist", "write it, or take options_file out") from None
    except OSError as error:
        raise explain_os_error(error, f"read options_file {path}") from error
    except UnicodeDecodeError:
        raise _wrong(f"options_file {path} is not UTF-8", "write it again in UTF-8") from None
    if mode & _OTHERS:
        raise _wrong(f"options_file {path} can be read by others: its mode is {mode:o}", f"chmod 600 {path}")
    try:
        return _checked(path, yaml.safe_load(text))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        raise _wrong(f"options_file {path}{where} is not YAML", "write it as `name: value`, one a line") from None


def _checked(path: Path, options: Any) -> dict[str, Any]:
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise _wrong(f"options_file {path} is not a mapping", "write it as `name: value`, one a line")
    for name in ("key", "secret", "token", "username", "password", "passphrase"):
        if isinstance(options.get(name), int | float):
            raise _wrong(f"options_file {path}: {name} is a number", "put it in quotes, as it is text")
    return options


def _wrong(what: str, hint: str) -> UsageError:
    return UsageError("repository_options", what, hint)
