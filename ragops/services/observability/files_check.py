"""What the programs' own checkers judge before the programs read it: rendered configurations and rules. Pure values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.services.observability import ALERTMANAGER, PROMETHEUS, TITLES, alertmanager, prometheus
from ragops.services.spec import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragops.services.observability.settings import ObservabilitySettings
    from ragops.services.spec import ConfigFile, RuntimeTraits

_FOLDER = "."  # the programs read relative paths from where their configuration lies
_FAILED = re.compile(r"FAILED:?\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class FilesCheck:
    """Files of the program `title` from `image`; the checker in `command` gets the path of the first one."""

    title: str
    image: str
    command: tuple[str, ...]
    files: tuple[ConfigFile, ...]

    @property
    def tool(self) -> str:
        """Return the name of the checker."""
        return Path(self.command[0]).name


def files_checks(
    settings: ObservabilitySettings, labels: Mapping[str, str], contents: Mapping[str, str], traits: RuntimeTraits
) -> tuple[FilesCheck, ...]:
    """Return the checks of what the section makes of configurations; pages to scrape are ragops's own, and left out.

    `contents` are the files with secrets that it names. Without images the checker is looked for next to Prometheus.
    """
    layout = Layout(_FOLDER, _FOLDER, "127.0.0.1", **vars(traits))
    watched = prometheus.Watched((), labels, contents=contents)
    folder = "" if layout.uses_images else _folder_of(settings.program)
    images = settings.images()
    of_prometheus = prometheus.service_spec(settings, watched, layout).files
    found: list[tuple[str, tuple[str, ...], tuple[ConfigFile, ...]]] = [
        (PROMETHEUS, (f"{folder}promtool", "check", "config"), of_prometheus)
    ]
    if layout.uses_images and settings.runs_alertmanager:
        of_alertmanager = alertmanager.service_spec(settings, contents, layout).files
        found.append((ALERTMANAGER, ("amtool", "check-config"), of_alertmanager))
    return tuple(FilesCheck(TITLES[name], images[name], command, files) for name, command, files in found)


def _folder_of(program: str) -> str:
    folder = program.rpartition("/")[0]
    return f"{folder}/" if folder else ""


def fault_in(lines: Sequence[str]) -> str:
    """Return in one line what a checker has against the files, from the lines that it printed."""
    text = "\n".join(line for line in lines if ": error: " not in line)
    found = _FAILED.search(text)
    words = (found[1] if found else text).split()
    return " ".join(words) or "it gives no reason"
