"""docs/architecture.md names every folder of the package, and nothing that is gone."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Former places that states of Pulumi and process records still name.
FORMER = {"services/qdrant/edge"}


def drawn() -> set[str]:
    """The folders of the tree in architecture.md, relative to ragops/."""
    text = (ROOT / "docs/architecture.md").read_text()
    tree = text.partition("\nragops/\n")[2].partition("\n```")[0]
    found: set[str] = set()
    path: list[str] = []
    for line in tree.splitlines():
        match = re.match(r"( *)(\w+)/ +\S", line)
        if not match or not match.group(1):
            continue  # next to ragops/
        depth = len(match.group(1)) // 2
        path = [*path[: depth - 1], match.group(2)]
        found.add("/".join(path))
    return found


def test_the_tree_is_that_of_the_package() -> None:
    package = ROOT / "ragops"
    there = {str(file.parent.relative_to(package)) for file in package.rglob("__init__.py")} - {"."}
    assert drawn() == there - FORMER


def test_every_file_that_it_points_to_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.partition("| question | file |")[2].partition("\n\n")[0]
    named = re.findall(r"`([\w*]+/[\w*/.]+\.py)`", table)
    assert named
    for name in named:
        assert list((ROOT / "ragops").glob(name)), name
