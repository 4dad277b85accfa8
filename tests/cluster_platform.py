"""A session on a cluster that a test has made itself: a project with `runtime: docker`, and a host of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragops.config import secrets
from ragops.config.load import load
from ragops.operations import session as sessions
from ragops.operations.session import Session
from ragops.services.qdrant.names import API_KEY_SECRET

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from ragops.services.contract import Endpoint

CONFIG = """# The platform of the tests.
name: test
runtime: docker
observability: off

qdrant:
  port: 6333            # of the first node
  nodes: {nodes}
"""


def open_session(
    root: Path, endpoint: Endpoint, host: Any, monkeypatch: pytest.MonkeyPatch, key: str = "the key"
) -> Session:
    """A session of a new project in `root` whose Qdrant is the endpoint, as `up` would have left it."""
    config = root / "ragops.yaml"
    config.write_text(CONFIG.format(nodes=len(endpoint.nodes)))
    project = load(config, None)
    secrets.save(project.paths.secrets, {API_KEY_SECRET: key})
    write_endpoints(project.paths.endpoints, endpoint)
    monkeypatch.setattr(sessions, "host_of", lambda _project: host)
    return Session(project, "ragops cluster", lambda _text: None)


def write_endpoints(path: Path, endpoint: Endpoint) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"qdrant": endpoint.to_dict()}))


def again(session: Session) -> Session:
    """The session of the next run: the files are read again."""
    return Session(load(session.project.config, None), session.command, session.notice)
