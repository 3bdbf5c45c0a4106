"""Readers of tables in plain text: CSV and TSV."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ._rows import InvalidRowError, ReadSettings, Row, check_columns, decode_line
from ._sources import Source


class Dialect(NamedTuple):
    """How the cells of a table are separated and quoted.

    options (Mapping[str, Any]): Arguments of `csv.reader`.
    cure (str): A sentence on how to write a text that breaks a row.
    """

    options: Mapping[str, Any]
    cure: str


CSV = Dialect(
    {"strict": True},
    "Put texts with commas, quotes or line breaks in double quotes, and double the quotes in them.",
)
# TSV has no quoting: a quotation mark is part of the text.
TSV = Dialect(
    {"dialect": "excel-tab", "quoting": csv.QUOTE_NONE}, "Remove the tabs from the texts."
)


def read_csv(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a table with commas between the cells. See `read_table`."""
    return read_table(source, settings, CSV)


def read_tsv(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a table with tabs between the cells. See `read_table`."""
    return read_table(source, settings, TSV)


def read_table(source: Source, settings: ReadSettings, dialect: Dialect) -> Iterator[Row]:
    """Read a table row by row. The first row names the columns. Blank lines are ignored.

    source (Source): The file.
    settings (ReadSettings): Has the required columns.
    dialect (Dialect): How the cells are separated.
    YIELDS (Row): The rows; all values are strings.
    RAISES (ValueError): If the first row cannot be read, names two columns alike, or lacks a
        required column.
    """
    with source.open() as file:
        columns: list[str] | None = None
        number = 0
        for line, cells in _read_cells(file, dialect):
            if columns is None:
                columns = _check_header(f"{source.name}, line {line}", cells)
                check_columns(source.name, columns, settings)
                continue
            yield Row(_to_fields(columns, cells, dialect), number, line)
            number += 1


def _check_header(where: str, cells: list[str] | InvalidRowError) -> list[str]:
    if isinstance(cells, InvalidRowError):
        raise ValueError(f"{where}: {cells.detail}") from cells
    if len(set(cells)) < len(cells):
        raise ValueError(
            f"{where}: two of the columns {cells} have the same name. Give each column in the "
            "first line a name of its own."
        )
    return cells


def _to_fields(
    columns: list[str], cells: list[str] | InvalidRowError, dialect: Dialect
) -> Mapping[str, Any] | InvalidRowError:
    if isinstance(cells, InvalidRowError):
        return cells
    if len(cells) != len(columns):
        return InvalidRowError(
            "the line and the first line differ in the number of fields",
            f"has {len(cells)} fields, but the first line {len(columns)}. {dialect.cure}",
        )
    return dict(zip(columns, cells, strict=True))


def _read_cells(
    file: Iterable[bytes], dialect: Dialect
) -> Iterator[tuple[int, list[str] | InvalidRowError]]:
    """YIELDS (tuple[int, list[str] | InvalidRowError]): The line in which a row starts, and its
    cells. Rows without any text are left out."""
    lines = _DecodedLines(file)
    rows = csv.reader(lines, **dialect.options)
    while True:
        line = lines.number + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except InvalidRowError as error:
            yield line, error
        except csv.Error as error:
            yield (
                line,
                InvalidRowError("the line is broken", f"is broken ({error}). {dialect.cure}"),
            )
        else:
            if any(map(str.strip, cells)):
                yield line, cells


class _DecodedLines:
    """The decoded lines of a file, and the number of lines read so far. This is a class and not a
    generator, because a generator ends at its first error."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self.file = iter(file)
        self.number = 0

    def __iter__(self) -> "_DecodedLines":
        return self

    def __next__(self) -> str:
        line = next(self.file)
        self.number += 1
        return decode_line(line)
