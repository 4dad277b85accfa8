"""The only place that writes to the terminal: data to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

from ragops.cli.printable import one_line, printable
from ragops.errors import InterruptedRunError, UsageError
from ragops.hints import aimed, aimed_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console as RichConsole

    from ragops.errors import RagopsError

# Columns whose cells may be folded; an address or a number in two pieces cannot be copied.
_FOLDED = ("DETAIL", "ENGINE", "HOLDS", "VERSIONS", "WHAT")

# Columns in which commands may be advised.
_ADVISING = ("DETAIL", "WHAT", "WHY", "NOTES")

_LEAST_TEXT = 12

_STYLES = {"ok": "green", "running": "green", "degraded": "yellow", "down": "red", "stopped": "red"}


class Console:
    """Where a command's words go. `as_json` wants one JSON document on stdout, errors included."""

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False, color: bool = True
    ) -> None:
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self._color = color and "NO_COLOR" not in os.environ
        self._out: RichConsole | None = None

    @property
    def color(self) -> bool:
        """Whether colours are wanted, where the terminal has them."""
        return self._color

    # --- data -------------------------------------------------------------------------------------------------

    def document(self, value: Any) -> None:
        """Print `value` as one JSON document on one line."""
        _write(json.dumps(aimed_document(value)))

    def text(self, line: str) -> None:
        """Print data, which may be several lines."""
        line = printable(line)
        if self._out:
            self._out.print(line, markup=False)
        else:
            _write(line)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """Print a table: words such as `ok` and `down` in colour on a terminal, plain lines of any length elsewhere."""
        rows = [
            [one_line(aimed(cell) if column in _ADVISING else cell) for column, cell in _pairs(columns, row)]
            for row in rows
        ]
        if self._out is None and not (self._color and sys.stdout.isatty() and _fits(columns, rows)):
            for line in _plain_table(columns, rows, title):
                self.text(line)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column not in _FOLDED)
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell.split(" ")[0], "")) for cell in row))
        self._terminal().print(table)

    def next_round(self, title: str) -> None:
        """Begin a picture that takes the place of the last one: on a clear terminal, below it elsewhere."""
        if self.as_json:
            return
        if self._color and sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[2J")
        self.text(title)

    def _terminal(self) -> RichConsole:
        from rich.console import Console as RichConsole

        return self._out or RichConsole(no_color=not self._color, highlight=False)

    def record(self, rich: RichConsole) -> None:
        """Print tables to `rich` instead: for pictures of a real run."""
        self._out = rich

    # --- messages -----------------------------------------------------------------------------------------------

    def message(self, text: str) -> None:
        """Say something to the person, unless they asked for quiet."""
        if not self.quiet:
            with contextlib.suppress(OSError):  # nobody listens: no reason to leave a change half done
                _write(printable(aimed(text)), stream=sys.stderr)

    def error(self, error: RagopsError) -> None:
        """Show a failure: what happened and how to cure it."""
        if self.as_json:
            self.document({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
        else:
            self.complain(error)

    def complain(self, error: RagopsError) -> None:
        """Show a failure on stderr, in words."""
        label = "\x1b[1;31merror\x1b[0m" if self._color and sys.stderr.isatty() else "error"
        words = [printable(aimed(error.message)), *([f"  → {printable(aimed(error.hint))}"] if error.hint else [])]
        lines = [f"{label}: {words[0]}", *words[1:]]
        with contextlib.suppress(OSError):  # the exit code says it too
            _write("\n".join(lines), stream=sys.stderr)

    # --- questions ----------------------------------------------------------------------------------------------

    def confirm(self, question: str, *, yes: bool, expected: str = "") -> None:
        """Go on only if the person agrees: by `yes`, else by typing y (or the `expected` word).

        Raises UsageError where nobody can be asked, InterruptedRunError where the answer is no.
        """
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()) or self.as_json:
            again = shlex.join(["ragops", *sys.argv[1:], "--yes"])
            what = f"{question}\nthere is no terminal to ask on"
            raise UsageError("confirmation_needed", what, f"run `{again}` if you mean it")
        prompt = f"type {expected} to go on: " if expected else "go on? [y/N] "
        sys.stderr.write(f"{printable(aimed(question))}\n{prompt}")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip()
        if answer != expected if expected else answer.lower() not in ("y", "yes"):
            raise InterruptedRunError("declined", "nothing was changed")


def _pairs(columns: Sequence[str], row: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(columns, row, strict=True))


def _write(text: str, stream: Any = None) -> None:
    target = stream or sys.stdout
    target.write(text + "\n")
    target.flush()


def _fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the terminal is wide enough for what must not be folded, and some letters of what may be."""
    widths = [
        _LEAST_TEXT if column in _FOLDED else max(map(len, (column, *cells)))
        for column, *cells in zip(columns, *rows, strict=True)
    ]
    return sum(widths) + 2 * (len(columns) - 1) <= shutil.get_terminal_size().columns


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> list[str]:
    widths = [max(len(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (columns, *rows)]
    return [title, *lines] if title else lines
