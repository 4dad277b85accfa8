"""Files and environment → settings. Every fault is reported at once, with file, line and key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ragops.config.model import Settings
from ragops.config.paths import DEFAULT_ENVIRONMENT, ProjectPaths
from ragops.errors import InvalidInputError, MissingError, Problem, UsageError

CONFIG_NAME = "ragops.yaml"
VARIABLE_PREFIX = "RAGOPS__"

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Project:
    """A loaded environment of a project."""

    settings: Settings
    paths: ProjectPaths
    config: Path


@dataclass
class _Source:
    """Values of one file, where each key stands, and what is wrong with its form."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_config(start: Path) -> Path:
    """The nearest ragops.yaml from `start` upward. Raises UsageError (config_not_found)."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_NAME).is_file():
            return folder / CONFIG_NAME
    raise UsageError("config_not_found", f"no {CONFIG_NAME} in {start} or above", "run `ragops init` to write one")


def load(config: Path | None, environment: str | None) -> Project:
    """Read ragops.yaml, its overlay for the environment and RAGOPS__SECTION__KEY variables.

    Raises InvalidInputError with all problems, UsageError where a file that was asked for is missing.
    """
    path = (config if config is not None else find_config(Path.cwd())).resolve()
    name = environment or DEFAULT_ENVIRONMENT
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise UsageError("invalid_environment", f"{name!r} is no name of an environment", "use a-z, 0-9 and -")
    sources = [_read(path)]
    if environment and environment != DEFAULT_ENVIRONMENT:
        sources.append(_read(path.with_name(f"{path.stem}.{environment}{path.suffix}")))
    sources.append(_from_variables(os.environ))
    settings = _validate(path, sources)
    return Project(settings, ProjectPaths(path.parent, name, settings.data_dir), path)


def _read(path: Path) -> _Source:
    source = _Source()
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        if node is not None:
            _walk(node, (), path.name, source)
            source.values = yaml.safe_load(text)
    except FileNotFoundError as error:
        raise UsageError("config_not_found", f"{path} is not there", "check --config and --env") from error
    except OSError as error:
        raise MissingError("config_unreadable", f"{path} cannot be read: {error.strerror}", "check its mode") from error
    except UnicodeDecodeError as error:
        source.problems.append(Problem(path.name, "", f"is not UTF-8 (byte {error.start})"))
    except yaml.YAMLError as error:
        source.problems.append(_yaml_problem(path, error))
    if not isinstance(source.values, dict):
        source.problems.append(Problem(f"{path.name}:1", "", "expected keys and values at the top level"))
        source.values = {}
    return source


def _yaml_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
    return Problem(where, "", f"is not YAML: {getattr(error, 'problem', None) or error}")


def _walk(node: yaml.Node, key: Key, name: str, source: _Source) -> None:
    """Note where every key stands and which stand twice (plain YAML would silently take the last)."""
    source.lines.setdefault(key, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            child = (*key, str(key_node.value))
            where = f"{name}:{key_node.start_mark.line + 1}"
            if key_node.value in seen:
                source.problems.append(Problem(where, _dotted(child), "stands twice"))
            seen.add(key_node.value)
            source.lines[child] = where
            _walk(value_node, child, name, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*key, index), name, source)


def _from_variables(variables: os._Environ[str]) -> _Source:
    source = _Source()
    for variable, text in variables.items():
        if not variable.startswith(VARIABLE_PREFIX):
            continue
        key = tuple(variable.removeprefix(VARIABLE_PREFIX).lower().split("__"))
        target = source.values
        for part in key[:-1]:
            target = target.setdefault(part, {})
        try:
            target[key[-1]] = yaml.safe_load(text)
        except yaml.YAMLError:
            source.problems.append(Problem(f"${variable}", _dotted(key), "is not a YAML value"))
        source.lines.update({key[: length + 1]: f"${variable}" for length in range(len(key))})
    return source


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _validate(path: Path, sources: list[_Source]) -> Settings:
    values: dict[str, Any] = {}
    lines: dict[Key, str] = {}
    problems: list[Problem] = []
    for source in sources:
        values = _merge(values, source.values)
        lines.update(source.lines)
        problems += source.problems
    unreadable = any("is not" in problem.message for problem in problems if not problem.key)
    settings = None
    if not unreadable:
        try:
            settings = Settings.model_validate(values)
        except ValidationError as error:
            problems += [_problem(detail["loc"], detail["msg"], lines, path) for detail in error.errors()]
    if problems or settings is None:
        raise InvalidInputError(
            "invalid_config", f"{path} is not valid:", problems, "every key is explained in docs/configuration.md"
        )
    return settings


def _problem(loc: Key, message: str, lines: dict[Key, str], path: Path) -> Problem:
    nearest = next((loc[:length] for length in range(len(loc), 0, -1) if loc[:length] in lines), ())
    wording = {"Extra inputs are not permitted": "is not a known key", "Field required": "is missing"}
    text = wording.get(message, message.removeprefix("Value error, "))
    return Problem(lines.get(nearest, path.name), _dotted(loc), text)


def _dotted(key: Key) -> str:
    return ".".join(str(part) for part in key)
