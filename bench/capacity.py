"""`make capacity`: what machines of 2 to 16 cores hold, from the measured costs of a request, a point and a row.

The costs are those of docs/performance.md; change them here when they are measured again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from measure import publish

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
CORES = (2, 4, 8, 16)
REPEATED = 0.8  # share of questions that the cache answers
BUSY = 0.7  # of all cores; above that queues grow faster than the rate
GIB_FOR_A_CORE = 4
FOR_POINTS = 0.5  # of the memory; the rest is PostgreSQL's, Redis', the API's and the kernel's
DIMENSIONS, DAYS = 384, 90


@dataclass(frozen=True)
class Costs:
    """Milliseconds of processor time for a request, by service; bytes of a row with its indexes, of a point in memory.

    Of a point: numbers of 4 bytes and half as much again for the graph (Qdrant documentation, "Capacity Planning"), and
    its words.
    """

    api_cached: float = 0.18
    api_distinct: float = 1.38
    gateway: float = 0.38
    redis: float = 0.014
    qdrant: float = 2.2
    log: float = 0.009
    log_row: int = 455
    chunk_row: int = 1110
    document_row: int = 457
    words_of_point: int = 1000

    @property
    def point(self) -> float:
        """Bytes of a point in memory."""
        return DIMENSIONS * 4 * 1.5 + self.words_of_point

    def request(self, repeated: float) -> float:
        """Return the milliseconds of one request if that share of them is answered by the cache."""
        api = repeated * self.api_cached + (1 - repeated) * self.api_distinct
        return self.gateway + api + self.redis + self.log + (1 - repeated) * self.qdrant


MEASURED = Costs()


def held(costs: Costs, cores: int, repeated: float = REPEATED, client: float = 0.0, busy: float = BUSY) -> float:
    """Return requests/s; `client` are milliseconds that who asks takes of the same cores."""
    return cores * busy * 1000 / (costs.request(repeated) + client)


def points(costs: Costs, cores: int, copies: int) -> float:
    """Return the number of points that fit the memory of a machine of so many cores."""
    return cores * GIB_FOR_A_CORE * (1 << 30) * FOR_POINTS / (costs.point * copies)


def table() -> str:
    """Return the table by cores."""
    head = [
        "| cores, memory | requests/s, 80% repeated | all distinct | points, one node | points, three nodes on it |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines = [
        f"| {cores}, {cores * GIB_FOR_A_CORE} GiB | {held(MEASURED, cores):,.0f} |"
        f" {held(MEASURED, cores, 0):,.0f} | {points(MEASURED, cores, 1) / 1e6:.1f} million |"
        f" {points(MEASURED, cores, 3) / 1e6:.1f} million |"
        for cores in CORES
    ]
    return "\n".join([*head, *lines])


def rows() -> str:
    """Return what rows take on disk."""
    cost = MEASURED
    per_rate = cost.log_row * 86400 * DAYS / 1e9
    return (
        f"- A logged query takes {cost.log_row} bytes with its indexes: {DAYS} days of one query a second are {per_rate:.1f} GB,"
        f" so 100 GB hold an average of {100 / per_rate:.0f} queries/s.\n"
        f"- A chunk of 800 characters takes {cost.chunk_row} bytes in PostgreSQL, a document {cost.document_row}: 1,000,000 chunks"
        f" of 100,000 documents are {(cost.chunk_row * 1e6 + cost.document_row * 1e5) / 1e9:.1f} GB."
    )


def main() -> None:
    publish("capacity", f"{table()}\n\n{rows()}", PAGE)


if __name__ == "__main__":
    main()
