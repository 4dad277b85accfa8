"""The SQL statements on tables of the schema `rag` that the code of ragops has, found in its source."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "ragops"
_TABLE = re.compile(r"\brag\.[a-z_]")
_VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|COPY|WITH|LOCK|TRUNCATE|REFRESH|CREATE|ALTER|DROP)\s")
_LITERALS = (ast.Constant, ast.JoinedStr)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Found:
    """A statement in the source; `key` is module and function or constant, with a number from the second one on."""

    key: str
    text: str


def find_statements(package: Path = PACKAGE) -> dict[str, str]:
    """Return every statement that names a table of `rag` by its key, as the code sends it."""
    found: dict[str, str] = {}
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for one in _of_module(module, path.read_text()):
            number, key = 1, one.key
            while key in found:
                number += 1
                key = f"{one.key} {number}"
            found[key] = one.text
    return found


def _of_module(module: str, source: str) -> Iterator[Found]:
    for node, scope in _literals(ast.parse(source), ""):
        written = _written(node)
        if _TABLE.search(written) and _VERB.match(written):
            key = f"{module.removeprefix('ragops.')}:{scope}"
            yield Found(key, str(node.value) if isinstance(node, ast.Constant) else _evaluate(module, node))


def _literals(node: ast.AST, scope: str) -> Iterator[tuple[Any, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _LITERALS):
            yield child, scope
        elif isinstance(child, _SCOPES):
            yield from _literals(child, f"{scope}.{child.name}".lstrip("."))
        else:
            yield from _literals(child, scope or _constant_name(child))


def _constant_name(node: ast.AST) -> str:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return targets[0].id if isinstance(targets[0], ast.Name) else ""


def _written(node: Any) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node.value, str) else ""


def _evaluate(module: str, node: ast.JoinedStr) -> str:
    """Return the f-string as its module has it; parts that only a call has stay braces."""
    names = vars(importlib.import_module(module))
    try:
        code = compile(ast.fix_missing_locations(ast.Expression(node)), module, "eval")
        return str(eval(code, names))
    except NameError:
        return _written(node)
