"""The error for a port that is taken is the same on every runtime, and names the file that changes it."""

from pathlib import Path

import pytest

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.runtimes.checks import config_name, port_taken


@pytest.mark.parametrize(("environment", "name"), [("default", "ragops.yaml"), ("dev", "ragops.dev.yaml")])
def test_another_port_is_set_in_the_file_of_the_environment(environment: str, name: str) -> None:
    folder = Path("/srv/rag")
    project = Project(Settings(name="demo"), ProjectPaths(folder, environment), folder / "ragops.yaml")
    error = port_taken("redis", 6379, "valkey-server (pid 7)", config_name(project))
    assert error.message == "cannot start redis: port 6379 is taken by valkey-server (pid 7)"
    assert error.hint == f"stop it, or give redis another port in {name}"
