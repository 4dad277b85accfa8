"""What `query` shows right after `ingest`, through the gateway, the API and its cache of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine
QUESTION = "what is the moon made of?"


def test_an_answer_is_of_the_files_as_they_were_last_ingested(module_project: Path, ragops: Any) -> None:
    def run(*words: str, code: int = 0, **env: str) -> Any:
        done = ragops(*words, cwd=module_project, env=env)
        assert done.code == code, f"{words}: {done.out}{done.err}"
        return done

    def ask() -> tuple[list[str], bool]:
        values = run("query", QUESTION, "--json", RAGOPS_TOKEN=token).json()
        return [one["text"] for one in values["passages"]], values["cached"]

    document = module_project / "docs" / "moon.md"
    try:
        run("up", "--yes")
        run("migrate", "up")
        run("migrate", "json-to-db", "collections-config.json")
        assert "docs" in run("ingest", code=7).err, "the sample's folder is not there yet"
        document.parent.mkdir()
        document.write_text("The moon is made of cheese.")
        run("ingest")
        token = run("token", "issue", "reader").out.strip()
        assert ask() == (["The moon is made of cheese."], False)
        assert ask() == (["The moon is made of cheese."], True)
        document.write_text("The moon is made of basalt.")
        assert "not told" not in run("ingest").err
        assert ask() == (["The moon is made of basalt."], False)
        unknown = run("query", QUESTION, "--collection", "zzz", "--json", code=2, RAGOPS_TOKEN=token)
        assert "docs" in unknown.error["hint"]
        document.write_text("The moon is made of basalt. " * 15)
        (document.parent / "tax.md").write_text("Invoices below 250 need no VAT number")
        run("ingest")
        shown = run("query", QUESTION, RAGOPS_TOKEN=token).out
        whole = run("query", QUESTION, "--full", RAGOPS_TOKEN=token).out
        assert (shown.count("\n"), "…" in shown, "tax.md" in shown) == (4, True, False)
        assert (whole.count("made of basalt"), "…" in whole, "tax.md" in whole) == (15, False, True)
        (document.parent / "tax.md").unlink()
        document.unlink()
        run("ingest", "--allow-empty")
        assert ask() == ([], False)
    finally:
        ragops("down", "--yes", cwd=module_project)
