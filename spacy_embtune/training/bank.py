"""Earlier documents of the training, kept to compare a batch with."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Entries(NamedTuple):
    """What is known of n documents.

    base (ndarray): Base vectors, float32, shape (n, d).
    values, known (ndarray): As in `Targets`, float32, shape (n, L).
    groups (list[str | None]): The group of each document, if it has one.
    """

    base: NDArray[Any]
    values: NDArray[Any]
    known: NDArray[Any]
    groups: list[str | None]


class VectorBank:
    """Base vectors and targets of the documents seen last, up to a number.

    A small batch holds few pairs, and with many classes hardly one of the same label. While the
    encoder is frozen, every base vector ever seen stays valid: the head can be applied to earlier
    ones again and compared with, at the price of a larger batch for the head alone. (A memory bank
    as in Wang et al. 2020, "Cross-Batch Memory for Embedding Learning", but of inputs that never go
    stale instead of outputs that do.) Losses see it as part of the batch: those on labels learn
    from it as well.
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"bank_size is {size}: give the number of documents, or 0 for none.")
        self.size = size
        self._entries: dict[Hashable, tuple[Any, Any, Any, str | None]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # What is in it belongs to one run of training.
        return (VectorBank, (self.size,))

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, *, without: Sequence[Hashable]) -> Entries | None:
        """What is in the bank.

        without (Sequence[Hashable]): Keys to leave out: a document is not compared with itself.
        RETURNS (Entries | None): The rest; None if there is nothing.
        """
        leave_out = set(without)
        kept = [entry for key, entry in self._entries.items() if key not in leave_out]
        if not kept:
            return None
        base, values, known, groups = zip(*kept, strict=True)
        return Entries(np.stack(base), np.stack(values), np.stack(known), list(groups))

    def remember(self, keys: Sequence[Hashable], entries: Entries) -> None:
        """Put documents in, in place of the oldest if there is no room. Documents without a vector
        or of which nothing is known stay out.

        keys (Sequence[Hashable]): What tells the documents apart; a known one is renewed.
        entries (Entries): The documents.
        """
        if not self.size:
            return
        for key, base, values, known, group in zip(keys, *entries, strict=True):
            if base.any() and (known.any() or group is not None):
                self._entries.pop(key, None)
                self._entries[key] = (base.copy(), values.copy(), known.copy(), group)
        for key in list(self._entries)[: max(len(self._entries) - self.size, 0)]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
