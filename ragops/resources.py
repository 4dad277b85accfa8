"""The folders stacks/, templates/, images/ and docs/, in a wheel or in a checkout."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    bundled = _PACKAGE / "_bundled"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def stacks_dir() -> Path:
    """Return the folder that holds one folder per Pulumi program."""
    return _root() / "stacks"


def templates_dir() -> Path:
    """Return the folder of everything that is rendered, by service."""
    return _root() / "templates"


def page_url(name: str) -> str:
    """Return the URL of a page of the documentation, which lies in the wheel as in a checkout."""
    return (_root() / "docs" / name).as_uri()


def page_text(name: str) -> str:
    """Return the text of a page of the documentation. Raises OSError if there is none."""
    return (_root() / "docs" / name).read_text()


def images_dir() -> Path:
    """Return the folder that holds one folder per container image that ragops builds."""
    return _root() / "images"


@cache
def source_digest() -> str:
    """Return the SHA-256 of all that a platform is declared from: the program, the templates and this package.

    In an editable checkout they change without a new version.
    """
    digest = hashlib.sha256()
    for folder, pattern in ((stacks_dir(), "*.py"), (templates_dir(), "*"), (_PACKAGE, "*.py")):
        for path in sorted(folder.rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
