"""The texts that a component was trained on, as digests, to recognise them in held-out data."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .._texts import digest_number, text_key

# The largest number of texts to remember: 8 bytes each in a file.
MAX_TEXTS = 100_000

_STORED = ">u8"


class SeenTexts:
    """Remembers texts by a digest of 64 bits each. Texts that differ only in case or whitespace
    count as one text. Empty texts are not remembered.

        >>> seen = SeenTexts(["Good soup."])
        >>> seen.recognize(["good  soup.", "Bad soup."]).tolist()
        [True, False]
        >>> SeenTexts.from_bytes(seen.to_bytes()).recognize(["Good soup."]).tolist()
        [True]

    texts (Iterable[str]): The texts to remember.
    max_texts (int): The largest number of texts. Texts beyond it are not remembered.
    """

    def __init__(self, texts: Iterable[str] = (), *, max_texts: int = MAX_TEXTS) -> None:
        self.max_texts = max_texts
        self._digests: set[int] = set()
        self.add(texts)

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def is_full(self) -> bool:
        """RETURNS (bool): Whether the largest number is reached, so that some texts may not be
        remembered."""
        return len(self._digests) >= self.max_texts

    def add(self, texts: Iterable[str]) -> None:
        """Remember more texts, up to the largest number.

        texts (Iterable[str]): The texts.
        """
        for text in texts:
            if self.is_full:
                return
            digest = _digest(text)
            if digest is not None:
                self._digests.add(digest)

    def recognize(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Look up which texts are remembered.

        texts (Iterable[str]): The n texts.
        RETURNS (ndarray): Whether each text is remembered, shape (n,).
        """
        return np.asarray([_digest(text) in self._digests for text in texts], dtype=bool)

    def to_bytes(self) -> bytes:
        """Store the digests. The same texts give the same bytes, in whatever order they came.

        RETURNS (bytes): The sorted digests, 8 bytes each, the most significant byte first.
        """
        return np.asarray(sorted(self._digests), dtype=_STORED).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Load the digests that `to_bytes` stored.

        data (bytes): The stored digests.
        RETURNS (SeenTexts): The remembered texts.
        """
        seen = cls()
        seen._digests.update(np.frombuffer(data, dtype=_STORED).tolist())
        return seen


def _digest(text: str) -> int | None:
    folded = text_key(text)
    if not folded:
        return None
    return digest_number(folded)
