"""How the cells of a table in plain text are separated and quoted, found out from its lines."""

import csv
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ._names import fold_name

# The characters that programs put between cells.
DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
# A cell in quotation marks, in which marks are doubled, as CSV has it.
QUOTED_CELL = re.compile(r'"(?:[^"]|"")*"')
NUMBER = re.compile(r"[-+]?[\d.,]*(?:[eE][-+]?\d+)?%?")


class Dialect(NamedTuple):
    """How the cells of a table are quoted.

    escape (str | None): The character before a quotation mark that is part of a text, as in the
        dumps of data bases. None: such a mark is doubled, as CSV has it.
    is_quoted (bool): Whether quotation marks enclose cells.
    """

    escape: str | None = None
    is_quoted: bool = True

    def read(self, lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
        """RETURNS (Iterator[list[str]]): The rows. RAISES (csv.Error): If a row is broken."""
        if not self.is_quoted:
            return (line.rstrip("\r\n").split(delimiter) for line in lines)
        options: dict[str, Any] = {"delimiter": delimiter, "strict": True}
        if self.escape is not None:
            options["escapechar"] = self.escape
        return csv.reader(lines, **options)


QUOTED = Dialect()
LITERAL = Dialect(is_quoted=False)


class Lines:
    """The lines of a text, of which some can be looked at in advance and given back.

    number (int): The number of lines that were read.
    taken (list[str]): The lines that were read since this list was cleared.
    """

    def __init__(self, file: Iterable[str]) -> None:
        self.number = 0
        self.taken: list[str] = []
        self._file = iter(file)
        self._ahead: deque[str] = deque()

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._file)
        self.number += 1
        self.taken.append(line)
        return line

    def look_ahead(self, n_lines: int, size: int) -> list[str]:
        """Look at the next lines, which stay to be read.

        n_lines (int): The most lines.
        size (int): The number of characters after which no further line is added.
        RETURNS (list[str]): The lines.
        """
        sample = []
        for i in range(n_lines):
            if i == len(self._ahead):
                line = next(self._file, None)
                if line is None:
                    break
                self._ahead.append(line)
            sample.append(self._ahead[i])
            size -= len(sample[-1])
            if size < 0:
                break
        return sample

    def push_back(self, lines: Sequence[str]) -> None:
        """Give lines back that were read last.

        lines (Sequence[str]): The lines.
        """
        self._ahead.extendleft(reversed(lines))
        self.number -= len(lines)
        self.taken = self.taken[: len(self.taken) - len(lines)]


def name_delimiter(delimiter: str) -> str:
    """RETURNS (str): The name of a character between cells, for messages."""
    return NAMES.get(delimiter, f"the characters {delimiter!r}")


def find_separator_line(sample: Sequence[str]) -> str | None:
    """RETURNS (str | None): The delimiter that a first line like `sep=;` names, as Excel reads."""
    match = SEPARATOR_LINE.fullmatch(sample[0].rstrip("\r\n")) if sample else None
    return match[1] if match else None


def find_delimiter(sample: Sequence[str], usual: str, known: Collection[str]) -> str:
    """Find the character between the cells of a table.

    The one that makes the first line name the fields that the caller knows is the right one. If
    none does, it is the one that gives all lines the same number of cells, more than one.

    >>> find_delimiter(["text;label\\n", "goal, team;SPORT\\n"], ",", {"text"})
    ';'

    sample (Sequence[str]): The first lines.
    usual (str): The delimiter if nothing speaks for another.
    known (Collection[str]): The fields that the caller knows.
    RETURNS (str): The delimiter.
    """

    wanted = {fold_name(name) for name in known}

    def evidence(delimiter: str) -> tuple[float, ...]:
        rows = csv.reader(sample, delimiter=delimiter)
        counts = [(cells, len(cells)) for cells in rows if any(map(str.strip, cells))]
        if not counts:
            return (0, 0, 0, delimiter == usual, 0)
        header, n = counts[0]
        n_known = len(wanted & {fold_name(name) for name in header})
        fit = sum(count == n for _, count in counts) / len(counts) if n > 1 else 0.0
        return (n_known, n > 1, round(fit, 1), delimiter == usual, n)

    return max(DELIMITERS, key=evidence)


def find_delimiter_of_header(line: str, known: Collection[str]) -> str | None:
    """Find the character between the names of columns, if only one gives names that are known.

    >>> find_delimiter_of_header("text;label", {"text"}), find_delimiter_of_header("text", {"text"})
    (';', None)

    line (str): The first line of a table.
    known (Collection[str]): The fields that the caller knows.
    RETURNS (str | None): The delimiter. None: the line does not decide.
    """
    found = []
    wanted = {fold_name(name) for name in known}
    for delimiter in DELIMITERS:
        names = [fold_name(name) for name in next(csv.reader([line], delimiter=delimiter), [])]
        if len(names) > 1 and not wanted.isdisjoint(names):
            found.append(delimiter)
    return found[0] if len(found) == 1 else None


def starts_with_quote(line: str, delimiter: str) -> bool:
    """RETURNS (bool): Whether a cell of a line begins with a quotation mark."""
    return line.startswith('"') or f'{delimiter}"' in line


def count_misfits(
    sample: Sequence[str], dialect: Dialect, delimiter: str, n_columns: int | None
) -> int:
    """Count the rows that do not fit a table.

    sample (Sequence[str]): Lines, of which the last row may be cut off.
    dialect (Dialect): How cells are quoted.
    delimiter (str): The character between cells.
    n_columns (int | None): The number of columns. None: that of the first row.
    RETURNS (int): The number of rows that are broken or have another number of cells.
    """
    lines = Lines(sample)
    rows = dialect.read(lines, delimiter)
    n_misfits = 0
    while True:
        before = lines.number
        try:
            cells = next(rows)
        except StopIteration:
            return n_misfits
        except csv.Error as error:
            is_end = "unexpected end" in str(error)
            n_misfits += not (is_end and 1 < lines.number - before < len(sample) / 4)
            continue
        if n_columns is None:
            n_columns = len(cells)
        n_misfits += len(cells) != n_columns and any(map(str.strip, cells))


def choose_quotes(sample: Sequence[str], delimiter: str, n_columns: int | None) -> tuple[str, bool]:
    """Decide whether quotation marks around cells enclose them or are part of the texts.

    A program that writes tables as CSV doubles the marks in cells, and encloses either all texts or
    only those with marks, delimiters or line breaks. Other programs write texts as they are.

    >>> quoted = '"He said ' + '""goal""' + '"'
    >>> choose_quotes([f"{quoted}\\tA"], "\\t", 2)
    ('csv', True)
    >>> choose_quotes(['"Yes\\tNo"\\tA'], "\\t", 3)
    ('literal', True)

    sample (Sequence[str]): Lines, beginning with one in which a cell begins with a mark.
    delimiter (str): The character between cells.
    n_columns (int | None): The number of columns; None if the first of the lines names them.
    RETURNS (tuple[str, bool]): "csv" or "literal", and whether that is certain.
    """
    if n_columns is None:
        # Names of columns do not hold quotation marks.
        return "csv", True
    n_literal = count_misfits(sample, LITERAL, delimiter, n_columns)
    n_quoted = count_misfits(sample, QUOTED, delimiter, n_columns)
    if (n_literal == 0) != (n_quoted == 0):
        return ("literal" if n_literal == 0 else "csv"), True
    cells = [cell for line in sample for cell in line.rstrip("\r\n").split(delimiter)]
    started = [cell for cell in cells if cell.startswith('"')]
    whole = [cell for cell in started if QUOTED_CELL.fullmatch(cell)]
    has_doubled = any('""' in cell for cell in whole)
    if n_literal:
        escaped = count_misfits(sample, Dialect(escape="\\"), delimiter, n_columns)
        best = "csv" if min(n_quoted, escaped) < n_literal else "literal"
        return best, escaped == 0 or has_doubled == (best == "csv")
    if has_doubled:
        return "csv", True
    encloses_all = all(cell in whole or NUMBER.fullmatch(cell) for cell in set(cells))
    return ("csv", True) if encloses_all else ("literal", False)
