"""What is Envoy's own of a change of configuration: its files, and the record of those that worked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import RagopsError, decode_error
from ragops.runtimes.embedded.envoy import apply
from ragops.runtimes.embedded.envoy.provider import GatewayConfigProvider, from_props, to_props

if TYPE_CHECKING:
    from ragops.services.gateway.configuration import GatewayConfiguration

pytestmark = pytest.mark.servers

API = "/api/v1/search"


def _altered(engine: Any, name: str, change: Any) -> GatewayConfiguration:
    """The configuration with one hot file changed, as a renderer with a mistake would make it."""
    wanted = engine.configuration()
    values = json.loads(wanted.files[name])
    change(values["resources"][0])
    return replace(wanted, files={**wanted.files, name: json.dumps(values)})


def test_an_interrupted_apply_is_seen_and_completed(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    wanted = engine.configuration(keys={"keys": []}, settings={"origins": ("https://new.example",)})
    (engine.hot / "routes.json").write_text(wanted.files["routes.json"])  # as far as it came
    assert apply.changed_files(engine.hot, apply.digests(wanted.files)) == ("live.json", "tokens.json")
    apply.apply(wanted)
    assert apply.changed_files(engine.hot, apply.digests(wanted.files)) == ()
    assert gateway.request("GET", API).status_code == 401
    assert not engine.hot.with_name("hot.new").exists()


def test_the_last_good_one_outlives_an_interrupted_apply(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    good = apply.current(engine.hot)
    broken = _altered(engine, "routes.json", lambda table: table["virtual_hosts"][0]["routes"].clear())
    (engine.hot / "routes.json").write_text(broken.files["routes.json"])
    with pytest.raises(RagopsError, match="back in force"):
        apply.apply(broken)
    assert apply.current(engine.hot) == good


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
    assert decode_error(str(caught.value)).code == "gateway_config_invalid"
    provider.delete("id", olds)
    assert gateway.request("GET", API).status_code == 200


def test_a_gateway_that_is_about_to_restart_is_not_asked(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    wanted = engine.configuration(keys={"keys": []})
    impossible = replace(wanted.smoke[0], statuses=(418,))
    apply.apply(replace(wanted, bootstrap_digest="another", smoke=(impossible,)))
    assert apply.last_good(engine.hot) == dict(wanted.files)


def test_another_certificate_under_the_same_path_is_another_configuration(envoy_gateway: Any) -> None:
    engine, _ = envoy_gateway
    first, second = (engine.configuration(fingerprint=value) for value in ("a", "b"))
    assert first.digest() != second.digest()
    assert from_props(to_props(second)) == second


def test_the_admin_interface_is_on_no_port(envoy_gateway: Any) -> None:
    engine, gateway = envoy_gateway
    for path in ("/stats", "/stats/prometheus", "/config_dump", "/quitquitquit", "/ready"):
        assert gateway.request("POST", path).status_code == 404
    bootstrap = json.loads((Path(engine.layout.config_dir) / "bootstrap.json").read_text())
    assert set(bootstrap["admin"]["address"]) == {"pipe"}
    assert Path(bootstrap["admin"]["address"]["pipe"]["path"]).stat().st_mode & 0o777 == 0o600
