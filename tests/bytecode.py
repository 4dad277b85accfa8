"""Compiles what the workers of a run import, once: in a new clone each of them would compile all of it.

pytest stores test modules with their assertions rewritten, under names of its own. Its functions for that are private:
if they are gone, each worker compiles for itself as before.
"""

from __future__ import annotations

import compileall
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

_ROOT = Path(__file__).parents[1]
_IMPORTED = ("ragops", "ragops_launcher", "stacks")


def compile_all(config: pytest.Config, left_out: Sequence[str]) -> None:
    """Compile the package and the tests, but for the folders of tests in `left_out`, with a process for each core."""
    tests = _ROOT / "tests"
    found = [path for path in tests.rglob("*.py") if path.relative_to(tests).parts[0] not in left_out]
    packages = [path for name in _IMPORTED for path in (_ROOT / name).rglob("*.py")]
    rewritten = {path for path in found if path.name.startswith("test_") or path.name == "conftest.py"}
    work: list[tuple[Callable[[Path], None], Path]] = [
        *((_compile, path) for path in packages),
        *((_rewriter(config) if path in rewritten else _compile, path) for path in found),
    ]
    for child in [_start(work[number :: os.cpu_count() or 1]) for number in range(os.cpu_count() or 1)]:
        os.waitpid(child, 0)


def _start(work: list[tuple[Callable[[Path], None], Path]]) -> int:
    """Do it in a fork, which leaves nothing imported here; returns the pid."""
    child = os.fork()
    if child == 0:
        try:
            for do, path in work:
                with suppress(Exception):  # the worker that imports it names the fault
                    do(path)
        finally:
            os._exit(0)
    return child


def _compile(path: Path) -> None:
    compileall.compile_file(path, quiet=2)


def _rewriter(config: pytest.Config) -> Callable[[Path], None]:
    """Return what stores a test module as pytest does, if that is older than its source."""

    def rewrite(path: Path) -> None:
        from _pytest.assertion import rewrite as private

        stored = private.get_cache_dir(path) / (path.name.removesuffix(".py") + private.PYC_TAIL)
        if stored.exists() and stored.stat().st_mtime >= path.stat().st_mtime:
            return
        stored.parent.mkdir(exist_ok=True)
        digest, code = private._rewrite_test(path, config)
        private._write_pyc(config.stash[private.assertstate_key], code, digest, stored)

    return rewrite
