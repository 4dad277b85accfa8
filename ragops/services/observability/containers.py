"""What the containers of observability have in common."""

from __future__ import annotations

from ragops.services.spec import ExecCheck


def fetch_check(port: int, path: str) -> ExecCheck:
    """Return the check that a page of the program itself is answered: each of the images has BusyBox's wget."""
    return ExecCheck(("wget", "-q", "-T", "4", "-O", "/dev/null", f"http://127.0.0.1:{port}{path}"))
