"""Keeps vectors of texts in a directory, across runs."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ._database import StoreError, StoreFullError, VectorDatabase
from ._lookup import Encode, VectorsDifferError, look_up

logger = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 2**30
MIN_BYTES = 4 * 2**20
# Number of texts that are encoded before their vectors are stored. If the process is killed, it
# loses no more than these.
CHUNK = 512


class VectorStore:
    """Keeps vectors of several encoders in a directory of bounded size. When the directory is full,
    the oldest vectors are dropped.

    Several processes of one machine may use the directory at once. On a network drive that is not
    safe. The directory holds digests of the texts, not the texts. Vectors still tell what a text is
    about, so keep the directory as private as the texts. Copies and pickles of a store open the
    directory on their own.

    path (str | PathLike): The directory. It is created when it is first needed, inside a directory
        that exists.
    max_bytes (int): Bound for the size of its files together, at least 4 MiB. A directory that is
        larger already shrinks when the next vectors are stored.
    RAISES (ValueError): If the bound is too low.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = VectorStore(f"{folder}/vectors")
    ...     rows = store.lookup(["a", "bb"], lambda texts: np.ones((len(texts), 3)))
    ...     len(store), rows.shape
    ...     store.close()
    (2, (2, 3))
    """

    def __init__(self, path: "str | os.PathLike[str]", max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if not isinstance(max_bytes, int) or max_bytes < MIN_BYTES:
            raise ValueError(
                f"A store of vectors cannot be bounded to {max_bytes!r} bytes: give it an integer "
                f"of {MIN_BYTES} (4 MiB) or more."
            )
        # Absolute, because the directory may be opened again from another working directory.
        self.path = Path(path).expanduser().absolute()
        self.max_bytes = max_bytes
        self._database = VectorDatabase(self.path, max_bytes)
        self._has_room = True

    def __len__(self) -> int:
        return self._database.count()

    def __reduce__(self) -> tuple[Any, ...]:
        return (VectorStore, (self.path, self.max_bytes))

    def lookup(
        self,
        texts: Sequence[str],
        encode: Encode,
        width: int | None = None,
        *,
        fingerprint: str = "",
        precision: str = "",
        progress: str | None = None,
    ) -> NDArray[Any]:
        """Return the vectors of texts. Texts that are not stored yet are encoded, each distinct
        text once and the longest first, and stored after each 512. If they cannot be stored, for
        example because the disk is full, the store warns once and stores no more.

        texts (Sequence[str]): The n texts.
        encode (Callable): Takes up to 512 distinct texts, returns a matrix of shape (m, width).
        width (int | None): Length of the vectors; None takes the length of the first vector.
        fingerprint (str): Which encoder makes the vectors, see `fingerprint_of`.
        precision (str): The type in which the encoder computes. Vectors computed in another type
            differ, even if they are stored in the same type.
        progress (str | None): Title of a progress bar on standard error, shown if many texts have
            to be encoded; None shows no bar.
        RETURNS (ndarray): Shape (n, width), in the order of the texts, of the type of the vectors;
            float32 if there are no texts.
        RAISES (StoreError): If the directory cannot be opened or read, or if stored vectors have
            another width or type than new ones, as when two encoders have one fingerprint.
        RAISES (ValueError): If `encode` does not return a matrix of numbers with a row for each
            text.
        """
        try:
            return look_up(
                texts,
                encode,
                width,
                read=self._read,
                keep=self._keep,
                identity=(fingerprint, precision),
                chunk=CHUNK,
                progress=progress,
            )
        except VectorsDifferError as error:
            raise StoreError(
                f"The store of vectors in {self.path} has vectors of two kinds under one "
                f"fingerprint: {error}. Encoders that differ need fingerprints, or names, that "
                f"differ."
            ) from error

    def _read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, NDArray[Any]]]:
        try:
            yield from self._database.read(keys)
        except StoreFullError as error:
            self._stop_storing(error)

    def _keep(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        if self._has_room:
            try:
                self._database.insert(keys, rows)
            except StoreError as error:
                self._stop_storing(error)

    def _stop_storing(self, error: StoreError) -> None:
        if self._has_room:
            self._has_room = False
            logger.warning("%s In this run no more vectors are stored.", error)

    def close(self) -> None:
        """Close the file. It is opened again when it is next needed."""
        self._database.close()
