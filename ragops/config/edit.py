"""Changes one value of ragops.yaml and leaves every other character as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from ragops.adapters.files import write_atomic
from ragops.config.load import load
from ragops.config.paths import DEFAULT_ENVIRONMENT
from ragops.errors import RagopsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.config.load import Project


_OTHER_FORM = "the section is not written as lines of `key: value`"


def set_number(project: Project, section: str, key: str, value: int) -> Project:
    """Set a number of a section, in the file of the environment if that has it, and return the project as it is then.

    Raises UsageError (config_not_edited) if the file is written in a way that this does not change, or a variable
    overrides it; the file is as before then.
    """
    path = next((file for file in reversed(project.files) if _has(file, section, key)), project.config)
    before = path.read_text(encoding="utf-8")
    environment = project.paths.environment
    try:
        write_atomic(path, edit_text(before, section, key, value), path.stat().st_mode & 0o777)
        changed = load(project.config, None if environment == DEFAULT_ENVIRONMENT else environment)
    except (ValueError, RagopsError) as error:
        write_atomic(path, before, path.stat().st_mode & 0o777)
        raise _not_edited(path, section, key, value, str(error)) from error
    if getattr(changed.settings.section(section), key) != value:
        write_atomic(path, before, path.stat().st_mode & 0o777)
        raise _not_edited(path, section, key, value, "a variable RAGOPS__… overrides it")
    return changed


def edit_text(text: str, section: str, key: str, value: int) -> str:
    """Return the text with one number changed or added. Raises ValueError if it is written in another way."""
    wanted = _parse(text)
    wanted[section] = {**(wanted.get(section) or {}), key: value}
    lines = text.splitlines(keepends=True)
    start = next((at for at, line in enumerate(lines) if re.match(rf"{section}\s*:\s*(#.*)?$", line)), None)
    if start is None and _parse(text).get(section) is not None:
        raise ValueError(_OTHER_FORM)
    if start is None:
        end = "" if not text or text.endswith("\n") else "\n"
        lines.append(f"{end}\n{section}:\n  {key}: {value}\n")
    else:
        _edit_section(lines, start, key, value)
    changed = "".join(lines)
    if _parse(changed) != wanted:
        raise ValueError(_OTHER_FORM)
    return changed


def _edit_section(lines: list[str], start: int, key: str, value: int) -> None:
    indent = "  "
    for at in range(start + 1, len(lines)):
        line = lines[at]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            break
        indent = line[: len(line) - len(line.lstrip())]
        if found := re.match(rf"(\s+{key}\s*:\s*)([^#\s]+)(.*)$", line.rstrip("\r\n")):
            ending = line[len(line.rstrip("\r\n")) :]
            lines[at] = f"{found[1]}{value}{found[3]}{ending}"
            return
    ending = lines[start][len(lines[start].rstrip("\r\n")) :]
    if not ending:
        lines[start] += (ending := "\n")
    lines.insert(start + 1, f"{indent}{key}: {value}{ending}")


def _has(path: Path, section: str, key: str) -> bool:
    return key in (_parse(path.read_text(encoding="utf-8")).get(section) or {})


def _parse(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("it is not valid YAML any more") from error
    return found if isinstance(found, dict) else {}


def _not_edited(path: Path, section: str, key: str, value: int, reason: str) -> UsageError:
    what = f"cannot set {section}.{key} to {value} in {path.name}: {reason}"
    return UsageError("config_not_edited", what, f"set `{key}: {value}` below `{section}:` yourself, then run it again")
