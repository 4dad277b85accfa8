from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragops.services.gateway.configuration import GatewayInputs, configuration, service_spec
from ragops.services.gateway.envoy import Rendering, render
from ragops.services.gateway.policy import DENIED
from ragops.services.gateway.settings import GatewaySettings
from ragops.services.spec import Layout

LAYOUT = Layout("/run/config", "/run/data", "127.0.0.1")
KEYS = {"keys": [{"kty": "RSA", "kid": "tok_0123456789ab", "alg": "RS256", "use": "sig", "n": "AQAB", "e": "AQAB"}]}


def _inputs(keys: dict[str, Any] = KEYS, **settings: Any) -> GatewayInputs:
    return GatewayInputs(GatewaySettings(**settings), "demo", "127.0.0.1", 8080, keys, "/tls/tls.crt", "/tls/tls.key")


def _render(inputs: GatewayInputs | None = None, socket: str = "/run/admin.sock") -> Rendering:
    inputs = inputs or _inputs()
    return render(inputs.policy("127.0.0.1"), inputs.keys, "/run/hot", socket)


def _resource(rendering: Rendering, name: str) -> dict[str, Any]:
    (found,) = json.loads(rendering.files[name])["resources"]
    return found


def _http(rendering: Rendering) -> list[dict[str, Any]]:
    listeners = json.loads(rendering.bootstrap)["static_resources"]["listeners"]
    return [listener["filter_chains"][0]["filters"][0]["typed_config"] for listener in listeners]


def test_rendering_is_a_pure_function() -> None:
    assert _render() == _render()


def test_what_changes_often_is_not_part_of_the_process() -> None:
    before = service_spec(_inputs(), LAYOUT)
    settings = {"origins": ("https://app.example",), "rate_limit": {"requests": 5, "burst": 5}}
    assert service_spec(_inputs({"keys": []}, **settings), LAYOUT) == before
    assert service_spec(_inputs(port=9000), LAYOUT) != before


def test_a_revocation_changes_the_token_check_and_its_mark_alone() -> None:
    before, after = _render(), _render(_inputs({"keys": []}))
    changed = [name for name in before.files if before.files[name] != after.files[name]]
    assert changed == ["tokens.json", "live.json"]
    assert before.live != after.live


def test_the_mark_is_the_last_file() -> None:
    assert list(_render().files)[-1] == "live.json"


def test_the_mark_tells_routes_and_keys_apart() -> None:
    routes, keys = _render().live.split("-")
    assert _render(_inputs(origins=("https://x.example",))).live.endswith(keys)
    assert _render(_inputs({"keys": []})).live.startswith(routes)


def test_admin_is_a_private_socket_or_not_there() -> None:
    admin = json.loads(_render().bootstrap)["admin"]
    assert admin == {"address": {"pipe": {"path": "/run/admin.sock", "mode": 0o600}}}
    assert "admin" not in json.loads(_render(socket=f"/{'x' * 107}").bootstrap)
    assert "admin" not in json.loads(_render(socket="").bootstrap)


def test_every_listener_has_the_same_strict_door() -> None:
    doors = _http(_render())
    assert len(doors) == 2
    assert doors[0] == doors[1]
    for name, value in {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": True,
    }.items():
        assert doors[0][name] == value
    assert doors[0]["common_http_protocol_options"]["headers_with_underscores_action"] == "ALLOW"
    assert doors[0]["http_filters"][-1]["name"] == "envoy.filters.http.router"


def test_without_tls_there_is_one_listener() -> None:
    rendering = _render(_inputs(tls=False))
    assert len(_http(rendering)) == 1
    assert "certificate.json" not in rendering.files
    assert "https" not in service_spec(_inputs(tls=False), LAYOUT).ports


def test_tokens_come_from_the_authorization_header_alone() -> None:
    provider = _resource(_render(), "tokens.json")["typed_config"]["providers"]["tokens"]
    assert provider["from_headers"][0] == {"name": "Authorization", "value_prefix": "Bearer "}
    assert {(place["name"], place["value_prefix"].lower()) for place in provider["from_headers"]} == {
        ("Authorization", "bearer ")
    }
    assert len({place["value_prefix"] for place in provider["from_headers"]}) == 64
    assert not {"from_params", "from_cookies"} & set(provider)
    assert provider["require_expiration"]
    assert json.loads(provider["local_jwks"]["inline_string"]) == KEYS


def test_without_any_key_nobody_gets_in() -> None:
    config = _resource(_render(_inputs({"keys": []})), "tokens.json")["typed_config"]
    assert "local_jwks" not in config["providers"]["tokens"]
    assert config["rules"] == [{"match": {"prefix": "/"}, "requires": {"provider_name": "tokens"}}]


def test_only_a_route_that_goes_nowhere_is_without_a_token() -> None:
    (host,) = _resource(_render(), "routes.json")["virtual_hosts"]
    for route in host["routes"]:
        open_ = route["typed_per_filter_config"].get("envoy.filters.http.jwt_authn", {}).get("disabled", False)
        assert open_ == ("direct_response" in route)


def test_inner_paths_are_refused_before_anything_is_routed() -> None:
    (host,) = _resource(_render(), "routes.json")["virtual_hosts"]
    denied = [
        index for index, route in enumerate(host["routes"]) if route["match"].get("path_separated_prefix") in DENIED
    ]
    first = next(index for index, route in enumerate(host["routes"]) if "route" in route)
    assert len(denied) == len(DENIED)
    assert max(denied) < first
    assert host["routes"][-1]["match"] == {"prefix": "/"}
    assert host["routes"][-1]["direct_response"]["status"] == 404


def test_prefixes_are_matched_by_segment() -> None:
    text = _render().files["routes.json"]
    assert '"path_separated_prefix": "/api/v1"' in text
    assert '"prefix": "/api' not in text


def test_an_upstream_that_is_ill_is_not_asked() -> None:
    cluster = _resource(_render(), "clusters.json")
    assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}}
    (check,) = cluster["health_checks"]
    assert check["http_health_check"]["path"] == "/healthz"
    assert check["interval"] == check["no_traffic_interval"] == "2s"


def test_nobody_is_trusted_for_his_address() -> None:
    (trusted,) = _http(_render())[0]["internal_address_config"]["cidr_ranges"]
    assert trusted == {"address_prefix": "255.255.255.255", "prefix_len": 32}


def test_the_judged_text_is_the_applied_one() -> None:
    rendering = _render()
    check = json.loads(rendering.check)
    (applied,) = _resource(rendering, "routes.json")["virtual_hosts"]
    door = check["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert door["route_config"]["virtual_hosts"] == [applied]
    tokens = next(item for item in door["http_filters"] if item["name"] == "envoy.filters.http.jwt_authn")
    assert tokens["typed_config"] == _resource(rendering, "tokens.json")["typed_config"]
    assert "dynamic_resources" not in check


@pytest.mark.parametrize("keys", [{"keys": []}, KEYS])
def test_no_private_key_is_rendered(keys: dict[str, Any]) -> None:
    rendering = _render(_inputs(keys))
    text = " ".join([rendering.bootstrap, rendering.check, *rendering.files.values()])
    assert "PRIVATE" not in text
    assert '"d"' not in text


def test_the_smoke_test_asks_every_route_and_inner_path() -> None:
    wanted = configuration(_inputs(), LAYOUT)
    asked = {test.url.removeprefix("http://127.0.0.1:8000"): test for test in wanted.smoke}
    assert asked["/api/v1"].statuses[0] == asked["/search"].statuses[0] == 401
    assert all(asked[path].statuses[0] == 404 for path in DENIED)
    assert wanted.smoke[0].headers == {"x-gateway-configuration": _render().live}
    assert asked["https://127.0.0.1:8443/gateway/ready"].ca == "/tls/tls.crt"


def test_the_hot_files_lie_outside_of_what_the_process_rewrites() -> None:
    wanted = configuration(_inputs(), LAYOUT)
    assert Path(LAYOUT.config_dir) not in Path(wanted.folder).parents
    assert wanted.folder in service_spec(_inputs(), LAYOUT).files[0].content


def test_the_digest_tells_what_is_applied() -> None:
    wanted = configuration(_inputs(), LAYOUT)
    assert wanted.digest() == configuration(_inputs(), LAYOUT).digest()
    assert wanted.digest() != configuration(_inputs({"keys": []}), LAYOUT).digest()
    assert wanted.digest() != replace(wanted, bootstrap_digest="other").digest()
