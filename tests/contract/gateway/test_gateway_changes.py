"""How the gateway's configuration changes while it serves: hot, judged first, undone when it does not hold."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.errors import RagopsError, decode
from ragops.operations import gateway as gateway_operations
from ragops.operations import tokens as token_operations
from ragops.runtimes import gateway_apply
from ragops.runtimes.gateway_config import GatewayConfigProvider, from_props, to_props
from ragops.services.contract import Capability, Endpoint, Status
from ragops.services.gateway import certificate, tokens
from ragops.services.gateway.health import probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.services.gateway.configuration import GatewayConfiguration

API = "/api/v1/search"


def test_a_revoked_token_is_refused_on_an_open_connection(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    url = httpx.URL(gateway.url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
    headers = {"Authorization": f"Bearer {gateway.token()}"}

    def ask() -> http.client.HTTPResponse:
        connection.request("GET", API, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer

    first = ask()
    opened = connection.sock
    gateway_apply.apply(engine.configuration(keys={"keys": []}))
    second = ask()
    assert (first.status, second.status) == (200, 401)
    assert connection.sock is opened
    assert int(second.headers["x-ratelimit-remaining"]) <= int(
        first.headers["x-ratelimit-remaining"]
    )  # not started over
    gateway_apply.apply(engine.configuration())
    assert ask().status == 200
    connection.close()


def test_tokens_are_issued_and_revoked_one_by_one(envoy_gateway: Any, tmp_path: Path) -> None:
    engine, gateway = envoy_gateway
    now = datetime.now(tz=UTC)

    def apply() -> None:
        gateway_apply.apply(engine.configuration(keys=tokens.jwks(tokens.load(tmp_path))))

    one = token_operations.issue(tmp_path, "contract", "tester", now, apply)
    two = token_operations.issue(tmp_path, "contract", "tester", now, apply, timedelta(hours=1), ("search",))
    assert (one.same_name, two.same_name) == (1, 2)
    assert [gateway.request("GET", API, token=each.token).status_code for each in (one, two)] == [200, 200]
    assert gateway.request("GET", API).status_code == 401  # not one of these
    gone = token_operations.revoke(tmp_path, one.kid, now, apply)
    assert [line.kid for line in gone.tokens] == [one.kid]
    assert [gateway.request("GET", API, token=each.token).status_code for each in (one, two)] == [401, 200]
    token_operations.revoke(tmp_path, "tester", now, apply)
    assert gateway.request("GET", API, token=two.token).status_code == 401
    assert token_operations.list_tokens(tmp_path, now) == ()


def test_no_request_is_lost_while_the_configuration_changes(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    stop, failed, counts = threading.Event(), [], [0, 0]
    token = gateway.token()

    def ask(mine: int) -> None:
        with httpx.Client(base_url=gateway.url, timeout=10, trust_env=False) as client:
            while not stop.is_set() and counts[mine] < 5000:
                try:
                    status = client.get(API, headers={"Authorization": f"Bearer {token}"}).status_code
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                else:
                    failed.extend([str(status)] if status != 200 else [])
                counts[mine] += 1

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    other = type(gateway.signer)("tok_ffffffffffff").jwk()
    try:
        for index in range(6):
            keys = {"keys": [gateway.signer.jwk(), *([other] if index % 2 else [])]}
            wanted = engine.configuration(keys=keys, settings={"origins": (f"https://page{index}.example",)})
            before = list(counts)
            gateway_apply.apply(wanted)
            _wait(lambda before=before: all(now >= then + 3 for now, then in zip(counts, before, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []


def _wait(reached: Callable[[], bool], seconds: float = 60) -> None:
    """Until `reached`: a slow machine takes longer, a gateway that hangs fails."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "no request came through"
        time.sleep(0.01)


def _altered(engine: Any, name: str, change: Any) -> GatewayConfiguration:
    """The configuration with one hot file changed, as a renderer with a mistake would make it."""
    wanted = engine.configuration()
    values = json.loads(wanted.files[name])
    change(values["resources"][0])
    return replace(wanted, files={**wanted.files, name: json.dumps(values)})


def test_what_the_gateway_refuses_changes_nothing(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    before = gateway_apply.current(engine.hot)
    wanted = engine.configuration(settings={"origins": ("https://new.example",)})
    check = json.loads(wanted.check)
    check["static_resources"]["clusters"][0]["no_such_field"] = 1
    with pytest.raises(RagopsError) as caught:
        gateway_apply.apply(replace(wanted, check=json.dumps(check)))
    assert caught.value.code == "gateway_config_invalid"
    assert "no_such_field" in caught.value.message
    assert "/tmp" not in caught.value.message
    assert gateway_apply.current(engine.hot) == before
    assert gateway.request("GET", API).status_code == 200


def test_a_configuration_that_opens_a_door_is_taken_back(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    before = gateway_apply.current(engine.hot)

    def open_all(table: dict[str, Any]) -> None:
        for route in table["virtual_hosts"][0]["routes"]:
            if "route" in route:
                off = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
                route["typed_per_filter_config"] = {"envoy.filters.http.jwt_authn": off}

    with pytest.raises(RagopsError) as caught:
        gateway_apply.apply(_altered(engine, "routes.json", open_all))
    assert caught.value.code == "gateway_smoke_failed"
    assert "instead of 401" in caught.value.message
    assert "back in force" in caught.value.message
    assert gateway_apply.current(engine.hot) == before
    assert gateway.request("GET", API).status_code == 200
    deadline = time.monotonic() + 5
    while gateway.request("GET", API, token=None).status_code != 401:
        assert time.monotonic() < deadline


def test_an_interrupted_apply_is_seen_and_completed(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    wanted = engine.configuration(keys={"keys": []}, settings={"origins": ("https://new.example",)})
    (engine.hot / "routes.json").write_text(wanted.files["routes.json"])  # as far as it came
    assert gateway_apply.changed_files(engine.hot, gateway_apply.digests(wanted.files)) == ("live.json", "tokens.json")
    gateway_apply.apply(wanted)
    assert gateway_apply.changed_files(engine.hot, gateway_apply.digests(wanted.files)) == ()
    assert gateway.request("GET", API).status_code == 401
    assert not engine.hot.with_name("hot.new").exists()


def test_the_last_good_one_outlives_an_interrupted_apply(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    good = gateway_apply.current(engine.hot)
    broken = _altered(engine, "routes.json", lambda table: table["virtual_hosts"][0]["routes"].clear())
    (engine.hot / "routes.json").write_text(broken.files["routes.json"])
    with pytest.raises(RagopsError, match="back in force"):
        gateway_apply.apply(broken)
    assert gateway_apply.current(engine.hot) == good


def test_the_provider_tells_the_truth(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    provider = GatewayConfigProvider()
    props = json.loads(json.dumps(to_props(engine.configuration()), sort_keys=True))
    assert from_props(props) == engine.configuration()
    created = provider.create(props)
    olds = created.outs
    assert not provider.diff("id", olds, props).changes
    revoked = to_props(engine.configuration(keys={"keys": []}))
    assert provider.diff("id", olds, revoked).changes
    (engine.hot / "tokens.json").write_text("{}")
    seen = provider.read("id", olds).outs
    assert seen["state"] == "running with tokens.json changed by hand"
    assert provider.diff("id", seen, props).changes
    repaired = provider.update("id", seen, props).outs
    assert provider.read("id", repaired).outs["state"] == "running"
    with pytest.raises(RuntimeError) as caught:
        provider.update("id", olds, {**props, "rendered": {**props["rendered"], "check": "{"}})
    assert decode(str(caught.value)).code == "gateway_config_invalid"
    provider.delete("id", olds)
    assert gateway.request("GET", API).status_code == 200


def test_diff_shows_what_would_change(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    assert not gateway_operations.diff(engine.configuration()).changed
    wanted = engine.configuration(settings={"origins": ("https://new.example",)})
    found = gateway_operations.diff(wanted)
    assert [file.name for file in found.files] == ["routes.json"]
    assert any(line.startswith("+") and "https://new.example" in line for line in found.files[0].lines)
    assert not found.restart
    assert gateway_operations.diff(replace(wanted, bootstrap_digest="other")).restart
    done = gateway_operations.apply(wanted, lambda: gateway_apply.apply(wanted))
    assert done.changed == ("routes.json",)
    assert not gateway_operations.diff(wanted).changed


def test_a_gateway_that_is_about_to_restart_is_not_asked(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    wanted = engine.configuration(keys={"keys": []})
    impossible = replace(wanted.smoke[0], statuses=(418,))
    gateway_apply.apply(replace(wanted, bootstrap_digest="another", smoke=(impossible,)))
    assert gateway_apply.last_good(engine.hot) == dict(wanted.files)


def test_a_new_certificate_is_served_without_a_restart(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    folder, now = Path(gateway.certificate).parent, datetime.now(tz=UTC)
    Path(gateway.certificate).unlink()
    certificate.ensure(folder, now - certificate.VALID + timedelta(days=10))
    gateway_apply.apply(engine.configuration())
    before = Path(gateway.certificate).read_bytes()
    certificate.ensure(folder, now)
    assert Path(gateway.certificate).read_bytes() != before
    gateway_apply.apply(engine.configuration())  # its smoke test trusts the new one alone
    assert _served(gateway) == Path(gateway.certificate).read_bytes().strip()


def test_a_lost_folder_of_the_certificate_is_made_again(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    folder = Path(gateway.certificate).parent
    for _ in range(2):  # what watched the first folder is gone with it
        shutil.rmtree(folder)
        certificate.ensure(folder, datetime.now(tz=UTC))
        gateway_apply.apply(engine.configuration())
        assert _served(gateway) == Path(gateway.certificate).read_bytes().strip()


def test_another_certificate_under_the_same_path_is_another_configuration(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    first, second = (engine.configuration(fingerprint=value) for value in ("a", "b"))
    assert first.digest() != second.digest()
    assert from_props(to_props(second)) == second


def _served(gateway: Any) -> bytes:
    address = (httpx.URL(gateway.tls_url).host, httpx.URL(gateway.tls_url).port)
    return ssl.get_server_certificate(address).encode().strip()


def _endpoint(engine: Any) -> Endpoint:
    settings = engine.inputs.settings
    return Endpoint(
        service="gateway", engine="envoy", version="1.40.0", runtime="embedded", host="127.0.0.1", port=settings.port,
        options={
            "admin": f"{engine.layout.data_dir}/admin.sock",
            "tls_port": str(settings.tls_port),
            "certificate": engine.inputs.certificate,
        },
        capabilities=frozenset({Capability.READ_FILES}),
    )  # fmt: skip


def test_the_probe_says_how_it_is(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    healthy = probe(_endpoint(engine), 5)
    assert {check.name: check.status for check in healthy.checks} == dict.fromkeys(
        ("reachable", "closed", "certificate", "upstream"), Status.OK
    )
    gateway.upstream.stop()
    deadline = time.monotonic() + 20
    while probe(_endpoint(engine), 5).status is not Status.DEGRADED:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    gateway.upstream.start(gateway.upstream.port)
    engine.stop()
    assert probe(_endpoint(engine), 2).status is Status.DOWN


def test_the_admin_interface_is_on_no_port(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    for path in ("/stats", "/stats/prometheus", "/config_dump", "/quitquitquit", "/ready"):
        assert gateway.request("POST", path).status_code == 404
    bootstrap = json.loads((Path(engine.layout.config_dir) / "bootstrap.json").read_text())
    assert set(bootstrap["admin"]["address"]) == {"pipe"}
    assert Path(bootstrap["admin"]["address"]["pipe"]["path"]).stat().st_mode & 0o777 == 0o600
