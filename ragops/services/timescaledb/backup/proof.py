"""Proves a recovery point of the database by restoring it into a scratch database of the running server."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, RagopsError, UnhealthyError
from ragops.hints import OTHER_POINT
from ragops.services.contract import Extent, NotRestored, Proof
from ragops.services.timescaledb import extension, roles
from ragops.services.timescaledb.backup import counts, pg_dump
from ragops.services.timescaledb.restore import database_builder, pg_restore
from ragops.services.timescaledb.restore import roles as restore_roles
from ragops.units import size as human

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ragops.services.contract import Endpoint, Part
    from ragops.services.control import Control
    from ragops.services.timescaledb.backup.server_globals import Globals
    from ragops.services.timescaledb.restore.pg_restore import RestoreJob

_SPACE = 3
_TURNS = 7  # days after which every table was among the first
_LEAST = 30.0  # seconds that each step has at least
_HINT = OTHER_POINT
_MEND = "mend what is named in the live database, so that it can be made again, then run `ragops backup run`"


def prove(endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float) -> Proof:
    """Restore all within `budget` seconds (0: no limit), else the schema and tables while there is time.

    Bare roles take the place of those that are missing here, and are dropped with the database. The extent is
    Extent.READ if the server is down or short of space.
    Raises IntegrityError (restore_fails, restore_incomplete, counts_differ).
    """
    started = time.monotonic()
    part, wanted = database_builder.dump_of(parts), database_builder.globals_of(folder, parts)
    pg_dump.check_file(folder / part.name, part.counts, control)
    try:
        roles.log_in(endpoint, roles.MAINTENANCE).close()
    except UnhealthyError as error:
        return _read(f"the server is down ({error.message})", started)
    size, free = (folder / part.name).stat().st_size, control.free_bytes()
    if free is not None and free < _SPACE * size:
        return _read(f"a restore needs about {human(_SPACE * size)}, {human(free)} are free", started)
    try:
        with _stand_ins(endpoint, wanted), database_builder.new_database(endpoint, wanted) as fresh:
            job = pg_restore.RestoreJob(endpoint, control, fresh, folder / part.name, part, wanted)
            try:
                return _restore(job, started, budget)
            finally:
                database_builder.drop(endpoint, fresh)
    except RagopsError as error:
        if error.code != "tool_failed":
            raise
        raise IntegrityError("restore_fails", f"cannot restore {part.name}: {error.message}", _HINT) from error


def _restore(job: RestoreJob, started: float, budget: float) -> Proof:
    if not budget:
        notes = database_builder.fill(job)
        return _whole(job, started, notes)
    deadline = started + budget
    try:
        notes = database_builder.fill(replace(job, limit=max(budget / 2, _LEAST)))
    except RagopsError as error:
        if error.code != "tool_timeout":
            raise
    else:
        return _whole(job, started, notes)
    return _sample(job, started, deadline)


def _whole(job: RestoreJob, started: float, notes: tuple[str, ...]) -> Proof:
    names = tuple(sorted(pg_dump.tables(job.part.counts)))
    if missing := [note for note in notes if isinstance(note, NotRestored)]:
        what = f"cannot restore all of {job.part.name}: all rows come back, but not all objects; {'; '.join(missing)}"
        raise IntegrityError("restore_incomplete", what, _MEND)
    return Proof(Extent.RESTORED, "restored as a whole, and every count matches", _since(started), names, (), notes)


def _sample(job: RestoreJob, started: float, deadline: float) -> Proof:
    """Return the schema, then table by table, those first whose turn it is today."""
    database_builder.again(job)
    stages = pg_restore.Stages(job)
    proven: list[str] = []
    with database_builder.timescale_restoring(job):
        stages.schema()
        entries = [entry for entry in job.entries() if entry.kind == "TABLE DATA"]
        system = [entry for entry in entries if entry.text.startswith("_timescaledb")]
        if system:
            job.restore("--section=data", chosen=system)
            stages.restore_column_types()
        for name in _in_turn(job.part):
            mine = [entry for entry in entries if pg_dump.is_in(name, {entry.text})]
            if mine and time.monotonic() < deadline:
                _one(replace(job, limit=max(deadline - time.monotonic(), _LEAST)), name, mine, proven)
    left = tuple(sorted(pg_dump.tables(job.part.counts) - {*proven}))
    detail = f"the schema and {len(proven)} of {len(proven) + len(left)} tables restored in the time there was"
    return Proof(Extent.SAMPLED, f"{detail}; indexes were not made", _since(started), tuple(proven), left)


def _one(job: RestoreJob, name: str, entries: list[pg_dump.Entry], proven: list[str]) -> None:
    try:
        job.restore("--section=data", chosen=entries)
    except RagopsError as error:
        if error.code == "tool_timeout":
            return
        raise
    with job.connected() as connection:
        extension.look_through_restoring(connection)
        found = counts.counts(connection, only=name).get(name)
    if found != job.part.counts[name]:
        what = f"cannot restore {job.part.name}: {name} has {found} rows after a restore, not {job.part.counts[name]}"
        raise IntegrityError("counts_differ", what, _HINT)
    proven.append(name)


def _in_turn(part: Part) -> list[str]:
    """All tables, a seventh of them first, another one each day."""
    today = datetime.now(tz=UTC).toordinal()
    return sorted(pg_dump.tables(part.counts), key=lambda name: (_turn(name, today), part.counts[name]))


def _turn(name: str, day: int) -> int:
    """Return the place of the table in that night's order, 0 to 6; each table is at 0 once in seven nights."""
    return (sha256(name.encode()).digest()[0] + day) % _TURNS


@contextmanager
def _stand_ins(endpoint: Endpoint, wanted: Globals | None) -> Iterator[None]:
    if wanted is None:
        yield
        return
    with roles.session(endpoint, roles.MAINTENANCE, subject="the roles") as connection:
        restore_roles.drop_scratch(connection)
        restore_roles.make_scratch(connection, wanted)
    try:
        yield
    finally:
        with roles.session(endpoint, roles.MAINTENANCE, subject="the roles") as connection:
            restore_roles.drop_scratch(connection)


def _read(why: str, started: float) -> Proof:
    return Proof(Extent.READ, f"read as a whole, and not restored: {why}", _since(started))


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
