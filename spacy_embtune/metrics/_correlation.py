"""Correlate the similarities of pairs with the scores that people gave to the pairs."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .ranking import Array


class CorrelationScores(NamedTuple):
    """The correlation of similarities and scores.

    spearman (float | None): The correlation of the ranks, -1..1; ties get the mean of their ranks.
        None if it is undefined: there are fewer than two pairs, or all similarities or all scores
        are equal.
    pearson (float | None): The correlation of the numbers, -1..1. None as above.
    n (int): The number of pairs.
    """

    spearman: float | None
    pearson: float | None
    n: int


def correlation_scores(similarity: Array, scores: Array) -> CorrelationScores:
    """Correlate the similarities of pairs, for example cosines, with the scores of the pairs.

    >>> correlation = correlation_scores([0.1, 0.4, 0.9], [1.0, 2.0, 5.0])
    >>> round(correlation.spearman, 3), round(correlation.pearson, 3), correlation.n
    (1.0, 0.991, 3)

    similarity (Array): The similarity of each pair, shape (n,).
    scores (Array): The score of each pair, on any scale, shape (n,).
    RETURNS (CorrelationScores): The correlations.
    RAISES (ValueError): If the shapes do not fit or a number is not finite.
    """
    from scipy import stats  # slow to import

    x, y = np.asarray(similarity, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"Similarities and scores must have one shape (n,), not {x.shape} and {y.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("Similarities and scores must be finite, but some are NaN or infinity.")
    spearman = _pearson(stats.rankdata(x), stats.rankdata(y))
    return CorrelationScores(spearman, _pearson(x, y), x.size)


def pair_correlation(
    first: NDArray[Any], second: NDArray[Any], scores: NDArray[Any]
) -> CorrelationScores:
    """Correlate the cosines of pairs of vectors with the scores of the pairs. A pair with a vector
    of zeros has no cosine and is left out.

    >>> first, second = np.eye(3), np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    >>> pair_correlation(first, second, np.array([5.0, 3.0, 1.0])).n
    3

    first, second (ndarray): The vectors of n pairs, shape (n, d).
    scores (ndarray): The score of each pair, shape (n,).
    RETURNS (CorrelationScores): The correlations.
    RAISES (ValueError): If a number is not finite.
    """
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    has_both = lengths > 0
    cosines = (first * second).sum(axis=1)[has_both] / lengths[has_both]
    return correlation_scores(cosines, scores[has_both])


def _pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    deviations = []
    for values in (x, y):
        if values.size < 2 or (values == values[0]).all():
            return None
        # Scaled to 1 first, because the squares could underflow or overflow.
        scaled = values / np.abs(values).max()
        scaled = scaled - scaled.mean()
        largest = np.abs(scaled).max()
        if largest == 0.0:
            return None
        scaled = scaled / largest
        deviations.append(scaled / np.linalg.norm(scaled))
    return float(np.clip(deviations[0] @ deviations[1], -1.0, 1.0))
