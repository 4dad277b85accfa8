"""Manifests that were damaged, exchanged or forged: none is shown as a recovery point of ours, nor restored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.errors import RagopsError
from ragops.recovery.manifest import parse, sign_manifest
from ragops.recovery.signing import SigningKey, load
from tests.integration.faults.forging import (
    DAMAGES,
    INTEGRITY,
    KINDS,
    Point,
    engines_heard_nothing,
    flip,
    manifest_of,
    one_point,
    undamaged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]


@pytest.fixture(scope="module")
def kept(package_lab: Lab) -> Iterator[Point]:
    """Taken once for all tests."""
    package_lab.renew()
    with one_point(package_lab) as point:
        yield point


@pytest.fixture
def point(kept: Point) -> Point:
    return undamaged(kept)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name not in ("deleted", "a link")])
def test_a_damaged_manifest(point: Point, damage: str) -> None:
    """Also under its other name: somebody who asks for the latest is not given an older one."""
    DAMAGES[damage](point.manifest)
    point.assert_refused()
    assert point.id in point.lab("backup", "list").err


@pytest.mark.parametrize("damage", ["deleted", "a link"])
def test_without_its_manifest_it_is_no_recovery_point(point: Point, damage: str) -> None:
    lab = point.lab
    DAMAGES[damage](point.manifest)
    assert not lab("backup", "list", "--repository", "1", "--json").json()["points"]
    for command in (("backup", "verify", point.id), ("restore", point.id, "--yes")):
        done = lab(*command, "--json", code=2)
        assert done.error["code"] == "no_recovery_point"


def test_every_single_byte_of_a_manifest_counts(point: Point) -> None:
    """Not one of them may change and the rest still be taken for a recovery point that we signed."""
    content = point.manifest.read_bytes()
    ours = parse(content, "it").signature.key
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        try:
            signed = parse(bytes(changed), "it")
        except RagopsError:
            continue
        assert signed.signature.key != ours or place == len(content) - 1, f"byte {place}"


# --- the newest one -----------------------------------------------------------------


@pytest.mark.parametrize("command", [("backup", "verify"), ("restore", "--yes")])
def test_the_latest_is_not_quietly_an_older_one(point: Point, command: tuple[str, ...]) -> None:
    """Where the newest one's manifest cannot be read, whoever asks for the latest hears of it."""
    lab = point.lab
    newest = Point(lab, lab.take())
    flip(newest.manifest, 0.5)
    lab.fill("B")
    done = lab(*command, "latest", "--json", code=INTEGRITY)
    assert newest.id in done.error["message"]
    engines_heard_nothing(done)
    lab("backup", "verify", point.id)


def test_the_latest_is_mended_from_where_it_is_whole(point: Point) -> None:
    """Also where nothing is left in the first repository that says which one it is."""
    newest = Point(point.lab, point.lab.take())
    flip(newest.manifest, 0.5)
    assert point.lab("backup", "copy", "latest", "--json").json()["id"] == newest.id
    assert point.lab("backup", "verify", "latest", "--deep", "--json").json()["id"] == newest.id


# --- in each other's place -----------------------------------------------------------------


def test_two_manifests_swapped(point: Point) -> None:
    other = Point(point.lab, point.lab.take())
    mine, its = point.manifest.read_bytes(), other.manifest.read_bytes()
    point.manifest.write_bytes(its)
    other.manifest.write_bytes(mine)
    for one in (point, other):
        one.assert_refused(code="manifest_misplaced")


def test_the_parts_of_two_recovery_points_swapped(point: Point) -> None:
    other = Point(point.lab, point.lab.take())
    mine, its = point.part("redis/dump.rdb"), other.part("redis/dump.rdb")
    aside = mine.with_name("aside")
    mine.rename(aside)
    its.rename(mine)
    aside.rename(its)
    for one in (point, other):
        one.assert_refused(code="recovery_point_damaged")


def test_a_recovery_point_of_another_environment(point: Point) -> None:
    """Signed with the same key: all environments of a project have one."""
    manifest = manifest_of(point.manifest).model_copy(update={"environment": "staging"})
    key = load(point.lab.paths.signing_key)
    assert key
    point.manifest.write_bytes(sign_manifest(manifest, key))
    point.assert_refused(code="manifest_misplaced")


def test_a_recovery_point_under_another_name(point: Point) -> None:
    """An old one as the newest."""
    there = point.home.with_name("29990101T000000Z-aaaaaa")
    point.home.rename(there)
    Point(point.lab, there.name).assert_refused(code="manifest_misplaced")


# --- forgers -----------------------------------------------------------------


def test_signed_by_somebody_else(point: Point) -> None:
    """Whole in itself, with a signature that holds."""
    manifest = manifest_of(point.manifest)
    point.manifest.write_bytes(sign_manifest(manifest, SigningKey(Ed25519PrivateKey.generate())))
    point.assert_refused(code="signer_unknown")
    assert not point.lab.listed()[0]["signer_known"]


def test_the_old_signature_on_another_manifest(point: Point) -> None:
    """Also where the name of our key is put on a signature that another one made."""
    manifest = manifest_of(point.manifest)
    body, _, last = point.manifest.read_bytes().rstrip(b"\n").rpartition(b"\n")
    for changed in (manifest.model_copy(update={"sequence": 999}), manifest.model_copy(update={"recipients": ()})):
        point.manifest.write_bytes((changed.model_dump_json(indent=2) + "\n").encode() + last + b"\n")
        point.assert_refused(code="signature_invalid")
    forged = sign_manifest(manifest, SigningKey(Ed25519PrivateKey.generate())).rstrip(b"\n").rpartition(b"\n")[2]
    claimed = {**json.loads(forged), "key": json.loads(last)["key"]}
    point.manifest.write_bytes(body + b"\n" + json.dumps(claimed).encode() + b"\n")
    point.assert_refused(code="signature_invalid")


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_of_another_shape(point: Point, kind: str) -> None:
    point.manifest.write_bytes(KINDS[kind](point.manifest.read_bytes()))
    point.assert_refused(code="manifest_invalid")


def test_a_damaged_copy_is_replaced_by_the_next_copying(point: Point) -> None:
    lab = point.lab
    there = lab.repositories[1] / "default" / point.id
    (stored,) = there.glob("redis/dump.rdb*")
    stored.write_bytes(stored.read_bytes()[:-1])
    lab("backup", "verify", point.id, "--repository", "2", code=INTEGRITY)
    lab("backup", "copy", point.id)
    lab("backup", "verify", point.id, "--repository", "2", "--deep")
