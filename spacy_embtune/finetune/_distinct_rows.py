"""Merging of equal rows, so that a fit does not depend on the order or number of copies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import SparseTargets
from ..training import ScoredPairs, SidePairs, select_rows
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


def merge_equal_rows(
    X: NDArray[Any], targets: Targets | SparseTargets
) -> tuple[NDArray[Any], Targets | SparseTargets]:
    """Merge documents with equal vectors and equal targets into one document, with the sum of their
    weights, and sort the documents into an order that does not depend on the order of the rows.

    X (ndarray): Vectors, float32, shape (n, d).
    targets (Targets | SparseTargets): The targets of the n documents.
    RETURNS (tuple[ndarray, Targets | SparseTargets]): The vectors and targets of the m distinct
        documents. The weights are None if all are 1. Documents with weight 0 are left out.
    """
    weights = None if targets.weights is None else np.asarray(targets.weights, dtype="float64")
    if weights is not None:
        counted = np.flatnonzero(weights > 0)
        X, targets, weights = X[counted], _take(targets, counted), weights[counted]
    if isinstance(targets, SparseTargets):
        as_bytes = np.ascontiguousarray(X).view("uint8").reshape(len(X), -1)
        every = np.concatenate([as_bytes, targets.row_digests()], axis=1)
    else:
        every = np.concatenate([X, targets.values, targets.known], axis=1)
    first, place = distinct_rows(every)
    merged: Any = np.bincount(place, weights, minlength=len(first))
    if (merged == 1).all():
        merged = None
    merged = None if merged is None else merged.astype("float32")
    return X[first], _take(targets, first)._replace(weights=merged)


def _take(targets: Targets | SparseTargets, rows: NDArray[Any]) -> Targets | SparseTargets:
    if isinstance(targets, SparseTargets):
        return targets.subset(rows)
    return select_rows(targets, rows)


def distinct_pairs(X1: NDArray[Any], X2: NDArray[Any], scores: NDArray[Any]) -> ScoredPairs:
    """Sort pairs into an order that does not depend on the order of the rows, and keep each
    distinct row once. Pairs of two equal rows are left out, because nothing can be learned from
    them.

    X1, X2 (ndarray): The rows of each pair, float32, both of shape (n, d).
    scores (ndarray): The scores of the pairs, shape (n,).
    RETURNS (ScoredPairs): The pairs.
    RAISES (ValueError): If no pair is left.
    """
    base, first, second, order = _different_pairs(X1, X2, scores)
    return ScoredPairs(base, first[order], second[order], scores[order])


def unscored_pairs(X1: NDArray[Any], X2: NDArray[Any]) -> SidePairs:
    """Arrange pairs without scores as `distinct_pairs` does, for sides that share their weights.

    X1, X2 (ndarray): The rows of each pair, float32, both of shape (n, d).
    RETURNS (SidePairs): The pairs; both sides share the rows.
    RAISES (ValueError): If no pair is left.
    """
    base, first, second, order = _different_pairs(X1, X2, np.ones(len(X1)))
    return SidePairs(base, None, first[order], second[order], None)


def _different_pairs(
    X1: NDArray[Any], X2: NDArray[Any], scores: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): The distinct rows, the first and second row of each pair, and the order of
    the pairs of two different rows.
    RAISES (ValueError): If there are no such pairs."""
    rows = np.concatenate([X1, X2])
    kept, place = distinct_rows(rows)
    first, second = np.split(place, 2)
    different = first != second
    if not different.any():
        raise ValueError("Each row of X1 is equal to its row of X2: there is nothing to learn.")
    order = np.lexsort((scores, second, first))
    return rows[kept], first, second, order[different[order]]


def distinct_sides(X1: NDArray[Any], X2: NDArray[Any], scores: NDArray[Any] | None) -> SidePairs:
    """Sort pairs of two sides as `distinct_pairs` does, and keep each distinct row of a side once.

    X1, X2 (ndarray): The rows of each pair, float32, shapes (n, d1) and (n, d2).
    scores (ndarray | None): The scores of the pairs, shape (n,).
    RETURNS (SidePairs): The pairs.
    """
    (left, first), (right, second) = distinct_rows(X1), distinct_rows(X2)
    order = np.lexsort((second, first) if scores is None else (scores, second, first))
    ordered = None if scores is None else scores[order]
    return SidePairs(X1[left], X2[right], first[order], second[order], ordered)
