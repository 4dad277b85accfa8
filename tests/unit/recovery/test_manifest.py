"""Manifests: strict, and honest about newer formats."""

from __future__ import annotations

import json

import pytest

from ragops.errors import ExitCode, IntegrityError, MissingError
from ragops.recovery.manifest import FORMAT, parse

VALUES = {
    "format": FORMAT,
    "id": "20260102T030405Z-0a1b2c",
    "kind": "backup",
    "created": "2026-01-02T03:04:05Z",
    "platform": "p",
    "environment": "default",
    "runtime": "embedded",
    "ragops": "0.1.0",
    "duration": 1.5,
    "parts": [
        {
            "service": "redis",
            "name": "dump.rdb",
            "size": 3,
            "sha256": "0" * 64,
            "counts": {"keys": 1},
            "instant": "2026-01-02T03:04:05Z",
            "versions": {"valkey": "9.1.2"},
        }
    ],
}


def changed(**values) -> str:
    return json.dumps({**VALUES, **values})


def changed_part(**values) -> str:
    return changed(parts=[{**VALUES["parts"][0], **values}])


def test_reads_what_it_writes():
    manifest = parse(changed(), "here")
    assert parse(manifest.model_dump_json(), "here") == manifest
    assert manifest.of("redis")[0].path == "redis/dump.rdb"
    assert manifest.of("qdrant") == ()


def test_a_newer_format_is_named_as_such():
    with pytest.raises(MissingError) as caught:
        parse(changed(format=FORMAT + 1, parts="another shape"), "here")
    assert caught.value.code == "manifest_newer"
    assert "a newer ragops wrote it" in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a manifest"),
        ("[]", "not a manifest"),
        ("{}", "not a manifest"),
        (changed(surprise=1), "surprise"),
        (changed(id="../up"), "id"),
        (changed(created="2026-01-02T03:04:05"), "created"),
        (changed_part(name="../../etc/passwd"), "parts.0.name"),
        (changed_part(service=".."), "parts.0.service"),
        (changed_part(name=".hidden"), "parts.0.name"),
        (changed_part(sha256="short"), "parts.0.sha256"),
        (changed_part(size=-1), "parts.0.size"),
    ],
)
def test_refuses_everything_else(text, said):
    with pytest.raises(IntegrityError) as caught:
        parse(text, "here")
    assert caught.value.code == "manifest_invalid"
    assert caught.value.exit_code is ExitCode.INTEGRITY
    assert said in caught.value.message
