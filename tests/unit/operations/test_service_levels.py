"""Service levels from Prometheus's API: what is asked, how figures become words, and what is said without them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest

from ragops.adapters.prometheus_api import PrometheusClient, PrometheusError
from ragops.cli.slo import _words
from ragops.errors import MissingError
from ragops.operations.observe.service_levels import measure
from tests.ports import free_port
from tests.unit.api.fakes import Server, read_body, send_json
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = 86400


class FakePrometheus:
    """The part of Prometheus's HTTP API that is used: values by what the expression has in it, first match first."""

    def __init__(self) -> None:
        self.values: dict[str, float | str] = {}
        self.history = 40 * DAY  # seconds before now for which `up` has points
        self.asked: list[str] = []
        self.failures: list[tuple[int, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        form = {name: values[0] for name, values in parse_qs((await read_body(receive)).decode()).items()}
        self.asked.append(form["query"])
        status, answer = self.failures.pop(0) if self.failures else (200, self._answer(scope["path"], form))
        await send_json(send, status, answer)

    def _answer(self, path: str, form: dict[str, str]) -> Any:
        if path.endswith("query_range"):
            start, end, step = (float(form[name]) for name in ("start", "end", "step"))
            times = [start + step * number for number in range(int((end - start) / step) + 1)]
            points = [[at, "5"] for at in times if at > time.time() - self.history]
            return {
                "status": "success",
                "data": {"resultType": "matrix", "result": [{"metric": {}, "values": points}] if points else []},
            }
        found = next((value for part, value in self.values.items() if part in form["query"]), None)
        result = [] if found is None else [{"metric": {}, "value": [float(form["time"]), str(found)]}]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    fake = FakePrometheus()
    server = Server(fake).start()
    fake.url = server.url  # type: ignore[attr-defined]
    yield fake
    server.stop()


def session(name: str = "rag", **endpoints: Any) -> Any:
    project = SimpleNamespace(settings=SimpleNamespace(name=name), paths=SimpleNamespace(environment="live"))
    return SimpleNamespace(project=project, endpoints=lambda: endpoints)


GOOD = {
    "last_over_time(kong": 3,
    'code=~"5.."': 20,
    "increase(kong_http_requests_total": 1_000_000,
    "histogram_quantile(0.5,": 0.002,
    "histogram_quantile(0.95,": 0.02,
    "histogram_quantile(0.99,": "NaN",
    "avg_over_time(up": 0.9999,
    "breaker_changes": 60,
    "auth_refused": 1.02,
    "backup_last_run": 30,
    "backup_last_success": 29,
}


def test_figures_and_goals(prometheus: FakePrometheus) -> None:
    prometheus.values = dict(GOOD)
    found = measure(session(), prometheus.url)
    last = found.windows[-1]
    assert [window.days for window in found.windows] == [1, 7, 30]
    assert [window.covered / DAY for window in found.windows] == pytest.approx([1, 7, 30], rel=0.01)
    assert (found.source, last.requests, last.failed, last.availability) == ("kong", 1_000_000, 20, 0.99998)
    assert last.budget.allowed == pytest.approx(100)
    assert last.budget.left == pytest.approx(0.8)
    assert (last.up, last.p50, last.p95, last.p99) == (0.9999, 0.002, 0.02, None)
    assert _words(found).startswith(
        "Over 30 d the platform holds 99.99%: 20 of 1000000 requests failed (counted by kong)"
    )
    assert _words(found).endswith("80% of the error budget is left.")
    kpis = {one.name: (one.value, one.is_met) for one in found.kpis}
    assert kpis["breaker activations a day"] == (pytest.approx(2, rel=0.01), True)
    assert kpis["unauthorized service calls a day"][1] is False
    assert kpis["backup success rate"] == (pytest.approx(29 / 30), False)
    assert kpis["query log retention in days"] == (None, None)
    ours = 'platform="rag", environment="live"'
    assert all(ours in asked for asked in prometheus.asked)


def test_a_short_history_is_said_and_events_are_not_blown_up(prometheus: FakePrometheus) -> None:
    prometheus.values = {"breaker_changes": 3, "ragops_api_requests_total": 0}
    prometheus.history = 3600
    found = measure(session(), prometheus.url)
    assert [round(window.covered / 60) for window in found.windows] == [pytest.approx(60, abs=4)] * 3
    assert (found.source, found.windows[0].availability, found.windows[0].budget) == ("api", None, None)
    assert found.kpis[0].value == 3, "three in an hour are three in a day so far"
    assert "No request was counted" in _words(found)


def test_a_spent_budget(prometheus: FakePrometheus) -> None:
    prometheus.values = GOOD | {'code=~"5.."': 300}
    found = measure(session(), prometheus.url)
    assert found.windows[0].budget.left == pytest.approx(-2)
    assert "misses 99.99%" in _words(found)
    assert "spent 3.0 times" in _words(found)


def test_without_prometheus_and_without_history(prometheus: FakePrometheus) -> None:
    with pytest.raises(MissingError) as none:
        measure(session())
    assert (none.value.code, none.value.exit_code) == ("no_prometheus", 7)
    prometheus.history = 0
    own = SimpleNamespace(host="127.0.0.1", port=int(prometheus.url.rpartition(":")[2]))
    with pytest.raises(MissingError, match="no figures of platform rag, environment live") as young:
        measure(session(observability=own))
    assert young.value.code == "no_history"


# --- the client ------------------------------------------------------------------------------------------------------


def test_what_prometheus_refuses_is_named_and_a_busy_one_is_asked_again(prometheus: FakePrometheus) -> None:
    prometheus.values = {"x": 4}
    refusal = {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected )"}
    prometheus.failures = [(400, refusal)]
    with PrometheusClient(prometheus.url) as client:
        with pytest.raises(PrometheusError, match="unexpected") as caught:
            client.query("x)", 0)
        assert (caught.value.code, len(prometheus.asked)) == ("prometheus_refused", 1)
        prometheus.failures = [(503, refusal | {"error": "query timed out"})]
        assert client.value("x", time.time()) == 4


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"status": "success"}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{}]}}',
    ],
)
def test_another_server_is_no_prometheus(body: bytes) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    server = Server(app).start()
    try:
        with PrometheusClient(server.url) as client, pytest.raises(PrometheusError, match="another program"):
            client.query("x", 0)
    finally:
        server.stop()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[", "ftp://x"])
def test_one_that_is_not_there(url: str) -> None:
    with pytest.raises(PrometheusError, match="cannot query Prometheus") as caught, PrometheusClient(url) as client:
        client.query("x", 0)
    assert caught.value.code == "prometheus_unreachable"


# --- the real one ----------------------------------------------------------------------------------------------------


def samples(now: float) -> Iterator[str]:
    """Two days of a platform: 100 requests a minute, of which one a day fails; a breaker that opened twice."""
    labels = 'platform="rag",environment="live"'
    minutes = range(2880)

    def at(minute: int) -> str:
        return f"{now - (2880 - minute) * 60:.0f}"

    search, seconds = 'route="/api/v1/search"', "ragops_api_request_seconds_bucket"

    def series(name: str, more: str, value: Any) -> Iterator[str]:
        return (f"{name}{{{more},{labels}}} {value(minute)} {at(minute)}" for minute in minutes)

    yield "# TYPE up gauge"
    yield from series("up", 'job="api"', lambda _minute: 1)
    yield "# TYPE ragops_api_requests counter"
    yield from series("ragops_api_requests_total", f'{search},status="200"', lambda minute: minute * 100)
    yield from series("ragops_api_requests_total", f'{search},status="503"', lambda minute: minute // 1440)
    yield "# TYPE ragops_api_request_seconds histogram"
    yield from series(seconds, f'{search},le="0.01"', lambda minute: minute * 90)
    yield from series(seconds, f'{search},le="0.1"', lambda minute: minute * 100)
    yield from series(seconds, f'{search},le="+Inf"', lambda minute: minute * 100)
    yield "# TYPE ragops_api_breaker_changes counter"
    yield from series("ragops_api_breaker_changes_total", 'state="open"', lambda minute: minute // 1000)
    yield "# EOF"


@pytest.mark.skipif(not shutil.which("prometheus") or not shutil.which("promtool"), reason="no Prometheus here")
def test_the_real_prometheus(tmp_path: Path) -> None:
    (tmp_path / "series").write_text("\n".join(samples(time.time())) + "\n")
    (tmp_path / "prometheus.yml").write_text("")
    data, port = tmp_path / "data", free_port()
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "series"), str(data)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    options = [
        "--storage.tsdb.retention.time=60d",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(url), 30)
            found = measure(session(), url)
        finally:
            process.terminate()
    day, _, month = found.windows
    assert [round(window.covered / DAY, 1) for window in found.windows] == [1.0, 2.0, 2.0]
    assert (found.source, round(day.requests, -3), round(month.requests, -3)) == ("api", 144_000, 288_000)
    assert (round(month.failed), round(day.p50, 3), round(day.p99, 3)) == (1, 0.006, 0.091)
    assert month.availability == pytest.approx(1 - 1 / 288_000, rel=1e-6)
    assert month.budget.left == pytest.approx(1 - 1 / 28.8, abs=0.01)
    assert found.kpis[0].value == pytest.approx(1, abs=0.05)
    assert re.match(r"Over 2 d the platform holds 99.99%: 1 of", _words(found)), json.dumps(_words(found))


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
