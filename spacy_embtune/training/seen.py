"""Which texts a component was trained on, as digests: enough to say whether held-out data are."""

import hashlib
from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .._texts import fold_text

# How many texts of a corpus are remembered, at 8 bytes each in a file.
MOST_TEXTS = 100_000

_STORED = ">u8"


class SeenTexts:
    """Remembers texts by 64 bits of each, up to a number of texts; then it keeps what it has and
    takes no more. Texts that differ in case or whitespace only are one, and empty ones none.

    most (int): How many texts to remember.
    """

    def __init__(self, texts: Iterable[str] = (), *, most: int = MOST_TEXTS) -> None:
        self.most = most
        self._digests: set[int] = set()
        self.add(texts)

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def is_full(self) -> bool:
        """RETURNS (bool): Whether there may have been texts that it did not take."""
        return len(self._digests) >= self.most

    def add(self, texts: Iterable[str]) -> None:
        """Remember texts, as far as there is room."""
        for text in texts:
            if self.is_full:
                return
            digest = _digest(text)
            if digest is not None:
                self._digests.add(digest)

    def recognize(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """RETURNS (ndarray): Whether it remembers each text, shape (n,)."""
        return np.asarray([_digest(text) in self._digests for text in texts], dtype=bool)

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The digests in order, the most significant byte first: the same for the
        same texts."""
        return np.asarray(sorted(self._digests), dtype=_STORED).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """RETURNS (SeenTexts): What gave these bytes."""
        seen = cls()
        seen._digests.update(np.frombuffer(data, dtype=_STORED).tolist())
        return seen


def _digest(text: str) -> int | None:
    folded = fold_text(text).casefold()
    if not folded:
        return None
    data = folded.encode("utf8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
