"""Rows of fields, and what a reader of one file format needs to know."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from .._texts import shorten
from ._names import find_names, suggest_name


class InvalidRowError(ValueError):
    """A row is invalid.

    >>> raise InvalidRowError("the line is not JSON", "is not JSON. Write one object a line.")
    Traceback (most recent call last):
    spacy_embtune.data._rows.InvalidRowError: is not JSON. Write one object a line.

    fault (str): The fault in words that are the same for all rows with this fault, so that rows can
        be counted by fault.
    detail (str): A sentence on the fault in this row, and how to correct it.
    """

    def __init__(self, fault: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


class Row(NamedTuple):
    """One row of a file: its fields as the file has them, not yet interpreted.

    >>> Row({"text": "Kick-off at eight."}, number=0, line=2).where
    'line 2'

    fields (Mapping[str, Any] | InvalidRowError): The values by field name, or the error in this
        row.
    number (int): The number of rows before this one, invalid rows included. In a file of plain
        lines, the number of lines before this one.
    line (int): The line in which the row starts, from 1. In files without lines, the number of the
        row, from 1.
    unit (str): What `line` counts: "line", "document" or "row".
    """

    fields: Mapping[str, Any] | InvalidRowError
    number: int
    line: int
    unit: str = "line"

    @property
    def where(self) -> str:
        """RETURNS (str): The place of the row in its file, such as "line 3"."""
        return f"{self.unit} {self.line}"


class Position:
    """How far a file has been read, for a progress bar.

    >>> Position().fraction is None
    True
    """

    def __init__(self) -> None:
        self._measure: Callable[[], float] | None = None

    @property
    def fraction(self) -> float | None:
        """RETURNS (float | None): The part of the file that has been read, 0..1. It is measured in
        bytes, or in rows where the file says how many it has. None if the size is not known, as
        for a pipe."""
        return None if self._measure is None else min(self._measure(), 1.0)

    def follow(self, measure: Callable[[], float]) -> None:
        """Set how the position is measured. Only readers of files call this.

        measure (Callable[[], float]): Returns the part of the file that has been read, 0..1.
        """
        self._measure = measure


class ReadSettings(NamedTuple):
    """What the caller of `read_fields` needs and knows, for the reader of a format.

    text_field (str): The field name under which formats that have one unnamed text per row (plain
        lines, .spacy) return it.
    wanted (Collection[str]): Fields that are also found if their names differ in case and white
        space.
    one_of (Sequence[str]): Fields of which the first that is there is needed, found like those.
    required (Mapping[str, str]): The columns that a table must have, by the name of the setting
        that names them.
    nested (Collection[str]): The columns that are read although their values are vectors. Other
        columns of vectors are not read from Parquet and Arrow, because they may be large.
    example (str): A row as JSON, for error messages.
    delimiter (str | None): The character between the cells of CSV and TSV, or "tab". None: the
        first lines decide.
    encoding (str | None): The encoding of a file of text. None: UTF-8, or what a byte order mark
        says.
    quotes (str | None): Whether quotation marks around the cells of CSV and TSV enclose them
        ("csv") or are part of the texts ("literal"). None: "csv"; with tabs between the cells, the
        file decides.
    """

    text_field: str = "text"
    wanted: Collection[str] = ()
    one_of: Sequence[str] = ()
    required: Mapping[str, str] = {}
    nested: Collection[str] = ()
    example: str = '{"text": "Kick-off at eight."}'
    delimiter: str | None = None
    encoding: str | None = None
    quotes: str | None = None

    @property
    def known(self) -> set[str]:
        """RETURNS (set[str]): The fields that the caller interprets, as far as it said."""
        return {self.text_field, *self.required.values(), *self.nested}

    def rename(self, columns: Iterable[str]) -> list[str]:
        """RETURNS (list[str]): The names of columns, with the wanted names for those that differ in
        case and white space only."""
        columns = list(columns)
        found = find_names(columns, self.wanted, self.one_of)
        return [found.get(column, column) for column in columns]


def check_columns(
    name: str, columns: Collection[str], settings: ReadSettings, other: str = ""
) -> None:
    """Check that a table has the columns that the caller needs.

    name (str): The name of the file, for errors.
    columns (Collection[str]): The columns of the table.
    settings (ReadSettings): Has the required columns.
    other (str): What else may be wrong, for the error message.
    RAISES (ValueError): If a column is missing.
    """
    renamed = set(settings.rename(columns))
    for setting, column in settings.required.items():
        if column not in renamed:
            raise ValueError(
                f"{name}: has no column {column!r}, only {list_names(columns)}."
                f"{suggest_name(columns, column)} Name the right column ({setting}){other}."
            )


def check_header(where: str, columns: Sequence[str]) -> None:
    """Check that no two columns have the same name. Columns without a name are ignored.

    where (str): The place of the names in the file, for errors.
    columns (Sequence[str]): The names.
    RAISES (ValueError): If two names are equal.
    """
    names = list(filter(None, columns))
    if len(set(names)) < len(names):
        double = next(name for name, n in Counter(names).items() if n > 1)
        raise ValueError(
            f"{where}: two of the columns have the same name, {double!r}. Give each column a name "
            "of its own."
        )


def list_names(names: Iterable[str]) -> str:
    """RETURNS (str): Names of fields in quotes, cut to 200 characters, for error messages."""
    return shorten(", ".join(map(repr, islice(names, 200))), 200)
