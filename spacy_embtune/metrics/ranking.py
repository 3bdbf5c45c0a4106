"""Prepare vectors and labels for metrics, and rank neighbours by cosine, one block at a time.

Equal cosines rank by index, lowest first, whatever the block size. Documents whose vector is all
zeros have no vector and are left out.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from thinc.types import Floats2d

from ..labels import CARRIES

# Cosines are rounded to multiples of 1 / STEPS (about 1e-9). The cosines of equal vectors must tie,
# but a matrix product may give them different last bits, depending on their place in the matrix.
STEPS = 2.0**30
# How many similarities are in memory at a time. Each needs less than 64 bytes, so 64 MB in total.
BLOCK_ENTRIES = 2**20

_INDEX_BITS = np.uint64(32)
_INDEX_MASK = np.uint64(2**32 - 1)

# At run time thinc's array types are numpy arrays; only mypy treats them as other types.
Array: TypeAlias = ArrayLike | Floats2d
Bools = NDArray[np.bool_]
# A numpy array, or a `scipy.sparse.csr_array` where there are many labels. Both have `*`, `@`, `+`,
# `sum` and rows by index.
Matrix: TypeAlias = Any
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def unit_vectors(vectors: Array) -> NDArray[np.float32]:
    """Normalise vectors to unit length. Those that are all zeros stay as they are.

    >>> unit_vectors([[0.0, 2.0], [0.0, 0.0]]).tolist()
    [[0.0, 1.0], [0.0, 0.0]]

    vectors (Array): The vectors, shape (n, d).
    RETURNS (ndarray): The vectors, float32, shape (n, d).
    """
    array = np.asarray(vectors, dtype="float32")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    return np.asarray(np.divide(array, lengths, out=np.zeros_like(array), where=lengths > 0))


def unit_rows(vectors: Array) -> tuple[Floats, Ints]:
    """Normalise vectors to unit length, and leave out those that are all zeros.

    >>> unit, rows = unit_rows([[0.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    >>> unit.tolist(), rows.tolist()
    ([[0.0, 1.0], [0.6, 0.8]], [0, 2])

    vectors (Array): The vectors, shape (n, d).
    RETURNS (tuple[Floats, Ints]): The unit vectors, float64 of shape (m, d), and their rows in
        `vectors`, shape (m,).
    RAISES (ValueError): If the shape is another, or a vector is not finite.
    """
    # float64, because its rounding errors of 1e-16 are far smaller than 1 / STEPS.
    array = np.asarray(vectors, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"Vectors must have shape (n, d), not {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("Vectors must be finite, but some hold NaN or infinity.")
    # Divided by the largest entry first, because the squares of tiny entries would underflow.
    largest = np.maximum(array.max(axis=1, initial=0.0), -array.min(axis=1, initial=0.0))
    rows = np.flatnonzero(largest > 0)
    unit = array[rows]
    unit /= largest[rows, None]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit, rows


def carried_labels(values: Array, known: Array | None, *, n_docs: int) -> tuple[Bools, Bools]:
    """Find which labels documents carry. Values that are not known do not count.

    >>> carries, known = carried_labels([[1.0, 0.2], [0.9, 0.0]], [[1, 1], [0, 1]], n_docs=2)
    >>> carries.tolist()
    [[True, False], [False, False]]

    values (Array): How much of each label each document carries, 0..1, shape (n, L).
    known (Array | None): Above 0 where the value is known, shape (n, L). None: all are known.
    n_docs (int): The number of documents n, for a check.
    RETURNS (tuple[Bools, Bools]): Which labels are carried and which are known, both of shape (n,
        L).
    RAISES (ValueError): If the shapes do not fit.
    """
    value_array = np.asarray(values)
    is_known = np.full(value_array.shape, True) if known is None else np.asarray(known) > 0
    if value_array.ndim != 2 or value_array.shape[0] != n_docs:
        raise ValueError(
            f"Values must have shape ({n_docs}, L) to fit the vectors, not {value_array.shape}."
        )
    if is_known.shape != value_array.shape:
        raise ValueError(f"known has shape {is_known.shape}, but values {value_array.shape}.")
    return is_known & (value_array >= CARRIES), is_known


def group_labels(known: Bools, labels: Ints) -> list[tuple[Ints, Ints]]:
    """Group the labels that are known in the same documents. They can share one ranking.

    >>> known = np.asarray([[True, True, True], [True, False, True]])
    >>> [(rows.tolist(), group.tolist()) for rows, group in group_labels(known, np.arange(3))]
    [([0, 1], [0, 2]), ([0], [1])]

    known (Bools): Where the value of a label is known, shape (n, L).
    labels (Ints): The columns to group.
    RETURNS (list[tuple[Ints, Ints]]): For each group, the documents in which its labels are known,
        and the columns of its labels.
    """
    groups: dict[bytes, list[int]] = {}
    for label in labels:
        groups.setdefault(np.packbits(known[:, label]).tobytes(), []).append(int(label))
    return [(np.flatnonzero(known[:, ids[0]]), np.asarray(ids)) for ids in groups.values()]


def blocks(rows: Ints, width: int, size: int | None) -> Iterator[Ints]:
    """Split rows into blocks whose similarities fit in memory.

    >>> [block.tolist() for block in blocks(np.arange(5), width=100, size=2)]
    [[0, 1], [2, 3], [4]]

    rows (Ints): The rows, shape (n,).
    width (int): The number of similarities per row.
    size (int | None): The number of rows per block. None: at most `BLOCK_ENTRIES` similarities.
    YIELDS (Ints): The rows of a block.
    RAISES (ValueError): If the size is less than 1.
    """
    if size is None:
        size = max(1, BLOCK_ENTRIES // max(1, width))
    elif size < 1:
        raise ValueError(f"block_size must be at least 1, not {size}.")
    for start in range(0, rows.size, size):
        yield rows[start : start + size]


def distances(queries: Floats, gallery: Floats) -> Floats:
    """Compute cosine distances, rounded to whole numbers of steps.

    >>> (distances(np.eye(2), np.eye(2)) / STEPS).tolist()
    [[0.0, 1.0], [1.0, 0.0]]

    queries (Floats): Unit vectors, shape (m, d).
    gallery (Floats): The unit vectors to compare them with, shape (n, d).
    RETURNS (Floats): (1 - cosine) * STEPS as whole numbers, shape (m, n).
    """
    steps = queries @ gallery.T
    steps *= -STEPS
    np.rint(steps, out=steps)
    steps += STEPS
    return steps


def ranking_keys(unit: Floats, queries: Ints) -> NDArray[np.uint64]:
    """Combine distance and index in one number, so that no two neighbours tie. The k smallest keys
    are then the same neighbours that a stable sort would give, and no full sort is needed.

    >>> unit, _ = unit_rows([[1.0, 0.0], [0.0, 1.0], [1.0, 0.5]])
    >>> nearest_first(ranking_keys(unit, np.arange(3)), depth=2).tolist()
    [[2, 1], [2, 0], [0, 1]]

    unit (Floats): Unit vectors, shape (n, d).
    queries (Ints): The rows of the queries, shape (m,).
    RETURNS (NDArray[np.uint64]): The keys, shape (m, n). The key of a query and itself is the
        largest of its row.
    """
    keys = distances(unit[queries], unit).astype(np.uint64)
    keys <<= _INDEX_BITS
    keys |= np.arange(unit.shape[0], dtype=np.uint64)
    keys[np.arange(queries.size), queries] = np.iinfo(np.uint64).max
    return keys


def nearest_first(keys: NDArray[np.uint64], depth: int) -> Ints:
    """Find the columns of the smallest keys of each row, see `ranking_keys`.

    keys (NDArray[np.uint64]): The keys, shape (m, n). Their order is changed in place.
    depth (int): How many columns to find.
    RETURNS (Ints): The columns, the smallest key first, shape (m, depth).
    """
    if depth < keys.shape[1]:
        keys.partition(depth - 1, axis=1)
    keys = keys[:, :depth]
    keys.sort(axis=1)
    return (keys & _INDEX_MASK).astype(np.intp)
