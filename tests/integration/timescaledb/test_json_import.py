"""collections-config.json into a real database and back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from ragops.errors import ExitCode, InvalidInputError, LockedError, MissingError, UnhealthyError
from ragops.operations.data import migrate
from ragops.services.timescaledb.collections.json_import import FieldChange
from tests.waiting import wait_until

DEFAULTS = {
    "embeddingModel": "nomic-embed-text",
    "chunkSize": 512,
    "chunkOverlap": 50,
    "fileTypes": ["md", "mdx"],
    "ollamaUrl": "http://127.0.0.1:11434",
}
PLAIN = {"name": "documentation__nomic", "directory": "/data/docs/content"}
FULL = {
    "name": "odd.name_with-0",
    "directory": "/data/{x},'y'/\\z \"with\"\ta\nü€😀",
    "embeddingModel": "mxbai-embed-large",
    "chunkSize": 1024,
    "chunkOverlap": 0,
    "fileTypes": ["md", 'a"b', "c\\d", "e,f", "{g}", "NULL", "ü"],
    "recursive": False,
    "enabled": False,
    "owner": {"team": "ü", "list": [1, 2.5, None, True, 12345678901234567890], "deep": {"x": [[]]}},
    "note": 'tab\t newline\n backslash \\ quote " N \\N',
}
OTHER = {"name": "empty", "directory": " /d ", "fileTypes": [], "recursive": True, "chunkSize": 512}


def document(*collections, defaults=DEFAULTS, **extra):
    return {"collections": list(collections), "defaults": defaults, **extra}


@pytest.fixture
def ready(edition_database):
    migrate.up(edition_database)
    return edition_database


@pytest.fixture
def plain(database):
    migrate.up(database)
    return database


@pytest.fixture
def load(tmp_path):
    """Imports a document (or text) from a file that is there afterwards."""

    def load_into(endpoint, content, *, dry_run=False, actor="alice"):
        file = tmp_path / "collections-config.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return migrate.import_json(endpoint, file, dry_run=dry_run, actor=actor)

    return load_into


def everything(connection):
    """All rows of all tables that an import may touch, and where the identities stand."""
    tables = ("embedding_models", "collections", "collection_defaults", "audit_log")
    rows = {table: connection.execute(f"SELECT t::text FROM rag.{table} t ORDER BY 1").fetchall() for table in tables}
    rows["identities"] = connection.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'rag' ORDER BY 1"
    ).fetchall()
    return rows


def collections(connection):
    columns = ("name, directory, embedding_model, chunk_size, chunk_overlap, file_types, recursive, enabled, source,"
               " extra, defaults_used")  # fmt: skip
    return connection.execute(f"SELECT {columns} FROM rag.collections ORDER BY id").fetchall()


def test_a_document_becomes_rows(ready, session, load):
    report = load(ready, document(PLAIN, FULL, OTHER, version=2))
    assert report.added == (PLAIN["name"], FULL["name"], "empty")
    assert (report.changed, report.unchanged, report.absent) == ((), 0, ())
    assert report.models_added == ("mxbai-embed-large", "nomic-embed-text")
    rest = {key: FULL[key] for key in ("owner", "note")}
    assert collections(session(ready)) == [
        ("documentation__nomic", "/data/docs/content", "nomic-embed-text", 512, 50, ["md", "mdx"], True, True, "json",
         {}, ["embedding_model", "chunk_size", "chunk_overlap", "file_types", "recursive", "enabled"]),
        (FULL["name"], FULL["directory"], "mxbai-embed-large", 1024, 0, FULL["fileTypes"], False, False, "json",
         rest, []),
        ("empty", " /d ", "nomic-embed-text", 512, 50, [], True, True, "json", {},
         ["embedding_model", "chunk_overlap", "enabled"]),
    ]  # fmt: skip


def test_the_second_run_changes_nothing_at_all(ready, session, load):
    load(ready, document(PLAIN, FULL, OTHER))
    before = everything(session(ready))
    again = load(ready, document(PLAIN, FULL, OTHER))
    assert (again.added, again.changed, again.unchanged, again.absent, again.models_added) == ((), (), 3, (), ())
    assert not again.writes
    assert everything(session(ready)) == before


def test_a_dry_run_reports_the_same_and_changes_nothing(ready, session, load):
    load(ready, document(PLAIN, FULL))
    before = everything(session(ready))
    changed = document({**PLAIN, "chunkSize": 100, "embeddingModel": "new"}, OTHER, defaults={**DEFAULTS, "x": 1})
    dry = load(ready, changed, dry_run=True)
    assert everything(session(ready)) == before
    wet = load(ready, changed)
    assert (dry.dry_run, wet.dry_run) == (True, False)
    parts = ("added", "changed", "unchanged", "absent", "models_added", "sha256", "document_changed")
    assert [getattr(dry, part) for part in parts] == [getattr(wet, part) for part in parts]
    assert dry.changed
    assert dry.absent


def test_changes_are_told_field_by_field_with_the_keys_of_the_file(ready, load):
    load(ready, document(PLAIN, FULL))
    report = load(
        ready, document({**PLAIN, "chunkSize": 512}, {**FULL, "fileTypes": ["md"], "enabled": True, "note": 1})
    )
    by_name = {change.name: change.fields for change in report.changed}
    assert by_name[PLAIN["name"]] == (
        FieldChange(
            "defaults used for",
            ["embedding_model", "chunk_size", "chunk_overlap", "file_types", "recursive", "enabled"],
            ["embedding_model", "chunk_overlap", "file_types", "recursive", "enabled"],
        ),
    )
    assert [field.field for field in by_name[FULL["name"]]] == ["fileTypes", "enabled", "other keys"]
    assert by_name[FULL["name"]][1] == FieldChange("enabled", False, True)


def test_a_change_keeps_the_row_and_its_birth(plain, session, load):
    load(plain, document(PLAIN))
    connection = session(plain)
    born = connection.execute("SELECT id, created_at, updated_at FROM rag.collections").fetchone()
    load(plain, document({**PLAIN, "directory": "/other"}))
    now = connection.execute("SELECT id, created_at, updated_at FROM rag.collections").fetchone()
    assert now[:2] == born[:2]
    assert now[2] > born[2]


def test_another_default_changes_those_that_lean_on_it_only(ready, load):
    load(ready, document(PLAIN, FULL))
    report = load(ready, document(PLAIN, FULL, defaults={**DEFAULTS, "chunkSize": 700}))
    assert [change.name for change in report.changed] == [PLAIN["name"]]
    assert report.changed[0].fields == (FieldChange("chunkSize", 512, 700),)


def test_defaults_may_stand_after_the_collections_or_be_missing(ready, load):
    text = '{"collections": [{"name": "a", "directory": "/d"}], "defaults": ' + json.dumps(DEFAULTS) + "}"
    assert load(ready, text).added == ("a",)
    assert load(ready, {"collections": [FULL]}).added == (FULL["name"],)


def test_what_left_the_file_is_reported_and_stays(ready, session, load):
    load(ready, document(PLAIN, FULL))
    report = load(ready, document(FULL))
    assert report.absent == (PLAIN["name"],)
    assert len(collections(session(ready))) == 2
    assert load(ready, document()).absent == tuple(sorted((PLAIN["name"], FULL["name"])))


def test_collections_of_the_database_are_never_written_over(ready, session, load):
    load(ready, document(PLAIN))
    connection = session(ready)
    connection.execute(
        "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
        " VALUES ('mine', '/m', 'nomic-embed-text', 1, 0, '{}'), ('mine-too', '/m', 'nomic-embed-text', 1, 0, '{}')"
    )
    before = everything(connection)
    clash = document(PLAIN, {**PLAIN, "name": "new"}, {**PLAIN, "name": "mine-too"}, {**PLAIN, "name": "mine"})
    for dry_run in (True, False):
        with pytest.raises(InvalidInputError) as caught:
            load(ready, clash, dry_run=dry_run)
        assert (caught.value.code, caught.value.exit_code) == ("collections_conflict", ExitCode.USAGE)
        assert [problem.key for problem in caught.value.problems] == ["collections[2].name", "collections[3].name"]
    assert everything(connection) == before
    report = load(ready, document(PLAIN))
    assert report.absent == ()


def test_an_audit_row_says_who_when_and_which_file(ready, session, load, tmp_path):
    load(ready, document(PLAIN, FULL), actor="alice")
    load(ready, document({**PLAIN, "enabled": False}), actor="bob")
    rows = (
        session(ready)
        .execute(
            "SELECT actor, login, row_key, at > now() - INTERVAL '1 minute', new_row FROM rag.audit_log"
            " WHERE action = 'import' ORDER BY id"
        )
        .fetchall()
    )
    assert [row[0] for row in rows] == ["alice", "bob"]
    file = tmp_path / "collections-config.json"
    assert rows[1][1:4] == ("operator", str(file), True)
    assert rows[1][4] == {
        "file": str(file),
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "added": 0,
        "changed": 1,
        "unchanged": 0,
        "absent": 1,
        "models_added": [],
    }
    touched = session(ready).execute("SELECT action, row_key FROM rag.audit_log WHERE actor = 'bob' AND table_name ="
                                     " 'collections' AND action <> 'import'").fetchall()  # fmt: skip
    assert touched == [("update", "1")]


def test_an_invalid_file_writes_nothing(ready, session, load):
    before = everything(session(ready))
    with pytest.raises(InvalidInputError):
        load(ready, document(PLAIN, {**FULL, "chunkSize": "512"}))
    assert everything(session(ready)) == before


def test_an_import_without_a_schema_says_what_to_run(database, load):
    with pytest.raises(MissingError, match="no rag schema") as caught:
        load(database, document(PLAIN))
    assert caught.value.hint == "run `ragops migrate up`"


def test_a_killed_import_leaves_nothing_and_the_next_completes(plain, session, load):
    observer = session(plain)
    before = everything(observer)
    holder = session(plain)
    with ThreadPoolExecutor() as pool, holder.transaction():
        # Held up at its last statement but one: everything else is written by then.
        holder.execute("LOCK TABLE rag.audit_log IN SHARE MODE")
        run = pool.submit(load, plain, document(PLAIN, FULL))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        found = wait_until(lambda: observer.execute(waiting).fetchone())
        observer.execute("SELECT pg_terminate_backend(%s)", [found[0]])
        with pytest.raises(UnhealthyError) as caught:
            run.result(timeout=30)
    assert caught.value.code == "database_connection_lost"
    after = everything(observer)
    assert {table: after[table] for table in before if table != "identities"} == {
        table: before[table] for table in before if table != "identities"
    }
    assert load(plain, document(PLAIN, FULL)).added == (PLAIN["name"], FULL["name"])


def test_an_import_does_not_wait_for_ever(plain, session, load):
    holder = session(plain)
    with holder.transaction():
        holder.execute("LOCK TABLE rag.collections IN SHARE MODE")
        with pytest.raises(LockedError) as caught:
            load(plain, document(PLAIN))
        assert load(plain, document(PLAIN), dry_run=True).added == (PLAIN["name"],)
    assert caught.value.code == "database_locked"


def test_the_way_back_gives_the_same_document_and_the_same_rows(ready, session, load, tmp_path):
    original = document(PLAIN, FULL, OTHER, version=2, about={"ü": [1, 2.5]})
    load(ready, original)
    text = migrate.export_json(ready)
    assert json.loads(text) == original
    connection = session(ready)
    before = collections(connection)
    assert not load(ready, text).writes
    connection.execute("DELETE FROM rag.collections")
    connection.execute("DELETE FROM rag.collection_defaults")
    load(ready, text)
    assert collections(connection) == before


def test_the_way_back_says_what_no_longer_is_the_default(ready, session, load):
    load(ready, document(PLAIN))
    connection = session(ready)
    connection.execute("UPDATE rag.collections SET chunk_size = 300")
    exported = json.loads(migrate.export_json(ready))
    assert exported["collections"] == [{**PLAIN, "chunkSize": 300}]
    report = load(ready, exported)
    assert [field.field for field in report.changed[0].fields] == ["defaults used for"]


def test_the_way_back_leaves_what_the_database_owns(ready, session, load):
    load(ready, document(PLAIN))
    session(ready).execute(
        "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
        " VALUES ('mine', '/m', 'nomic-embed-text', 1, 0, '{}')"
    )
    assert json.loads(migrate.export_json(ready)) == document(PLAIN)


def test_an_empty_database_exports_an_empty_document(plain, load):
    text = migrate.export_json(plain)
    assert json.loads(text) == {"collections": [], "defaults": {}}
    assert load(plain, text).unchanged == 0


def test_many_collections_are_streamed_both_ways(plain, load):
    many = [
        {"name": f"c{n}", "directory": f"/d/{n}", "chunkSize": 100 + n % 7, "extra": "x" * 400} for n in range(6000)
    ]
    report = load(plain, document(*many))
    assert len(report.added) == 6000
    assert report.added[-1] == "c5999"
    assert json.loads(migrate.export_json(plain)) == document(*many)
