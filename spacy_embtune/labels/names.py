"""Turn values of all types into names of labels, and notice columns that are no labels."""

import re
from collections.abc import Iterable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from .._texts import shorten

# Truth values have the same names in all files: those of JSON.
TRUTH = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
# A whole number with zeros behind the point, as pandas writes a column of integers with gaps.
WHOLE_FLOAT = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")

# A column of labels is looked at after this many documents with exactly one label.
CHECKPOINTS = (100, 1000)
# A smaller column is not judged.
FEWEST = 20
# Labels of this mean length, with this many words, are sentences if hardly any occurs twice.
SENTENCE_LENGTH, SENTENCE_WORDS = 40, 5
# More different numbers with a fraction are measurements, not classes.
MOST_FRACTIONS = 20


def label_name(value: Any) -> str | None:
    """Name the label that a value stands for. The name does not depend on the program that wrote
    the value.

    >>> label_name("SPORT"), label_name(1), label_name(1.0), label_name(True), label_name("True")
    ('SPORT', '1', '1', 'true', 'true')
    >>> label_name(0.5) is None
    True

    value (Any): A string, a whole number (also as a float) or a truth value.
    RETURNS (str | None): The name. None if the value is none of these.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return TRUTH.get(value, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real | Decimal):
        try:
            whole = int(cast(float, value))
        except (OverflowError, ValueError):
            return None
        return str(whole) if whole == value else None
    return None


# How programs write NaN and nothing into a table of plain text: Python, pandas, data bases, Excel.
MISSING_CELLS = {"nan", "NaN", "NAN", "<NA>", "NaT", "\\N", "#N/A"}


def cell_name(cell: str) -> str:
    """Name the label that a cell of a table in plain text stands for. Such a cell has no type.

    >>> cell_name(" SPORT "), cell_name("1.0"), cell_name("FALSE"), cell_name("1.5")
    ('SPORT', '1', 'false', '1.5')

    cell (str): The cell.
    RETURNS (str): The name, empty for an empty cell and for NaN as programs write it.
    """
    cell = cell.strip()
    if cell in MISSING_CELLS:
        return ""
    whole = WHOLE_FLOAT.fullmatch(cell)
    if whole:
        return "0" if whole[1] == "-0" else whole[1]
    return TRUTH.get(cell, cell)


class LabelColumn:
    """Notices that a column holds texts or numbers instead of labels, without a look at all of it.

    >>> column = LabelColumn()
    >>> for i in range(100):
    ...     fault = column.add(f"The customer number {i} writes that the parcel has not arrived.")
    >>> fault.split(",")[0]
    'The first 100 documents have 100 different labels'

    n (int): The number of documents with exactly one label so far.
    """

    def __init__(self) -> None:
        self.n = 0
        self._distinct: set[str] = set()
        self._example = ""
        self._length = 0
        self._words = 0
        self._fractions = 0

    def add(self, name: str) -> str | None:
        """Add the label of a document that has exactly one.

        name (str): The label.
        RETURNS (str | None): Why the column does not hold labels. None if it may.
        """
        if self.n > CHECKPOINTS[-1]:
            return None
        self.n += 1
        if name not in self._distinct:
            self._distinct.add(name)
            self._example = name
            self._length += len(name)
            self._words += len(name.split())
            self._fractions += _is_fraction(name)
        return self._judge() if self.n in CHECKPOINTS else None

    def conclude(self) -> str | None:
        """Judge a column that has ended.

        RETURNS (str | None): Why the column does not hold labels. None if it may.
        """
        if FEWEST <= self.n < CHECKPOINTS[0] and len(self._distinct) == self.n:
            return self._judge()
        return None

    def _judge(self) -> str | None:
        n = len(self._distinct)
        seen = (
            f"The first {self.n} documents have {n} different labels, for example "
            f"{shorten(self._example, 60)!r}"
        )
        if n > MOST_FRACTIONS and 2 * self._fractions > n:
            return (
                f"{seen}. These are numbers, not labels. Divide them into classes (label_bins, "
                "--label-bins), or name another field (label_field, --label-field)."
            )
        if n < 0.95 * self.n:
            return None
        is_text = self._length >= SENTENCE_LENGTH * n and self._words >= SENTENCE_WORDS * n
        # With fewer than 20,000 equally frequent classes this hardly ever happens.
        is_key = self.n == CHECKPOINTS[-1] and n >= 0.98 * self.n
        if is_text or is_key:
            return (
                f"{seen}. This is free text or a key, not a label. Name the field of the labels "
                "(label_field, --label-field), or read no labels (label_field = ''). If these are "
                "labels nevertheless, give each document a list of labels."
            )
        return None


def find_free_text(names: Iterable[str]) -> str | None:
    """Find out whether labels are really texts, keys or numbers.

    >>> find_free_text(["SPORT", "MUSIC"] * 100) is None
    True

    names (Iterable[str]): The label of each document that has exactly one.
    RETURNS (str | None): Why these are no labels. None if they may be.
    """
    column = LabelColumn()
    for name in names:
        fault = column.add(name)
        if fault is not None:
            return fault
    return column.conclude()


def _is_fraction(name: str) -> bool:
    try:
        return not float(name.replace(",", ".", 1)).is_integer()
    except (ValueError, OverflowError):
        return False
