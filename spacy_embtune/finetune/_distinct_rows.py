"""Merging of equal rows, so that a fit does not depend on the order or number of copies."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..training import ScoredPairs
from ..types import Targets


def distinct_rows(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find the distinct rows of an array. Rows are equal if all their bytes are equal.

    rows (ndarray): The rows, shape (n, k).
    RETURNS (tuple[ndarray, ndarray]): The index of the first copy of each of the m distinct rows,
        shape (m,), in an order that does not depend on the order of the rows; and for each row the
        index of its distinct row, shape (n,).
    """
    rows = np.ascontiguousarray(rows)
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, place = np.unique(as_bytes, return_index=True, return_inverse=True)
    return first, place


def merge_equal_rows(X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], Targets]:
    """Merge documents with equal vectors and equal targets into one document, with the sum of their
    weights, and sort the documents into an order that does not depend on the order of the rows.

    X (ndarray): Vectors, float32, shape (n, d).
    targets (Targets): The targets of the n documents.
    RETURNS (tuple[ndarray, Targets]): The vectors and targets of the m distinct documents. The
        weights are None if all are 1. Documents with weight 0 are left out.
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
    """Sort pairs into an order that does not depend on the order of the rows, and keep each
    distinct row once. Pairs of two equal rows are left out, because nothing can be learned from
    them.

    X1, X2 (ndarray): The rows of each pair, float32, both of shape (n, d).
    scores (ndarray): The scores of the pairs, shape (n,).
    RETURNS (ScoredPairs): The pairs.
    RAISES (ValueError): If no pair is left.
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
