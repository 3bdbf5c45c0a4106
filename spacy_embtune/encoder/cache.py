"""Keeps vectors of texts in memory, up to a number of texts."""

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from ._lookup import Encode, look_up


class VectorCache:
    """Keeps the vectors of one encoder in memory.

    When the cache is full, it keeps what it has and takes no more. (A cache that dropped the oldest
    vectors would never find one in a corpus that is larger than the cache and read in order.)

    The key of a vector is a digest of the text. The text itself would take more memory, and a Doc
    is copied in each training step. Copies and pickles of a cache are empty.

    size (int): Number of texts whose vectors are kept at most.

    >>> import numpy as np
    >>> cache = VectorCache(size=10)
    >>> cache.lookup(["a", "bb", "a"], lambda texts: np.array([[len(t)] for t in texts])).tolist()
    [[1], [2], [1]]
    >>> len(cache)
    2
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: dict[bytes, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return (VectorCache, (self.size,))

    def lookup(
        self, texts: Sequence[str], encode: Encode, width: int | None = None
    ) -> NDArray[Any]:
        """Return the vectors of texts. Texts that are not kept yet are encoded, each distinct text
        once, and kept as long as there is room.

        texts (Sequence[str]): The n texts.
        encode (Callable): Takes m distinct texts, returns a matrix of shape (m, width).
        width (int | None): Length of the vectors; None takes the length of the first vector.
        RETURNS (ndarray): Shape (n, width), in the order of the texts, of the type of the vectors;
            float32 if there are no texts.
        RAISES (ValueError): If vectors have different widths or types, or `encode` does not return
            a matrix of numbers with a row for each text.
        """
        return look_up(texts, encode, width, read=self.read, keep=self._keep)

    def read(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, NDArray[Any]]]:
        """RETURNS (Iterable[tuple[bytes, ndarray]]): The keys that are kept, with their vectors."""
        # Another thread may clear the cache meanwhile.
        found = ((key, self._rows.get(key)) for key in keys)
        return [(key, row) for key, row in found if row is not None]

    def _keep(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        room = self.size - len(self._rows)
        for key, row in zip(keys[:room], rows[:room], strict=True):
            # A copy, because a view would keep the whole matrix in memory.
            self._rows[key] = row.copy()

    def clear(self) -> None:
        """Remove all vectors."""
        self._rows.clear()


def encode_distinct(texts: Sequence[str], encode: Encode, width: int | None = None) -> NDArray[Any]:
    """Encode each distinct text once. Equal texts get equal rows.

    texts (Sequence[str]): The n texts.
    encode (Callable): Takes m distinct texts, returns a matrix of shape (m, width).
    width (int | None): Length of the vectors; None takes the length of the first vector.
    RETURNS (ndarray): Shape (n, width), in the order of the texts, of the type of the vectors;
        float32 if there are no texts.
    RAISES (ValueError): If `encode` does not return a matrix of numbers with a row for each text.

    >>> import numpy as np
    >>> calls = []
    >>> def encode(texts):
    ...     calls.append(sorted(texts))
    ...     return np.array([[len(text)] for text in texts])
    >>> encode_distinct(["bb", "a", "bb"], encode).tolist()
    [[2], [1], [2]]
    >>> calls
    [['a', 'bb']]
    """
    return look_up(texts, encode, width, read=lambda keys: (), keep=lambda keys, rows: None)
