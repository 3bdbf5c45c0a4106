"""What the metrics share: which documents take part, and their cosines, a block at a time."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from thinc.types import Floats2d

CARRIES = 0.5
# Cosines are compared on this grid (steps of about 1e-9): equal vectors must tie, and a matrix
# product may round them apart in the last bits, depending on where in the matrix they stand.
STEPS = 2.0**30
# Similarities held at a time. All that is made of one takes below 64 bytes, so 64 MB at most.
BLOCK_ENTRIES = 2**20

_INDEX_BITS = np.uint64(32)
_INDEX_MASK = np.uint64(2**32 - 1)

# thinc's arrays are numpy's here, which only mypy does not know.
Array: TypeAlias = ArrayLike | Floats2d
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def unit_rows(vectors: Array) -> tuple[Floats, Ints]:
    """RETURNS (tuple): The vectors other than zero at length 1, float64, and their rows."""
    # float64, though vectors are float32: 1e-16 of rounding is far below the grid of STEPS.
    array = np.asarray(vectors, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"Vectors must have shape (n, d), not {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("Vectors must be finite, but some hold NaN or infinity.")
    # The largest entry first: squares of tiny entries would underflow.
    largest = np.maximum(array.max(axis=1, initial=0.0), -array.min(axis=1, initial=0.0))
    rows = np.flatnonzero(largest > 0)
    unit = array[rows]
    unit /= largest[rows, None]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit, rows


def carried_labels(values: Array, known: Array | None, *, n_docs: int) -> tuple[Bools, Bools]:
    """RETURNS (tuple): Which labels documents carry, and which are known, both shape (n, L)."""
    value_array = np.asarray(values)
    is_known = np.full(value_array.shape, True) if known is None else np.asarray(known) > 0
    if value_array.ndim != 2 or value_array.shape[0] != n_docs:
        raise ValueError(
            f"Values must have shape ({n_docs}, L) to fit the vectors, not {value_array.shape}."
        )
    if is_known.shape != value_array.shape:
        raise ValueError(f"known has shape {is_known.shape}, but values {value_array.shape}.")
    return is_known & (value_array >= CARRIES), is_known


def labels_by_gallery(known: Bools, labels: Ints) -> list[tuple[Ints, Ints]]:
    """Bring the labels together that are known in the same documents: one ranking serves them.

    RETURNS (list): Pairs of the documents' indices and the labels' indices.
    """
    groups: dict[bytes, list[int]] = {}
    for label in labels:
        groups.setdefault(np.packbits(known[:, label]).tobytes(), []).append(int(label))
    return [(np.flatnonzero(known[:, ids[0]]), np.asarray(ids)) for ids in groups.values()]


def blocks(rows: Ints, width: int, size: int | None) -> Iterator[Ints]:
    if size is None:
        size = max(1, BLOCK_ENTRIES // max(1, width))
    elif size < 1:
        raise ValueError(f"block_size must be at least 1, not {size}.")
    for start in range(0, rows.size, size):
        yield rows[start : start + size]


def distances(queries: Floats, gallery: Floats) -> Floats:
    """RETURNS (Floats): 1 - cosine in whole steps of the grid, shape (queries, gallery)."""
    steps = queries @ gallery.T
    steps *= -STEPS
    np.rint(steps, out=steps)
    steps += STEPS
    return steps


def ranking_keys(unit: Floats, queries: Ints) -> NDArray[np.uint64]:
    """Make one number of distance and index, so that no two neighbours tie: selecting the smallest
    keys without sorting the rest then gives the very same neighbours as a stable sort.

    unit (Floats): Unit vectors, shape (n, d).
    queries (Ints): Rows of them.
    RETURNS (NDArray[np.uint64]): shape (queries, n); a query's own key is the largest.
    """
    keys = distances(unit[queries], unit).astype(np.uint64)
    keys <<= _INDEX_BITS
    keys |= np.arange(unit.shape[0], dtype=np.uint64)
    keys[np.arange(queries.size), queries] = np.iinfo(np.uint64).max
    return keys


def nearest_first(keys: NDArray[np.uint64], depth: int) -> Ints:
    """RETURNS (Ints): Indices of the `depth` smallest keys of each row, in order; the keys are left
    in disorder."""
    if depth < keys.shape[1]:
        keys.partition(depth - 1, axis=1)
    keys = keys[:, :depth]
    keys.sort(axis=1)
    return (keys & _INDEX_MASK).astype(np.intp)
