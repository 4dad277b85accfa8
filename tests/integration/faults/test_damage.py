"""Stored parts that were damaged: named by verify, refused by restore before an engine reads anything."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.recovery.manifest import sign_manifest
from ragops.recovery.signing import SigningKey
from tests.integration.faults.forging import DAMAGES, flip, manifest_of, one_point, padded, undamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.faults.forging import Point
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]

# Every kind of stored part, and which service's it is.
PARTS = {
    "timescaledb/rag.dump": "timescaledb", "redis/dump.rdb": "redis", "qdrant/collections.json": "qdrant",
    "qdrant/0001-0.snapshot": "qdrant", "qdrant/0002-0.snapshot": "qdrant", "platform/ragops.yaml": "",
    "platform/sealed.tar": "",
}  # fmt: skip


IN_PLAIN = ("flipped at the start", "flipped at the middle", "flipped at the end")  # the rest is the same
SECRETS = "platform/sealed.tar"  # in encrypted ones only
ONCE = ("longer", "emptied", "a link")  # the same for every part
CASES = [
    ("encrypted", part, damage)
    for part in PARTS
    for damage in DAMAGES
    if damage not in ONCE or part == "redis/dump.rdb"
] + [("plain", part, damage) for part in PARTS for damage in IN_PLAIN if part != SECRETS]
BOTH = pytest.mark.parametrize("kept", ["encrypted", "plain"], indirect=True)


@pytest.fixture(scope="module")
def kept(package_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Point]:
    """Taken once for all tests."""
    package_lab.renew(**({} if request.param == "encrypted" else {"recipients": [], "identity_file": ""}))
    with one_point(package_lab) as point:
        yield point


@pytest.fixture
def point(kept: Point) -> Point:
    return undamaged(kept)


@pytest.mark.campaign(sample=7)
@pytest.mark.parametrize(("kept", "part", "damage"), CASES, indirect=["kept"])
def test_a_damaged_part(point: Point, part: str, damage: str) -> None:
    """What belongs to no service is never read by a restore."""
    DAMAGES[damage](point.part(part))
    point.assert_refused(services=bool(PARTS[part]), code="recovery_point_damaged")


@BOTH
def test_two_parts_swapped(point: Point) -> None:
    """Each is whole, in the other's place, padded to the size that is expected there."""
    first, second = point.part("qdrant/0001-0.snapshot"), point.part("qdrant/0002-0.snapshot")
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(padded(other, len(one)))
    second.write_bytes(padded(one, len(other)))
    point.assert_refused(code="recovery_point_damaged")


@BOTH
def test_a_part_of_the_same_size_with_other_contents(point: Point) -> None:
    """Sizes tell nothing: only the checksum is left."""
    stored = point.part("timescaledb/rag.dump")
    other = point.part("redis/dump.rdb").read_bytes()
    assert len(other) + 8 < stored.stat().st_size
    stored.write_bytes(padded(other, stored.stat().st_size))
    point.assert_refused(code="recovery_point_damaged")


@BOTH
def test_parts_exchanged_and_signed_anew_by_somebody_else(point: Point) -> None:
    """Checksums fit what lies there."""
    manifest = json.loads(point.manifest.read_bytes().rpartition(b'{"key"')[0])
    stored = point.part("redis/dump.rdb")
    flip(stored, 0.5)
    content = stored.read_bytes()
    for part in manifest["parts"]:
        if part["service"] == "redis":
            part["stored"] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    forged = type(manifest_of(point.manifest)).model_validate(manifest)
    point.manifest.write_bytes(sign_manifest(forged, SigningKey(Ed25519PrivateKey.generate())))
    point.assert_refused(code="signer_unknown")


@BOTH
def test_the_other_repository_has_it_whole(point: Point) -> None:
    """A damaged copy is no end: the other one restores, and makes the first one whole again."""
    lab = point.lab
    flip(point.part("timescaledb/rag.dump"), 0.5)
    point.assert_refused()
    lab("backup", "verify", point.id, "--repository", "2")
    lab("restore", point.id, "--yes", "--no-safety", "--repository", "2")
    assert lab.contents() == lab.expected("A")
    lab.fill("B")
