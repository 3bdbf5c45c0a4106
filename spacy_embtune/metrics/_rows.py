"""Read large arrays in blocks of rows, so that their rows can be computed when they are read."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from .ranking import Floats, Ints

# How many entries of an array of documents times labels are in memory at a time: 16 MB of float32.
MOST_ENTRIES = 2**22


class Rows(Protocol):
    """An array of shape (n, L) whose rows can be read: a numpy array, or an object that computes
    the rows.

    >>> rows: Rows = np.zeros((2, 3))
    >>> rows[:1].shape
    (1, 3)

    shape (tuple[int, ...]): The shape.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Split the rows of an array into blocks of at most `MOST_ENTRIES` entries.

    >>> list(row_blocks(3, 2**22))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]

    n (int): The number of rows.
    width (int): The number of columns.
    YIELDS (slice): The rows of a block.
    """
    size = max(1, MOST_ENTRIES // max(1, width))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def read_entries(array: Rows, rows: Ints, columns: Ints) -> Floats:
    """Read some entries of an array, one block of rows at a time.

    >>> read_entries(np.arange(6).reshape(3, 2), np.asarray([0, 2]), np.asarray([1, 0])).tolist()
    [1.0, 4.0]

    array (Rows): The array, shape (n, L).
    rows (Ints): The row of each entry, shape (k,), ascending.
    columns (Ints): The column of each entry, shape (k,).
    RETURNS (Floats): The entries, float64, shape (k,).
    """
    entries = np.empty(rows.size)
    needed = np.unique(rows)
    for block in row_blocks(needed.size, array.shape[1]):
        some = needed[block]
        at = slice(*np.searchsorted(rows, [some[0], some[-1] + 1]))
        part = np.asarray(array[some])
        entries[at] = part[np.searchsorted(some, rows[at]), columns[at]]
    return entries
