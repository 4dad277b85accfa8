"""What ingest and the import of collections say about files and keys that are left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragops.cli.console import Console
from ragops.cli.ingest import _refuse_together, _say, show_report
from ragops.cli.migrate import _warn_of_unread
from ragops.cli.progress import _documents_text as documents_text
from ragops.cli.watch import _Batches
from ragops.errors import LockedError, UnhealthyError, UsageError
from ragops.hints import set_options_of
from ragops.ingest.progress import Progress
from ragops.ingest.report import CollectionReport, FailedDocument, IngestReport, LeftOut, RefusedChunk
from ragops.services.timescaledb.collections.json_import import ImportReport

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


@pytest.mark.parametrize(
    "report",
    [
        CollectionReport("docs", notes=("link not followed: a\x1b[2J\nragops: all is well\u202e",)),
        CollectionReport("docs", failed=(FailedDocument("a\x1b]0;x\x07\nragops: all is well\u202e", "why\x9b2J"),)),
        CollectionReport("docs", refused_chunks=(RefusedChunk("a\nragops: all is well", 1, "why\x1bc"),)),
        CollectionReport("docs", left_out=(LeftOut("a\nragops: all is well", "by \x1b[2J"),), left_out_counts={"x": 1}),
    ],
)
def test_a_name_reaches_a_terminal_neither_as_an_order_nor_as_a_line(
    capsys: pytest.CaptureFixture[str], report: CollectionReport
) -> None:
    _say(Console(verbose=True, color=False), report)
    shown = capsys.readouterr().err
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert not any(line.startswith("ragops:") for line in shown.splitlines())
    assert "ragops: all is well" in shown


def test_the_end_is_predicted_once_there_is_something_to_go_by() -> None:
    early = Progress("docs", "store", 10, 1000, 100, 2.0, 198.0)
    later = Progress("docs", "store", 100, 1000, 1000, 20.0, 180.0)
    assert documents_text(early) == "docs: 10 of 1000 files stored, 100 chunks, 5 files/s"
    assert documents_text(later) == "docs: 100 of 1000 files stored, 1000 chunks, 5 files/s, about 3 min left"
    assert "left" not in documents_text(Progress("docs", "store", 1000, 1000, 9000, 200.0, 0.0))
    assert "left" not in documents_text(Progress("docs", "compare", 500, 1000, 0, 20.0))


def test_a_folder_without_files_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for report, count in ((CollectionReport("docs"), 1), (CollectionReport("docs", deleted=2), 0)):
        _say(Console(color=False), report)
        assert capsys.readouterr().err.count("docs: there is no file to read") == count


def test_files_that_cannot_be_read_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    _say(Console(color=False), CollectionReport("docs", failed=(FailedDocument("a.pdf", "damaged"),)))
    assert "`ragops collection set docs --exclude PATTERN`" in capsys.readouterr().err.splitlines()[-1]
    _say(Console(color=False), CollectionReport("docs", refused_chunks=(RefusedChunk("a", 1, "too long"),)))
    assert "--exclude" not in capsys.readouterr().err


def test_the_comparison_of_both_stores_is_shown() -> None:
    shown = documents_text(Progress("docs", "check", 30_000, 0, 0, 20.0))
    assert shown == "docs: 30000 points compared with the database"


@pytest.mark.parametrize("given", [("rebuild", "watch"), ("drop_old", "watch"), ("rebuild", "drop_old")])
def test_options_that_are_commands_of_their_own(given: tuple[str, ...]) -> None:
    options = {name: name in given for name in ("rebuild", "drop_old", "watch")}
    with pytest.raises(UsageError) as caught:
        _refuse_together(**options)
    assert caught.value.code == "options_conflict"


def test_a_batch_is_a_line_and_a_failure_that_lasts_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_options_of([])  # those of a command that this process ran before
    shown = _Batches(Console(color=False))
    report = CollectionReport("docs", failed=(FailedDocument("a.pdf", "broken"),))
    shown.show(IngestReport("m", (report,), 0.1), True)
    capsys.readouterr()
    shown.show(IngestReport("m", (replace(report, added=2, deleted=1, total_seconds=0.5),), 0.1), True)
    captured = capsys.readouterr()
    assert captured.out.endswith(" docs: 2 added, 1 deleted (0.5 s)\n")
    assert captured.err == "", "its old faults were shown"
    shown.show(IngestReport("m", (report,), 0.1), True)
    assert capsys.readouterr().out == "", "nothing has changed"
    for delay in (2.0, None):
        shown.show_failure(UnhealthyError("down", "it is down", "start it"), ["docs"], delay)
    assert capsys.readouterr().err.splitlines() == [
        "error: it is down", "  → start it", "docs: tried again in 2.0 s",
        "docs: tried again at the next change, in 10 min at the latest",
    ]  # fmt: skip
    shown.show_failure(LockedError("locked", "in use by `ragops up`"), ["docs"], 3.0)
    assert capsys.readouterr().err == "docs: waiting: in use by `ragops up`\n"


def test_keys_that_nothing_acts_on_are_named() -> None:
    unread = {"excludes": 2, "v": 1}
    report = ImportReport("c.json", "", False, (), (), 0, (), (), document_changed=False, unread_keys=unread)
    warnings: list[str] = []
    _warn_of_unread(warnings.append, report)
    assert warnings == [
        "nothing acts on the key 'excludes' of 2 collections: it is kept as it is; is its name right?",
        "nothing acts on the key 'v': it is kept as it is; is its name right?",
    ]


def test_without_collections_the_command_that_makes_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(Console(), IngestReport("run", (), 0.0), True)
    assert "`ragops collection create NAME DIRECTORY`" in capsys.readouterr().err
