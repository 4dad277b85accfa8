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
from ragops.cli.tables import Table, fit
from ragops.errors import InterruptedRunError, UsageError
from ragops.hints import complete_commands, complete_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console as RichConsole

    from ragops.errors import RagopsError

# Columns in which commands may be advised.
_ADVISING = ("DETAIL", "WHAT", "WHY", "NOTES")

_STYLES = {"ok": "green", "running": "green", "degraded": "yellow", "down": "red", "stopped": "red"}


def _style(cell: str) -> str:
    """Return the colour of a cell by its first word, if that is a state."""
    return _STYLES.get(cell.split(" ")[0], "")


class Console:
    """The output of a command: with `as_json` one JSON document on stdout, errors included, else text and tables.

    A command passes its result to `document` and then prints it as text: only one of the two is shown.
    """

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False, color: bool = True
    ) -> None:
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self._color = color and "NO_COLOR" not in os.environ
        self._out: RichConsole | None = None

    @property
    def color(self) -> bool:
        """Whether to print colours on a terminal that has them."""
        return self._color

    # --- data -------------------------------------------------------------------------------------------------

    def document(self, value: Any) -> None:
        """Print `value`, such as a dataclass, as one JSON document on one line; without --json nothing."""
        if self.as_json:
            from ragops.cli.views import jsonable

            _write(json.dumps(complete_document(jsonable(value))))

    def text(self, line: str) -> None:
        """Print data, which may be several lines; with --json nothing."""
        line = printable(line)
        if self.as_json:
            return
        if self._out:
            self._out.print(line, markup=False)
        else:
            _write(line)

    def piece(self, text: str) -> None:
        """Print a piece of data without a line break after it."""
        if not self.as_json:
            sys.stdout.write(printable(text))
            sys.stdout.flush()

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        title: str = "",
        *,
        optional: Sequence[str] = (),
        empty: str = "",
    ) -> None:
        """Print a table; a terminal gets what fits, with `ok` and `down` in colour, a pipe lines of any length.

        Columns of `optional` are left out if there is no room, the first one first. Without rows, `empty` is printed
        on stderr. With --json nothing is.
        """
        if self.as_json:
            return
        if not rows and empty:
            self.message(empty)
            return
        rows = [
            [
                one_line(complete_commands(cell) if column in _ADVISING else cell)
                for column, cell in _pairs(columns, row)
            ]
            for row in rows
        ]
        if self._out is None and not sys.stdout.isatty():
            for line in [*([title] if title else []), *Table(tuple(columns), tuple(map(tuple, rows))).plain()]:
                self.text(line)
            return
        width = self._out.width if self._out else shutil.get_terminal_size().columns
        table, wrapped = fit(columns, rows, optional, width)
        self._draw(table, wrapped, title, width)
        if table.left_out:
            self.message(f"left out in {width} columns: {', '.join(table.left_out)}")

    def _draw(self, table: Table, wrapped: frozenset[str], title: str, width: int) -> None:
        from rich.table import Table as RichTable
        from rich.text import Text

        if table.is_cramped(wrapped, width):
            self._draw_below(table, title, width)
            return
        drawn = RichTable(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column, room in zip(table.columns, table.widths(wrapped, width), strict=True):
            drawn.add_column(column, overflow="fold", no_wrap=column not in wrapped, width=room)
        for row in table.rows:
            drawn.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        self._terminal(max(width, table.width(wrapped=wrapped))).print(drawn)

    def _draw_below(self, table: Table, title: str, width: int) -> None:
        """Draw a table whose last column has no room: its texts get lines of their own."""
        from rich.padding import Padding
        from rich.text import Text

        narrow, texts = table.split_last()
        heading, *lines = narrow.plain()
        terminal = self._terminal(max(width, *map(len, (heading, *lines))))
        if title:
            terminal.print(Text(title, style="italic"))
        below = (0, 0, 0, 2)
        terminal.print(Text(heading, style="bold"), Padding(Text(table.columns[-1], style="bold"), below), sep="\n")
        for line, row, text in zip(lines, narrow.rows, texts, strict=True):
            terminal.print(Text(line, style=_style(row[-1])))
            if text:
                terminal.print(Padding(Text(text), below))

    def next_round(self, title: str) -> None:
        """Begin a picture that takes the place of the last one: on a clear terminal, below it elsewhere."""
        if self._color and not self.as_json and sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[2J")
        self.text(title)

    def _terminal(self, width: int) -> RichConsole:
        from rich.console import Console as RichConsole

        return self._out or RichConsole(width=width, color_system="auto" if self._color else None, highlight=False)

    def record(self, rich: RichConsole) -> None:
        """Print tables to `rich` instead: for pictures of a real run."""
        self._out = rich

    # --- messages -----------------------------------------------------------------------------------------------

    def message(self, text: str) -> None:
        """Show a message to the person, unless they asked for quiet."""
        if not self.quiet:
            with contextlib.suppress(OSError):  # a closed stderr is no reason to leave a change half done
                _write(printable(complete_commands(text)), stream=sys.stderr)

    def error(self, error: RagopsError) -> None:
        """Show a failure: what happened and the hint."""
        if self.as_json:
            self.document({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
        else:
            self.complain(error)

    def complain(self, error: RagopsError) -> None:
        """Show a failure on stderr as text."""
        label = "\x1b[1;31merror\x1b[0m" if self._color and sys.stderr.isatty() else "error"
        words = [
            printable(complete_commands(error.message)),
            *([f"  → {printable(complete_commands(error.hint))}"] if error.hint else []),
        ]
        lines = [f"{label}: {words[0]}", *words[1:]]
        with contextlib.suppress(OSError):  # the exit code states it too
            _write("\n".join(lines), stream=sys.stderr)

    # --- questions ----------------------------------------------------------------------------------------------

    def confirm(self, question: str, *, yes: bool, expected: str = "") -> None:
        """Continue only if the person agrees: by `yes`, else by typing y (or the `expected` word).

        Raises UsageError if there is no terminal to ask on, InterruptedRunError if the answer is no.
        """
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()) or self.as_json:
            again = shlex.join(["ragops", *sys.argv[1:], "--yes"])
            what = f"{question}\nthere is no terminal to ask on"
            raise UsageError("confirmation_needed", what, f"run `{again}` if you mean it")
        prompt = f"type {expected} to continue: " if expected else "continue? [y/N] "
        sys.stderr.write(f"{printable(complete_commands(question))}\n{prompt}")
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
