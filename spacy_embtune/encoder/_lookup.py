"""One way to look vectors up, for all places that keep vectors: read, encode the rest, keep it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import PROGRESS_FROM, progress_interval

Encode = Callable[[list[str]], NDArray[Any]]
Read = Callable[[Sequence[bytes]], Iterable[tuple[bytes, NDArray[Any]]]]
Keep = Callable[[Sequence[bytes], NDArray[Any]], None]


class VectorsDifferError(ValueError):
    """Vectors of two widths or types were found for the texts of one lookup."""


def look_up(
    texts: Sequence[str],
    encode: Encode,
    width: int | None,
    *,
    read: Read,
    keep: Keep,
    identity: Sequence[str] = (),
    chunk: int | None = None,
    progress: str | None = None,
) -> NDArray[Any]:
    """Read the vectors of texts. Encode those that are not kept yet, each distinct text once and
    the longest first, and keep them.

    texts (Sequence[str]): The n texts.
    encode (Callable): Takes m distinct texts, returns a matrix of shape (m, width).
    width (int | None): Length of the vectors; None takes the length of the first vector.
    read (Callable): Takes keys, returns pairs of key and vector for the keys that are kept.
    keep (Callable): Takes m keys and a matrix of shape (m, width), and keeps its rows.
    identity (Sequence[str]): What the vectors depend on besides the text.
    chunk (int | None): Number of texts that are encoded before their vectors are kept; None: all.
    progress (str | None): Title of a progress bar, shown if many texts are encoded; None: no bar.
    RETURNS (ndarray): Shape (n, width), in the order of the texts, of the type of the vectors.
    RAISES (VectorsDifferError): If vectors have different widths or types.
    RAISES (ValueError): If `encode` does not return a matrix of numbers with a row for each text.
    """
    places = _find_places(texts, identity)
    rows = _Rows(len(texts), width)
    missing = dict.fromkeys(places)
    for key, vector in read(list(places)):
        rows.put(places[key], vector)
        del missing[key]
    keys = sorted(missing, key=lambda key: len(texts[places[key][0]]), reverse=True)
    for part in _chunks(keys, chunk or max(len(keys), 1), progress):
        encoded = _encode(encode, [texts[places[key][0]] for key in part])
        for key, vector in zip(part, encoded, strict=True):
            rows.put(places[key], vector)
        keep(part, encoded)
    return rows.array


class _Rows:
    """The rows of a lookup. The first vector decides their type, and their width if it is None."""

    def __init__(self, n: int, width: int | None) -> None:
        self.n = n
        self.width = width
        self._array: NDArray[Any] | None = None

    @property
    def array(self) -> NDArray[Any]:
        if self._array is None:
            return np.zeros((self.n, self.width or 0), dtype="float32")
        return self._array

    def put(self, indices: list[int], vector: NDArray[Any]) -> None:
        if self._array is None:
            width = len(vector) if self.width is None else self.width
            self._array = np.empty((self.n, width), dtype=vector.dtype)
        width, dtype = self._array.shape[1], self._array.dtype
        if (len(vector), vector.dtype) != (width, dtype):
            raise VectorsDifferError(
                f"{dtype} of length {width}, and {vector.dtype} of length {len(vector)}"
            )
        for i in indices:
            self._array[i] = vector


def _find_places(texts: Sequence[str], identity: Sequence[str]) -> dict[bytes, list[int]]:
    """RETURNS (dict[bytes, list[int]]): The positions of each distinct text, by the key of its
    vector: a digest of the identity and the text."""
    start = hashlib.blake2b(json.dumps(list(identity)).encode(), digest_size=16)
    places: dict[bytes, list[int]] = {}
    for i, text in enumerate(texts):
        digest = start.copy()
        digest.update(text.encode("utf8", "surrogatepass"))
        places.setdefault(digest.digest(), []).append(i)
    return places


def _chunks(keys: list[bytes], size: int, progress: str | None) -> Iterator[list[bytes]]:
    """RETURNS (Iterator[list[bytes]]): The keys in chunks. A bar shows how many are done."""
    chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
    if progress is None or len(keys) < PROGRESS_FROM:
        # A hidden bar would not do: it has a lock, and a fork breaks a lock that a thread holds.
        yield from chunks
        return
    from tqdm.auto import tqdm

    with tqdm(
        total=len(keys), desc=progress, unit="text", leave=False, mininterval=progress_interval()
    ) as bar:
        for part in chunks:
            yield part
            bar.update(len(part))


def _encode(encode: Encode, texts: list[str]) -> NDArray[Any]:
    rows = np.asarray(encode(texts))
    if rows.ndim != 2 or len(rows) != len(texts) or rows.dtype.kind not in "fiub":
        raise ValueError(
            f"The encoder returned an array of {rows.dtype} of shape {rows.shape} for "
            f"{len(texts)} texts: it must return a matrix of numbers, one row a text."
        )
    return rows
