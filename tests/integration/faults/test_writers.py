"""Writers during a backup: what was acknowledged before it began is in it, and nothing is half there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]

AHEAD = 40  # acknowledged by each writer before the backup begins


class Writers:
    """One for each store, and one that writes a vector before the row that refers to it; `acknowledged` by kind."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self.acknowledged = {"rows": 0, "keys": 0, "points": 0, "both": 0}
        kinds: dict[str, Callable[[], Callable[[int], None]]] = {
            "rows": self._rows, "keys": self._keys, "points": self._points, "both": self._both,
        }  # fmt: skip
        self._threads = [threading.Thread(target=self._write, args=(kind, begin)) for kind, begin in kinds.items()]

    def __enter__(self) -> Writers:
        self._lab.sql("CREATE TABLE rag.a (id int PRIMARY KEY); CREATE TABLE rag.b (id int PRIMARY KEY)")
        self._lab.sql("CREATE TABLE rag.refers (id int PRIMARY KEY)")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert not self._failed, self._failed

    def wait(self, more: int) -> dict[str, int]:
        """Until each has written so many more; what was acknowledged then."""
        wanted = {kind: count + more for kind, count in self.acknowledged.items()}
        wait_until(lambda: self._failed or all(self.acknowledged[kind] >= count for kind, count in wanted.items()), 60)
        assert not self._failed, self._failed
        return dict(self.acknowledged)

    def _write(self, kind: str, begin: Callable[[], Callable[[int], None]]) -> None:
        try:
            write = begin()
            while not self._over.is_set():
                write(self.acknowledged[kind])
                self.acknowledged[kind] += 1
        except BaseException as error:
            self._failed.append(error)

    def _rows(self) -> Callable[[int], None]:
        """Two tables in one transaction, in turns which of them first."""
        connection = self._lab.database()

        def write(number: int) -> None:
            first, second = ("a", "b") if number % 2 else ("b", "a")
            with connection.transaction():
                for table in (first, second):
                    connection.execute(f"INSERT INTO rag.{table} VALUES (%s)", [number])  # type: ignore[arg-type]

        return write

    def _keys(self) -> Callable[[int], None]:
        """Two keys in one transaction."""
        client = self._lab.redis()

        def write(number: int) -> None:
            client.pipeline(transaction=True).set(f"w:a:{number}", number).set(f"w:b:{number}", number).execute()

        return write

    def _points(self) -> Callable[[int], None]:
        """Two points in one request."""
        send = self._upsert("books")
        return lambda number: send(1000 + 2 * number, 1001 + 2 * number)

    def _both(self) -> Callable[[int], None]:
        """A vector, then the row that refers to it: the row is never without its vector."""
        connection, send = self._lab.database(), self._upsert("notes")

        def write(number: int) -> None:
            send(5000 + number)
            connection.execute("INSERT INTO rag.refers VALUES (%s)", [5000 + number])

        return write

    def _upsert(self, collection: str) -> Callable[..., None]:
        key = self._lab.endpoints["qdrant"].logins["operator"].password.get_secret_value()
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._lab.ports['qdrant']}",
            trust_env=False,
            headers={"api-key": key},
            timeout=30,
        )

        def send(*idents: int) -> None:
            points: list[Any] = [
                {"id": ident, "vector": [1, 2, 3, 4], "payload": {"number": ident}} for ident in idents
            ]
            answer = client.put(f"/collections/{collection}/points?wait=true", json={"points": points})
            assert answer.is_success, answer.text

        return send


@pytest.mark.parametrize("jobs", [1, 4])
def test_what_was_acknowledged_before_the_backup_is_in_it(lab: Lab, jobs: int) -> None:
    with Writers(lab) as writers:
        before = writers.wait(AHEAD)
        # Not only before it began: also between its instants.
        with lab.paused("backup", "run", "--jobs", str(jobs), "--json", at=r"http POST .*snapshots", code=0) as ended:
            writers.wait(5)
        after = writers.wait(5)
    point = ended[0].json()["id"]
    lab("backup", "verify", point, "--deep")
    lab.fill("B")
    lab("restore", point, "--yes", "--no-safety")

    rows = {table: {number for (number,) in lab.sql(f"SELECT id FROM rag.{table}")} for table in ("a", "b", "refers")}
    assert rows["a"] == rows["b"], "one transaction is in it whole or not at all"
    assert rows["a"] == set(range(len(rows["a"]))), "none is missing of those before the last one"
    assert before["rows"] <= len(rows["a"]) <= after["rows"] + 1

    with lab.redis() as client:
        keys = {name: {int(key.split(":")[2]) for key in client.scan_iter(f"w:{name}:*", count=9999)} for name in "ab"}
    assert keys["a"] == keys["b"] == set(range(len(keys["a"])))
    assert before["keys"] <= len(keys["a"]) <= after["keys"] + 1

    idents = {int(item["id"]) for item in lab.points("books") if int(item["id"]) >= 1000}
    assert idents == set(range(1000, 1000 + len(idents)))
    assert len(idents) % 2 == 0, "one request is in it whole or not at all"
    assert 2 * before["points"] <= len(idents) <= 2 * (after["points"] + 1)

    vectors = {int(item["id"]) for item in lab.points("notes")}
    assert rows["refers"] <= vectors, "metadata are taken first: every row has its vector"
    assert len(rows["refers"]) >= before["both"]
