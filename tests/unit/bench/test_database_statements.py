"""A statement on tables of the schema is measured by `make bench-db`, or left out for a reason."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from database_fill import Filled
from database_lookups import EXCLUDED, LOOKUPS, OPERATORS
from database_statements import find_statements

FILLED = Filled(collections=3, documents=30, chunks=300, first_collection=1, base=1)


@pytest.fixture(scope="module")
def statements() -> dict[str, str]:
    return find_statements()


def test_every_statement_is_measured_or_left_out_for_a_reason(statements):
    listed = LOOKUPS.keys() | EXCLUDED.keys()
    assert sorted(statements.keys() - listed) == [], "add them to LOOKUPS or EXCLUDED of bench/database_lookups.py"
    assert sorted(listed - statements.keys()) == [], "these are not in the code any more"
    assert not LOOKUPS.keys() & EXCLUDED.keys()
    assert all(EXCLUDED.values())


def test_statements_are_found_as_the_code_sends_them(tmp_path: Path):
    package = tmp_path / "made"
    package.mkdir()
    (package / "rows.py").write_text(
        '"""Rows of rag.collections."""\n'
        'ALL = "SELECT 1 FROM rag.collections"\n'
        "class Store:\n"
        "    def read(self, run):\n"
        '        run("SELECT 1 FROM "\n            "rag.documents WHERE id = %s")\n'
        '        run("DELETE FROM rag.chunks")\n'
        '        raise ValueError("cannot select from rag.chunks")\n'
    )
    assert find_statements(package) == {
        "made.rows:ALL": "SELECT 1 FROM rag.collections",
        "made.rows:Store.read": "SELECT 1 FROM rag.documents WHERE id = %s",
        "made.rows:Store.read 2": "DELETE FROM rag.chunks",
    }


def test_a_constant_of_another_module_is_part_of_the_statement(statements):
    page = statements["api.catalogue:_PAGE"]
    assert "{" not in page
    assert "rag.document_counts" in page


def test_there_is_a_value_for_every_parameter(statements):
    rng = random.Random(1)
    for key, lookup in {**LOOKUPS, **OPERATORS}.items():
        text = lookup.text or statements[key]
        values = lookup.values(FILLED, rng)
        if lookup.copies:
            columns = text.partition("(")[2].partition(")")[0].split(",")
            assert {len(row) for row in values} == {len(columns)}, key
        elif not isinstance(values, dict):
            assert text.count("%s") == len(values), key
