"""Under which headings of its document a chunk stands: what a citation points at."""

from __future__ import annotations

import re

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TEXT = re.compile(r"\s{0,3}[^\s>#|+*-]")
_LONGEST = 120  # characters of one heading
_BETWEEN = " > "


class Headings:
    """Follows the chunks of one Markdown document in their order."""

    def __init__(self) -> None:
        self._path: list[tuple[int, str]] = []
        self._fence = ""

    def at(self, chunk: str) -> str:
        """Return the headings above the first text of `chunk`, the outermost first: `Guide > Install`."""
        lines = chunk.split("\n")
        found: str | None = None
        skip = False
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            if skip:  # the line under a heading
                skip = False
                continue
            if self._is_code(line):
                heading = None
            elif heading := _HEADING.fullmatch(line):
                self._enter(len(heading[1]), heading[2])
            elif skip := bool(_TEXT.match(line) and len(below.strip()) > 2 and _UNDERLINE.fullmatch(below)):
                self._enter(1 if "=" in below else 2, line)
            if found is None and not heading and not skip and line.strip():
                found = self._shown()
        return self._shown() if found is None else found

    def _is_code(self, line: str) -> bool:
        """Whether a line is in a fence of code, or is its mark."""
        mark = _FENCE.match(line)
        if not mark:
            return bool(self._fence)
        if not self._fence:
            self._fence = mark[1]
        elif mark[1].startswith(self._fence):
            self._fence = ""
        return True

    def _enter(self, level: int, title: str) -> None:
        self._path = [one for one in self._path if one[0] < level]
        if title.strip():
            self._path.append((level, " ".join(title.split())[:_LONGEST]))

    def _shown(self) -> str:
        return _BETWEEN.join(title for _, title in self._path)
