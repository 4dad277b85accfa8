"""A recovery point that tests damage or forge, and ways to do it."""

from __future__ import annotations

import shutil
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragops.recovery.manifest import Manifest, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.faults.lab import Ended, Lab

INTEGRITY = 6
FLIPS = {"start": 0.0, "middle": 0.5, "end": 1.0}

KINDS: dict[str, Callable[[bytes], bytes]] = {
    "no signature": lambda content: content.rstrip(b"\n").rpartition(b"\n")[0] + b"\n",
    "no JSON": lambda _content: b"\x00\xff" * 500,
    "an older format": lambda content: content.replace(b'"format": 3', b'"format": 1'),
    "a signature of another kind": lambda content: content.replace(b'"ed25519:', b'"rsa:'),
    "twice": lambda content: content + content,
}


def flip(path: Path, share: float) -> None:
    """Change one bit of the byte that lies at `share` of the file: 0 is its first, 1 its last one."""
    content = bytearray(path.read_bytes())
    content[round(share * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


def padded(content: bytes, size: int) -> bytes:
    """`content` made `size` long: cut, or with a frame that zstd skips (RFC 8878, 3.1.2)."""
    rest = size - len(content)
    if rest < 8:
        return content[:size] + bytes(max(0, rest))
    return content + struct.pack("<II", 0x184D2A50, rest - 8) + bytes(rest - 8)


def manifest_of(path: Path) -> Manifest:
    """What a manifest's file says."""
    return parse(path.read_bytes(), str(path)).manifest


def cut(path: Path) -> None:
    """Lose the last third."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def grow(path: Path) -> None:
    """Gain a byte."""
    path.write_bytes(path.read_bytes() + b"\0")


def become_a_link(path: Path) -> None:
    """To the same bytes elsewhere."""
    target = path.with_name(".elsewhere")
    path.rename(target)
    path.symlink_to(target)


DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"flipped at the {name}": lambda path, share=share: flip(path, share) for name, share in FLIPS.items()},
    "cut": cut,
    "longer": grow,
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "a link": become_a_link,
}


class Point:
    """A recovery point of contents A in the first repository, while the platform holds B."""

    def __init__(self, lab: Lab, ident: str) -> None:
        self.lab, self.id = lab, ident
        self.home = lab.repositories[0] / "default" / ident

    def part(self, name: str) -> Path:
        """The stored file of a part."""
        (found,) = self.home.glob(f"{name}.zst*")
        return found

    @property
    def manifest(self) -> Path:
        """Its manifest's file."""
        return self.home / "manifest.json"

    def assert_refused(self, *options: str, services: bool = True, code: str | None = None) -> None:
        """Verify says 6, and so does restore, without having touched anything."""
        verified = self.lab("backup", "verify", self.id, "--json", *options, code=INTEGRITY)
        assert code is None or verified.error["code"] == code, verified.error
        if not services:
            return
        restored = self.lab("restore", self.id, "--yes", "--json", *options, code=INTEGRITY)
        assert code is None or restored.error["code"] == code, restored.error
        engines_heard_nothing(restored)
        assert self.lab.contents() == self.lab.expected("B")


def engines_heard_nothing(done: Ended) -> None:
    """No request, no command, no statement: it was refused before."""
    sent = [what for what in done.trace if what.startswith(("http ", "redis ", "sql "))]
    assert not sent, f"an engine heard of it: {sent}"


@contextmanager
def one_point(lab: Lab) -> Iterator[Point]:
    """A recovery point of contents A in both repositories, the platform with contents B, and spares of the former."""
    lab.fill("A")
    point = Point(lab, lab.take())
    lab.fill("B")
    for number, repository in enumerate(lab.repositories):
        shutil.copytree(repository, lab.folder / f"spare{number}")
    yield point
    for number, _ in enumerate(lab.repositories):
        shutil.rmtree(lab.folder / f"spare{number}")


def undamaged(point: Point) -> Point:
    """It in its place, whatever a test before did to it, and the platform with contents B."""
    lab = point.lab
    for number, repository in enumerate(lab.repositories):
        shutil.rmtree(repository)
        shutil.copytree(lab.folder / f"spare{number}", repository)
    lab.paths.restore_journal.unlink(missing_ok=True)
    if lab.contents() != lab.expected("B"):
        lab.fill("B")
    return point
