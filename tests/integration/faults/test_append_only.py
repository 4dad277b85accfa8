"""Whole commands on repositories whose keys may neither replace nor remove anything."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.stores.conftest import ACCESS, BUCKET, SECRET, Server
from tests.integration.stores.refusing import refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault, pytest.mark.campaign(of="append-only stores", sample=1)]

MISSING = 7


@contextmanager
def places(lab: Lab, home: Path, port: int, wait_until: Callable[..., None]) -> Iterator[tuple[Any, Any]]:
    """The same repository twice: by a narrow key and by one that may do everything."""
    home.mkdir()
    server = Server("s3", home, port, wait_until, arguments=["--auth-key", f"{ACCESS},{SECRET}"])
    server.start()
    keys = lab.root / "s3.yaml"
    keys.touch(0o600)
    keys.write_text(f"key: {ACCESS}\nsecret: {SECRET}\n")
    try:
        with refusing(server.data, port) as (rules, narrow):
            rules.all()
            yield tuple(  # type: ignore[misc]
                {
                    "url": f"s3://{BUCKET}/rag",
                    "options": {"endpoint_url": f"http://127.0.0.1:{each}"},
                    "options_file": "s3.yaml",
                }
                for each in (narrow, port)
            )
    finally:
        server.kill()
        keys.unlink()


@pytest.mark.slow  # several nights, each with backups to two repositories
def test_every_night_and_prune_elsewhere(
    lab: Lab, tmp_path: Path, free_port: Callable[[], int], wait_until: Callable[..., None]
) -> None:
    with places(lab, tmp_path / "s3", free_port(), wait_until) as (narrow, whole):
        lab.configure(repository=narrow, copies=[], keep={"daily": 1})
        ids = []
        for _ in range(3):
            done = lab("backup", "run", "--json")
            ids.append(done.json()["id"])
            assert "lock" not in done.err
        assert [point["id"] for point in lab.listed()] == ids[::-1]
        lab("backup", "verify", "latest", "--deep")
        lab("backup", "keep", ids[0])
        refused = lab("backup", "prune", "--json", code=MISSING)
        assert refused.error["code"] == "prune_failed"
        assert "append_only: true" in refused.error["hint"]
        assert len(lab.listed()) == 3
        lab.configure(repository={**narrow, "append_only": True}, copies=[], keep={"daily": 1})
        lab("backup", "prune")
        lab("backup", "run", "--prune")
        lab.configure(repository=whole, copies=[], keep={"daily": 1})
        lab("backup", "prune")
        kept = lab.listed()
        assert [point["kept"] for point in kept] == [False, True]
        lab("restore", "latest", "--yes", "--service", "redis")


def test_a_copy_there(lab: Lab, tmp_path: Path, free_port: Callable[[], int], wait_until: Callable[..., None]) -> None:
    with places(lab, tmp_path / "s3", free_port(), wait_until) as (narrow, _):
        lab.configure(copies=[{**narrow, "append_only": True}], keep={"daily": 1})
        for _ in range(2):
            lab("backup", "run", "--prune")
        lab("backup", "copy", "latest")
        copies = lab("backup", "list", "--json", "--repository", "2").json()["points"]
        assert len(copies) == 2
        assert len(lab("backup", "list", "--json", "--repository", "1").json()["points"]) == 1
        lab("backup", "verify", copies[1]["id"], "--repository", "2")
