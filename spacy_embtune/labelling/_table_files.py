"""Write a table for labelling as CSV, JSON Lines, Parquet or a spreadsheet."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from .._extras import import_extra
from .._texts import shorten
from ..data import (
    ESCAPED,
    escape_cells,
    import_pyarrow,
    to_arrow,
    to_cell,
    to_json_value,
)
from .bulk import BulkTable

_SEPARATOR = "|"
# Characters besides the line feed at which some readers of JSONL break lines.
_BREAKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
_LISTS = ("label", "predicted", "expected", "neighbors")

# Parquet has a field for each label, if they are not more. With more labels it has a list of pairs.
_MOST_LABELS = 200
_NAMES_IN_PARQUET = {"x": "projection_x", "y": "projection_y"}

# The limits of a spreadsheet.
_MOST_ROWS, _MOST_COLUMNS, _MOST_CHARACTERS = 1_048_576, 16_384, 32_767
# Larger whole numbers lose digits in a spreadsheet.
_LARGEST = 10**15
_FIRST_DATE = date(1900, 3, 1)


def write_bulk(table: BulkTable, path: str | Path) -> None:
    """Write a table to a file. `read_records` reads each of these formats again.

    .csv      A list is one cell, with "|" between its items. cats are left out. bulk opens this
              file, and so does a spreadsheet: a text that would be a formula there (it begins with
              "=", "+", "-", "@", a tab or a line break) gets an apostrophe before it, and the
              column `escaped_cells` names its columns. `read_records` removes both. A spreadsheet
              that separates cells by semicolons may still cut a text into cells: give it .xlsx.
    .jsonl    All values, unchanged. bulk opens this file.
    .xlsx     As CSV, but with types, and texts are never formulas, so nothing is escaped. Needs
              XlsxWriter.
    .parquet  All values with their types. embedding-atlas opens this file: the positions are
              `projection_x` and `projection_y`, there is no color, and `neighbors` holds rows (from
              0, -1 for none) and distances (1 minus the cosine). Needs pyarrow.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     write_bulk(BulkTable([{"text": "a", "label": ["A", "B"]}], "component", None), path)
    ...     path.read_text().split()
    ['text,label', 'a,A|B']

    table (BulkTable): The table.
    path (str | Path): The file. Its suffix decides the format.
    RAISES (ValueError): If the file has another suffix, if a label or id contains "|", which would
        make CSV ambiguous, or if a spreadsheet cannot hold the table. ImportError: if a package is
        missing. OSError: if the file cannot be written.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        *others, last = SUFFIXES
        raise ValueError(f"{path}: give a name that ends in {', '.join(others)} or {last}.")
    write(table, path)


def require_writer(path: str | Path) -> None:
    """Check that the package is installed that the format of a file needs.

    >>> require_writer("table.csv")

    path (str | Path): The file.
    RAISES (ImportError): If it is not. The message says how to install it.
    """
    match Path(path).suffix.lower():
        case ".parquet":
            import_pyarrow()
        case ".xlsx":
            _import_xlsxwriter()


def _import_xlsxwriter() -> Any:
    return import_extra("xlsxwriter", ".xlsx needs XlsxWriter", extra="excel")


def _write_jsonl(table: BulkTable, path: Path) -> None:
    with path.open("w", encoding="utf8", errors="replace", newline="\n") as file:
        for row in table.rows:
            line = json.dumps(to_json_value(row), ensure_ascii=False)
            file.write(line.translate(_BREAKS) + "\n")


def _write_csv(table: BulkTable, path: Path) -> None:
    rows = [escape_cells(row) for row in _flat_rows(table)]
    columns = _columns(rows)
    # The names of the columns come from DATA too.
    header = [escape_cells({name: name})[name] for name in columns]
    with path.open("w", encoding="utf8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([row.get(name) for name in columns] for row in rows)


def _flat_rows(table: BulkTable) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): The rows without lists and mappings, and without cats."""
    return [
        {name: _to_cell(value, name) for name, value in row.items() if name != "cats"}
        for row in table.rows
    ]


def _to_cell(value: Any, column: str) -> Any:
    if column not in _LISTS:
        return to_cell(value)
    parts = value if isinstance(value, list) else [] if value is None else [value]
    for part in parts:
        if _SEPARATOR in part:
            raise ValueError(
                f"{shorten(part)!r} in the column {column!r} contains {_SEPARATOR!r}, which "
                f"separates labels and ids in a cell. Write .jsonl instead."
            )
    return _SEPARATOR.join(parts)


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """RETURNS (list[str]): The columns of all rows, in the order in which they appear. The column
    of escaped cells is the last one."""
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    return [n for n in names if n != ESCAPED] + [n for n in names if n == ESCAPED]


def _write_parquet(table: BulkTable, path: Path) -> None:
    pyarrow = import_pyarrow()
    string, number = pyarrow.string(), pyarrow.float64()
    is_list = any(isinstance(row["predicted"], list) for row in table.rows)
    label = pyarrow.list_(string) if is_list else string
    types = {
        **dict.fromkeys(("text", "id"), string),
        **dict.fromkeys(("label", "predicted", "expected"), label),
        **dict.fromkeys(("x", "y", "probability", "margin", "label_probability"), number),
        "suspect": pyarrow.bool_(),
        "cats": _type_of_cats(table, pyarrow),
    }
    columns = {}
    for name in _columns(table.rows):
        values = [row.get(name) for row in table.rows]
        if name == "neighbors" and table.neighbors is not None:
            columns[name] = _neighbors(table, pyarrow)
        elif name in types:
            if _is_map(types[name]):
                values = [list((value or {}).items()) for value in values]
            columns[_NAMES_IN_PARQUET.get(name, name)] = pyarrow.array(
                map(_valid, values), types[name]
            )
        elif name != "color":
            columns[name] = to_arrow(values)
    with path.open("wb") as file:
        pyarrow.parquet.write_table(pyarrow.table(columns), file, compression="zstd")


def _type_of_cats(table: BulkTable, pyarrow: Any) -> Any:
    labels = list(dict.fromkeys(label for row in table.rows for label in row.get("cats", ())))
    value = pyarrow.float32()
    if not 0 < len(labels) <= _MOST_LABELS:
        return pyarrow.map_(pyarrow.string(), value)
    return pyarrow.struct([(label, value) for label in labels])


def _is_map(type: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_map(type))


def _neighbors(table: BulkTable, pyarrow: Any) -> Any:
    """RETURNS (pyarrow.Array): The neighbours as embedding-atlas reads them. Each row has the same
    number, because it stacks them."""
    assert table.neighbors is not None
    rows, distances = table.neighbors
    n, k = rows.shape
    offsets = pyarrow.array(range(0, n * k + 1, k), pyarrow.int32())
    lists = [
        pyarrow.ListArray.from_arrays(offsets, pyarrow.array(flat))
        for flat in (rows.ravel().astype("int64"), distances.ravel())
    ]
    return pyarrow.StructArray.from_arrays(lists, ["ids", "distances"])


def _valid(value: Any) -> Any:
    """RETURNS (Any): The value; a text has "?" for halves of surrogate pairs."""
    return value.encode("utf8", "replace").decode("utf8") if isinstance(value, str) else value


def _write_xlsx(table: BulkTable, path: Path) -> None:
    xlsxwriter = _import_xlsxwriter()
    columns = [name for name in _columns(table.rows) if name != "cats"]
    if len(table.rows) >= _MOST_ROWS or len(columns) > _MOST_COLUMNS:
        raise ValueError(
            f"A spreadsheet has at most {_MOST_ROWS:,} rows and {_MOST_COLUMNS:,} columns, but the "
            f"table has {len(table.rows) + 1:,} and {len(columns):,}. Write .csv or .parquet."
        )
    options = {
        # Temporary files would need room on another disk.
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd hh:mm:ss",
    }
    # In memory, because an error of the disk would leave XlsxWriter with a file that is half open.
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, options) as book:
        # Without this date the same table would give other bytes a second later.
        book.set_properties({"created": datetime(2000, 1, 1)})
        sheet = book.add_worksheet()
        for column, name in enumerate(columns):
            sheet.write_string(0, column, _valid(name))
        for i, row in enumerate(table.rows, 1):
            for column, name in enumerate(columns):
                _write_cell(sheet, i, column, name, row.get(name))
    path.write_bytes(content.getvalue())


def _write_cell(sheet: Any, i: int, column: int, name: str, value: Any) -> None:
    if isinstance(value, datetime | date) and _is_spreadsheet_date(value):
        sheet.write_datetime(i, column, value)
        return
    value = _to_cell(value, name)
    if isinstance(value, bool):
        sheet.write_boolean(i, column, value)
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST):
        sheet.write_number(i, column, value)
    elif value is not None and value != "":
        text = _valid(str(value))
        if len(text.encode("utf-16-le")) // 2 > _MOST_CHARACTERS:
            raise ValueError(
                f"A cell of a spreadsheet holds at most {_MOST_CHARACTERS:,} characters, but "
                f"{name!r} of document {i} has {len(text):,}. Write .csv, .jsonl or .parquet."
            )
        sheet.write_string(i, column, text)


def _is_spreadsheet_date(value: date) -> bool:
    day = value.date() if isinstance(value, datetime) else value
    return day >= _FIRST_DATE and getattr(value, "tzinfo", None) is None


_WRITERS: dict[str, Callable[[BulkTable, Path], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".xlsx": _write_xlsx,
    ".parquet": _write_parquet,
}
SUFFIXES: Sequence[str] = tuple(_WRITERS)
