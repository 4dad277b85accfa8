"""Which files a collection leaves out: its own `exclude`, `.ragopsignore`, `.gitignore`, and names left out by default.

All are written as git's. The first of them that has a matching pattern decides; of files of one kind, the one in the
deepest folder. So a later line, a deeper file and a nearer kind can take back what another one leaves out.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OWN, GIT = ".ragopsignore", ".gitignore"
# Packages, caches and the output of builds: written by programs, mostly copies, and many.
FOLDERS = frozenset(
    {
        "node_modules", "bower_components", "__pycache__", "venv", "virtualenv", "site-packages", "dist", "build",
        "target", "coverage", "htmlcov", "CVS",
    }
)  # fmt: skip
_ENDINGS = (".egg-info", ".dist-info")
_LARGEST = 1 << 20
_MOST_PATTERNS = 10_000


def parse_patterns(lines: Iterable[str]) -> tuple[GitIgnoreSpec, list[str]]:
    """Return the rules of `lines`, and those lines that are no pattern."""
    good, bad = [], []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except Exception:  # errors of its own, and those of `re`
            bad.append(line)
        else:
            good.append(line)
    return GitIgnoreSpec.from_lines(good), bad


@dataclass(frozen=True)
class _Level:
    """The rules of one file; `prefix` is what paths relative to the directory have more (or less) than its own."""

    name: str
    cut: int
    above: str
    rules: GitIgnoreSpec

    def decide(self, path: str) -> bool | None:
        """Whether `path` (of a folder with `/` at its end) is left out; None if no pattern matches."""
        return self.rules.check_file(self.above + path[self.cut :]).include


@dataclass(frozen=True)
class Rules:
    """What holds in one folder. Levels are those of the deepest folder first."""

    exclude: GitIgnoreSpec = field(default_factory=lambda: GitIgnoreSpec.from_lines([]))
    own: tuple[_Level, ...] = ()
    git: tuple[_Level, ...] = ()

    def reason(self, path: str, name: str, *, is_folder: bool) -> str:
        """Return why a file or folder is left out, empty if it is not. `path` is relative to the directory."""
        asked = f"{path}/" if is_folder else path
        decided = self.exclude.check_file(asked).include
        if decided is not None:
            return "by `exclude`" if decided else ""
        for level in (*self.own, *self.git):
            decided = level.decide(asked)
            if decided is not None:
                return f"by {level.name}" if decided else ""
        if name.startswith("."):
            return "hidden"
        is_default = is_folder and (name in FOLDERS or name.endswith(_ENDINGS))
        return "by default" if is_default else ""

    def below(self, place: str, prefix: str, names: Iterable[str], notes: list[str]) -> Rules:
        """Return what holds in the folder at `place`, whose paths begin with `prefix` and which has these `names`."""
        found = {name: _read(place, prefix, name, notes) for name in (OWN, GIT) if name in names}
        own, git = found.get(OWN), found.get(GIT)
        if own is None and git is None:
            return self
        return Rules(self.exclude, (own, *self.own) if own else self.own, (git, *self.git) if git else self.git)


def _read(place: str, prefix: str, name: str, notes: list[str]) -> _Level | None:
    shown = f"{prefix}{name}"
    text = _text(Path(place) / name)
    if text is None:
        notes.append(f"cannot read {shown}: its patterns do not hold")
        return None
    lines = text.splitlines()[:_MOST_PATTERNS]
    rules, bad = parse_patterns(lines)
    if bad:
        notes.append(f"{shown}: {len(bad)} lines are not patterns of git, the first is {bad[0][:60]!r}")
    return _Level(shown, len(prefix), "", rules)


def _text(path: Path) -> str | None:
    """Return the text of a file that is no link and no pipe, None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return None
            return stream.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return None


def rules_above(root: Path, exclude: Sequence[str], notes: list[str]) -> Rules:
    """Return the rules that hold in `root`: `exclude`, and the `.gitignore` of the repository that it is in.

    Folders above are looked at up to the one with `.git`. They do not hold if they leave out `root` itself: it was
    named to be read all the same.
    """
    own = Rules(parse_patterns(exclude)[0])
    repository = next((one for one in (root, *root.parents) if (one / ".git").exists()), root)
    levels: list[_Level] = []
    for folder in root.parents:
        if repository == root or not folder.is_relative_to(repository):
            break
        if (folder / GIT).is_file() and (level := _read(str(folder), "", GIT, notes)):
            above = f"{root.relative_to(folder).as_posix()}/"
            levels.append(_Level(str(folder / GIT), 0, above, level.rules))
    if any(level.rules.check_file(level.above).include for level in levels):
        return own
    return Rules(own.exclude, (), tuple(levels))
