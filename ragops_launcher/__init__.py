"""The console script `ragops`.

A package of its own: another project is called `ragops` too, has the same import name and may be what Python finds.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit; refuses if `ragops` is not the package of this project."""
    import ragops

    if getattr(ragops, "DISTRIBUTION", "") != "ragops-platform":
        refuse(str(ragops.__file__))
    from ragops.cli.main import main as run

    run()


def refuse(found: str) -> NoReturn:
    """Exit with 7: `found` is the file of the other project's package."""
    sys.stderr.write(
        f"error: cannot start ragops: {found} is a package of another project that is called ragops, too\n"
        f"  → run `{sys.executable} -m pip uninstall ragops`, then install ragops-platform again\n"
    )
    sys.exit(7)
