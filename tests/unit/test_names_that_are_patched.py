"""What tests that CI cannot run put a stand-in in the place of is still there: mypy does not read these strings."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("tests/docker", "tests/chaos", "tests/recovery_kinds", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "setattr(" in path.read_text()
]


def _imported(tree: ast.Module) -> dict[str, Any]:
    """What the names mean that a file imports from the package."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ragops":
            module = importlib.import_module(str(node.module))
            for one in node.names:
                if not hasattr(module, one.name):
                    importlib.import_module(f"{node.module}.{one.name}")
                found[one.asname or one.name] = getattr(module, one.name)
    return found


def _patched(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each name of a module or class, and its attribute that is patched; of a loop every name that it goes through."""
    loops = {
        node.target.id: [one.id for one in node.iter.elts if isinstance(one, ast.Name)]
        for node in ast.walk(tree)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            owner, attribute = node.args[:2]
            if isinstance(owner, ast.Name) and isinstance(attribute, ast.Constant):
                for name in loops.get(owner.id, [owner.id]):
                    yield name, attribute.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_patched_is_there(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = _imported(tree)
    gone = [
        f"{name}.{attribute}"
        for name, attribute in _patched(tree)
        if name in imported and not hasattr(imported[name], attribute)
    ]
    assert gone == []
