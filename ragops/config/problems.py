"""Problems of a ragops.yaml, by its own keys instead of the validating library's terms."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from ragops.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

Key = tuple[str | int, ...]

_NOT_KNOWN = "extra_forbidden"
# By pydantic's stable names of errors; what is in braces comes from the error's own context.
_WORDS = {
    "missing": "is missing",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "string_type": "should be a text; put it in quotes",
    "string_too_short": "should have at least {min_length} characters",
    "string_too_long": "should have at most {max_length} characters",
    "string_pattern_mismatch": "{input!r} does not match {pattern}",
    "greater_than_equal": "should be at least {ge}",
    "greater_than": "should be more than {gt}",
    "less_than_equal": "should be at most {le}",
    "less_than": "should be less than {lt}",
    "literal_error": "should be {expected}",
    "enum": "should be {expected}",
    "tuple_type": "should be a list, such as [one, two]",
    "list_type": "should be a list, such as [one, two]",
    "too_short": "should have at least {min_length} entries",
    "too_long": "should have at most {max_length} entries",
    "dict_type": "should have keys and values",
    "model_type": "should have keys and values",
    "model_attributes_type": "should have keys and values",
    "date_type": "should be a date, such as 2027-01-31",
    "date_parsing": "should be a date, such as 2027-01-31",
    "date_from_datetime_parsing": "should be a date, such as 2027-01-31",
    "date_from_datetime_inexact": "should be a date without a time, such as 2027-01-31",
    "time_delta_parsing": "should be a length of time",
}


def translate(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong at the place of `detail`, an error of validating `model`."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == _NOT_KNOWN:
        return _unknown(detail["loc"], model)
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind == "model_type" and context.get("class_name") == "PlaceSettings":
        return "should be a folder or a URL"
    words = _WORDS.get(kind)
    return words.format(**context, input=detail["input"]) if words else detail["msg"]


def problem(loc: Key, message: str, lines: Mapping[Key, str], file: str) -> Problem:
    """Return a problem with the key at `loc`, at the nearest place of it in `lines`; `file` if there is none."""
    nearest = next((loc[:length] for length in range(len(loc), 0, -1) if loc[:length] in lines), ())
    return Problem(lines.get(nearest, file), format_key(loc), message)


def format_key(key: Key) -> str:
    """Return the key as documentation writes it, such as `gateway.port`."""
    return ".".join(str(part) for part in key)


def _unknown(loc: Key, model: type[BaseModel]) -> str:
    """Return that there is no such key, and the most similar one: of its own section, else of any."""
    written, section = str(loc[-1]), loc[:-1]
    siblings = _keys_of(_section(model, section))
    if close := get_close_matches(written.replace("-", "_").lower(), siblings, 1, 0.6):
        return f"is not a known key: did you mean {format_key((*section, close[0]))}?"
    elsewhere = [key for key in _all_keys(model) if key.rpartition(".")[2] == written.replace("-", "_").lower()]
    if len(elsewhere) == 1:
        return f"is not a known key: did you mean {elsewhere[0]}?"
    known = ", ".join(siblings)
    return f"is not a known key; known here: {known}" if known else "is not a known key"


def _section(model: type[BaseModel], section: Key) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    is_entry = False
    for part in section:
        if isinstance(part, int) or is_entry:  # of a list, or of names: the step before has found its model
            is_entry = False
            continue
        field = found.model_fields.get(part) if found else None
        is_entry = field is not None and get_origin(field.annotation) is dict
        found = _model_in(field.annotation) if field else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for kind in get_args(annotation) if (found := _model_in(kind))), None)


def _keys_of(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        yield f"{prefix}{name}"
        if inner:
            yield from _all_keys(inner, f"{prefix}{name}.")
