"""CSV, JSON and notebooks as lines that make sense each for itself: `name: Ada; city: London`."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from ragops.ingest.documents.converted import Converted, Text, UnreadableError, metadata, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_FIELD = 1 << 20
_SNIFFED = 64 << 10
_HEADER_ROWS = 20


def convert_csv(text: str, *, is_tab: bool = False) -> Converted:
    """One line for each record, with the names of its columns."""
    csv.field_size_limit(_LONGEST_FIELD)
    dialect: Any = csv.excel_tab if is_tab else _dialect(text[:_SNIFFED])
    rows = csv.reader(io.StringIO(text.replace("\0", "")), dialect)
    out = Text()
    try:
        add_table(out, rows)
    except csv.Error as error:
        raise UnreadableError(f"not CSV: line {rows.line_num}: {error}") from error
    return Converted(out.result())


def _dialect(sample: str) -> Any:
    try:
        return csv.Sniffer().sniff(sample[: sample.rfind("\n") + 1] or sample, delimiters=",;\t|")
    except csv.Error:
        return csv.excel


def add_table(out: Text, rows: Iterable[Sequence[str]]) -> int:
    """Append a line for each row, with the names of the columns if the first row has some; return their number."""
    iterator = (row for row in rows if any(cell.strip() for cell in row))
    first = list(islice(iterator, _HEADER_ROWS))
    header = _header(first)
    if header:
        out.add(" | ".join(name for name in header if name))
        first = first[1:]
    count = 0
    for block in (first, iterator):
        for row in block:
            names = [*header, *[""] * (len(row) - len(header))]
            out.add(record(zip(names, row, strict=False)))
            count += 1
    return count


def _header(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the first row if it names columns: texts, each another, and not the only row."""
    if len(rows) < 2:
        return []
    names = [cell.strip() for cell in rows[0]]
    named = [name for name in names if name]
    numbers = sum(name.replace(".", "").replace("-", "").isdigit() for name in named)
    fits = len(named) >= len([cell for cell in rows[1] if cell.strip()]) * 0.6
    return names if fits and not numbers and len(set(named)) == len(named) and len(named) > 1 else []


# --- JSON ------------------------------------------------------------------------------------------------------------


def convert_json(text: str, name: str) -> Converted:
    """Every value on a line with the path to it: `address.city: London`; lists of plain values on one line."""
    ending = name.rpartition(".")[2].casefold()
    if not text.strip():
        return Converted("")
    if ending in ("jsonl", "ndjson"):
        return _lines(text)
    value = _loads(text)
    if ending == "ipynb":
        return _notebook(value)
    out = Text()
    _flatten(out, "", value)
    title = value.get("title") or value.get("name") if isinstance(value, dict) else ""
    return Converted(out.result(), metadata([("title", title if isinstance(title, str) else "")]))


def _loads(text: str, place: str = "") -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = place or f"line {error.lineno}"
        raise UnreadableError(f"not JSON: {where}: {error.msg}") from error
    except RecursionError as error:
        raise UnreadableError("its values are nested too deeply") from error


def _lines(text: str) -> Converted:
    out = Text()
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            value = _loads(line, f"line {number}")
            if isinstance(value, dict) and not any(isinstance(one, (dict, list)) for one in value.values()):
                out.add(record((key, _plain(one)) for key, one in value.items()))
            else:
                _flatten(out, "", value)
                out.add("")
    return Converted(out.result())


def _flatten(out: Text, path: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, one in value.items():
            _flatten(out, f"{path}.{key}" if path else str(key), one)
    elif isinstance(value, list):
        if all(not isinstance(one, (dict, list)) for one in value):
            out.add(f"{path}: {', '.join(map(_plain, value))}" if path else "\n".join(map(_plain, value)))
            return
        for number, one in enumerate(value):
            _flatten(out, f"{path}[{number}]", one)
    else:
        out.add(f"{path}: {_plain(value)}" if path else _plain(value))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _notebook(value: Any) -> Converted:
    out = Text()
    cells = value.get("cells", []) if isinstance(value, dict) else []
    if not isinstance(cells, list):
        raise UnreadableError("not a notebook: it has no list of cells")
    for cell in cells:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        out.add(f"\n{text}\n" if cell.get("cell_type") == "markdown" else f"\n```\n{text}\n```\n")
    return Converted(out.result())
