"""The vectors that the layers of one encoder share."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from numpy.typing import NDArray

from ._lookup import Encode, look_up
from .cache import VectorCache

# Number of texts whose vectors a pipeline that is only used keeps for the next layer. It is enough
# for several batches of `nlp.pipe`. A larger batch raises it.
RECENT = 4096


class SharedVectors:
    """The vectors of one encoder that several layers share. While one layer alone uses the encoder,
    nothing is kept here."""

    def __init__(self) -> None:
        self.layers: WeakSet[Any] = WeakSet()
        self._caches: WeakValueDictionary[int, VectorCache] = WeakValueDictionary()
        # The most recent vectors. No lock: threads at worst encode a text twice, and a lock that a
        # thread holds would block a forked process.
        self._rows: dict[bytes, NDArray[Any]] = {}
        self._order: deque[bytes] = deque()
        self._room = RECENT

    @property
    def is_shared(self) -> bool:
        """RETURNS (bool): Whether two or more layers use the encoder."""
        return len(self.layers) > 1

    def cache(self, size: int) -> VectorCache:
        """RETURNS (VectorCache): The cache of all training layers that asked for this size."""
        cache = self._caches.get(size)
        if cache is None:
            cache = self._caches[size] = VectorCache(size)
        return cache

    def lookup(
        self, texts: Sequence[str], encode: Encode, width: int, *, is_cached: bool
    ) -> NDArray[Any]:
        """Return the vectors of texts: those that a layer encoded a moment ago, or that are in the
        cache of a layer in training, or new ones.

        texts (Sequence[str]): The n texts.
        encode (Callable): Takes m distinct texts, returns a matrix of shape (m, width).
        width (int): Length of the vectors.
        is_cached (bool): Whether the layer puts the vectors into its cache.
        RETURNS (ndarray): float32, shape (n, width).
        """
        if not is_cached:
            # The other layers read the same batch next.
            self._room = max(self._room, 2 * len(texts))
        return look_up(texts, encode, width, read=self._read, keep=self._keep)

    def keep(self, texts: Sequence[str], rows: NDArray[Any]) -> None:
        """Keep vectors for the other layers, if there are any.

        texts (Sequence[str]): The n texts.
        rows (ndarray): Their vectors, float32, shape (n, width).
        """
        if self.is_shared:
            places = {text: i for i, text in enumerate(texts)}

            def known(missing: Sequence[str]) -> NDArray[Any]:
                return rows[[places[text] for text in missing]]

            self.lookup(texts, known, rows.shape[1], is_cached=False)

    def _read(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, NDArray[Any]]]:
        found = dict(self._recent(keys))
        for cache in list(self._caches.values()):
            found.update(cache.read([key for key in keys if key not in found]))
        return found.items()

    def _recent(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, NDArray[Any]]]:
        rows = ((key, self._rows.get(key)) for key in keys)
        return [(key, row) for key, row in rows if row is not None]

    def _keep(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        # A view would keep the whole matrix in memory, so rows are copied.
        for key, row in list(zip(keys, rows, strict=True))[-self._room :]:
            if key not in self._rows:
                self._order.append(key)
            self._rows[key] = row.copy()
        while len(self._order) > self._room:
            try:
                self._rows.pop(self._order.popleft(), None)
            except IndexError:
                return
