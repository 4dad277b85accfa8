"""Migration files as text: found, rendered for an edition, cut into statements that know their line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import sha256
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from ragops.errors import IntegrityError
from ragops.resources import templates_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE_NAME = re.compile(r"^(\d{3})_([a-z0-9_]+)\.sql$")

# Whatever may hold a semicolon that ends no statement: comments, strings, quoted names, dollar quotes.
_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$).*?\1|;""", re.DOTALL
)
_BLANK = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)

_ENVIRONMENT = Environment(
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701  SQL, not HTML
)


@dataclass(frozen=True)
class Statement:
    """One SQL statement and where it starts in the rendered text, in characters."""

    text: str
    offset: int


@dataclass(frozen=True)
class Migration:
    """One file of the schema; `text` is as it stands in the file, before rendering."""

    version: int
    name: str
    text: str

    @property
    def file(self) -> str:
        """The file's name, such as 003_collections.sql."""
        return f"{self.version:03}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal: the same for every edition."""
        return sha256(self.text.encode()).hexdigest()

    def render(self, edition: str) -> str:
        """Return the SQL for `edition`; raises jinja2.TemplateError if the file is no valid template."""
        return _ENVIRONMENT.from_string(self.text).render(edition=edition)

    def line_of(self, rendered: str, offset: int) -> int:
        """Return the line of the file, from 1, that `offset` (characters) in `rendered` comes from, or one near it."""
        wanted = rendered.count("\n", 0, offset)
        matcher = SequenceMatcher(None, self.text.split("\n"), rendered.split("\n"), autojunk=False)
        for block in matcher.get_matching_blocks():
            if wanted < block.b + block.size or block.size == 0:
                # A line that was filled in matches none: it stands as far before the next that does.
                return max(0, block.a + wanted - block.b) + 1
        raise AssertionError("matching blocks end with an empty one")


def statements(sql: str) -> Iterator[Statement]:
    """Cut `sql` at the semicolons that end statements; comments before a statement are left out."""
    start = 0
    for token in _TOKEN.finditer(sql):
        if token.group() == ";":
            yield from _statement(sql, start, token.end())
            start = token.end()
    yield from _statement(sql, start, len(sql))


def _statement(sql: str, start: int, end: int) -> Iterator[Statement]:
    blank = _BLANK.match(sql, start, end)
    begin = blank.end() if blank else start
    if sql[begin:end].strip(" \t\r\n;"):
        yield Statement(sql[begin:end], begin)


def load_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """Return the migrations in `folder` (default: those of ragops), by version.

    Raises IntegrityError if a version is missing or there twice, or a file's name is not like 001_words.sql.
    """
    folder = folder or templates_dir() / "timescaledb" / "migrations"
    migrations = tuple(_load(path) for path in sorted(folder.glob("*.sql")))
    versions = [migration.version for migration in migrations]
    if not versions or versions != list(range(1, len(versions) + 1)):
        raise IntegrityError(
            "migrations_incomplete",
            f"cannot load the migrations: those in {folder} are not numbered 1, 2, 3 … without a gap: {versions}",
            "install ragops again; its files were changed",
        )
    return migrations


def _load(path: Path) -> Migration:
    match = _FILE_NAME.match(path.name)
    if not match:
        raise IntegrityError(
            "migration_misnamed",
            f"cannot load the migrations: {path} is not named like 001_words.sql",
            "rename or remove it",
        )
    return Migration(int(match[1]), match[2], path.read_bytes().decode())
