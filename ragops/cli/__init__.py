"""The command line: parse, call one operation, render."""

from __future__ import annotations

from typing import NoReturn


def cli_entrypoint() -> NoReturn:
    """Refuse to run: the console script of another project that is called `ragops`, too, calls this.

    Both were installed into one environment, and our files are where that script looks for its own.
    """
    from ragops_launcher import refuse

    refuse("the console script `ragops`")
