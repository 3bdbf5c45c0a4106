"""A queue of earlier vectors (memory bank), with which a batch is compared."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Entries(NamedTuple):
    """The base vectors and targets of n documents.

    base (ndarray): Base vectors, float32, shape (n, d).
    values, known (ndarray): As in `Targets`, float32, shape (n, L).
    groups (list[str | None]): The group of each document; None for a document without one.
    """

    base: NDArray[Any]
    values: NDArray[Any]
    known: NDArray[Any]
    groups: list[str | None]


class _Row(NamedTuple):
    """What is known of the labels of one document.

    columns (ndarray): The labels with a value, shape (m,).
    values (ndarray): Their values, float32, shape (m,).
    is_complete (bool): Whether all other labels are known to be absent.
    n_labels (int): The number of labels L.
    """

    columns: NDArray[Any]
    values: NDArray[Any]
    is_complete: bool
    n_labels: int

    @classmethod
    def make(cls, values: NDArray[Any], known: NDArray[Any]) -> "_Row":
        """RETURNS (_Row): The row of arrays of shape (L,)."""
        is_complete = bool(known.all())
        columns = np.flatnonzero(values if is_complete else known)
        return cls(columns, values[columns], is_complete, len(known))


class MemoryBank:
    """A queue of the base vectors and targets of the latest training documents.

    A small batch has few pairs of documents, and with many classes hardly any pair of the same
    class. While the encoder is frozen, the base vectors of earlier documents stay valid. So the
    head can be applied to them again, and they become a part of the batch, for all losses. The only
    cost is a larger batch for the head.

    The idea is the memory bank of Wang et al. 2020, "Cross-Batch Memory for Embedding Learning",
    CVPR. The difference: they keep outputs, which become outdated, and we keep inputs, which do
    not.

        >>> bank = MemoryBank(2)
        >>> base, ones = np.eye(3, dtype="float32"), np.ones((3, 1), dtype="float32")
        >>> bank.add(["a", "b", "c"], Entries(base, ones, ones, [None] * 3))
        >>> len(bank)
        2
        >>> bank.entries(without=["c"]).base.tolist()
        [[0.0, 1.0, 0.0]]

    size (int): The largest number of documents; 0 keeps none.
    RAISES (ValueError): If the size is negative.
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"bank_size is {size}: give the number of documents, or 0 for none.")
        self.size = size
        self._entries: dict[Hashable, tuple[Any, _Row, str | None]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # The documents belong to one training and are not pickled.
        return (MemoryBank, (self.size,))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, keys: Sequence[Hashable], entries: Entries) -> None:
        """Add documents; if there are more than `size` then, the oldest are removed. Documents
        without a vector, and documents without known labels or a group, are not added.

        keys (Sequence[Hashable]): The key of each document, shape (n,). A document with a key that
            is in the bank replaces the earlier one.
        entries (Entries): The n documents.
        """
        if not self.size:
            return
        for key, base, values, known, group in zip(keys, *entries, strict=True):
            if base.any() and (known.any() or group is not None):
                self._entries.pop(key, None)
                self._entries[key] = (base.copy(), _Row.make(values, known), group)
        for key in list(self._entries)[: max(len(self._entries) - self.size, 0)]:
            del self._entries[key]

    def entries(self, *, without: Sequence[Hashable]) -> Entries | None:
        """Return the documents in the bank, oldest first.

        without (Sequence[Hashable]): Keys to leave out, so that a document is not compared with
            itself.
        RETURNS (Entries | None): The documents; None if there are none.
        """
        leave_out = set(without)
        kept = [entry for key, entry in self._entries.items() if key not in leave_out]
        if not kept:
            return None
        base, rows, groups = zip(*kept, strict=True)
        values = np.zeros((len(rows), rows[0].n_labels), dtype="float32")
        known = np.zeros_like(values)
        for i, row in enumerate(rows):
            values[i, row.columns] = row.values
            known[i, slice(None) if row.is_complete else row.columns] = 1.0
        return Entries(np.stack(base), values, known, list(groups))

    def clear(self) -> None:
        """Remove all documents."""
        self._entries.clear()
