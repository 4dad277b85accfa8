"""The project's own part of a recovery point: the Pulumi state itself, nothing of its history."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from ragops.operations.backup.project_archive import _pack

if TYPE_CHECKING:
    from pathlib import Path

KEPT = ("passphrase", "Pulumi.default.yaml", "state/.pulumi/meta.yaml", "state/.pulumi/stacks/rag/default.json")
LEFT_OUT = (
    "state/.pulumi/history/rag/default/default-1.history.json",
    "state/.pulumi/backups/rag/default/default.1.json",
    "state/.pulumi/stacks/rag/default.json.bak",
    "state/.pulumi/stacks/rag/default.json.attrs",
    "state/.pulumi/locks/organization/rag/default/1.json",
    "bin/pulumi-resource-pulumi-python",
    "broken-state/20260101T000000Z/default.json",
)


def test_nothing_of_the_history_is_in_it(tmp_path: Path) -> None:
    for name in (*KEPT, *LEFT_OUT):
        path = tmp_path / "pulumi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "gateway" / "history").mkdir(parents=True)
    (tmp_path / "gateway" / "history" / "x.bak").write_text("x")
    with (tmp_path / "sealed.tar").open("wb") as target:
        count = _pack({"pulumi": tmp_path / "pulumi", "gateway": tmp_path / "gateway"}, target)
    with tarfile.open(tmp_path / "sealed.tar") as archive:
        files = {member.name for member in archive if member.isfile()}
    assert files == {*(f"pulumi/{name}" for name in KEPT), "gateway/history/x.bak"}
    assert count == len(files)
