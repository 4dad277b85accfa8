"""query: asks the platform as any client would, and shows the answer while it is written."""

from __future__ import annotations

import os
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import completion
from ragops.cli.printable import one_line
from ragops.cli.state import state

if TYPE_CHECKING:
    from pydantic import SecretStr

    from ragops.cli.console import Console
    from ragops.operations.data.query import Passage, QueryResult

_SHOWN_LINES = 3  # of a passage
_TOKEN_VARIABLE = "RAGOPS_TOKEN"  # noqa: S105  the name of the variable


def query(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What you want to know.")],
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.collections,
            help="Where to look; everywhere if not given.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, metavar="N", help="Most passages to show.")] = 5,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the token; else RAGOPS_TOKEN, else one for an hour.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole passages, however far from the question.")] = False,
) -> None:
    """Ask the platform, through its gateway.

    Shows an answer as a model writes it, then the first lines of each passage; all of them with --full, and with
    --json. Without a token of your own, one is issued that ends within the hour.

    Example: ragops query "how do I rotate a secret?" --collection manuals
    """
    from ragops.operations.data import query as operation
    from ragops.operations.gateway.tokens import operator_token

    current = state(context)
    console = current.console
    session = current.session()
    gateway = operation.gateway_for(session)
    token = _given_token(token_file) or operator_token(session)
    written = _Written(console)
    on_text = None if console.as_json else written.add
    result = operation.query(gateway.url, token, text, collection, limit, gateway.ca_file, on_text)
    console.document(result)
    written.end()
    _show(console, result, full=full)


def _given_token(file: Path | None) -> SecretStr | None:
    """Return the token from a file or the environment: never an option, since command lines are seen by everybody."""
    from pydantic import SecretStr

    from ragops.errors import UsageError

    hint = f"get one: `ragops token issue NAME`; give it by {_TOKEN_VARIABLE} or --token-file, or leave both out"
    try:
        token = (file.read_text() if file else os.environ.get(_TOKEN_VARIABLE, "")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("token_unreadable", f"cannot read the token from {file}", hint) from error
    if not token and file is None:
        return None
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(
            "token_needed", f"cannot use the token from {file or _TOKEN_VARIABLE}: it is empty, or not a token", hint
        )
    return SecretStr(token)


class _Written:
    """The pieces of an answer on the terminal, as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.any = False

    def add(self, text: str) -> None:
        """Print a piece."""
        self._console.piece(text if self.any else text.lstrip())
        self.any = self.any or bool(text.strip())

    def end(self) -> None:
        """Leave an empty line between the answer and what follows."""
        if self.any:
            self._console.text("\n")


def _show(console: Console, result: QueryResult, *, full: bool) -> None:
    for number, passage in enumerate(result.passages, 1):
        console.text(one_line(f"[{number}] {_place(passage, everywhere=result.collection is None)}"))
        for line in passage.text.splitlines() if full else _shortened(passage.text):
            console.text(f"    {line}")
    if not result.passages:
        console.message(f"nothing was found in {result.collection or 'any collection'}")
        shown = f"`ragops collection show {result.collection}`" if result.collection else "`ragops collection list`"
        console.message(f"  → see what was ingested: {shown}")
        return
    written = f"written by {result.model}, " if result.model else ""
    mode = f"{result.mode} search" if result.mode else "search"
    where = result.collection or "all collections"
    console.message(f"{written}found by {mode} with {result.embedder} in {where}")
    if result.note:
        console.message(result.note)


def _place(passage: Passage, *, everywhere: bool) -> str:
    """Return where a passage is: path and headings, the collection too if several were asked."""
    path = f"{passage.collection}: {passage.path}" if everywhere and passage.collection else passage.path
    return f"{path} · {passage.heading} ({passage.score:.3f})" if passage.heading else f"{path} ({passage.score:.3f})"


def _shortened(text: str) -> list[str]:
    """Return the first lines of `text` as wide as the terminal; words that are longer are cut."""
    width = max(20, shutil.get_terminal_size().columns - 4)
    return textwrap.wrap(" ".join(text.split()), width, max_lines=_SHOWN_LINES, placeholder=" …")
