"""What `query` shows right after `ingest`, through the gateway, the API and its cache of answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.loaded_platform import Loaded

pytestmark = pytest.mark.engine
QUESTION = "what is the moon made of?"
QUERY = ("query", QUESTION, "--collection", "sky")
SKY = {"name": "sky", "directory": "sky", "embeddingModel": "hashing-384-v1", "fileTypes": ["md"]}


def test_an_answer_is_of_the_files_as_they_were_last_ingested(loaded: Loaded) -> None:
    def run(*words: str, code: int = 0) -> Any:
        return loaded.run(*words, code=code, env={"RAGOPS_TOKEN": loaded.token})

    def ask() -> tuple[list[str], bool]:
        values = run(*QUERY, "--json").json()
        return [one["text"] for one in values["passages"]], values["cached"]

    document = loaded.root / "sky" / "moon.md"
    (loaded.root / "sky.json").write_text(json.dumps({"collections": [SKY]}))
    run("migrate", "json-to-db", "sky.json")
    assert "sky" in run("ingest", "sky", code=7).err, "its folder is not there yet"
    document.parent.mkdir()
    document.write_text("The moon is made of cheese.")
    run("ingest", "sky")
    assert ask() == (["The moon is made of cheese."], False)
    assert ask() == (["The moon is made of cheese."], True)
    document.write_text("The moon is made of basalt.")
    assert "not told" not in run("ingest", "sky").err
    assert ask() == (["The moon is made of basalt."], False)
    unknown = run("query", QUESTION, "--collection", "zzz", "--json", code=2)
    assert "sky" in unknown.error["hint"]
    document.write_text("The moon is made of basalt. " * 15)
    (document.parent / "tax.md").write_text("Invoices below 250 of the moon need no VAT number")
    run("ingest", "sky")
    shown = run(*QUERY).out
    whole = run(*QUERY, "--full").out
    assert ("…" in shown, shown.index("moon.md") < shown.index("tax.md")) == (True, True)
    assert (whole.count("made of basalt"), "…" in whole, "tax.md" in whole) == (15, False, True)
    (document.parent / "tax.md").unlink()
    document.unlink()
    run("ingest", "sky", "--allow-empty")
    assert ask() == ([], False)
