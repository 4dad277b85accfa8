"""`ragops engine`: the Pulumi engine that provisioning runs with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.pulumi import install as pulumi_install
from ragops.adapters.pulumi.install import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.pulumi.install import Engine


def install(source: Source = Source.DOWNLOAD, *, progress: Callable[[str], None] = pulumi_install.ignore) -> Engine:
    """Return the engine to use, installed from `source` first if there is none.

    Raises what `ragops.adapters.pulumi.install.install` raises.
    """
    return pulumi_install.install(source, progress)


def path(note: Callable[[str], None] = pulumi_install.ignore) -> Engine:
    """Return the engine to use; MissingError (engine_missing) if there is none."""
    return pulumi_install.require(note)
