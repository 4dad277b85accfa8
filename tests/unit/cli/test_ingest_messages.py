"""What ingest and the import of collections say about files and keys that are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.cli.console import Console
from ragops.cli.ingest import _say
from ragops.cli.migrate import _warn_of_unread
from ragops.ingest.report import CollectionReport, LeftOut
from ragops.services.timescaledb.collections.json_import import ImportReport

if TYPE_CHECKING:
    import pytest

REPORT = CollectionReport(
    "docs",
    left_out=(LeftOut("node_modules/", "by default"), LeftOut("a\x1b[2J.md", "by docs/.gitignore")),
    left_out_counts={"by docs/.gitignore": 2, "by default": 1},
)


def said(capsys: pytest.CaptureFixture[str], *, verbose: bool) -> list[str]:
    _say(Console(verbose=verbose, color=False), REPORT)
    return capsys.readouterr().err.splitlines()


def test_files_that_are_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, verbose=False) == [
        "docs: 3 left out (2 by docs/.gitignore, 1 by default); --verbose lists them"
    ]


def test_files_that_are_left_out_are_listed_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, verbose=True)
    assert lines[0] == "docs: 3 left out (2 by docs/.gitignore, 1 by default)"
    assert lines[1] == "docs: left out: node_modules/ (by default)"
    assert "\x1b" not in lines[2]  # a name must not reach the terminal as an order to it
    assert lines[3] == "docs: and 1 more"


def test_keys_that_nothing_acts_on_are_named() -> None:
    unread = {"excludes": 2, "v": 1}
    report = ImportReport("c.json", "", False, (), (), 0, (), (), document_changed=False, unread_keys=unread)
    warnings: list[str] = []
    _warn_of_unread(warnings.append, report)
    assert warnings == [
        "nothing acts on the key 'excludes' of 2 collections: it is kept as it is; is its name right?",
        "nothing acts on the key 'v': it is kept as it is; is its name right?",
    ]
