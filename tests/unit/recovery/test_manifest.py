"""Manifests: strict, signed, and honest about newer formats."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from ragops.errors import ExitCode, IntegrityError, MissingError
from ragops.recovery.manifest import FORMAT, Manifest, parse, sign_manifest
from ragops.recovery.signing import SigningKey, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = SigningKey(Ed25519PrivateKey.generate())
OTHER = SigningKey(Ed25519PrivateKey.generate())
VALUES: dict[str, Any] = {
    "format": FORMAT,
    "id": "20260102T030405Z-0a1b2c",
    "sequence": 7,
    "kind": "backup",
    "created": "2026-01-02T03:04:05Z",
    "platform": "p",
    "environment": "default",
    "runtime": "embedded",
    "ragops": "0.1.0",
    "duration": 1.5,
    "quiesced": "2026-01-02T03:04:06Z",
    "recipients": ["age1qqq"],
    "images": {"redis": "sha256:0"},
    "parts": [
        {
            "service": "redis",
            "name": "dump.rdb",
            "size": 3,
            "sha256": "0" * 64,
            "stored": {"file": "dump.rdb.zst.age", "size": 9, "sha256": "1" * 64},
            "counts": {"keys": 1},
            "instant": "2026-01-02T03:04:05Z",
            "versions": {"valkey": "9.1.2"},
        }
    ],
}


def signed(values: Any = VALUES, key: SigningKey = KEY) -> bytes:
    """A file whose signature holds, whatever it signs."""
    body = (json.dumps(values, indent=2) + "\n").encode()
    return body + (json.dumps(sign(key, body).to_dict()) + "\n").encode()


def changed(**values: Any) -> bytes:
    return signed({**VALUES, **values})


def changed_part(**values: Any) -> bytes:
    return changed(parts=[{**VALUES["parts"][0], **values}])


def changed_stored(**values: Any) -> bytes:
    return changed_part(stored={**VALUES["parts"][0]["stored"], **values})


def refused(content: bytes) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        parse(content, "here")
    assert caught.value.exit_code is ExitCode.INTEGRITY
    assert "here" in caught.value.message
    return caught.value


def test_reads_what_it_writes() -> None:
    manifest = Manifest.model_validate_json(json.dumps(VALUES))
    content = sign_manifest(manifest, KEY)
    found = parse(content, "here")
    assert found.manifest == manifest
    assert found.signature.key == KEY.public
    assert found.signature.is_valid(content.rpartition(b'{"key"')[0])
    assert sign_manifest(found.manifest, KEY) == content
    assert manifest.parts_of("redis")[0].path == "redis/dump.rdb"
    assert manifest.parts_of("redis")[0].stored_path == "redis/dump.rdb.zst.age"
    assert manifest.parts_of("qdrant") == ()
    assert manifest.is_encrypted
    assert json.loads(content.splitlines()[-1])["key"] == KEY.public


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every value of a document that has no values of its own."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in inner:
        yield from places(value, (*path, name)) if isinstance(value, dict | list) else [(*path, name)]


def another(value: Any) -> Any:
    """Another value of the same kind that a manifest may have in most places."""
    if isinstance(value, str):
        return value.replace("2026", "2027") if "2026" in value else value[:-1] + ("1" if value[-1] == "0" else "0")
    return value + 1


@pytest.mark.parametrize("place", list(places(VALUES)), ids=lambda place: ".".join(map(str, place)))
def test_no_field_can_be_changed_after_it_was_signed(place: tuple[Any, ...]) -> None:
    values = copy.deepcopy(VALUES)
    inner = values
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = another(inner[place[-1]])
    body, last = (json.dumps(values, indent=2) + "\n").encode(), signed().splitlines()[-1]
    with pytest.raises((IntegrityError, MissingError)) as caught:
        parse(body + last + b"\n", "here")
    allowed = ("signature_invalid",) if place[-1] not in ("kind", "format") else ("manifest_invalid", "manifest_newer")
    assert caught.value.code in allowed


def test_every_flipped_byte_is_found() -> None:
    content = signed()
    for place in range(len(content) - 1):  # the last is a line's end
        damaged = bytearray(content)
        damaged[place] ^= 0x01
        with pytest.raises((IntegrityError, MissingError)) as caught:
            parse(bytes(damaged), "here")
        assert caught.value.code in ("manifest_invalid", "signature_invalid", "manifest_newer"), place


def test_every_cut_is_found() -> None:
    content = sign_manifest(Manifest.model_validate_json(json.dumps(VALUES)), KEY)
    for length in range(len(content) - 1):
        refused(content[:length])
    assert parse(content[:-1], "here") == parse(content, "here"), "only its last line's end is missing"


def test_the_signature_of_another_manifest_does_not_hold() -> None:
    one, other = signed(), changed(id="20260102T030405Z-ffffff")
    last = other.splitlines()[-1]
    error = refused(one[: one.rindex(b'{"key"')] + last + b"\n")
    assert error.code == "signature_invalid"
    assert "changed after it was signed" in error.message


def test_one_key_cannot_speak_for_another() -> None:
    content = signed(key=OTHER)
    assert parse(content, "here").signature.key == OTHER.public, "who is trusted is asked elsewhere"
    assert refused(content.replace(OTHER.public.encode(), KEY.public.encode())).code == "signature_invalid"


def test_nothing_can_be_put_before_between_or_behind() -> None:
    content = signed()
    body, last = content[: content.rindex(b'{"key"')], content.splitlines()[-1]
    for damaged in (
        b" " + content,
        b"\n" + content,
        body + b"\n" + last + b"\n",
        content + b"{}\n",
        content + last + b"\n",
        body + body + last,
        body,
        last,
    ):
        refused(damaged)


def test_no_signature_is_no_manifest() -> None:
    refused((json.dumps(VALUES, indent=2) + "\n").encode())
    refused(json.dumps(VALUES).encode())
    refused((json.dumps(VALUES) + "\n{}\n").encode())


def test_a_newer_format_is_named_as_such() -> None:
    for content in (
        changed(format=FORMAT + 1, parts="another shape"),
        json.dumps({"format": FORMAT + 1}).encode(),
        (json.dumps({"format": 99, "all": "else"}, indent=1) + "\nanother kind of signature\n").encode(),
    ):
        with pytest.raises(MissingError) as caught:
            parse(content, "here")
        assert caught.value.code == "manifest_newer"
        assert "a newer ragops wrote it" in caught.value.message


def test_a_key_that_is_not_known_may_be_of_a_newer_ragops() -> None:
    error = refused(changed(of_tomorrow=1))
    assert "of_tomorrow" in error.message
    assert "if a newer ragops wrote it: `" in error.hint


def test_the_format_before_is_read() -> None:
    assert parse(changed(format=2), "here").manifest.format == 2


def test_an_older_format_is_named_as_such() -> None:
    error = refused(json.dumps({**VALUES, "format": 1}, indent=2).encode())
    assert error.code == "manifest_invalid"
    assert "format 1" in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a signed manifest"),
        (b"\n", "not a signed manifest"),
        (b"\xff\xfe", "not a signed manifest"),
        (b"[]", "not a signed manifest"),
        (b"{}", "not a signed manifest"),
        (b"[" * 100_000, "not a signed manifest"),
        (signed([]), "here"),
        (changed(surprise=1), "surprise"),
        (changed(id="../up"), "id"),
        (changed(created="2026-01-02T03:04:05"), "created"),
        (changed(sequence=-1), "sequence"),
        (changed(duration=-1), "duration"),
        (changed(kind="other"), "kind"),
        (changed(parts=None), "parts"),
        (changed_part(name="../../etc/passwd"), "parts.0.name"),
        (changed_part(service=".."), "parts.0.service"),
        (changed_part(service="a/b"), "parts.0.service"),
        (changed_part(name=".hidden"), "parts.0.name"),
        (changed_part(sha256="short"), "parts.0.sha256"),
        (changed_part(size=-1), "parts.0.size"),
        (changed_part(surprise=1), "parts.0.surprise"),
        (changed_stored(file="../x"), "parts.0.stored.file"),
        (changed_stored(sha256="F" * 64), "parts.0.stored.sha256"),
        (changed_stored(size=-1), "parts.0.stored.size"),
        (changed_stored(surprise=1), "parts.0.stored.surprise"),
    ],
)
def test_refuses_everything_else_though_it_is_signed(content: bytes, said: str) -> None:
    error = refused(content)
    assert error.code == "manifest_invalid"
    assert said in error.message


def test_it_cannot_be_changed_in_memory() -> None:
    manifest = parse(signed(), "here").manifest
    with pytest.raises(ValidationError):
        manifest.id = "20260102T030405Z-ffffff"  # type: ignore[misc]
