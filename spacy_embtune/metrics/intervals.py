"""How sure a difference is: metrics as sums over documents, and a paired bootstrap over these.

Each metric here is a mean over labels of a ratio of two sums over documents. What a resample of the
documents makes of it is then a matter of multiplying each document's part by how often it was
drawn: a thousand resamples are a few matrix products.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .classification import Predictions
from .ranking import Floats, Ints
from .retrieval import QueryScores

N_RESAMPLES = 1000
LEVEL = 0.95
# Entries of the resampling weights held at a time: 32 MB.
_WEIGHT_ENTRIES = 2**22


class Ratios(NamedTuple):
    """A metric as what each of n documents has of it, for each of K labels: the mean over the
    labels of a ratio of sums.

    numerator (Floats): What is summed, shape (n, K).
    denominator (Floats): What that sum is divided by the sum of, shape (n, K).
    presence (Floats): A label takes part where the sum of these is above 0, shape (n, K).
    effect (Floats | None): What the document adds to the numerators of others by being there, shape
        (n, K); None for a metric in which documents leave each other alone.
    adds_up (bool): Whether a double of the document would add as much again.
    """

    numerator: Floats
    denominator: Floats
    presence: Floats
    effect: Floats | None = None
    adds_up: bool = True

    @property
    def value(self) -> float | None:
        """RETURNS (float | None): The metric; None where no label takes part."""
        value = float(self._score(*(part.sum(axis=0)[None] for part in self[:3]))[0])
        return None if np.isnan(value) else value

    def resample(self, weights: Floats) -> Floats:
        """Compute the metric as if each document had been drawn so many times. What that changes
        for the other documents is taken to the first order: effects are added up.

        weights (Floats): How often each document was drawn of n times, shape (b, n).
        RETURNS (Floats): The metric of each resample, shape (b,); NaN where no label takes part.
        """
        numerator, denominator, presence = (weights @ part for part in self[:3])
        if self.effect is not None:
            if self.adds_up:
                change = weights - 1
            else:
                # Less what is missing on average, which is the same in all resamples.
                n = weights.shape[1]
                change = (1 - 1 / n) ** n - (weights == 0)
            numerator += change @ self.effect
        return self._score(numerator, denominator, presence)

    def take(self, rows: Ints) -> "Ratios":
        """RETURNS (Ratios): Those of some documents."""
        return self._replace(
            numerator=self.numerator[rows],
            denominator=self.denominator[rows],
            presence=self.presence[rows],
            effect=None if self.effect is None else self.effect[rows],
        )

    @staticmethod
    def _score(numerator: Floats, denominator: Floats, presence: Floats) -> Floats:
        takes_part = presence > 0
        shares = np.zeros_like(numerator)
        np.divide(numerator, denominator, out=shares, where=takes_part)
        n_labels = takes_part.sum(axis=1)
        means = np.full(n_labels.size, np.nan)
        np.divide(shares.sum(axis=1), n_labels, out=means, where=n_labels > 0)
        return means


def p_at_1_ratios(queries: QueryScores) -> Ratios:
    """RETURNS (Ratios): p@1; see `retrieval_scores`."""
    asks = queries.asks.astype(float)
    # The nearest neighbour counts once, however many doubles of it there are.
    return Ratios(queries.p_at_1, asks, asks, queries.p_at_1_effect, adds_up=False)


def map_at_r_ratios(queries: QueryScores) -> Ratios:
    """RETURNS (Ratios): MAP@R; see `retrieval_scores`."""
    asks = queries.asks.astype(float)
    return Ratios(queries.map_at_r, asks, asks, queries.map_at_r_effect)


def accuracy_ratios(predictions: Predictions) -> Ratios:
    """RETURNS (Ratios): Accuracy; see `ClassificationScores`."""
    tested, right = predictions.tested, predictions.carries == predictions.guess
    if predictions.exclusive:
        tested = np.asarray(tested.any(axis=1, keepdims=True))
        right = np.asarray(right.all(axis=1, keepdims=True))
    counts = tested.astype(float)
    return Ratios((tested & right).astype(float), counts, counts)


def macro_f1_ratios(predictions: Predictions) -> Ratios:
    """RETURNS (Ratios): Macro-F1; see `ClassificationScores`."""
    carries, guess = predictions.carries.astype(float), predictions.guess.astype(float)
    return Ratios(2 * carries * guess, carries + guess, carries)


class Difference(NamedTuple):
    """How much better the second of two metrics is, over the same documents.

    value (float): Second minus first.
    low, high (float): The 95 % interval of it.
    """

    value: float
    low: float
    high: float


class Differences(NamedTuple):
    """What resampling says of several metrics at once.

    each (list[Difference | None]): Metric by metric; None for one that is not defined.
    better, worse (list[bool]): Whether each is better, or worse, beyond chance, all of the metrics
        looked at together: where there is no difference anywhere, the chance that any of them is
        called so is 5 %, however many they are.
    """

    each: list[Difference | None]
    better: list[bool]
    worse: list[bool]


def compare_ratios(
    first: Sequence[Ratios],
    second: Sequence[Ratios],
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Differences:
    """Compare metrics of two kinds of vectors of the same documents by a paired bootstrap over the
    documents (Efron & Tibshirani 1993): each resample draws documents with replacement, the same
    for both kinds and all metrics.

    A document that is drawn twice asks twice, but does not find itself: in retrieval the candidates
    are not drawn, what they contribute is added to the first order. (Drawing queries alone would
    give intervals of half the width that they must have for MAP@R.) With a classifier the training
    documents stay as they are.

    Intervals of single metrics are percentiles. What is beyond chance is judged by simultaneous
    intervals, value ± q * deviation, q being that percentile of the largest |deviation| over all
    metrics (max-T; Westfall & Young 1993), as one of six intervals easily misses zero by chance.

    first, second (Sequence[Ratios]): The same metrics of both kinds of vectors, over n documents.
    n_resamples (int): How many resamples to draw.
    level (float): The share of resamples within an interval.
    seed (int): Of the random numbers.
    RETURNS (Differences): The differences, second minus first, in the order of the metrics.
    RAISES (ValueError): If the metrics are not over the same documents.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return Differences([], [], [])
    if len({len(ratios.numerator) for pair in pairs for ratios in pair}) > 1:
        raise ValueError("Metrics can be compared over the same documents only.")
    # Documents that nothing is known of would only blur how many of the others are drawn.
    taking_part = [
        part.any(axis=1)
        for pair in pairs
        for ratios in pair
        for part in (ratios.denominator, ratios.effect)
        if part is not None
    ]
    rows = np.flatnonzero(np.logical_or.reduce(taking_part))
    values = np.array([_subtract(b.value, a.value) for a, b in pairs])
    drawn = np.full((n_resamples, len(pairs)), np.nan)
    if rows.size:
        parts = [(a.take(rows), b.take(rows)) for a, b in pairs]
        for at, weights in _resample(rows.size, n_resamples, seed):
            for k, (a, b) in enumerate(parts):
                drawn[at, k] = b.resample(weights) - a.resample(weights)
    each = [_interval(value, column, level) for value, column in zip(values, drawn.T, strict=True)]
    better, worse = _beyond_chance(values, drawn, level)
    return Differences(each, better, worse)


def _subtract(second: float | None, first: float | None) -> float:
    return np.nan if second is None or first is None else second - first


def _resample(n: int, n_resamples: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """YIELDS (tuple): Which resamples, and how often each of n documents is drawn, a row each."""
    rng = np.random.default_rng(seed)
    size = max(1, _WEIGHT_ENTRIES // n)
    for start in range(0, n_resamples, size):
        b = min(size, n_resamples - start)
        drawn = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(float)
        yield slice(start, start + b), weights


def _interval(value: float, drawn: Floats, level: float) -> Difference | None:
    """RETURNS (Difference | None): A difference with its interval, from the resamples in which it
    is defined."""
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not drawn.size:
        return None
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(value), float(low), float(high))


def _beyond_chance(values: Floats, drawn: Floats, level: float) -> tuple[list[bool], list[bool]]:
    """RETURNS (tuple): Which metrics are better and which are worse, by simultaneous intervals."""
    deviations = drawn - values
    is_defined = ~np.isnan(deviations)
    deviations = np.where(is_defined, deviations, 0.0)
    n_defined = np.maximum(is_defined.sum(axis=0), 1)
    spread = np.sqrt((deviations**2).sum(axis=0) / n_defined)
    # A metric that no resample changes stands for itself, and has no say in q.
    largest = (np.abs(deviations) / np.where(spread > 0, spread, np.inf)).max(axis=1)
    margin = float(np.quantile(largest, level)) * spread
    # Nothing that is not defined is better or worse: comparisons with NaN are false.
    return (values - margin > 0).tolist(), (values + margin < 0).tolist()
