"""Scores and groups of pairs as arrays."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from thinc.types import Floats2d

from ..types import PairTargets


def combine_pairs(
    n_rows: int,
    explicit: Sequence[tuple[int, int, float]] = (),
    groups: Sequence[str | None] | None = None,
) -> PairTargets:
    """Arrange the known similarities of pairs of documents in arrays. A score of a pair has
    priority over the groups of its documents.

    >>> pairs = combine_pairs(3, [(0, 1, 0.5)], ["a", "a", "b"])
    >>> pairs.similarity.tolist()
    [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> pairs.weight.tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]

    n_rows (int): The number of documents, n.
    explicit (Sequence[tuple[int, int, float]]): Scores: two rows in any order, and their
        similarity, 0..1. The weight is 1. If a pair has several scores, the mean is taken, which is
        the value that minimizes their squared errors.
    groups (Sequence[str | None] | None): The group of each row, None for a row without a group. The
        similarity is 1 within a group and 0 between groups, and the weight is 1. None: no row has a
        group.
    RETURNS (PairTargets): Similarity and weight, symmetric float32 numpy arrays of shape (n, n).
        Both are 0 on the diagonal, and the similarity is 0 where the weight is 0.
    RAISES (ValueError): If the number of groups is not n, a row of a score is outside 0..n-1, a
        score pairs a row with itself, or a score is outside 0..1.
    """
    shape = (n_rows, n_rows)
    similarity, weight = np.zeros(shape, "float32"), np.zeros(shape, "float32")
    if groups is not None:
        if len(groups) != n_rows:
            raise ValueError(
                f"There are {len(groups)} groups for {n_rows} documents. Give one group for each "
                "document, None for a document without a group."
            )
        numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        ids = np.asarray([numbers[group] for group in groups], dtype=np.intp)
        has_group = np.asarray([group is not None for group in groups], dtype=bool)
        both = has_group[:, None] & has_group[None, :]
        similarity = np.where(both, (ids[:, None] == ids[None, :]), similarity)
        weight = np.where(both, 1.0, weight)
    if explicit:
        first, second, scores = _check_explicit(n_rows, explicit)
        pair, inverse = np.unique(
            np.minimum(first, second) * n_rows + np.maximum(first, second),
            return_inverse=True,
        )
        means = np.bincount(inverse, weights=scores) / np.bincount(inverse)
        low, high = pair // n_rows, pair % n_rows
        for i, j in ((low, high), (high, low)):
            similarity[i, j] = means
            weight[i, j] = 1.0
    np.fill_diagonal(weight, 0.0)
    similarity = np.where(weight > 0, similarity, 0.0)
    return PairTargets(
        cast(Floats2d, similarity.astype("float32")), cast(Floats2d, weight.astype("float32"))
    )


def _check_explicit(
    n_rows: int, explicit: Sequence[tuple[int, int, float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple[ndarray, ndarray, ndarray]): The first rows, second rows and scores."""
    first = np.asarray([i for i, _, _ in explicit], dtype=np.intp)
    second = np.asarray([j for _, j, _ in explicit], dtype=np.intp)
    scores = np.asarray([score for _, _, score in explicit], dtype="float64")
    outside = (np.minimum(first, second) < 0) | (np.maximum(first, second) >= n_rows)
    # NaN must count as outside. Every comparison with NaN is false, hence the negation.
    wrong = {
        f"names a row outside 0..{n_rows - 1}": outside,
        "pairs a row with itself": first == second,
        "has a score outside 0..1": ~((scores >= 0.0) & (scores <= 1.0)),
    }
    for what, where in wrong.items():
        if where.any():
            raise ValueError(f"The pair {explicit[int(where.argmax())]!r} {what}.")
    return first, second, scores
