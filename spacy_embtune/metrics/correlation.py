"""How the similarities of pairs go with the scores that somebody gave them."""

from typing import NamedTuple

import numpy as np

from .ranking import Array


class CorrelationScores(NamedTuple):
    """How similarities and scores go together.

    spearman (float | None): Correlation of their ranks, -1..1; ties share the mean of their ranks.
        None where it is undefined: fewer than two pairs, or one of the two is the same everywhere.
    pearson (float | None): Correlation of the numbers themselves, as above.
    n (int): The number of pairs.
    """

    spearman: float | None
    pearson: float | None
    n: int


def correlation_scores(similarity: Array, scores: Array) -> CorrelationScores:
    """Correlate the similarities of pairs, cosines say, with the scores that they should have.

    similarity (Array): The similarity of each pair, shape (n,).
    scores (Array): Its score, on any scale, shape (n,).
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


def _pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    deviations = []
    for values in (x, y):
        if values.size < 2 or (values == values[0]).all():
            return None
        # Brought to 1 before squares are taken, which would under- or overflow.
        scaled = values / np.abs(values).max()
        scaled = scaled - scaled.mean()
        largest = np.abs(scaled).max()
        if largest == 0.0:
            return None
        scaled = scaled / largest
        deviations.append(scaled / np.linalg.norm(scaled))
    return float(np.clip(deviations[0] @ deviations[1], -1.0, 1.0))
