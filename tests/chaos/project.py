"""A project whose platform are the nodes of the campaign and a database: what commands of ragops work on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragops.config.paths import ProjectPaths
from ragops.runtimes.embedded.processes import supervisor
from ragops.services.qdrant.names import API_KEY_SECRET
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.schema import migrations
from tests.chaos.nodes import KEY
from tests.engines import Engine, make_engine, project_secrets
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from ragops.services.contract import Endpoint
    from tests.chaos.nodes import Nodes

COLLECTION, _DOCUMENTS, _PARAGRAPHS = "notes", 40, 12
_CONFIG = """name: chaos
runtime: docker
observability: off
api:
  embedder: {kind: hashing}
backup:
  repository: backups
"""
_ROWS = """
    INSERT INTO rag.embedding_models (name, provider) VALUES ('hashing-384-v1', 'ragops');
    INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)
        VALUES ('notes', 'notes', 'hashing-384-v1', 300, 0, '{md}')
"""


_CHUNKS = """
    SELECT c.id::text, c.point_collection FROM rag.chunks c JOIN rag.documents d ON d.id = c.document_id
    WHERE d.status <> 'deleted'
"""


class Project:
    """One for each cluster; commands on Qdrant alone have a project of their own, whose backups need no database."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self._with_documents = folder / "documents"
        self._database: Engine | None = None

    def root_for(self, command: str) -> Path:
        """The folder in which a command runs."""
        return self._with_documents if command == "ingest" else self.root

    def prepare(self, nodes: Nodes) -> None:
        """Write the projects and start the database, once."""
        if self._database is not None:
            return
        _write(self.root, nodes.endpoint())
        self._database = make_engine(self._with_documents, "timescaledb", free_port())
        supervisor.ensure_running(self._database.spec)
        roles.prepare(self._database.endpoint)
        with roles.log_in(self._database.endpoint, "rag") as connection:
            migrations.apply(connection, application_role="rag_app")
            connection.execute(_ROWS)
        _write(self._with_documents, nodes.endpoint(), self._database.endpoint)

    def change_documents(self, dice: Random) -> None:
        """Write some documents anew, remove some, and leave others as they are."""
        folder = self._with_documents / COLLECTION
        folder.mkdir(exist_ok=True)
        for number in range(_DOCUMENTS):
            file = folder / f"{number}.md"
            if file.exists() and dice.random() < 0.1:
                file.unlink()
            elif not file.exists() or dice.random() < 0.6:
                text = (
                    f"# Note {number}\n\nParagraph {one} {dice.random()} " + "word " * 60 for one in range(_PARAGRAPHS)
                )
                file.write_text("\n\n".join(text))

    def differences(self, nodes: Nodes) -> list[str]:
        """How the points of each node differ from the chunks of the database, after an ingest that succeeded."""
        assert self._database is not None
        rows = self._database.sql(_CHUNKS)
        wanted, [points] = {row[0] for row in rows}, {row[1] for row in rows}
        found = [] if len(wanted) > _DOCUMENTS else [f"only {len(wanted)} chunks"]
        for number in nodes.numbers:
            there = _ids(nodes, number, points)
            if there != wanted:
                found.append(f"node {number}: {len(there - wanted)} points too many, {len(wanted - there)} too few")
        return found


def _ids(nodes: Nodes, number: int, collection: str) -> set[str]:
    with nodes.http(number) as api:
        answer = api.post(f"/collections/{collection}/points/scroll", json={"limit": 100_000, "with_payload": False})
    return {str(point["id"]) for point in answer.raise_for_status().json()["result"]["points"]}


def _write(root: Path, *endpoints: Endpoint) -> None:
    root.mkdir(mode=0o755, exist_ok=True)
    root.chmod(0o755)
    (root / "ragops.yaml").write_text(_CONFIG)
    paths = ProjectPaths(root, "default")
    paths.secrets.write_text(json.dumps({**project_secrets(paths), API_KEY_SECRET: KEY}))
    paths.endpoints.parent.mkdir(parents=True, exist_ok=True)
    paths.endpoints.write_text(json.dumps({one.service: one.to_dict() for one in endpoints}))
