"""No hint and no page names the package of somebody else: `ragops` on the package index is another project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLERS = r"(?:pip3?|pipx|uv|uvx|poetry|pdm|conda|inject|runpip|pip-compile)\b"
# An installer and, on the same line, `ragops` as a requirement: a word, not a path, an option, or part of a name.
FOREIGN = re.compile(
    rf"{INSTALLERS}[^\n`]*?(?<![\w./@-])['\"]?ragops(?:\[[^\]]*\]|[=<>~!]=?[^\s'\"`]*)?['\"]?(?=[\s`'\").,;]|$)"
)
EXTRA = re.compile(r"(?<![\w./-])ragops\[[a-z0-9,]+\]")
ALLOWED = re.compile(r"(?:pip|tool) uninstall (?:--yes )?ragops\b")


def texts() -> list[Path]:
    folders = (
        "ragops",
        "ragops_launcher",
        "templates",
        "stacks",
        "images",
        "docs",
        "examples",
        "bench",
        ".github",
        ".ci",
    )
    kinds = {".py", ".md", ".j2", ".yml", ".yaml", ".sql", ".sh", ".toml", "", ".conf"}
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    found += [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    return [path for path in found if path.suffix in kinds and "__pycache__" not in path.parts]


def foreign(text: str) -> list[str]:
    rest = ALLOWED.sub("", text)
    return [match[0] for pattern in (FOREIGN, EXTRA) for match in pattern.finditer(rest)]


def test_no_text_installs_the_package_of_another_project() -> None:
    assert len(texts()) > 300
    assert not {str(path.relative_to(ROOT)): names for path in texts() if (names := foreign(path.read_text()))}


@pytest.mark.parametrize(
    "text",
    [
        "run `pip install 'ragops[embedded]'`",
        "pip install -U ragops",
        "pipx install ragops",
        "uv tool install ragops==2.0.2",
        "uvx ragops",
        'dependencies = ["ragops[api]"]',
        "pip install ragops, then",
    ],
)
def test_a_text_that_does_is_found(text: str) -> None:
    assert foreign(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'ragops-platform[embedded]'",
        "pip install '.[embedded]'",
        "run `pip uninstall --yes ragops`",
        "pip install 'ragops-platform @ git+https://git.example/ragops@v1'",
        "pip install ./ragops_platform-0.1.0-py3-none-any.whl",
    ],
)
def test_a_text_that_does_not_is_left_alone(text: str) -> None:
    assert not foreign(text)
