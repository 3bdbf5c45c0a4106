"""Rows that are equal: what several of them say is learned at once."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..training import ScoredPairs
from ..types import Targets


def distinct_rows(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find rows that are equal, bit for bit.

    rows (ndarray): An array of shape (n, k).
    RETURNS (tuple[ndarray, ndarray]): The numbers of the m distinct ones, in an order that does not
        depend on the one they came in, and to which of these each row is equal, shape (n,).
    """
    rows = np.ascontiguousarray(rows)
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, place = np.unique(as_bytes, return_index=True, return_inverse=True)
    return first, place


def merge_equal_rows(X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], Targets]:
    """Bring documents in an order that does not depend on the one that they came in, and equal ones
    together: several equal rows of which the same is known are one that counts as much.

    X (ndarray): Vectors, float32, shape (n, d).
    targets (Targets): What is known of them.
    RETURNS (tuple[ndarray, Targets]): The m distinct ones, whose weights are how often they were
        there, None if all were once; those of weight 0 are left out.
    """
    values, known = np.asarray(targets.values), np.asarray(targets.known)
    weights = targets.weights
    if weights is not None:
        counted = np.asarray(weights) > 0
        X, values, known = X[counted], values[counted], known[counted]
    every = np.concatenate([X, values, known], axis=1)
    first, place = distinct_rows(every)
    of_each = None if weights is None else np.asarray(weights, dtype="float64")[counted]
    merged: Any = np.bincount(place, of_each, minlength=len(first))
    if (merged == 1).all():
        merged = None
    return X[first], targets._replace(
        values=cast(Any, values[first]),
        known=cast(Any, known[first]),
        weights=None if merged is None else cast(Any, merged.astype("float32")),
    )


def distinct_pairs(X1: NDArray[Any], X2: NDArray[Any], scores: NDArray[Any]) -> ScoredPairs:
    """Bring pairs in an order that does not depend on the one that they came in, each distinct row
    once. Pairs of a row with itself are left out: there is nothing to be learned from them.

    X1, X2 (ndarray): The rows of each pair, float32, both of shape (n, d).
    scores (ndarray): Their scores, shape (n,).
    RETURNS (ScoredPairs): The pairs.
    RAISES (ValueError): If there are none left.
    """
    rows = np.concatenate([X1, X2])
    kept, place = distinct_rows(rows)
    first, second = np.split(place, 2)
    different = first != second
    if not different.any():
        raise ValueError("Each row of X1 is equal to its row of X2: there is nothing to learn.")
    order = np.lexsort((scores, second, first))
    order = order[different[order]]
    return ScoredPairs(rows[kept], first[order], second[order], scores[order])
