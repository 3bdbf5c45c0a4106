"""How good predictions are by now, from the labels given so far, and whether more labels pay."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import retrieval_scores
from ..metrics.ranking import Floats

# With fewer labelled texts, the accuracy says nothing.
FEWEST_TO_MEASURE = 10
# The quantile of the normal distribution for an interval of 95 %.
Z = 1.959964
# Parts that the labelled texts are split into for a smaller number of labels, at most.
MOST_PARTS = 4
# Parts of the jackknife, and how many labelled texts are compared with each other at most.
N_GROUPS, MOST_COMPARED = 10, 500
# The last doubling says something from so many labels on.
FEWEST_TO_STOP = 100


class Share(NamedTuple):
    """A number between 0 and 1 with its interval of 95 %.

    share, low, high (float): The number and its interval.
    n (int): The number of labels that it belongs to.
    """

    share: float
    low: float
    high: float
    n: int


class Quality(NamedTuple):
    """How good predictions are, all of it out of fold.

    accuracy (Share): The share of labelled texts that a classifier without them predicts right
        (interval: Wilson 1927).
    map_at_r (Share | None): MAP@R of labelled texts by the scores of classifiers without them
        (interval: jackknife over groups of texts, which are queries and candidates). None if no
        label has two texts.
    curve (list[Share]): The accuracy with fewer labels, each half as many as the next; the last one
        is `accuracy`.
    gain, error (float | None): What the last doubling of labels gained, and its standard error.
    """

    accuracy: Share
    map_at_r: Share | None
    curve: list[Share]
    gain: float | None
    error: float | None

    @property
    def is_enough(self) -> bool:
        """RETURNS (bool): Whether more labels hardly pay: the last doubling gained less than its
        standard error."""
        if self.gain is None or self.error is None or self.accuracy.n < FEWEST_TO_STOP:
            return False
        return self.gain <= self.error

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it, for the page."""
        return {
            **self.accuracy._asdict(),
            "map_at_r": self.map_at_r._asdict() if self.map_at_r else None,
            "curve": [share._asdict() for share in self.curve],
            "gain": self.gain,
            "error": self.error,
            "is_enough": self.is_enough,
        }


def measure_quality(
    out_of_fold: Floats,
    values: Floats,
    predict_from: Callable[[NDArray[np.intp]], Floats],
) -> Quality | None:
    """Measure how good predictions are.

    out_of_fold (Floats): The probabilities of the m labelled texts that carry a label, each by a
        classifier without it, shape (m, L).
    values (Floats): What is known of their labels: 1, -1 or NaN, shape (m, L).
    predict_from (Callable): Takes some of these texts. Returns the probabilities of all of them by
        a classifier of these, shape (m, L).
    RETURNS (Quality | None): None with fewer than 10 texts.
    """
    n = len(out_of_fold)
    if n < FEWEST_TO_MEASURE:
        return None
    is_right = _judge(out_of_fold, values)
    curve = [_to_share(float(is_right.mean()), n)]
    gain = error = None
    order = np.random.default_rng(0).permutation(n)
    size = n // 2
    while size >= FEWEST_TO_MEASURE:
        right = _share_right(values, predict_from, order, size)
        if gain is None:
            difference = is_right - right
            gain = float(difference.mean())
            error = float(difference.std(ddof=1) / np.sqrt(n))
        curve.append(_to_share(float(right.mean()), n, size))
        size //= 2
    return Quality(curve[0], _measure_map_at_r(out_of_fold, values), curve[::-1], gain, error)


def _judge(scores: Floats, values: Floats) -> Floats:
    """RETURNS (Floats): 1 where the label with the highest score is carried, else 0."""
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
    return (values[np.arange(len(values)), best] == 1.0).astype(np.float64)


def _share_right(
    values: Floats,
    predict_from: Callable[[NDArray[np.intp]], Floats],
    order: NDArray[np.intp],
    size: int,
) -> Floats:
    """RETURNS (Floats): How often each text is predicted right by classifiers of `size` others."""
    right, times = np.zeros(len(values)), np.zeros(len(values))
    for part in range(min(len(order) // size, MOST_PARTS)):
        learned = order[part * size : (part + 1) * size]
        others = np.setdiff1d(order, learned)
        right[others] += _judge(predict_from(learned)[others], values[others])
        times[others] += 1
    # A text that is in the only part is not judged, and counts as the mean of the others.
    judged = times > 0
    share = np.full(len(values), (right[judged] / times[judged]).mean())
    share[judged] = right[judged] / times[judged]
    return share


def _measure_map_at_r(out_of_fold: Floats, values: Floats) -> Share | None:
    probabilities = np.nan_to_num(out_of_fold)
    n = len(probabilities)
    if n > MOST_COMPARED:
        kept = np.sort(np.random.default_rng(0).permutation(n)[:MOST_COMPARED])
        probabilities, values = probabilities[kept], values[kept]
    carried = np.where(values == 1.0, 1.0, 0.0)
    known = np.isfinite(values).astype(np.float64)

    def measure(rows: NDArray[np.intp]) -> float | None:
        return retrieval_scores(probabilities[rows], carried[rows], known[rows]).map_at_r

    everything = np.arange(len(probabilities))
    whole = measure(everything)
    if whole is None:
        return None
    group = np.random.default_rng(1).permutation(len(probabilities)) % N_GROUPS
    without = [measure(everything[group != number]) for number in range(N_GROUPS)]
    found = np.array([value for value in without if value is not None])
    if found.size < 2:
        return None
    error = float(np.sqrt((found.size - 1) * found.var()))
    return Share(whole, max(0.0, whole - Z * error), min(1.0, whole + Z * error), n)


def _to_share(share: float, n: int, n_labels: int | None = None) -> Share:
    """RETURNS (Share): A share of n texts with its interval."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    return Share(share, low, high, n if n_labels is None else n_labels)
