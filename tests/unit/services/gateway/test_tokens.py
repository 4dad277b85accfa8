from __future__ import annotations

import hashlib
import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from ragops.errors import ExitCode, RagopsError, UsageError
from ragops.operations.gateway import tokens as operations
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
    with pytest.raises(RagopsError, match=r"cannot read .*credentials\.json"):
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
    assert certificate.ensure(tmp_path, later, write=False).fingerprint == certificate.DUE != first.fingerprint
    assert first.certificate.read_bytes() == text, "a plan renews nothing"
    assert certificate.ensure(tmp_path, later).fingerprint not in (certificate.DUE, first.fingerprint)
    assert first.certificate.read_bytes() != text


@pytest.mark.parametrize("name", ["tls.key", "tls.crt"])
@pytest.mark.parametrize("content", [None, ""])
def test_half_of_a_generated_pair_is_replaced(tmp_path: Path, name: str, content: str | None) -> None:
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


def test_a_run_that_was_killed_between_key_and_certificate_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate.ensure(tmp_path, NOW)
    later, write = NOW + timedelta(days=380), certificate.write_atomic

    def die(path: Path, content: str | bytes, mode: int) -> None:
        if path.name == "tls.crt":
            raise KeyboardInterrupt
        write(path, content, mode)

    monkeypatch.setattr(certificate, "write_atomic", die)
    with pytest.raises(KeyboardInterrupt):
        certificate.ensure(tmp_path, later)
    monkeypatch.setattr(certificate, "write_atomic", write)
    assert certificate.ensure(tmp_path, later).expires > later + timedelta(days=300)


def own_pair(folder: Path, *, days: int, subject: str = "rag.example", password: bytes | None = None) -> bytes:
    """A certificate and a key as an operator would put them there; returns the key."""
    private = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some Authority")])
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    cipher = BestAvailableEncryption(password) if password else NoEncryption()
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tls.crt").write_bytes(built.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(key)
    return key


@pytest.mark.parametrize("days", [80, 29, 1, -1])
@pytest.mark.parametrize("subject", ["rag.example", "ragops gateway"])
def test_a_pair_of_the_users_own_is_never_touched(tmp_path: Path, days: int, subject: str) -> None:
    certificate.ensure(tmp_path, NOW)  # there was one of ours before
    own_pair(tmp_path, days=days, subject=subject)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for write in (True, False):
        found = certificate.ensure(tmp_path, NOW, write=write)
        assert found.fingerprint == hashlib.sha256(before["tls.crt"]).hexdigest()[:12]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_linked_pair_stays_linked(tmp_path: Path) -> None:
    own_pair(tmp_path / "live", days=10)
    (tmp_path / "tls").mkdir()
    for name in certificate.FILES:
        (tmp_path / "tls" / name).symlink_to(tmp_path / "live" / name)
    certificate.ensure(tmp_path / "tls", NOW)
    assert all((tmp_path / "tls" / name).is_symlink() for name in certificate.FILES)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"tls.crt": b"nonsense"}, "not a certificate"),
        ({"tls.key": b"nonsense"}, "not a private key"),
        ({"tls.crt": None}, "is missing"),
        ({"tls.key": None}, "is missing"),
        ({"tls.key": "other"}, "of another certificate"),
        ({"tls.crt": "generated"}, "of another certificate"),
        ({"tls.key": "protected"}, "password"),
    ],
)
def test_what_is_no_pair_is_refused_and_left(tmp_path: Path, damage: dict[str, Any], reason: str) -> None:
    own_pair(tmp_path / "tls", days=80)
    made = {
        "other": own_pair(tmp_path / "other", days=80),
        "generated": certificate.ensure(tmp_path / "ours", NOW).certificate.read_bytes(),
        "protected": own_pair(tmp_path / "protected", days=80, password=b"secret"),
    }
    for name, content in damage.items():
        if content is None:
            (tmp_path / "tls" / name).unlink()
        else:
            (tmp_path / "tls" / name).write_bytes(made.get(content, content))
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    with pytest.raises(RagopsError, match=reason) as caught:
        certificate.ensure(tmp_path / "tls", NOW)
    assert caught.value.code == "certificate_invalid"
    assert str(tmp_path / "tls") in caught.value.hint
    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before
