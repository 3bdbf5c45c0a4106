"""Readers of tables in plain text: CSV and TSV, whatever program wrote them."""

import csv
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from .._texts import count
from ._dialects import (
    QUOTED,
    Dialect,
    Lines,
    choose_quotes,
    count_misfits,
    find_delimiter,
    find_delimiter_of_header,
    find_separator_line,
    name_delimiter,
    starts_with_quote,
)
from ._encodings import DecodedText
from ._rows import InvalidRowError, ReadSettings, Row, check_columns, check_header
from ._sources import Source

logger = logging.getLogger(__name__)

# The longest cell in characters: the most that Python's csv takes on all platforms.
LONGEST_CELL = 2**31 - 1
# Lines from which dialects are found out, and characters in these lines.
SAMPLE_LINES = 500
SAMPLE_SIZE = 1 << 18

Cells = list[str] | InvalidRowError


def read_csv(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a table with commas, or other characters, between the cells. See `read_table`."""
    return read_table(source, settings, ",")


def read_tsv(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a table with tabs between the cells. See `read_table`."""
    return read_table(source, settings, "\t")


def read_table(source: Source, settings: ReadSettings, usual: str) -> Iterator[Row]:
    """Read a table row by row. The first row names the columns. Blank lines are ignored. Columns
    without a name are left out as far as they are empty.

    source (Source): The file.
    settings (ReadSettings): Has the required columns, and the delimiter if it is known.
    usual (str): The delimiter that the name of the file stands for.
    YIELDS (Row): The rows; all values are strings.
    RAISES (ValueError): If the first row cannot be read, names two columns alike, or lacks a
        required column.
    """
    # The limit belongs to the process. It is not set back, because others may be reading, too.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    with source.open_text(settings.encoding) as text:
        lines = Lines(text.file)
        delimiter = start_table(lines, settings, usual)
        table = _Table(source.name, text, lines, delimiter, settings.quotes, usual)
        columns: list[str] | None = None
        number = 0
        for line, cells in table.read_rows():
            if columns is None:
                columns = _check_header(f"{source.name}, line {line}", cells)
                _check_columns(source.name, columns, settings, delimiter)
                columns = settings.rename(columns)
                table.n_columns = len(columns)
                continue
            yield Row(_to_fields(columns, cells, table), number, line)
            number += 1


def start_table(lines: Lines, settings: ReadSettings, usual: str) -> str:
    """Find the character between the cells of a table, and read a first line such as `sep=;`.

    lines (Lines): The lines of the file, of which none was read.
    settings (ReadSettings): Has the delimiter if it is known.
    usual (str): The delimiter that the name of the file stands for.
    RETURNS (str): The delimiter.
    RAISES (ValueError): If the delimiter of the settings is not valid.
    """
    delimiter = _check_delimiter(settings.delimiter)
    named = find_separator_line(lines.look_ahead(1, 0))
    if named is not None:
        next(lines)
    return delimiter or named or _find_delimiter(lines, usual, settings)


def _check_delimiter(delimiter: str | None) -> str | None:
    if delimiter in ("tab", "\\t"):
        return "\t"
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        raise ValueError(
            f"The delimiter is {delimiter!r}: give one character, such as ';', or 'tab' "
            "(delimiter, --delimiter)."
        )
    return delimiter


def _find_delimiter(lines: Lines, usual: str, settings: ReadSettings) -> str:
    # A writer at the other end of a pipe is only waited for if its first line is not enough.
    first = lines.look_ahead(1, 0)
    decided = find_delimiter_of_header(first[0], settings.known) if first else usual
    if decided is not None:
        return decided
    return find_delimiter(lines.look_ahead(SAMPLE_LINES, SAMPLE_SIZE), usual, settings.known)


def _check_columns(name: str, columns: list[str], settings: ReadSettings, delimiter: str) -> None:
    other = ""
    if len(columns) == 1:
        other = (
            ", or the character between the cells (delimiter, --delimiter), which is taken for "
            f"{name_delimiter(delimiter)}"
        )
    check_columns(name, list(filter(None, columns)), settings, other)


def _check_header(where: str, cells: Cells) -> list[str]:
    if isinstance(cells, InvalidRowError):
        raise ValueError(f"{where}: {cells.detail}") from cells
    check_header(where, cells)
    return cells


def _to_fields(
    columns: list[str], cells: Cells, table: "_Table"
) -> Mapping[str, Any] | InvalidRowError:
    if isinstance(cells, InvalidRowError):
        return cells
    n = len(columns)
    if len(cells) != n:
        # Spreadsheets write empty cells at the end of rows, and empty columns without a name.
        if any(cells[n:]) or any(columns[len(cells) :]):
            return InvalidRowError(
                "the line and the first line differ in the number of fields",
                f"has {count(len(cells), 'field')}, but the first line {n}. "
                f"{table.explain_length(len(cells))}",
            )
        cells = [*cells, *[""] * n][:n]
    if "" not in columns:
        return dict(zip(columns, cells, strict=True))
    return {
        column or f"column {i}": cell
        for i, (column, cell) in enumerate(zip(columns, cells, strict=True), start=1)
        if column or cell
    }


class _Table:
    """The rows of a table as lists of cells.

    n_columns (int | None): The number of columns; None while the first row is not read.
    cure (str): A sentence on how to write a text that breaks a row.
    """

    def __init__(
        self,
        name: str,
        text: DecodedText,
        lines: Lines,
        delimiter: str,
        quotes: str | None,
        usual: str,
    ) -> None:
        """Initialize the table.

        name (str): The name of the file.
        text (DecodedText): The text of the file.
        lines (Lines): Its lines.
        delimiter (str): The character between the cells.
        quotes (str | None): See `ReadSettings`.
        usual (str): The delimiter that the name of the file stands for.
        RAISES (ValueError): If `quotes` is not valid.
        """
        if quotes not in (None, "csv", "literal"):
            raise ValueError(f'quotes is {quotes!r}: give "csv" or "literal" (quotes, --quotes).')
        self.name = name
        self.n_columns: int | None = None
        self._text = text
        self._lines = lines
        self._delimiter = delimiter
        self._is_named_csv = usual == ","
        # Quotes in a table with tabs are not decided before the first cell that begins with one.
        self._quotes = quotes if quotes or delimiter == "\t" else "csv"
        self._dialect = QUOTED
        self._may_have_escapes = True
        self._last_line = ""

    @property
    def cure(self) -> str:
        what = name_delimiter(self._delimiter)
        if self._quotes == "literal":
            return f"Remove the {what} from the texts."
        if self._quotes is None:
            return f"Remove the {what} from the texts, or put texts with {what} in double quotes."
        return (
            f"Put texts with {what}, quotes or line breaks in double quotes, and double the quotes "
            "in them. If quotation marks around cells are part of the texts, say so "
            "(quotes='literal', --quotes literal)."
        )

    def explain_length(self, n_cells: int) -> str:
        """RETURNS (str): Sentences on what can be wrong with the row that was read last, which has
        too few or too many cells."""
        what = name_delimiter(self._delimiter)
        if n_cells > (self.n_columns or 0):
            comma = " A number with a decimal comma needs them, too." if what == "commas" else ""
            return f"{self.cure}{comma}"
        if not self._last_line.endswith(("\n", "\r")):
            return (
                "This is the last line, and it has no line end. If the file is cut off, or another "
                "program is still writing it, create it again. Otherwise give the line all its "
                "fields."
            )
        if self._quotes == "csv":
            return (
                "A text before or in this line may have a line break or a quotation mark of its "
                f"own. {self.cure} If there are not {what} between the cells, name the character "
                "(delimiter, --delimiter)."
            )
        return (
            "A text before or in this line may have a line break of its own: remove it, or put the "
            f"text in double quotes. If there are not {what} between the cells, name the character "
            "(delimiter, --delimiter)."
        )

    def read_rows(self) -> Iterator[tuple[int, Cells]]:
        """YIELDS (tuple[int, Cells]): The line in which a row starts, and its cells. Rows without
        any text are left out."""
        for line, cells in self._read_all_rows():
            if isinstance(cells, InvalidRowError):
                yield line, cells
                continue
            if not any(map(str.strip, cells)):
                continue
            try:
                for cell in cells:
                    if not cell.isascii():
                        self._text.check(cell)
            except InvalidRowError as error:
                yield line, error
            else:
                yield line, cells

    def _read_all_rows(self) -> Iterator[tuple[int, Cells]]:
        lines = self._lines
        while self._quotes != "csv":
            for text in lines:
                if self._quotes is None and starts_with_quote(text, self._delimiter):
                    lines.push_back([text])
                    self._choose_quotes()
                    break
                self._last_line = text
                yield lines.number, text.rstrip("\r\n").split(self._delimiter)
                lines.taken.clear()
            else:
                return
        yield from self._read_quoted_rows()

    def _choose_quotes(self) -> None:
        sample = self._lines.look_ahead(SAMPLE_LINES, SAMPLE_SIZE)
        self._quotes, is_sure = choose_quotes(sample, self._delimiter, self.n_columns)
        if not is_sure:
            if self._is_named_csv and not count_misfits(
                sample, QUOTED, self._delimiter, self.n_columns
            ):
                self._quotes = "csv"
            logger.warning(
                "%s, line %d: it is not clear whether quotation marks enclose cells, as in CSV, or "
                "are part of the texts. They are taken for %s. If that is wrong, say so "
                "(quotes='%s', --quotes %s).",
                self.name,
                self._lines.number + 1,
                "enclosing cells" if self._quotes == "csv" else "part of the texts",
                *[("literal" if self._quotes == "csv" else "csv")] * 2,
            )

    def _read_quoted_rows(self) -> Iterator[tuple[int, Cells]]:
        lines = self._lines
        lines.taken.clear()
        rows = self._dialect.read(lines, self._delimiter)
        while True:
            line = lines.number + 1
            cells: Cells
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                cells = self._explain(error, lines.number + 1 - line)
            has_escape = any('\\"' in text for text in lines.taken)
            if has_escape and self._may_have_escapes and self._is_misfit(cells):
                self._may_have_escapes = False
                self._try_escapes()
                rows = self._dialect.read(lines, self._delimiter)
                continue
            self._last_line = lines.taken[-1]
            yield line, cells
            lines.taken.clear()

    def _is_misfit(self, cells: Cells) -> bool:
        return isinstance(cells, InvalidRowError) or len(cells) != (self.n_columns or len(cells))

    def _explain(self, error: csv.Error, n_lines: int) -> InvalidRowError:
        if "unexpected end" in str(error):
            return InvalidRowError(
                "a quotation mark is never closed",
                f"has a quotation mark that is not closed up to the end of the file, {n_lines:,} "
                f"lines. The file is cut off, or the mark is part of the text. {self.cure}",
            )
        return InvalidRowError("the line is broken", f"is broken ({error}). {self.cure}")

    def _try_escapes(self) -> None:
        """Read the lines of the row again, with a backslash before quotes if more rows then fit."""
        lines, escaped = self._lines, Dialect(escape="\\")
        lines.push_back(lines.taken)
        sample = lines.look_ahead(SAMPLE_LINES, SAMPLE_SIZE)
        if count_misfits(sample, escaped, self._delimiter, self.n_columns) < count_misfits(
            sample, self._dialect, self._delimiter, self.n_columns
        ):
            self._dialect = escaped
            logger.info(
                "%s, line %d: quotation marks have a backslash before them.",
                self.name,
                lines.number + 1,
            )
