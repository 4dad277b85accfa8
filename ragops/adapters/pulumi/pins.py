"""The one Pulumi engine that this ragops runs with: its version, where it comes from, what installing it needs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENGINE_VERSION = "3.259.0"
"""Engine and SDK share one protocol version: this is the version of `pulumi` in pyproject.toml (a test compares)."""

RELEASE_URLS = (
    f"https://github.com/pulumi/pulumi/releases/download/v{ENGINE_VERSION}",
    "https://get.pulumi.com/releases/sdk",
)
"""The two publishers of Pulumi releases, in the order of Pulumi's own installer."""

ENGINE_SHA256: Mapping[str, str] = {}
"""The SHA-256 of release archives by their names, checked in addition to the checksum file of the same server.

An archive without an entry is checked against that file alone. Filled in with each new ENGINE_VERSION."""

PLUGIN_SHA256: Mapping[str, str] = {}
"""The SHA-256 of the Docker plugin's archives by platform, such as linux-amd64; passed to the engine as --checksum."""

ENGINE_HINT = (
    "run `ragops engine install` (or `ragops engine install --from-source` if the download cannot be reached), "
    f"or set RAGOPS_PULUMI to the path of a pulumi {ENGINE_VERSION} binary"
)


def require_free_space(folder: Path, size: int) -> None:
    """MissingError unless the file system of `folder` has `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < size:
        message = f"installing the engine needs {size / 1e9:.1f} GB free in {folder}; {free / 1e9:.1f} GB are"
        raise MissingError("disk_space", message, "free some, or set RAGOPS_CACHE_DIR to a folder with more room")
