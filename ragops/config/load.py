"""Files and environment → settings. Every fault is reported at once, with file, line and key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ragops.config import unread
from ragops.config.model import Settings, find_ports
from ragops.config.paths import DEFAULT_ENVIRONMENT, ProjectPaths
from ragops.config.problems import format_key, problem, translate
from ragops.errors import InvalidInputError, MissingError, Problem, UsageError
from ragops.resources import page_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONFIG_NAME = "ragops.yaml"
VARIABLE_PREFIX = "RAGOPS__"

Key = tuple[str | int, ...]

_ENVIRONMENT = r"[a-z][a-z0-9-]{0,30}"
_MAX_VALUES = 100_000
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Project:
    """A loaded environment of a project; `unread` are keys without effect that `load` was asked to ignore."""

    settings: Settings
    paths: ProjectPaths
    config: Path
    overlay: Path | None = None
    unread: tuple[Problem, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it was read from."""
        return (self.config, *([self.overlay] if self.overlay else []))


@dataclass
class _Source:
    """Values of one file, where each key stands, and what is wrong with its form."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    readable: bool = True

    def fail(self, where: str, message: str) -> None:
        """Note that nothing is known about the values."""
        self.problems.append(Problem(where, "", message))
        self.readable = False


def find_config(start: Path) -> Path:
    """Return the nearest ragops.yaml from `start` upward. Raises UsageError (config_not_found)."""
    for folder in (start, *start.parents):
        if (folder / CONFIG_NAME).is_file():
            return folder / CONFIG_NAME
    raise UsageError("config_not_found", f"no {CONFIG_NAME} in {start} or above", "run `ragops init` to write one")


def load(
    config: Path | None,
    environment: str | None,
    variables: Mapping[str, str] = os.environ,
    *,
    pass_over_unread: bool = False,
) -> Project:
    """Read ragops.yaml, its overlay for the environment and RAGOPS__SECTION__KEY variables.

    Raises InvalidInputError with all problems, UsageError if a file that was asked for is missing. A key that the
    runtime does not read is such a problem, unless `pass_over_unread` (files out of an older recovery point).
    """
    path = (config if config is not None else find_config(Path.cwd())).resolve()
    name = resolve_environment(environment)
    sources, overlay = [_read(path)], None
    if environment and environment != DEFAULT_ENVIRONMENT:
        overlay = _overlay(path, environment)
        sources.append(_read(overlay))
    sources.append(_from_variables(variables))
    found = tuple(unread.describe_unread((source.values, source.lines) for source in sources))
    settings = _validate(path, sources, () if pass_over_unread else found)
    data_dir = "" if "data_dir" in unread.find_unread(settings.runtime) else settings.data_dir
    return Project(settings, ProjectPaths(path.parent, name, data_dir), path, overlay, found)


def resolve_environment(environment: str | None) -> str:
    """Return the environment's name, the default one without `name`. Raises UsageError (invalid_environment)."""
    name = environment or DEFAULT_ENVIRONMENT
    if not re.fullmatch(_ENVIRONMENT, name):
        raise UsageError("invalid_environment", f"cannot use environment {name!r}: invalid name", "use a-z, 0-9 and -")
    return name


def read_values(files: Sequence[Path], variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the merged values of files, the later over the earlier, and of RAGOPS__SECTION__KEY variables.

    Without what their runtime does not read. Raises as `load`, for files that are no settings.
    """
    sources = [*map(_read, files), _from_variables(variables)]
    _validate(files[0], sources)
    values: dict[str, Any] = {}
    for source in sources:
        values = _merge(values, source.values)
    return unread.drop_unread(values)


def _overlay(path: Path, environment: str) -> Path:
    overlay = path.with_name(f"{path.stem}.{environment}{path.suffix}")
    if not overlay.exists():
        there = ", ".join((DEFAULT_ENVIRONMENT, *list_environments(path)))
        what = f"there is no environment {environment!r}: {overlay} is not there"
        hint = f"one of: {there}; for a new one create {overlay.name} with at least ports of its own"
        raise UsageError("config_not_found", what, hint)
    return overlay


def list_environments(path: Path) -> tuple[str, ...]:
    """Return the environments besides the default one that have a file next to the ragops.yaml at `path`."""
    found = (other.name for other in path.parent.glob(f"{path.stem}.*{path.suffix}"))
    names = (name[len(path.stem) + 1 : len(name) - len(path.suffix)] for name in found)
    return tuple(sorted(name for name in names if re.fullmatch(_ENVIRONMENT, name)))


def _read(path: Path) -> _Source:
    source = _Source()
    try:
        values = _parse(path.read_text(encoding="utf-8-sig"), path.name, source)
    except FileNotFoundError as error:
        raise UsageError("config_not_found", f"{path} is not there", "check --config and --env") from error
    except OSError as error:
        raise MissingError(
            "config_unreadable", f"cannot read {path}: {error.strerror or error}", "check its mode"
        ) from error
    except UnicodeDecodeError as error:
        source.fail(path.name, f"is not UTF-8 (byte {error.start})")
    except RecursionError:
        source.fail(path.name, "is nested too deeply")
    except yaml.YAMLError as error:
        source.fail(_place(path.name, error), f"is not YAML: {getattr(error, 'problem', None) or error}")
    else:
        if isinstance(values, dict):
            source.values = values
        elif values is not None:
            source.problems.append(Problem(f"{path.name}:1", "", "expected keys and values at the top level"))
    return source


def _parse(text: str, name: str, source: _Source) -> Any:
    """Return the values of a document, after a check of the size that its aliases make it."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded_size(node, {})
        _walk(node, (), name, source)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _place(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name


def _expanded_size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values with every alias expanded; without a bound, ten lines can be a billion."""
    if id(node) in known:
        if known[id(node)] == 0:
            raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
        return known[id(node)]
    known[id(node)] = 0  # being counted
    size = 1
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            size += sum(_expanded_size(part, known) for part in (item if isinstance(item, tuple) else (item,)))
    if size > _MAX_VALUES:
        raise yaml.MarkedYAMLError(problem="its aliases expand to too many values", problem_mark=node.start_mark)
    known[id(node)] = size
    return size


def _walk(node: yaml.Node, key: Key, name: str, source: _Source) -> None:
    """Note where every key stands and which stand twice (plain YAML would silently take the last)."""
    source.lines.setdefault(key, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        _walk_mapping(node, key, name, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*key, index), name, source)


def _walk_mapping(node: yaml.MappingNode, key: Key, name: str, source: _Source) -> None:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            continue  # the constructor refuses it, with its place
        if key_node.tag != _MERGE:
            key_node.tag = _TEXT  # `on:` and `1:` are keys like any other, to be reported by what is written
        child = (*key, key_node.value)
        where = f"{name}:{key_node.start_mark.line + 1}"
        if key_node.value in seen:
            source.problems.append(Problem(where, format_key(child), "stands twice"))
        seen.add(key_node.value)
        source.lines[child] = where
        _walk(value_node, child, name, source)


def _from_variables(variables: Mapping[str, str]) -> _Source:
    source = _Source()
    for variable, text in sorted(variables.items()):
        if variable.startswith(VARIABLE_PREFIX):
            key = tuple(variable.removeprefix(VARIABLE_PREFIX).lower().split("__"))
            source.lines.update({key[: length + 1]: f"${variable}" for length in range(len(key))})
            try:
                _put(source.values, key, _parse(text, f"${variable}", _Source()))
            except (yaml.YAMLError, RecursionError):
                source.problems.append(Problem(f"${variable}", format_key(key), "is not a YAML value"))
            except TypeError:
                source.problems.append(
                    Problem(f"${variable}", format_key(key), "another variable sets what it is part of")
                )
    return source


def _put(values: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    """Set a nested value. Raises TypeError if a part of `key` is no section."""
    for part in key[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise TypeError(part)
    values[key[-1]] = value


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _validate(path: Path, sources: list[_Source], found: Sequence[Problem] = ()) -> Settings:
    values: dict[str, Any] = {}
    lines: dict[Key, str] = {}
    problems: list[Problem] = list(found)
    for source in sources:
        values = _merge(values, source.values)
        lines.update(source.lines)
        problems += source.problems
    settings = None
    if all(source.readable for source in sources):
        try:
            settings = Settings.model_validate(values)
        except ValidationError as error:
            problems += [
                problem(detail["loc"], translate(detail, Settings), lines, path.name) for detail in error.errors()
            ]
        problems += _shared_ports(values, lines, path)
    if problems or settings is None:
        hint = f"see {page_url('configuration.md')}, which explains every key"
        raise InvalidInputError("invalid_config", f"{path} is not valid:", problems, hint)
    return settings


def _shared_ports(values: dict[str, Any], lines: dict[Key, str], path: Path) -> Iterator[Problem]:
    """Services on one port; looked for in what is written, so that no other fault hides it."""
    seen: dict[int, Key] = {}
    for key, port in find_ports(values).items():
        if port in seen:
            text = f"{format_key(key)} and {format_key(seen[port])} are both {port}; each needs its own"
            yield problem((key[0], key[1].partition(",")[0]), text, lines, path.name)
        seen.setdefault(port, key)
