"""`make bench-gateway`: what Kong costs as ragops renders it, against the same Kong configured by hand.

Both run in containers of the same image with the same environment, in front of one upstream that answers at once, and
are asked in turn: processor time of Kong for one request. What is written by hand has the same function as far as
Kong's own plugins go: routes of both versions and of the deprecated paths, inner paths closed, tokens with their times,
a rate limit by consumer, request ids, internal headers dropped. REQUESTS and ROUNDS make a run shorter.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from api_cost import ask, used
from measure import publish, ratios, spread

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.services.gateway.kong import render
from ragops.services.gateway.policy import DENIED, INTERNAL_HEADERS, READY_PATH
from tests.contract.gateway.kong_engine import KongGateway, docker_with_kong, host_address
from tests.contract.gateway.upstream import Signer
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.services.gateway.kong_configuration import KongConfiguration

ROUNDS, REQUESTS = int(os.environ.get("ROUNDS", "7")), int(os.environ.get("REQUESTS", "4000"))
LIMIT = {"requests": 1_000_000, "per": "second", "burst": 1_000_000}
SIDES = ("by hand", "as rendered")
BODY = json.dumps({"query": "how are tokens rotated", "collection": "docs", "limit": 5}).encode()


# --- the upstream ----------------------------------------------------------------------------------------------------


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    found = b'{"results": []}'
    said = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(found), found)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length: " in head:
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(said)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(host: str, port: int) -> None:
    async with await asyncio.start_server(answer, host, port) as server:
        await server.serve_forever()


# --- Kong by hand ----------------------------------------------------------------------------------------------------


def by_hand(engine: KongGateway) -> str:
    """The declarative configuration that somebody would write with Kong's own plugins."""
    rendered = json.loads(render(engine.inputs.policy("0.0.0.0"), engine.inputs.keys, None).document)
    (upstream,), consumers = rendered["upstreams"], rendered["consumers"]
    jwt = {"key_claim_name": "kid", "claims_to_verify": ["exp", "nbf"], "uri_param_names": []}
    limit = {"second": LIMIT["requests"], "policy": "local", "limit_by": "consumer"}
    ended = {"deprecation": "@1", "sunset": "Thu, 01 Jan 2099 00:00:00 GMT"}
    service = {
        "name": "api", "host": upstream["name"], "protocol": "http", "retries": 1,
        "routes": [
            _route("v1", 'http.path ^= "/api/v1/"', []),
            _route("v2", 'http.path ^= "/api/v2/"', []),
            *(
                _route(f"old-{number}", f'http.path == "{path}"', [
                    _plugin("response-transformer", add={"headers": [f"{name}:{value}" for name, value in ended.items()]})
                ])
                for number, path in enumerate(("/search", "/query", "/collections"))
            ),
        ],
        "plugins": [
            _plugin("jwt", **jwt), _plugin("rate-limiting", **limit),
            _plugin("request-transformer", remove={"headers": list(INTERNAL_HEADERS)}),
        ],
    }  # fmt: skip
    closed = [
        _route(f"inner-{number}", f'http.path ^= "{path}"', [_plugin("request-termination", status_code=404)], 50)
        for number, path in enumerate(DENIED)
    ]
    ready = _route("ready", f'http.path == "{READY_PATH}"', [_plugin("request-termination", status_code=200)], 40)
    return json.dumps(
        {
            "_format_version": "3.0",
            "plugins": [_plugin("correlation-id", header_name="X-Request-ID", generator="uuid", echo_downstream=True)],
            "upstreams": [upstream], "services": [service], "routes": [*closed, ready], "consumers": consumers,
        }
    )  # fmt: skip


def _plugin(name: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "config": config}


def _route(name: str, expression: str, plugins: list[Any], priority: int = 30) -> dict[str, Any]:
    return {
        "name": name, "protocols": ["http", "https"], "expression": expression, "priority": priority,
        "strip_path": False, "preserve_host": True, "plugins": plugins,
    }  # fmt: skip


class HandWritten(KongGateway):
    """Kong in the same container with what was written by hand."""

    def configuration(self, **changes: Any) -> KongConfiguration:
        return replace(super().configuration(**changes), document=by_hand(self))


# --- rounds ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """Milliseconds of Kong's processor time for one request, and requests in a second."""

    cost: float
    rate: float


def measure(engine: KongGateway, signer: Signer, number: int) -> Round:
    port, issuer = engine.inputs.settings.port, engine.inputs.policy("0.0.0.0").jwt.issuer
    head = (
        f"POST /api/v1/search HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {signer.token(issuer)}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    pid = int(engine.docker.api.inspect_container(engine.place.container)["State"]["Pid"])
    before, began = used([pid]), time.perf_counter()
    asyncio.run(ask(port, [head.encode() + BODY] * number))
    seconds = time.perf_counter() - began
    return Round((used([pid]) - before) * 1000 / number, number / seconds)


def wait_upstream(engine: KongGateway, signer: Signer) -> None:
    """Until its health check has seen the upstream, twice in a row in case each worker looks by itself."""
    url, issuer = (
        f"http://127.0.0.1:{engine.inputs.settings.port}/api/v1/search",
        engine.inputs.policy("0.0.0.0").jwt.issuer,
    )
    headers, passed, limit = {"Authorization": f"Bearer {signer.token(issuer)}"}, 0, time.monotonic() + 60
    while passed < 20:
        assert time.monotonic() < limit, engine.log()
        passed = passed + 1 if httpx.post(url, content=BODY, headers=headers, trust_env=False).status_code == 200 else 0
        time.sleep(0.1)


def run(make: dict[str, Callable[[], KongGateway]], signer: Signer) -> dict[str, list[Round]]:
    with ExitStack() as stack:
        engines = {}
        for side, one in make.items():
            engines[side] = one()
            stack.callback(engines[side].stop)
            engines[side].start()
        for engine in engines.values():
            wait_upstream(engine, signer)
            measure(engine, signer, REQUESTS)
        found: dict[str, list[Round]] = {side: [] for side in engines}
        for number in range(ROUNDS):
            for side in SIDES if number % 2 else SIDES[::-1]:
                found[side].append(measure(engines[side], signer, REQUESTS))
        return found


def table(found: dict[str, list[Round]]) -> str:
    costs = {side: [one.cost for one in rounds] for side, rounds in found.items()}
    machine = f"{os.cpu_count()} cores (load {os.getloadavg()[0]:.0f}), Python {platform.python_version()}"
    lines = [
        f"`make bench-gateway` on {machine}, {datetime.now(tz=UTC):%Y-%m-%d}: processor time of Kong 3.9.1 (2 workers) for one"
        f" request with a token in ms, {REQUESTS} requests a round, 16 at once; median (least-most) of {ROUNDS} rounds in turn; bar 1.1.",
        "",
        "| Kong | processor time, ms | of that by hand | requests/s |",
        "| --- | --- | --- | --- |",
    ]
    for side in SIDES:
        ratio = ratios(costs[side], costs["by hand"]) if side != "by hand" else ""
        lines.append(f"| {side} | {spread(costs[side])} | {ratio} | {spread([one.rate for one in found[side]], 0)} |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["upstream"]:
        asyncio.run(serve(sys.argv[2], int(sys.argv[3])))
        return
    docker, _ = docker_with_kong()
    host, port, signer = host_address(docker), free_port(), Signer("tok_0123456789ab")
    upstream = subprocess.Popen([sys.executable, __file__, "upstream", host, str(port)])
    try:
        with tempfile.TemporaryDirectory(prefix="ragops-bench-") as folder:
            make: dict[str, Callable[[], KongGateway]] = {}
            for side, kind in zip(SIDES, (HandWritten, KongGateway), strict=True):
                home = Path(folder) / side.replace(" ", "-")
                home.mkdir()
                make[side] = lambda kind=kind, home=home: kind(home, (host, port), signer, rate_limit=LIMIT, tls=False)
            publish("bench-gateway", table(run(make, signer)))
    finally:
        upstream.terminate()
        upstream.wait(10)


if __name__ == "__main__":
    main()
