"""What every gateway must do, whoever renders it: asked over HTTP only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "https://app.example"
API = "/api/v1/search"


@pytest.fixture(autouse=True)
def fresh(gateway: Any) -> Iterator[None]:
    gateway.upstream.seen.clear()
    yield
    gateway.upstream.extra_headers = {}


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["code"]
    return body


# --- routes and versions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v2/search", "/api/v1/collections/notes?limit=3&q=a%2Fb"])
def test_a_version_reaches_the_upstream_as_it_was_asked_for(gateway: Any, path: str) -> None:
    assert gateway.request("POST", path, json={"query": "x"}).status_code == 200
    assert [seen.target for seen in gateway.upstream.seen] == [path]


# --- answers as they are written --------------------------------------------------------------------------------------


def test_events_arrive_before_the_answer_is_whole(gateway: Any) -> None:
    gateway.upstream.may_go_on.clear()
    with gateway.stream("/api/v1/query") as lines:
        assert next(line for line in lines if line.startswith("data")) == "data: first"
        gateway.upstream.may_go_on.set()
        assert [line for line in lines if line.startswith("data")] == ["data: second"]


def test_the_upstream_sees_that_a_client_has_left(gateway: Any) -> None:
    gateway.upstream.may_go_on.clear()
    gateway.upstream.left.clear()
    with gateway.stream("/api/v1/query") as lines:
        next(lines)
    assert gateway.upstream.left.wait(20)


@pytest.mark.parametrize(
    "path", ["/api/v12/search", "/api/v3/search", "/api", "/", "/api/v1x", "/nope", "/searches", "/search/x"]
)
def test_what_no_route_names_is_404(gateway: Any, path: str) -> None:
    assert_problem(gateway.request("GET", path), 404)
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("path", ["/search", "/query", "/collections"])
def test_a_legacy_path_is_answered_and_says_that_it_ends(gateway: Any, path: str) -> None:
    answer = gateway.request("GET", path)
    assert answer.status_code == 200
    assert answer.headers["deprecation"].startswith("@")
    assert answer.headers["sunset"].endswith("GMT")
    assert answer.headers["link"] == f'</api/v1{path}>; rel="successor-version"'
    assert "deprecation" not in gateway.request("GET", f"/api/v1{path}").headers


def test_the_upstreams_own_deprecation_stays(gateway: Any) -> None:
    gateway.upstream.extra_headers = {"Deprecation": "@1", "Sunset": "never", "Link": "</x>"}
    answer = gateway.request("GET", "/search")
    assert answer.headers.get_list("deprecation") == ["@1"]
    assert answer.headers.get_list("sunset") == ["never"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS"])
def test_a_method_that_no_route_has_is_refused(gateway: Any, method: str) -> None:
    answer = gateway.request(method, API)
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert gateway.upstream.seen == []


# --- tokens -----------------------------------------------------------------------------------------------------------


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(gateway: Any, algorithm: str) -> str:
    _, payload, _ = gateway.token().split(".")
    return f"{_b64(json.dumps({'alg': algorithm, 'typ': 'JWT', 'kid': gateway.signer.kid}).encode())}.{payload}"


def _hs256(gateway: Any, secret: bytes) -> str:
    text = _unsigned(gateway, "HS256")
    return f"{text}.{_b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def _bad_tokens(gateway: Any) -> dict[str, str]:
    good, now = gateway.token(), int(time.time())
    head, payload, signature = good.split(".")
    public = gateway.signer.key.public_key()
    stranger = type(gateway.signer)(gateway.signer.kid)
    issuer = gateway.policy.jwt.issuer
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return {
        "expired": gateway.token(exp=now - 60, nbf=now - 600, iat=now - 600),
        "not valid yet": gateway.token(nbf=now + 120),
        "without an end": gateway.token(exp=None),
        "alg none": f"{_unsigned(gateway, 'none')}.",
        "alg none with a signature": f"{_unsigned(gateway, 'none')}.{signature}",
        "HS256 with the public PEM": _hs256(
            gateway, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        ),
        "HS256 with the public DER": _hs256(
            gateway, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ),
        "RS384": gateway.token(algorithm="RS384"),
        "PS256": gateway.token(algorithm="PS256"),
        "another's claims": f"{head}.{_b64(json.dumps({**claims, 'sub': 'admin'}).encode())}.{signature}",
        "a stranger's key": stranger.token(issuer),
        "wrong issuer": gateway.token(iss="ragops/other"),
        "unknown kid": gateway.token(headers={"kid": "tok_ffffffffffff"}),
        "a stranger with its key in the header": stranger.token(issuer, headers={"jwk": stranger.jwk()}),
        "cut signature": good[:-20],
        "no signature": f"{head}.{payload}.",
        "garbage": "garbage",
    }


def test_a_good_token_passes(gateway: Any) -> None:
    assert gateway.request("GET", API).status_code == 200


def test_no_token_is_401_with_a_challenge(gateway: Any) -> None:
    answer = gateway.request("GET", f"{API}?secret=1", token=None)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "secret" not in answer.headers["www-authenticate"]
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("path", [API, "/search"])
def test_a_bad_token_is_401(gateway: Any, path: str) -> None:
    for why, token in _bad_tokens(gateway).items():
        answer = gateway.request("GET", path, token=token)
        assert answer.status_code == 401, why
        assert token not in answer.text
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("name", ["access_token", "jwt", "token"])
def test_a_token_elsewhere_than_in_its_header_does_not_count(gateway: Any, name: str) -> None:
    token = gateway.token()
    assert gateway.request("GET", f"{API}?{name}={token}", token=None).status_code == 401
    assert gateway.request("GET", API, token=None, headers={"Cookie": f"{name}={token}"}).status_code == 401
    assert gateway.request("GET", API, token=None, headers={"Authorization": f"Basic {token}"}).status_code == 401
    assert gateway.upstream.seen == []


def test_a_small_clock_skew_is_forgiven(gateway: Any) -> None:
    skew = gateway.policy.jwt.clock_skew
    assert gateway.request("GET", API, token=gateway.token(exp=int(time.time()) - max(0, skew - 3))).status_code == 200


def test_a_token_that_was_taken_is_refused_once_it_has_expired(gateway: Any) -> None:
    end = int(time.time()) - gateway.policy.jwt.clock_skew + 3
    token = gateway.token(exp=end)
    assert gateway.request("GET", API, token=token).status_code == 200
    while time.time() < end + gateway.policy.jwt.clock_skew + 1:
        time.sleep(0.5)
    assert gateway.request("GET", API, token=token).status_code == 401


# --- inner paths ------------------------------------------------------------------------------------------------------

INNER = ("internal/search", "internal", "metrics", "healthz", "readyz")
SPELLINGS = (
    "/{}", "//{}", "///{}", "/./{}", "/{}/", "/{}//", "/{}/.", "/{}/..", "/{}.", "/{}...", "/{}?x=1", "/{}#x",
    "/{};x=1", "/x/../{}", "/api/v1/../../{}", "/api/v1/search/../../../{}", "/api/v1/./../../{}",
    "/api/v1/%2e%2e/%2e%2e/{}", "/api/v1/.%2e/%2E./{}", "/api/v1/..%2f..%2f{}", "/api/v1/..%2F..%2F{}",
    "/api/v1%2f..%2f..%2f{}", "/api/v1/%2e%2e%2f%2e%2e%2f{}", "/%2f{}", "/%2F%2F{}", "%2f{}",
    "/api/v1/%252e%252e/%252e%252e/{}", "/api/v1/..%252f..%252f{}", "/api/v1/%25%32%65%25%32%65/{}",
    "/api/v1/%c0%ae%c0%ae/%c0%ae%c0%ae/{}", "/api/v1/..%c0%af..%c0%af{}", "/api/v1/%e0%80%ae%e0%80%ae/{}",
    "/api/v1/..;/..;/{}", "/api/v1/;/../../{}", "/api/v1/..;x=1/..;x=1/{}", "/;/{}",
    "/api/v1/..\\..\\{}", "/api/v1\\..\\..\\{}", "/api/v1/..%5c..%5c{}", "\\{}", "/\\{}", "/%5c{}",
    "/api/v1/%00/../../{}", "/{}%00", "/{}%20", "/{}%09", "/api/v1/.../.../{}", "/api/v1/%u002e%u002e/{}",
    "/api/v1/..%/{}", "/api/v1/%2/{}", "/api/v1/..\t/{}", "/api/v1/..\x0b/..\x0b/{}", "/api/v1#/../../{}",
    "http://gateway/{}", "http://gateway//{}", "HTTP://gateway/{}", "http://gateway/api/v1/../../{}",
    "http://127.0.0.1/{}", "https://gateway/{}", "http://gateway/api/v1/%2e%2e/%2e%2e/{}", "//gateway/{}", "{}", "*",
)  # fmt: skip


@pytest.mark.parametrize("inner", INNER)
def test_no_spelling_reaches_an_inner_path(gateway: Any, inner: str) -> None:
    encoded = f"%{ord(inner[0]):02x}{inner[1:]}"
    for name in (inner, inner.upper(), inner.title(), encoded):
        for spelling in SPELLINGS:
            target = spelling.format(name).encode("latin-1")
            refused = (400, 403, 404) if target.startswith(b"https:") else (400, 404)
            assert gateway.raw(target) in refused, target
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("target", [b"/api/v1/\x00/../../internal", b"/internal\x00", b"/api/v1/search\x00"])
def test_a_nul_in_the_path_ends_the_matter(gateway: Any, target: bytes) -> None:
    assert gateway.raw(target) in (0, 400)
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("method", [b"POST", b"OPTIONS", b"CONNECT", b"PUT", b"HEAD"])
def test_no_method_opens_an_inner_path(gateway: Any, method: bytes) -> None:
    for target in (b"/internal/search", b"/metrics"):
        assert gateway.raw(target, method, b"Content-Length: 0\r\n") in (400, 403, 404, 405)
    assert gateway.upstream.seen == []


@pytest.mark.parametrize(
    "header", ["X-Original-URL", "X-Rewrite-URL", "X-Envoy-Original-Path", "X-HTTP-Method-Override"]
)
def test_a_header_does_not_lead_elsewhere(gateway: Any, header: str) -> None:
    assert gateway.request("GET", API, headers={header: "/internal/search"}).status_code == 200
    (seen,) = gateway.upstream.seen
    assert seen.target == API
    assert header.lower() not in seen.headers


@pytest.mark.parametrize(
    "target",
    ["/API/v1/search", "/api%2fv1/search", "/Search", "/%61pi/v1/search", "//api/v1/search", "/api/v1/./search"],
)
def test_other_spellings_of_a_route_are_no_way_around_its_token(gateway: Any, target: str) -> None:
    assert gateway.raw(target.encode(), authorized=False) in (400, 401, 404)
    assert gateway.upstream.seen == []


@pytest.mark.parametrize(
    "target", ["//api//v1//search", "/x/../api/v1/search", "/api/v1/%2e/search", "/api/v1//../search"]
)
def test_what_is_passed_on_can_be_read_in_one_way_only(gateway: Any, target: str) -> None:
    assert gateway.raw(target.encode()) in (200, 400, 404)
    for seen in gateway.upstream.seen:
        assert seen.target == API


def test_a_request_smuggled_behind_another_is_refused(gateway: Any) -> None:
    both = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    assert gateway.raw(API.encode(), b"POST", both) in (0, 400)
    assert gateway.raw(API.encode(), b"POST", b"Content-Length: 4\r\nContent-Length: 5\r\n") in (0, 400)
    assert gateway.upstream.seen == []


# --- headers ------------------------------------------------------------------------------------------------------


def test_what_only_services_may_say_is_dropped(gateway: Any) -> None:
    forged = {
        "X-Service-Token": "guess", "X-Envoy-Internal": "true", "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
        "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "evil", "Forwarded": "for=10.0.0.1", "X-Real-IP": "10.0.0.1",
    }  # fmt: skip
    assert gateway.request("GET", API, headers=forged).status_code == 200
    (seen,) = gateway.upstream.seen
    assert "x-service-token" not in seen.headers
    assert not [name for name in seen.headers if name.startswith("x-envoy-")]
    assert "10.0.0.1" not in " ".join(seen.headers.values())
    assert "," not in seen.headers["x-forwarded-for"]


@pytest.mark.parametrize(
    "header",
    [
        b"X_Service_Token", b"x_service-token", b"X-Service_Name", b"X_Request_ID", b"Content_Length",
        b"Transfer_Encoding", b"X_Forwarded_For", b"x_real_ip",
    ],
)  # fmt: skip
def test_a_header_that_differs_by_an_underscore_from_one_that_matters_is_refused(gateway: Any, header: bytes) -> None:
    assert gateway.raw(API.encode(), b"GET", header + b": 1\r\n") == 400
    assert gateway.raw(API.encode(), b"GET", header + b": 1\r\n", authorized=False) == 400
    assert gateway.upstream.seen == []


def test_any_other_header_with_an_underscore_is_dropped(gateway: Any) -> None:
    headers = {"X_Trace": "1", "_": "2", "client_version": "3", "X-Kept": "4"}
    assert gateway.request("GET", API, headers=headers).status_code == 200
    (seen,) = gateway.upstream.seen
    assert not [name for name in seen.headers if "_" in name]
    assert not {"x-trace", "client-version"} & set(seen.headers)
    assert seen.headers["x-kept"] == "4"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_of_a_token_has_no_case(gateway: Any, scheme: str) -> None:
    for token, status in ((gateway.token(), 200), ("garbage", 401)):
        headers = {"Authorization": f"{scheme} {token}"}
        assert gateway.request("GET", API, token=None, headers=headers).status_code == status
    assert len(gateway.upstream.seen) == 1


@pytest.mark.parametrize("scheme", ["Bear", "Bearers", "Token", "Basic"])
def test_another_scheme_is_no_token(gateway: Any, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {gateway.token()}"}
    assert gateway.request("GET", API, token=None, headers=headers).status_code == 401
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("path", [API, "/search"])
@pytest.mark.parametrize("around", ["Bearer  {}", "bearer   {}"])
def test_spaces_may_stand_before_a_token(gateway: Any, around: str, path: str) -> None:
    headers = {"Authorization": around.format(gateway.token())}
    assert gateway.request("GET", path, token=None, headers=headers).status_code == 200


MALFORMED = [
    "x Bearer {}", "Basic abc Bearer {}", "Basic abc, Bearer {}", "Bearer Bearer {}", "bearer bearer {}", "xBearer {}",
    "Bearer {} {}", "Bearer {} x", "Bearer {},", "Bearer {};x", "Bearer {}, Bearer {}", 'Bearer "{}"', "Bearer a={}",
    "Bearer\t{}", "Bearer{}", "{}", "Bearer", "Bearer x {}", "Bearer !{}", "never{}", "never {}",
]  # fmt: skip


@pytest.mark.parametrize("path", [API, "/search"])
@pytest.mark.parametrize("value", MALFORMED)
def test_credentials_are_the_scheme_and_one_token_and_nothing_else(gateway: Any, value: str, path: str) -> None:
    headers = {"Authorization": value.replace("{}", gateway.token())}
    answer = gateway.request("GET", path, token=None, headers=headers)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert gateway.upstream.seen == []


def test_two_credentials_are_none(gateway: Any) -> None:
    for first, second in ((gateway.token(), gateway.token()), ("garbage", gateway.token()), (gateway.token(), "x")):
        lines = "".join(f"Authorization: Bearer {token}\r\n" for token in (first, second)).encode()
        assert gateway.raw(API.encode(), b"GET", lines, authorized=False) in (400, 401)
    assert gateway.upstream.seen == []


def test_a_page_of_an_allowed_origin_reads_why_its_credentials_are_refused(gateway: Any) -> None:
    for value in ("Bearer garbage", f"x Bearer {gateway.token()}"):
        answer = gateway.request("GET", API, token=None, headers={"Authorization": value, "Origin": ORIGIN})
        assert answer.status_code == 401
        assert answer.headers.get("access-control-allow-origin") == ORIGIN, value


def test_a_request_has_one_id_on_its_whole_way(gateway: Any) -> None:
    answer = gateway.request("GET", API)
    (seen,) = gateway.upstream.seen
    assert len(answer.headers["x-request-id"]) >= 16
    assert seen.headers["x-request-id"] == answer.headers["x-request-id"]
    other = gateway.request("GET", API)
    assert other.headers["x-request-id"] != answer.headers["x-request-id"]


def test_a_trace_is_passed_on_as_the_client_began_it(gateway: Any) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
    assert gateway.request("GET", API, headers=trace).status_code == 200
    seen = gateway.upstream.seen[0].headers
    assert {name: seen[name] for name in trace} == trace
    assert gateway.request("GET", API).status_code == 200
    assert "traceparent" not in gateway.upstream.seen[1].headers, "the gateway begins none"


def test_a_clients_request_id_is_kept_if_it_is_harmless(gateway: Any) -> None:
    answer = gateway.request("GET", API, headers={"X-Request-ID": "my-id.1"})
    assert answer.headers["x-request-id"] == "my-id.1"
    assert gateway.upstream.seen[0].headers["x-request-id"] == "my-id.1"
    refused = gateway.request("GET", "/nope", headers={"X-Request-ID": "my-id.2"})
    assert assert_problem(refused, 404)["request_id"] == "my-id.2"
    for bad in ('"><script>', "x" * 200):
        assert gateway.request("GET", API, headers={"X-Request-ID": bad}).status_code == 400


# --- CORS ---------------------------------------------------------------------------------------------------------


def _preflight(gateway: Any, origin: str, path: str = API, wanted: str = "authorization") -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
    }
    return gateway.request("OPTIONS", path, token=None, headers=headers)


@pytest.mark.parametrize("path", [API, "/search"])
def test_a_page_of_an_allowed_origin_may_call(gateway: Any, path: str) -> None:
    answer = _preflight(gateway, ORIGIN, path)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert gateway.upstream.seen == []
    assert gateway.request("GET", path, headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN


def test_a_page_may_begin_a_trace_and_read_its_id(gateway: Any) -> None:
    allowed = _preflight(gateway, ORIGIN, wanted="authorization,traceparent,tracestate").headers
    names = {name.strip().lower() for name in allowed["access-control-allow-headers"].split(",")}
    assert {"authorization", "traceparent", "tracestate"} <= names
    trace = {"Origin": ORIGIN, "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    answer = gateway.request("GET", API, headers=trace)
    assert gateway.upstream.seen[-1].headers["traceparent"] == trace["traceparent"]
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"x-trace-id", "x-request-id"} <= exposed


def test_a_page_sees_why_it_was_refused(gateway: Any) -> None:
    answer = gateway.request("GET", API, token=None, headers={"Origin": ORIGIN})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"]
)
def test_a_page_of_another_origin_may_not(gateway: Any, origin: str) -> None:
    assert "access-control-allow-origin" not in _preflight(gateway, origin).headers
    assert gateway.upstream.seen == []
    assert "access-control-allow-origin" not in gateway.request("GET", API, headers={"Origin": origin}).headers


def test_a_preflight_opens_no_inner_path(gateway: Any) -> None:
    assert _preflight(gateway, ORIGIN, "/internal/search").status_code == 404
    assert gateway.upstream.seen == []


# --- size ---------------------------------------------------------------------------------------------------------


def test_a_body_may_be_as_large_as_the_policy_says(gateway: Any) -> None:
    limit = gateway.policy.body_limit
    assert gateway.request("POST", API, content=b"x" * limit).status_code == 200
    assert [seen.size for seen in gateway.upstream.seen] == [limit]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_larger_body_is_413_and_never_reaches_the_upstream(gateway: Any, chunked: bool) -> None:
    body = b"x" * (gateway.policy.body_limit + 1)
    content = iter([body[:1000], body[1000:]]) if chunked else body
    assert_problem(gateway.request("POST", API, content=content), 413)
    assert gateway.upstream.seen == []


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_https_works_with_the_certificate(gateway: Any) -> None:
    if not gateway.tls_url:
        pytest.skip("this gateway has no TLS")
    trust = ssl.create_default_context(cafile=gateway.certificate)
    with httpx.Client(verify=trust, trust_env=False) as client:
        assert client.get(f"{gateway.tls_url}{API}").status_code == 401
        answer = client.get(
            f"{gateway.tls_url}{API}", headers={"Authorization": f"Bearer {gateway.token()}", "X-Probe": "1"}
        )
    assert answer.status_code == 200
    assert gateway.upstream.seen[0].headers["x-forwarded-proto"] == "https"
    with httpx.Client(trust_env=False) as stranger, pytest.raises(httpx.ConnectError):
        stranger.get(f"{gateway.tls_url}{API}")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_old_tls_and_plain_http_on_the_tls_port_fail_cleanly(gateway: Any) -> None:
    if not gateway.tls_url:
        pytest.skip("this gateway has no TLS")
    url = httpx.URL(gateway.tls_url)
    with socket.create_connection((url.host, url.port), 10) as connection:
        connection.sendall(b"GET /api/v1/search HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(1000)
    assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]
    with socket.create_connection((url.host, url.port), 10) as connection, pytest.raises((ssl.SSLError, OSError)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.wrap_socket(connection)
    assert gateway.request("GET", API).status_code == 200


# --- the upstream ---------------------------------------------------------------------------------------------------


def test_connections_to_the_upstream_are_kept_for_the_next_request(gateway: Any) -> None:
    before = gateway.upstream.connections
    assert [gateway.request("GET", API).status_code for _ in range(20)] == [200] * 20
    # One of each worker, and of the health checks.
    assert gateway.upstream.connections - before <= 6


def test_a_dead_upstream_is_503_and_one_that_is_back_is_found(gateway: Any) -> None:
    port = gateway.upstream.port
    gateway.upstream.stop()
    try:
        answer = gateway.request("GET", API)
        body = assert_problem(answer, 503)
        assert str(port) not in answer.text
        assert body["request_id"] == answer.headers["x-request-id"]
        assert gateway.request("GET", "/internal/x").status_code == 404
        assert gateway.request("GET", API, token=None).status_code == 401
    finally:
        gateway.upstream.start(port)
    deadline = time.monotonic() + 20
    while gateway.request("GET", API).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
