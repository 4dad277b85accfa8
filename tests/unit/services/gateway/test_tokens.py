from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509

from ragops.errors import ExitCode, RagopsError, UsageError
from ragops.operations import tokens as operations
from ragops.services.gateway import certificate, tokens

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)


def nothing() -> None: ...


def _claims(token: str, credential: tokens.Credential) -> dict[str, Any]:
    key = jwt.PyJWK(dict(credential.key)).key
    return jwt.decode(token, key, ["RS256"], options={"verify_exp": False, "verify_nbf": False, "verify_iat": False})


def test_a_token_says_who_it_is_for_and_how_long_it_holds() -> None:
    token, credential = tokens.issue("ci", "demo", NOW, timedelta(days=1), ("search", "query"))
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": credential.kid}
    second = int(NOW.timestamp())
    assert _claims(token, credential) == {
        "iss": "ragops/demo", "sub": "ci", "iat": second, "nbf": second, "exp": second + 86400,
        "jti": credential.kid, "scope": "search query",
    }  # fmt: skip
    assert credential.kid.startswith("tok_")
    assert len(credential.kid) == 16
    assert credential.expires == NOW.replace(microsecond=0) + timedelta(days=1)


def test_ninety_days_are_the_default() -> None:
    token, credential = tokens.issue("ci", "demo", NOW)
    assert credential.expires - credential.created == timedelta(days=90)
    assert "scope" not in _claims(token, credential)


def test_every_token_has_a_key_of_its_own() -> None:
    (one, first), (_, second) = tokens.issue("ci", "demo", NOW), tokens.issue("ci", "demo", NOW)
    assert first.kid != second.kid
    with pytest.raises(jwt.InvalidSignatureError):
        _claims(one, second)


@pytest.mark.parametrize("name", ["", "CI", "-ci", "ci-", "a b", "a/b", "ä", "x" * 64, "../x", "a\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        tokens.issue(name, "demo", NOW)
    assert caught.value.code == "bad_token_name"


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=59), timedelta(days=-1), timedelta(days=367)])
def test_a_bad_duration_is_refused(ttl: timedelta) -> None:
    with pytest.raises(UsageError) as caught:
        tokens.issue("ci", "demo", NOW, ttl)
    assert caught.value.code == "bad_token_ttl"


@pytest.mark.parametrize("scope", ["", "a b", "Search", '"'])
def test_a_bad_scope_is_refused(scope: str) -> None:
    with pytest.raises(UsageError) as caught:
        tokens.issue("ci", "demo", NOW, scopes=(scope,))
    assert caught.value.code == "bad_token_scope"


def test_files_hold_public_keys_only(tmp_path: Path) -> None:
    token, credential = tokens.issue("ci", "demo", NOW)
    tokens.save(tmp_path, (credential,))
    assert tokens.load(tmp_path) == (credential,)
    for name in (tokens.CREDENTIALS, tokens.JWKS):
        text = (tmp_path / name).read_text()
        assert token not in text
        assert token.split(".")[2] not in text
        assert '"d"' not in text
        assert '"p"' not in text
    assert stat.S_IMODE((tmp_path / tokens.CREDENTIALS).stat().st_mode) == 0o600
    assert json.loads((tmp_path / tokens.JWKS).read_text()) == tokens.jwks((credential,))


def test_the_key_set_does_not_depend_on_order_or_clock() -> None:
    (_, one), (_, two) = tokens.issue("a", "demo", NOW), tokens.issue("b", "demo", NOW - timedelta(days=300))
    assert tokens.jwks((one, two)) == tokens.jwks((two, one))
    assert len(tokens.jwks((one, two))["keys"]) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"credentials/2": []}', '{"credentials/1": [{"kid": "tok_x"}]}']
)
def test_an_unreadable_list_is_never_guessed_at(tmp_path: Path, text: str) -> None:
    (tmp_path / tokens.CREDENTIALS).write_text(text)
    with pytest.raises(RagopsError) as caught:
        tokens.load(tmp_path)
    assert caught.value.code == "credentials_unreadable"


@pytest.mark.parametrize("change", [{"alg": "HS256"}, {"kty": "oct"}, {"kid": "tok_ffffffffffff"}, {"d": "secret"}])
def test_a_key_of_another_kind_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    _, credential = tokens.issue("ci", "demo", NOW)
    tokens.save(tmp_path, (credential,))
    path = tmp_path / tokens.CREDENTIALS
    values = json.loads(path.read_text())
    values["credentials/1"][0]["key"] |= change
    path.write_text(json.dumps(values))
    with pytest.raises(RagopsError, match=r"credentials\.json cannot be read"):
        tokens.load(tmp_path)


def test_both_files_are_brought_into_step(tmp_path: Path) -> None:
    assert tokens.ensure(tmp_path) == ()
    assert json.loads((tmp_path / tokens.JWKS).read_text()) == {"keys": []}
    _, credential = tokens.issue("ci", "demo", NOW)
    tokens.save(tmp_path, (credential,))
    for damage in ('{"keys": []}', "{", None):
        if damage is None:
            (tmp_path / tokens.JWKS).unlink()
        else:
            (tmp_path / tokens.JWKS).write_text(damage)
        assert tokens.ensure(tmp_path) == (credential,)
        assert json.loads((tmp_path / tokens.JWKS).read_text()) == tokens.jwks((credential,))


def test_revoking_takes_one_by_id_and_all_by_name() -> None:
    one, two, other = (tokens.issue(name, "demo", NOW)[1] for name in ("ci", "ci", "web"))
    assert tokens.revoke((one, two, other), one.kid) == ((two, other), (one,))
    assert tokens.revoke((one, two, other), "ci") == ((other,), (one, two))
    with pytest.raises(RagopsError) as caught:
        tokens.revoke((other,), "ci")
    assert caught.value.code == "no_such_token"


def test_what_ran_out_long_ago_is_forgotten() -> None:
    _, credential = tokens.issue("ci", "demo", NOW, timedelta(days=1))
    assert tokens.prune((credential,), NOW + timedelta(days=2)) == (credential,)
    assert tokens.prune((credential,), NOW + timedelta(days=32)) == ()


# --- the commands' use cases ------------------------------------------------------------------------------------------


def _fails() -> None:
    raise RagopsError("gateway_smoke_failed", "it does not hold", "", exit_code=ExitCode.FAILED)


def test_a_token_that_the_gateway_does_not_take_never_was(tmp_path: Path) -> None:
    first = operations.issue(tmp_path, "demo", "ci", NOW, nothing)
    with pytest.raises(RagopsError):
        operations.issue(tmp_path, "demo", "ci", NOW, _fails)
    assert [line.kid for line in operations.list_tokens(tmp_path, NOW)] == [first.kid]
    assert len(json.loads((tmp_path / tokens.JWKS).read_text())["keys"]) == 1


def test_the_token_is_in_place_when_the_gateway_is_asked(tmp_path: Path) -> None:
    seen: list[int] = []
    operations.issue(tmp_path, "demo", "ci", NOW, lambda: seen.append(len(tokens.load(tmp_path))))
    assert seen == [1]


def test_a_revocation_stays_even_where_the_gateway_cannot_be_brought_along(tmp_path: Path) -> None:
    issued = operations.issue(tmp_path, "demo", "ci", NOW, nothing)
    with pytest.raises(RagopsError) as caught:
        operations.revoke(tmp_path, issued.kid, NOW, _fails)
    assert caught.value.code == "revoked_not_applied"
    assert "gateway apply" in caught.value.hint
    assert operations.list_tokens(tmp_path, NOW) == ()
    assert json.loads((tmp_path / tokens.JWKS).read_text()) == {"keys": []}


def test_the_list_says_what_has_run_out_and_what_shares_a_name(tmp_path: Path) -> None:
    operations.issue(tmp_path, "demo", "ci", NOW, nothing, timedelta(hours=1))
    operations.issue(tmp_path, "demo", "ci", NOW + timedelta(minutes=1), nothing)
    operations.issue(tmp_path, "demo", "ci", NOW + timedelta(minutes=2), nothing)
    lines = operations.list_tokens(tmp_path, NOW + timedelta(hours=2))
    assert [(line.expired, line.same_name) for line in lines] == [(True, 2), (False, 2), (False, 2)]


def test_an_issued_token_does_not_show_itself(tmp_path: Path) -> None:
    issued = operations.issue(tmp_path, "demo", "ci", NOW, nothing)
    assert issued.token not in repr(issued)


# --- the certificate ------------------------------------------------------------------------------------------------


def test_a_certificate_is_made_once_and_renewed_near_its_end(tmp_path: Path) -> None:
    first = certificate.ensure(tmp_path, NOW)
    text = first.certificate.read_bytes()
    found = x509.load_pem_x509_certificate(text)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert found.not_valid_after_utc == NOW.replace(microsecond=0) + timedelta(days=397)
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    certificate.ensure(tmp_path, NOW + timedelta(days=300))
    assert first.certificate.read_bytes() == text
    later = NOW + timedelta(days=368)
    assert certificate.ensure(tmp_path, later, renew=False).fingerprint == certificate.DUE != first.fingerprint
    assert first.certificate.read_bytes() == text, "a plan renews nothing"
    assert certificate.ensure(tmp_path, later).fingerprint not in (certificate.DUE, first.fingerprint)
    assert first.certificate.read_bytes() != text


@pytest.mark.parametrize("name", ["tls.key", "tls.crt"])
@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_half_a_pair_is_made_anew(tmp_path: Path, name: str, content: str | None) -> None:
    certificate.ensure(tmp_path, NOW)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    again = certificate.ensure(tmp_path, NOW)
    assert b"PRIVATE KEY" in again.key.read_bytes()
    assert (
        certificate.ensure(tmp_path, NOW).expires
        == x509.load_pem_x509_certificate(again.certificate.read_bytes()).not_valid_after_utc
    )


def test_a_key_of_another_certificate_is_not_kept(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    certificate.ensure(one, NOW)
    certificate.ensure(two, NOW)
    before = (two / "tls.crt").read_bytes()
    (two / "tls.key").write_bytes((one / "tls.key").read_bytes())
    certificate.ensure(two, NOW)
    assert (two / "tls.crt").read_bytes() != before
