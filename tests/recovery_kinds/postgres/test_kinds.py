"""Every kind of database comes back as it was, in place and on a fresh server, or is refused by name beforehand."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ragops.errors import ExitCode, LockedError, RagopsError
from ragops.services.contract import Extent
from ragops.services.timescaledb.backup.backup import TimescaleBackup
from ragops.services.timescaledb.quiesce import pause_writes
from tests.recovery_kinds.postgres.conftest import NUMBERS, Server, TakenBackup, restore, take
from tests.recovery_kinds.postgres.kinds import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kinds


class Made:
    """A kind as a database of `server`."""

    def __init__(self, kind: Kind, server: Server, stack: ExitStack) -> None:
        number = next(NUMBERS)
        self.database, self.prefix = f"k{number}", f"k{number}_"
        self._words = {"d": self.database, "r": self.prefix}
        self._server, self._stack = server, stack
        server.new(self.database)
        server.made.append(f"{self.database}_other")
        with self.connected() as connection:
            for statement in kind.sql:
                self._run(connection, self.filled(statement))

    def filled(self, text: str) -> str:
        return text.format(**self._words)

    def connected(self) -> psycopg.Connection[Any]:
        login = self._server.plain.logins["operator"]
        return psycopg.connect(
            host=self._server.plain.host, port=self._server.plain.port, dbname=self.database, user=login.user,
            password=login.password.get_secret_value(), autocommit=True,
        )  # fmt: skip

    def _run(self, connection: psycopg.Connection[Any], statement: str) -> None:
        if statement.startswith("!"):  # it fails, and leaves something
            with suppress(psycopg.Error):
                connection.execute(statement[1:])
        elif statement.startswith("%"):  # a session that stays
            other = self._stack.enter_context(self.connected())
            other.execute(statement[1:])
        elif statement.startswith("&"):  # cancelled while it waits for a transaction
            _interrupted(self, connection, statement[1:])
        else:
            connection.execute(statement)


def _interrupted(made: Made, connection: psycopg.Connection[Any], statement: str) -> None:
    with made.connected() as reader, made.connected() as worker:
        reader.execute("BEGIN; SELECT count(*) FROM p")

        def work() -> None:
            with suppress(psycopg.Error):
                worker.execute(statement)

        thread = threading.Thread(target=work)
        thread.start()
        query = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        while not connection.execute(query, [worker.info.backend_pid]).fetchone():
            thread.join(0.05)
        worker.cancel()
        thread.join()
        reader.execute("ROLLBACK")


@pytest.fixture(autouse=True)
def tidy(source: Server, elsewhere: Server) -> Iterator[None]:
    yield
    for server in (source, elsewhere):
        server.drop_all()
        for (name,) in server.sql("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname ~ '^k[0-9]+_'"):
            server.sql(f"DROP OWNED BY {name} CASCADE")
            server.sql(f"DROP ROLE {name}")


@pytest.fixture(scope="session", autouse=True)
def other_tablespace(source: Server) -> None:
    source.sql("CREATE TABLESPACE other LOCATION ''")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name.replace(" ", "-") for kind in KINDS])
def test_it_comes_back_or_is_refused(kind: Kind, source: Server, elsewhere: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = Made(kind, source, stack)
        try:
            _check(kind, made, source, elsewhere, tmp_path)
        finally:
            source.sql("ALTER SYSTEM RESET ALL")
            for (slot,) in source.sql("SELECT slot_name FROM pg_replication_slots"):
                source.sql("SELECT pg_drop_replication_slot(%s)", values=[slot])


def _check(kind: Kind, made: Made, source: Server, elsewhere: Server, tmp_path: Path) -> None:
    name = made.database
    if kind.refused:
        with pytest.raises(RagopsError) as caught:
            take(source, name, tmp_path / "point")
        assert made.filled(kind.refused) in caught.value.message
        assert caught.value.exit_code is ExitCode.INTEGRITY
        return
    before = source.picture(name, made.prefix)
    taken = take(source, name, tmp_path / "point", encrypted=kind.encrypted)
    for words in kind.named:
        assert made.filled(words) in taken.notes
    _prove(source, name, taken)
    assert source.picture(name, made.prefix) == before, "a proof changes nothing"
    elsewhere.new(name)
    told = restore(elsewhere, name, taken)
    for words in kind.after:
        assert made.filled(words) in told
    _compare(kind, before, elsewhere.picture(name, made.prefix))
    if kind.name == "prepared transactions":
        with pytest.raises(LockedError, match="left"):
            restore(source, name, taken)
        source.sql("ROLLBACK PREPARED 'left'", name)
    restore(source, name, taken)
    _compare(kind, before, source.picture(name, made.prefix))


def _prove(server: Server, database: str, taken: TakenBackup) -> None:
    proof = TimescaleBackup().prove(server.endpoint(database), server.control, taken.folder, taken.parts)
    assert proof.extent is Extent.RESTORED, proof
    left = "SELECT datname FROM pg_database WHERE datname LIKE %s"
    assert server.sql(left, values=[f"{database}_restore_%"]) == []


def _compare(kind: Kind, before: dict[str, Any], after: dict[str, Any]) -> None:
    if not kind.same:  # rows, whatever partition they are in now; the schema is as the notes say
        before, after = ({**picture, "schema": ""} for picture in (before, after))
        if kind.name == "partitions by hash of an enum":
            before, after = ({"rows": picture["public.p"]} for picture in (before, after))
    assert _differences(before, after) == {}
    assert kind.same or before


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if name == "schema" and old != new:
            lines = set(old.splitlines()), set(new.splitlines())
            old, new = lines[0] - lines[1], lines[1] - lines[0]
        if old != new:
            found[name] = (old, new)
    return found


def test_there_are_enough_kinds() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40
    assert not [kind.name for kind in KINDS if not re.fullmatch(r"[\w ,-]+", kind.name)]


def test_a_dump_that_is_out_of_locks_names_the_setting(source: Server, tmp_path: Path) -> None:
    source.new("k_locks")
    for begin in range(0, 1500, 100):
        source.sql(
            f"DO $$ BEGIN FOR i IN {begin}..{begin + 99} LOOP"
            " EXECUTE format('CREATE TABLE t%s ()', i); END LOOP; END $$",
            "k_locks",
        )
    try:
        _set_locks(source, 10)
        with pytest.raises(RagopsError, match="max_locks_per_transaction is 10") as caught:
            take(source, "k_locks", tmp_path / "point")
        _set_locks(source, 14)
        take(source, "k_locks", tmp_path / "alone")
        others = pytest.raises(RagopsError, match=r"others hold 1\d+ locks")
        with pause_writes(source.endpoint("k_locks")), others as paused:
            take(source, "k_locks", tmp_path / "paused")
    finally:
        _set_locks(source, 0)
    assert caught.value.code == "database_out_of_locks"
    number = int(re.search(r"max_locks_per_transaction: (\d+)", caught.value.hint)[1])  # type: ignore[index]
    assert number * 105 > 1500
    assert paused.value.code == "database_out_of_locks"


def _set_locks(server: Server, number: int) -> None:
    change = f"SET max_locks_per_transaction = {number}" if number else "RESET max_locks_per_transaction"
    server.sql(f"ALTER SYSTEM {change}")
    server.control.stop()
    server.control.start()
