"""A bounded memory of what the encoder made of each text."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class VectorCache:
    """Vectors by text, up to a number of texts; then it keeps what it has and takes no more. (One
    that dropped the oldest would never hit in a corpus larger than itself, read in order.)

    The key is a digest of the text: not the text, to save memory, and not the Doc, which is copied
    at each step. Copies and pickles of a cache are empty.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: dict[bytes, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return (VectorCache, (self.size,))

    def lookup(
        self, texts: Sequence[str], encode: Callable[[list[str]], NDArray[Any]], width: int
    ) -> NDArray[Any]:
        """Vectors of texts. Those not known yet are encoded, each distinct text once, and
        remembered as far as there is room.

        texts (Sequence[str]): The texts.
        encode (Callable): Takes distinct texts, gives float32 rows of shape (m, width).
        width (int): Length of the vectors.
        RETURNS (ndarray): float32, shape (len(texts), width), in the order of the texts.
        """
        keys = [self._key(text) for text in texts]
        missing = {k: text for k, text in zip(keys, texts, strict=True) if k not in self._rows}
        fresh: dict[bytes, NDArray[Any]] = {}
        if missing:
            fresh = dict(zip(missing, encode(list(missing.values())), strict=True))
        for key in list(fresh)[: self.size - len(self._rows)]:
            # A copy, or the row would keep the whole batch that it is a view of.
            self._rows[key] = fresh[key].copy()
        rows = np.empty((len(texts), width), dtype="float32")
        for i, key in enumerate(keys):
            rows[i] = fresh[key] if key in fresh else self._rows[key]
        return rows

    @staticmethod
    def _key(text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf8", "surrogatepass"), digest_size=16).digest()

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()
