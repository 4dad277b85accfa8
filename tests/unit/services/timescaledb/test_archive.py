"""Arguments of pg_dump and pg_restore, and reading a table of contents."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from ragops.services.contract import Endpoint, Login
from ragops.services.timescaledb.backup.pg_dump import (
    dump_arguments,
    listed_tables,
    logged_in,
    parallel,
    restore_arguments,
    tables,
)
from ragops.services.timescaledb.restore.swap import FILLED, KEPT, make_name

ENDPOINT = Endpoint(
    service="timescaledb",
    engine="postgresql",
    version="18.4",
    runtime="embedded",
    host="127.0.0.1",
    port=5432,
    options={"database": "rag"},
    logins={"operator": Login("rag_owner", "owner", SecretStr("a:b\\c"))},
)


def test_dump_arguments():
    assert dump_arguments(("/x/pg_dump",), ENDPOINT, "0001-1") == [
        "/x/pg_dump", "--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=60s",
        "--snapshot=0001-1", "--host=127.0.0.1", "--port=5432", "--username=rag_owner", "rag",
    ]  # fmt: skip


def test_restore_arguments():
    arguments = restore_arguments(("/x/pg_restore",), ENDPOINT, "fresh")
    assert arguments == [
        "/x/pg_restore", "--format=custom", "--exit-on-error", "--no-password",
        "--host=127.0.0.1", "--port=5432", "--username=rag_owner", "--dbname=fresh",
    ]  # fmt: skip
    assert parallel(arguments, Path("/p/rag.dump"), 2) == [*arguments, "--jobs=2", "/p/rag.dump"]


def test_beside_the_server_in_its_image_a_tool_uses_its_socket():
    inside = replace(ENDPOINT, options={"database": "rag", "socket": "/run/x"}, inner_host="db", inner_port=5433)
    arguments = restore_arguments(("bridge", "pg_restore"), inside, "fresh")
    assert arguments[-4:] == ["--host=/run/x", "--port=5433", "--username=rag_owner", "--dbname=fresh"]


def test_the_password_goes_through_a_private_file(monkeypatch):
    monkeypatch.setenv("PGHOST", "elsewhere")
    with logged_in(ENDPOINT) as environment:
        path = Path(environment["PGPASSFILE"])
        assert path.read_text() == "*:*:*:rag_owner:a\\:b\\\\c\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "PGHOST" not in environment
        assert not any("a:b" in value for value in environment.values())
    assert not path.exists()


def test_tables_of_a_listing():
    listing = """\
;
; Archive created at 2026-01-01 TABLE of contents
6; 2615 16389 SCHEMA - rag rag_owner
220; 1259 16390 TABLE rag documents rag_owner
221; 1259 16391 TABLE rag a table rag_owner
3456; 0 16390 TABLE DATA rag documents rag_owner
3300; 0 0 TABLE ATTACH rag log_1 rag_owner
3457; 0 0 ACL rag TABLE documents rag_owner
"""
    assert listed_tables(listing) >= {"rag.documents", "rag.a table"}
    assert not any(name.startswith(("DATA", "ATTACH")) for name in listed_tables(listing))
    assert tables({"rag.documents": 1, "indexes": 2}) == {"rag.documents"}


@pytest.mark.parametrize("database", ["rag", "d" * 49])
def test_names_of_databases_fit(database):
    for name in (make_name(database, KEPT), make_name(database, FILLED)):
        assert len(name) <= 63
        assert name.startswith(database[:30])
