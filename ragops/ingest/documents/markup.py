"""Markdown with front matter, MDX and reStructuredText as plain Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from ragops.ingest.documents.converted import Converted, Text, clean, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LARGEST_FRONT = 64 << 10
_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^# ", re.MULTILINE)


def convert_markdown(text: str, *, is_mdx: bool = False) -> Converted:
    """Take front matter out as metadata, its title as the first heading if there is no other; MDX loses its code."""
    values, body = split_front_matter(clean(text))
    if is_mdx:
        body = "\n".join(_without_jsx(body))
    known = metadata(values.items())
    intro = "\n\n".join(known[key] for key in ("description", "summary") if key in known)
    title = "" if _HEADING.search(body[:10_000]) else known.get("title", "")
    head = "\n\n".join(part for part in (f"# {title}" if title else "", intro) if part)
    return Converted(f"{head}\n\n{body.lstrip()}" if head else body, known)


def split_front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """Return the values at the head of a text, between lines of `---` (YAML) or `+++` (TOML), and the rest."""
    found = _FRONT.match(text[:_LARGEST_FRONT])
    if not found:
        return {}, text
    values = _toml(found[2]) if found[1] == "+++" else _yaml(found[2])
    # A rule at the head of a text that has none is a part of the text.
    return (values, text[found.end() :]) if isinstance(values, dict) else ({}, text)


def _yaml(text: str) -> Any:
    try:
        return {str(key): value for key, value in yaml.safe_load(text).items()}
    except (yaml.YAMLError, AttributeError, ValueError, RecursionError):
        return None


def _toml(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


# --- MDX -------------------------------------------------------------------------------------------------------------

_MODULE = re.compile(r"(import|export)\b.*")
_TAG = re.compile(r"</?[A-Za-z][\w.:-]*(?:\s[^<>]*)?/?>|<>|</>")
_OPEN_TAG = re.compile(r"^\s*<[A-Za-z][\w.:-]*(?:\s[^<>]*)?$")
_EXPRESSION = re.compile(r"\{[^{}\n]*\}")
_COMMENT = re.compile(r"\{/\*.*?\*/\}", re.DOTALL)
_LONGEST_LINE = 20_000


def _without_jsx(text: str) -> Iterator[str]:
    """Yield the lines without imports, exports, tags and expressions; what is in fences stays."""
    fence, in_module, in_tag = "", False, False
    for line in _COMMENT.sub("", text).split("\n"):
        mark = _FENCE.match(line)
        if fence:
            yield line
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence, in_module, in_tag = mark[1], False, False
            yield line
        elif in_module or (not in_tag and _MODULE.fullmatch(line)):
            in_module = bool(line.strip())  # it ends with the paragraph
        elif in_tag or (_OPEN_TAG.match(line[:_LONGEST_LINE])):
            in_tag = ">" not in line
        elif not line.strip():
            yield ""
        elif stripped := _strip_tags(line).rstrip():
            yield stripped


def _strip_tags(line: str) -> str:
    """Remove tags and expressions except in code spans."""
    if len(line) > _LONGEST_LINE:
        return line
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = [_EXPRESSION.sub("", _TAG.sub("", part)) for part in parts[::2]]
    return "".join(parts)


# --- reStructuredText ------------------------------------------------------------------------------------------------

# docutils gives up the text of every directive and role that it lacks, which are those of Sphinx.
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
_DIRECTIVE = re.compile(r"(\s*)\.\. ([\w:+-]+)::\s*(.*)")
_COMMENT_OR_TARGET = re.compile(r"\s*\.\. ?(?:_|\[|\||$|\S)")
_OPTION = re.compile(r"\s+:[\w-]+:.*")
_FIELD = re.compile(r":([\w -]+):\s+(\S.*)")
_ROLE = re.compile(r":[\w:+.-]+:`([^`<]*?)\s*(?:<[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?")
_LITERAL = re.compile(r"``([^`]+)``")
_SILENT = {
    "toctree", "image", "contents", "index", "highlight", "include", "currentmodule", "module", "raw", "meta",
    "automodule", "autoclass", "autofunction", "automethod", "default-role", "role", "sectnum", "literalinclude",
}  # fmt: skip
_CODE = {"code", "code-block", "sourcecode", "literal", "parsed-literal", "doctest", "testcode"}


def convert_rst(text: str) -> Converted:
    """Underlined titles become headings, directives and roles their content; Sphinx's are read as docutils' are."""
    return _Rst(clean(text).expandtabs(8).split("\n")).run()


class _Rst:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.out = Text()
        self.levels: list[str] = []
        self.title = ""
        self.at_head = True  # fields below the title are about the document
        self.fields: list[tuple[str, object]] = []

    def run(self) -> Converted:
        number = 0
        while number < len(self.lines):
            number = self._step(number)
        known = metadata([("title", self.title), *self.fields])
        return Converted(self.out.result(), known)

    def _line(self, number: int) -> str:
        return self.lines[number] if number < len(self.lines) else ""

    def _step(self, number: int) -> int:
        """Convert what begins at a line; return the number of the line behind it."""
        line, below = self._line(number), self._line(number + 1)
        if _ADORNMENT.fullmatch(line) and below.strip() and self._line(number + 2).rstrip() == line.rstrip():
            self._heading(line[0] * 2, below)
            return number + 3
        if line.strip() and not line[0].isspace() and _is_underline(line, below):
            self._heading(below[0], line)
            return number + 2
        if _ADORNMENT.fullmatch(line):
            return number + 1
        if directive := _DIRECTIVE.fullmatch(line):
            return self._directive(number, directive)
        if line.lstrip().startswith("..") and _COMMENT_OR_TARGET.match(line):
            return self._end_of_block(number)
        if self.at_head and (found := _FIELD.fullmatch(line)):
            self.fields.append((found[1], found[2]))
            return number + 1
        self.at_head = self.at_head and not line.strip()
        self.out.add(_inline(line))
        return number + 1

    def _heading(self, style: str, title: str) -> None:
        if style not in self.levels:
            self.levels.append(style)
        self.title = self.title or title.strip()
        self.out.heading(self.levels.index(style) + 1, _inline(title))

    def _directive(self, number: int, found: re.Match[str]) -> int:
        name, argument = found[2], found[3]
        end = self._end_of_block(number)
        if name in _SILENT:
            return end
        start = number + 1
        while start < end and _OPTION.fullmatch(self._line(start)):
            start += 1
        if name in _CODE:
            body = self.lines[start:end]
            self.out.add("\n".join(["```" + argument.strip(), *body, "```"]))
            return end
        label = name.rpartition(":")[2]
        if argument or start < end:
            self.out.add(_inline(f"{label.capitalize()}: {argument}".rstrip(": ") if label else argument))
        return start  # its content is text like any other

    def _end_of_block(self, number: int) -> int:
        """Return the line behind an indented block, less the blank lines at its end."""
        depth = len(self._line(number)) - len(self._line(number).lstrip())
        end = last = number + 1
        while end < len(self.lines):
            line = self.lines[end]
            if line.strip():
                if len(line) - len(line.lstrip()) <= depth:
                    break
                last = end + 1
            end += 1
        return last


def _is_underline(title: str, line: str) -> bool:
    return bool(_ADORNMENT.fullmatch(line)) and len(line.rstrip()) >= min(len(title.rstrip()), 4)


def _inline(line: str) -> str:
    if len(line) > _LONGEST_LINE or "`" not in line:
        return line.removesuffix("::") + ":" if line.endswith("::") else line
    return _LITERAL.sub(r"`\1`", _LINK.sub(r"\1", _ROLE.sub(r"`\1`", line)))
