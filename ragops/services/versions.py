"""Steps from one version of an engine to another: which are safe, and the way around those that are not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ragops.services.contract import VersionStep

_NUMBERS = re.compile(r"\d+")
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, order=True)
class Version:
    """The numbers of a version, compared one by one; those that are missing count as 0."""

    major: int = 0
    minor: int = 0
    patch: int = 0

    @classmethod
    def of(cls, text: str) -> Version:
        """Return the first three numbers of `text`, such as v1.18.3 or 2.19.3-pg17."""
        return cls(*map(int, _NUMBERS.findall(text)[:3]))

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Return the version that `text` begins with, such as v1.18.3 or 1.18; None if it begins with none."""
        found = _VERSION.match(text)
        return cls(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None

    @property
    def line(self) -> tuple[int, int]:
        """The major and the minor version."""
        return self.major, self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def forward(before: str, after: str, cost: str) -> VersionStep:
    """Allow it unless it goes back: an older engine does not read what a newer one has written."""
    if Version.of(after) < Version.of(before):
        return backward(before, after)
    return VersionStep(True, cost)


def restart(_before: str, after: str) -> VersionStep:
    """Allow any: the service has no data of its own."""
    return VersionStep(True, f"it restarts as {after}: requests fail for a moment")


def backward(before: str, after: str) -> VersionStep:
    """Return the refusal of a step back."""
    return VersionStep(
        False,
        f"a step back from {before} to {after}: the older version may not read what the newer one has written",
        f"keep {before}, or restore a recovery point of {after} into a new environment (`--env NAME`)",
    )
