"""Lines of every format taken apart; logs of several services read back, merged, filtered and followed."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.cli.log_lines import as_line
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.observe import logs
from ragops.operations.observe.log_entries import parse
from ragops.operations.observe.logs import LogQuery, follow, read, read_pattern, read_since
from ragops.runtimes.contract import LogLine, LogTail

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
API_LINE = {
    "time": "2026-11-29T12:00:00.250+00:00", "level": "info", "logger": "ragops.api.middleware", "message": "request",
    "request_id": "0123456789abcdef", "method": "POST", "path": "/api/v1/search", "status": 200, "ms": 1.25,
    "consumer": "alice", "service": None,
}  # fmt: skip
ENVOY = (
    '{"time":"2026-11-29T12:00:01.000Z","level":"access","request_id":"r-2","method":"GET","path":"/nope",'
    '"status":404,"why":"route_not_found","milliseconds":3,"from":"127.0.0.1","route":"-"}'
)
KONG = (
    '{"time":"2026-11-29T12:00:02+00:00","level":"access","request_id":"r-3","method":"GET","path":"/",'
    '"status":401,"upstream_status":"","seconds":0.0041,"from":"10.0.0.1"}'
)
POSTGRES = "2026-11-29 12:00:03.500 UTC [41]"
QDRANT = "2026-11-29T12:00:05Z  INFO actix_web::middleware::logger:"
LOGFMT = 'time=2026-11-29T12:00:07.000Z level=INFO source=main.go:1 msg="Server is \\"ready\\""'
READY = '10.0.0.2 "GET /readyz HTTP/1.1" 200 22 "-" "curl" 0.000123'
FORMATS = [
    (ENVOY, "info", "request", 404, 3.0, 1.0),
    (KONG, "info", "request", 401, 4.1, 2.0),
    (f"{POSTGRES} rag_app@rag ERROR:  no such table", "error", "no such table", None, None, 3.5),
    (f"{POSTGRES} LOG:  checkpoint complete", "info", "checkpoint complete", None, None, 3.5),
    ("2026-11-29T12:00:04.123456Z  WARN qdrant: late", "warning", "qdrant: late", None, None, 4.123456),
    (f"{QDRANT} {READY}", "info", f"actix_web::middleware::logger: {READY}", 200, 0.123, 5.0),
    ('1.2.3.4 - - [now] "GET /a HTTP/1.1" 200 -', "", '1.2.3.4 - - [now] "GET /a HTTP/1.1" 200 -', 200, None, None),
    ("2026/11/29 12:00:06 [warn] 123#0: *1 upstream", "warning", "123#0: *1 upstream", None, None, 6.0),
    (LOGFMT, "info", 'Server is "ready"', None, None, 7.0),
    ("\x1b[32mno format at all\x1b[0m", "", "no format at all", None, None, None),
    ("{not json", "", "{not json", None, None, None),
]


@pytest.mark.parametrize(("text", "level", "message", "status", "milliseconds", "second"), FORMATS)
def test_formats(text, level, message, status, milliseconds, second):
    entry = parse("any", "any", text)
    assert (entry.level, entry.status, entry.milliseconds) == (level, status, milliseconds)
    assert entry.message == message
    assert entry.time == (None if second is None else NOON + timedelta(seconds=second))
    assert entry.text == text


def test_valkey_writes_local_times():
    local = NOON.astimezone()
    entry = parse("redis", "redis", f"17:M {local:%d %b %Y %H:%M:%S}.500 # Out of memory")
    assert (entry.level, entry.message, entry.time) == ("warning", "Out of memory", NOON + timedelta(seconds=0.5))


def test_the_runtimes_time_counts_more_than_that_of_the_line():
    assert parse("api", "api", json.dumps(API_LINE), NOON).time == NOON


def test_a_line_has_columns_and_what_else_the_service_wrote():
    shown = as_line(parse("api", "api", json.dumps(API_LINE | {"traceback": ["first", "second"]})))
    first, *below = shown.split("\n")
    assert re.split(r"  +", first)[1:] == [
        "api", "info", "200", "1.2 ms",
        "request method=POST path=/api/v1/search consumer=alice request_id=0123456789abcdef",
    ]  # fmt: skip
    assert below == ["    first", "    second"]


# --- reading ---------------------------------------------------------------------------------------------------------


class Host:
    """Logs of services, as a runtime reads them; counts how many lines were asked for."""

    def __init__(self, **lines: list[LogLine]) -> None:
        self.lines = lines
        self.asked: list[int] = []
        self.later: dict[str, list[LogLine]] = {}
        self.fails: set[str] = set()

    def read_log(self, service: str, lines: int) -> LogTail | None:
        self.asked.append(lines)
        if service not in self.lines:
            return None
        found = self.lines[service]
        return LogTail(tuple(found[len(found) - min(lines, len(found)) :]), lambda: self._follow(service))

    def _follow(self, service: str) -> Iterator[LogLine]:
        yield from self.later.get(service, [])
        if service in self.fails:
            raise RagopsError("docker_unreachable", "cannot reach Docker: gone")


def line(instance: str, second: float, text: str) -> LogLine:
    return LogLine(instance, text, NOON + timedelta(seconds=second))


def session(host: Host) -> Any:
    def never_up() -> None:
        raise MissingError("not_provisioned", "nothing is provisioned", "run: ragops up")

    return SimpleNamespace(host=host, endpoints=never_up)


def texts(host: Host, *services: str, **query: Any) -> list[str]:
    return [entry.text for entry in read(session(host), services, LogQuery(**query)).lines]


def test_services_are_merged_by_time_and_a_line_without_one_stays_below_its_own():
    host = Host(
        redis=[
            LogLine("redis", "banner"),
            line("redis", 1, "r1"),
            LogLine("redis", "more of r1"),
            line("redis", 3, "r3"),
        ],
        qdrant=[line("qdrant-2", 0, "q0"), line("qdrant-1", 2, "q2")],
    )
    assert texts(host, "redis", "qdrant") == ["banner", "q0", "r1", "more of r1", "q2", "r3"]
    assert texts(host, "redis", "qdrant", lines=2) == ["q2", "r3"]
    assert texts(host, "redis", lines=0) == []


def test_as_much_of_a_log_is_read_as_the_question_needs():
    host = Host(api=[line("api", number, f"{'odd' if number % 1000 else 'found'} {number}") for number in range(5000)])
    assert texts(host, "api", lines=2, pattern=read_pattern("found")) == ["found 3000", "found 4000"]
    assert host.asked == [2, 16, 128, 1024, 8192]
    assert len(texts(host, "api", lines=None, since=NOON + timedelta(seconds=4200))) == 800
    assert len(texts(host, "api", lines=7, since=NOON)) == 7


def test_probes_that_went_well_are_left_out_unless_asked_for():
    lines = ['"GET /readyz HTTP/1.1" 200 5', '"GET /readyz HTTP/1.1" 503 5', '"GET /collections HTTP/1.1" 200 5']
    host = Host(qdrant=[line("qdrant-1", number, text) for number, text in enumerate(lines)])
    assert texts(host, "qdrant") == lines[1:]
    assert texts(host, "qdrant", with_probes=True) == lines


def test_what_is_written_later_is_filtered_too():
    host = Host(api=[line("api", 0, "old e")])
    host.later = {"api": [line("api", 1, "new e"), line("api", 2, "new o")], "redis": []}
    found = follow(session(host), ["api"], LogQuery(pattern=read_pattern("e$")))
    assert [entry.text for entry in itertools.islice(found, 2)] == ["old e", "new e"]


def test_a_runtime_that_fails_ends_the_following():
    host = Host(api=[])
    host.fails = {"api"}
    with pytest.raises(RagopsError, match="gone"):
        list(follow(session(host), ["api"], LogQuery()))


def test_no_log_and_no_such_service():
    with pytest.raises(MissingError, match="nothing is provisioned"):
        texts(Host(), "api")
    with pytest.raises(UsageError):
        texts(Host(api=[]), "nosuch")
    assert texts(Host(api=[line("api", 1, "a")]), "api", "redis") == ["a"]


@pytest.mark.parametrize(("text", "before"), [("30s", 30), ("10m", 600), ("10 min", 600), ("2h", 7200), ("1d", 86400)])
def test_spans(text, before):
    assert read_since(text, NOON) == NOON - timedelta(seconds=before)


def test_times_and_what_is_none():
    assert read_since("2026-11-29T13:00+01:00") == NOON
    assert read_since("2026-11-29T12:00").tzinfo is not None
    for text in ("soon", "10", "-5m", "9999999999d"):
        with pytest.raises(UsageError, match="cannot read"):
            read_since(text)
    with pytest.raises(UsageError, match="cannot read"):
        read_pattern("[")


def test_no_more_lines_are_read_than_a_machine_holds(monkeypatch):
    monkeypatch.setattr(logs, "_MOST", 100)
    assert texts(Host(api=[line("api", 1, "a")] * 5000), "api", lines=3, pattern=read_pattern("b")) == []
