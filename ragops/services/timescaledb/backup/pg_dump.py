"""pg_dump and pg_restore: their arguments, how they log in, and what an archive holds."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.hints import OTHER_POINT
from ragops.services import stream_check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ragops.services.contract import Endpoint
    from ragops.services.control import Control
    from ragops.services.stream_check import StreamCheck

LIMIT = 12 * 3600.0  # seconds for one tool; a dump of a large database takes hours
_BLOCK = 1 << 20
_NEWER = "unsupported version"


def dump_arguments(tool: Sequence[str], endpoint: Endpoint, snapshot: str) -> list[str]:
    """Return pg_dump of the endpoint's database as `snapshot` sees it, to its standard output.

    Not compressed: the repository does that, in another process than the one that has to keep up with the server.
    """
    return [
        *tool, "--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=60s",
        f"--snapshot={snapshot}", *_server(endpoint), endpoint.options["database"],
    ]  # fmt: skip


def restore_arguments(
    tool: Sequence[str], endpoint: Endpoint, database: str, settings: Mapping[str, str] | None = None
) -> list[str]:
    """Return pg_restore into the empty `database` from its standard input, in one process; sessions get `settings`."""
    options = " ".join(f"-c {name}={value}" for name, value in (settings or {}).items())
    target = f"dbname={_quote(database)} options={_quote(options)}" if options else database
    return [*tool, "--format=custom", "--exit-on-error", "--no-password", *_server(endpoint), f"--dbname={target}"]


def _quote(value: str) -> str:
    """Quote a value of a connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def parallel(arguments: Sequence[str], source: Path, jobs: int) -> list[str]:
    """Return the same from the file `source` by `jobs` processes; hypertables lose their rows with more than one."""
    return [*arguments, f"--jobs={jobs}", str(source)]


def _server(endpoint: Endpoint) -> list[str]:
    """Return how a tool reaches it: next to it in its image by its socket, which needs no password."""
    where = (endpoint.options.get("socket", endpoint.host), endpoint.inner_port or endpoint.port)
    return [f"--host={where[0]}", f"--port={where[1]}", f"--username={endpoint.logins['operator'].user}"]


@contextmanager
def logged_in(endpoint: Endpoint) -> Iterator[dict[str, str]]:
    """Yield the environment of a tool that logs in: the password in a file that only we may read."""
    login = endpoint.logins["operator"]
    password = login.password.get_secret_value().replace("\\", "\\\\").replace(":", "\\:")
    with private_temp_dir() as folder:
        file = folder / "pgpass"
        write_atomic(file, f"*:*:*:{login.user}:{password}\n", SECRET_MODE)
        yield {**_clean_environment(), "PGPASSFILE": str(file)}


def _clean_environment() -> dict[str, str]:
    """Ours without PG… variables, which would lead the tools elsewhere."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "ragops"}


def start_check(control: Control) -> AbstractContextManager[StreamCheck]:
    """Start what reads and decompresses a whole archive, and lists what it holds."""
    reading = ("pg_restore", "--format=custom", "--file=/dev/null")
    return stream_check.start_check(control, ("pg_restore", "--list"), reading)


def compare_tables(name: str, counts: Mapping[str, int], check: StreamCheck) -> None:
    """Wait for the end of the check of the archive `name`, and compare its tables with those of `counts`.

    Raises IntegrityError (archive_unreadable, tables_missing), MissingError (engine_too_old).
    """
    try:
        listing, _ = check.outputs()
    except RagopsError as error:
        if error.code != "tool_failed":
            raise
        if _NEWER in error.message:
            what = f"cannot read {name}: a newer PostgreSQL than the one here wrote it"
            raise MissingError("engine_too_old", what, "use it on a platform that runs that version") from error
        raise IntegrityError("archive_unreadable", f"cannot read {name}: {error.message}", OTHER_POINT) from error
    if missing := missing_tables(counts, listing):
        what = f"cannot use {name}: it lacks tables that its manifest counts, {', '.join(missing)}"
        raise IntegrityError("tables_missing", what, OTHER_POINT)


def check_file(path: Path, counts: Mapping[str, int], control: Control) -> None:
    """Check an archive as a backup does. Raises as `compare_tables` does."""
    with start_check(control) as check, path.open("rb") as archive:
        while block := archive.read(_BLOCK):
            check.write(block)
        check.write(b"")
        compare_tables(path.name, counts, check)


def tables(counts: Mapping[str, int]) -> set[str]:
    """Return the tables among `counts`, as `schema.table`; the other kinds have no dot."""
    return {kind for kind in counts if "." in kind}


def missing_tables(counts: Mapping[str, int], listing: str) -> list[str]:
    """Tables of `counts` that the output of `pg_restore --list` lacks."""
    texts = {entry.text for entry in entries(listing) if entry.kind == "TABLE"}
    return sorted(name for name in tables(counts) - listed_tables(listing) if not is_in(name, texts))


def listed_tables(listing: str) -> set[str]:
    """Return the tables in the output of `pg_restore --list`, of owners whose name is one word."""
    found = set()
    for entry in entries(listing):
        if entry.kind == "TABLE":
            schema, _, name = entry.text.rpartition(" ")[0].partition(" ")
            found.add(f"{schema}.{name}")
    return found


def is_in(table: str, texts: set[str]) -> bool:
    """Names and owners may have spaces, so that a line cannot be taken apart without knowing one of them."""
    dots = [at for at, letter in enumerate(table) if letter == "."]
    starts = tuple(f"{_one_line(table[:at])} {_one_line(table[at + 1 :])} " for at in dots)
    return any(text.startswith(starts) for text in texts)


def _one_line(name: str) -> str:
    """Return the name as pg_restore writes it into a list."""
    return name.replace("\n", " ").replace("\r", " ")


@dataclass(frozen=True)
class Entry:
    """A line of a table of contents: number, kind (such as TABLE DATA), `text`: schema, name, owner."""

    number: str
    kind: str
    text: str
    line: str

    def is_of(self, schema: str, name: str) -> bool:
        """Whether it is of that object."""
        return self.text.startswith(f"{_one_line(schema)} {_one_line(name)} ")


_LINE = re.compile(r"(\d+); \d+ \d+ (?:(TABLE DATA|TABLE ATTACH|TABLE|SCHEMA|FUNCTION|PROCEDURE|DEFAULT) )?(.*)")


def entries(listing: str) -> list[Entry]:
    """Return the lines of `pg_restore --list`, such as `1; 1259 16400 TABLE schema name owner`, others empty."""
    found = [_LINE.fullmatch(line) for line in listing.splitlines()]
    return [Entry(match[1], match[2] or "", match[3], match[0]) for match in found if match]
