"""Vectors of texts, kept on disk across runs: what VectorCache is in memory."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import PROGRESS_FROM, progress_interval
from ._database import StoreError, StoreFullError, VectorDatabase

logger = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 2**30
MIN_BYTES = 4 * 2**20
# Texts that are encoded before their vectors are stored: what a kill loses at most.
CHUNK = 512


class VectorStore:
    """Vectors by encoder and text in a directory, up to a size; then the oldest are dropped.

    Any number of processes of one machine may use it at once; on a network drive that is not safe.
    Texts are not stored, only digests of them; yet vectors tell what a text is about, so keep the
    directory as private as the texts. Copies and pickles open it on their own.

    path (str | PathLike): The directory. It is made when it is first needed, within one that
        exists.
    max_bytes (int): How large its files may become together, at least 4 MiB. A directory that is
        larger already shrinks when something is next stored.
    RAISES (ValueError): If the bound is too low.
    """

    def __init__(self, path: "str | os.PathLike[str]", max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if not isinstance(max_bytes, int) or max_bytes < MIN_BYTES:
            raise ValueError(
                f"A store of vectors cannot be bounded to {max_bytes!r} bytes: give it an integer "
                f"of {MIN_BYTES} (4 MiB) or more."
            )
        # Absolute, as it may be opened again after the working directory has changed.
        self.path = Path(path).expanduser().absolute()
        self.max_bytes = max_bytes
        self._database = VectorDatabase(self.path, max_bytes)
        self._has_room = True

    def __len__(self) -> int:
        return self._database.count()

    def __reduce__(self) -> tuple[Any, ...]:
        return (VectorStore, (self.path, self.max_bytes))

    def close(self) -> None:
        """Close the file; it is opened again when it is next needed."""
        self._database.close()

    def lookup(
        self,
        fingerprint: str,
        texts: Sequence[str],
        encode: Callable[[list[str]], NDArray[Any]],
        width: int | None = None,
        *,
        precision: str = "",
        progress: str | None = None,
    ) -> NDArray[Any]:
        """Vectors of texts. Those that are not stored yet are encoded, each distinct text once,
        the longest first, and stored after each 512. If they cannot be, because the disk is full
        say, a warning says so, and no more are stored.

        fingerprint (str): Who encodes, see `spacy_embtune.encoder.fingerprint.fingerprint_of`.
        texts (Sequence[str]): The texts.
        encode (Callable): Takes up to 512 distinct texts, gives rows of shape (m, width).
        width (int | None): Length of the vectors; None takes what there is.
        precision (str): The type in which the vectors are computed. Other precision, other vectors,
            whatever type they have in the end.
        progress (str | None): What a progress bar on standard error should say if many texts have
            to be encoded; None shows none.
        RETURNS (ndarray): Shape (len(texts), width), in the order of the texts and of the type that
            encode gave, now or when they were stored.
        RAISES (StoreError): If the directory cannot be opened or read, or if the width or the type
            of stored vectors is another than now: then encoders share a fingerprint that differ.
        """
        places = _find_places(fingerprint, precision, texts)
        rows = _Rows(len(texts), width, self.path)
        missing = dict.fromkeys(places)
        try:
            for key, vector in self._database.read(list(places)):
                rows.put(places[key], vector)
                del missing[key]
        except StoreFullError as error:
            self._give_up(error)
        # Texts of a batch need little padding if they are of a length.
        keys = sorted(missing, key=lambda key: len(texts[places[key][0]]), reverse=True)
        for chunk in _chunks(keys, progress):
            encoded = _encode(encode, [texts[places[key][0]] for key in chunk])
            for key, vector in zip(chunk, encoded, strict=True):
                rows.put(places[key], vector)
            self._keep(chunk, encoded)
        return rows.array

    def _keep(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        if self._has_room:
            try:
                self._database.insert(keys, rows)
            except StoreError as error:
                self._give_up(error)

    def _give_up(self, error: StoreError) -> None:
        if self._has_room:
            self._has_room = False
            logger.warning("%s In this run vectors are computed, but no longer stored.", error)


class _Rows:
    """The rows of a lookup, whose width and type the first vector tells."""

    def __init__(self, n: int, width: int | None, path: Path) -> None:
        self.n = n
        self.width = width
        self.path = path
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
            raise StoreError(
                f"Vectors of two kinds meet in the store of vectors in {self.path}: {dtype} of "
                f"length {width}, and {vector.dtype} of length {len(vector)}. Encoders that differ "
                f"need fingerprints, or names, that differ."
            )
        self._array[indices] = vector


def _find_places(fingerprint: str, precision: str, texts: Sequence[str]) -> dict[bytes, list[int]]:
    """RETURNS (dict[bytes, list[int]]): Where each distinct text is, by the key of its vector."""
    start = hashlib.blake2b(json.dumps([fingerprint, precision]).encode(), digest_size=16)
    places: dict[bytes, list[int]] = {}
    for i, text in enumerate(texts):
        digest = start.copy()
        digest.update(text.encode("utf8", "surrogatepass"))
        places.setdefault(digest.digest(), []).append(i)
    return places


def _chunks(keys: list[bytes], progress: str | None) -> Iterator[list[bytes]]:
    """RETURNS (Iterator[list[bytes]]): The keys in chunks, while a bar tells how many are done."""
    chunks = [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]
    if progress is None or len(keys) < PROGRESS_FROM:
        # Not even a bar that is hidden: its lock would not outlast a fork while a thread holds it.
        yield from chunks
        return
    from tqdm.auto import tqdm

    with tqdm(
        total=len(keys), desc=progress, unit="text", leave=False, mininterval=progress_interval()
    ) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))


def _encode(encode: Callable[[list[str]], NDArray[Any]], texts: list[str]) -> NDArray[Any]:
    rows = np.asarray(encode(texts))
    if rows.ndim != 2 or len(rows) != len(texts) or rows.dtype.kind not in "fiub":
        raise ValueError(
            f"The encoder gave {len(texts)} texts an array of {rows.dtype} of shape {rows.shape}: "
            f"it has to give a matrix of numbers, one row a text."
        )
    return rows
