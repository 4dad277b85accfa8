"""Migration files as text."""

from __future__ import annotations

from dataclasses import replace

import jinja2
import pytest

from ragops.errors import IntegrityError
from ragops.services.timescaledb.schema.migration_files import Migration, load_migrations, statements

EDITIONS = ("community", "apache", "postgresql")


def test_there_are_seven_in_order():
    names = [migration.file for migration in load_migrations()]
    assert [name[:4] for name in names] == ["001_", "002_", "003_", "004_", "005_", "006_", "007_", "008_"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_nothing_of_another_edition_is_left(edition):
    sql = "".join(migration.render(edition) for migration in load_migrations())
    assert "{%" not in sql
    assert "{{" not in sql
    assert ("PARTITION BY" in sql) == (edition == "postgresql")
    assert ("create_hypertable" in sql) == (edition != "postgresql")
    assert ("add_retention_policy" in sql) == ("timescaledb.continuous" in sql) == (edition == "community")


def test_the_checksum_is_that_of_the_file_as_it_stands():
    migration = Migration(1, "x", "SELECT 1;\n")
    assert migration.checksum == "b4e0497804e46e0a0b0b8c31975b062152d551bac49c3c2e80932567b4085dcd"
    assert replace(migration, text="SELECT 1;").checksum != migration.checksum
    assert replace(migration, name="y").checksum == migration.checksum


def test_an_unknown_template_name_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        Migration(1, "x", "{{ nothing }}").render("apache")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", []),
        (" ;; ; -- only words;\n", []),
        ("SELECT 1;SELECT 2", ["SELECT 1;", "SELECT 2"]),
        ("-- a; b\nSELECT 1;", ["SELECT 1;"]),
        ("/* a;\n b */ SELECT 1;", ["SELECT 1;"]),
        ("SELECT 'a;''b;';", ["SELECT 'a;''b;';"]),
        (r"SELECT E'a\';b'; SELECT 2;", [r"SELECT E'a\';b';", "SELECT 2;"]),
        ('SELECT 1 AS "a;""b";', ['SELECT 1 AS "a;""b";']),
        ("DO $$ BEGIN; END; $$; SELECT 2;", ["DO $$ BEGIN; END; $$;", "SELECT 2;"]),
        ("DO $x$ a; $$ b; $x$;", ["DO $x$ a; $$ b; $x$;"]),
        ("SELECT 1 -- it's\n;SELECT 2;", ["SELECT 1 -- it's\n;", "SELECT 2;"]),
    ],
)
def test_statements_end_at_their_own_semicolons(sql, expected):
    found = list(statements(sql))
    assert [statement.text for statement in found] == expected
    assert all(sql[statement.offset :].startswith(statement.text) for statement in found)


def test_lines_are_those_of_the_file_not_of_the_rendered_text():
    text = "one\n{% if edition == 'apache' %}\ntwo\n{% else %}\nthree\n{% endif %}\nfour {{ edition }}\nfive\n"
    migration = Migration(1, "x", text)
    rendered = migration.render("apache")
    lines = {word: migration.line_of(rendered, rendered.index(word)) for word in ("one", "two", "five")}
    assert lines == {"one": 1, "two": 3, "five": 8}
    assert migration.line_of(rendered, rendered.index("four")) in (6, 7)


@pytest.mark.parametrize("names", [[], ["002_b.sql"], ["001_a.sql", "003_c.sql"], ["001_a.sql", "001_b.sql"]])
def test_a_gap_or_a_double_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(IntegrityError) as caught:
        load_migrations(tmp_path)
    assert caught.value.code == "migrations_incomplete"


def test_a_misnamed_file_is_refused(tmp_path):
    (tmp_path / "1-first.sql").write_text("SELECT 1;")
    with pytest.raises(IntegrityError, match=r"001_words\.sql"):
        load_migrations(tmp_path)
