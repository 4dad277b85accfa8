"""Messages and hints of the whole package are plain sentences."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ragops

# "'x' is no weekday": the field writes "is not a weekday".
_STILTED = re.compile(r"(?<!there )\bis no (?!longer|node)", re.IGNORECASE)
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the string literals that are not docstrings, with their lines."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_no_message_says_what_a_thing_is_no() -> None:
    root = Path(ragops.__file__).parent
    found = [
        f"{path.relative_to(root)}:{line}: {text!r}"
        for path in sorted(root.rglob("*.py"))
        for line, text in _texts(ast.parse(path.read_text()))
        if _STILTED.search(text)
    ]
    assert found == []
