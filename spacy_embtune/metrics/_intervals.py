"""Compute intervals of the differences between metrics, by a paired bootstrap over documents.

Each metric here is a mean over labels of a ratio of two sums over documents. For a resample, the
parts of each document are multiplied by how often the document was drawn, so a thousand resamples
are a few matrix products.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ._classification import n_wrong
from ._predictions import Predictions
from ._retrieval import QueryScores
from .ranking import Floats, Ints, Matrix

N_RESAMPLES = 1000
LEVEL = 0.95
# How many resampling weights are in memory at a time: 32 MB.
_WEIGHT_ENTRIES = 2**22


class Ratios(NamedTuple):
    """The parts of a metric that n documents contribute for K labels. The metric is the mean over
    the labels of sum(numerator) / sum(denominator).

    >>> ones = np.ones((4, 1))
    >>> Ratios(np.asarray([[1.0], [1.0], [1.0], [0.0]]), ones, ones).value
    0.75

    The matrices are numpy arrays or `scipy.sparse.csr_array`.

    numerator (Matrix): The contributions to the numerators, shape (n, K).
    denominator (Matrix): The contributions to the denominators, shape (n, K).
    presence (Matrix): A label counts if the sum of these is above 0, shape (n, K).
    effect (Matrix | None): What the presence of the document adds to the numerators of other
        documents, shape (n, K). None for a metric in which documents do not affect each other.
    is_additive (bool): Whether a copy of the document would add the same effect again.
    """

    numerator: Matrix
    denominator: Matrix
    presence: Matrix
    effect: Matrix | None = None
    is_additive: bool = True

    @property
    def value(self) -> float | None:
        """RETURNS (float | None): The metric; None if no label counts."""
        value = float(self._score(*(part.sum(axis=0)[None] for part in self[:3]))[0])
        return None if np.isnan(value) else value

    def resample(self, weights: Floats, *, n_groups: int | None = None) -> Floats:
        """Compute the metric of resamples. The effects of documents on each other are added, which
        is a first-order approximation.

        weights (Floats): How often each document was drawn in each resample, shape (b, n).
        n_groups (int | None): The number of groups, if groups of documents were drawn. None: n
            documents were drawn.
        RETURNS (Floats): The metric of each resample, shape (b,); NaN if no label counts.
        """
        numerator, denominator, presence = (weights @ part for part in self[:3])
        if self.effect is not None:
            if self.is_additive:
                change = weights - 1
            else:
                # Without the mean effect of missing documents, which all resamples have in common.
                n = n_groups or weights.shape[1]
                change = (1 - 1 / n) ** n - (weights == 0)
            numerator += change @ self.effect
        return self._score(numerator, denominator, presence)

    def select(self, rows: Ints) -> "Ratios":
        """RETURNS (Ratios): The parts of the documents in `rows`."""
        return self._replace(
            numerator=self.numerator[rows],
            denominator=self.denominator[rows],
            presence=self.presence[rows],
            effect=None if self.effect is None else self.effect[rows],
        )

    @staticmethod
    def _score(numerator: Floats, denominator: Floats, presence: Floats) -> Floats:
        is_present = presence > 0
        shares = np.zeros_like(numerator)
        np.divide(numerator, denominator, out=shares, where=is_present)
        n_labels = is_present.sum(axis=1)
        means = np.full(n_labels.size, np.nan)
        np.divide(shares.sum(axis=1), n_labels, out=means, where=n_labels > 0)
        return means


def p_at_1_ratios(queries: QueryScores) -> Ratios:
    """Split p@1 into the parts of documents.

    >>> from spacy_embtune.metrics import query_scores
    >>> p_at_1_ratios(query_scores([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]], [[1], [1], [0]])).value
    1.0

    queries (QueryScores): The scores of each query.
    RETURNS (Ratios): The parts; their value is `RetrievalScores.p_at_1`.
    """
    asks = queries.asks.astype(float)
    # Copies of the nearest neighbour change nothing, so its effect is not additive.
    return Ratios(queries.p_at_1, asks, asks, queries.p_at_1_effect, is_additive=False)


def map_at_r_ratios(queries: QueryScores) -> Ratios:
    """Split MAP@R into the parts of documents.

    >>> from spacy_embtune.metrics import query_scores
    >>> map_at_r_ratios(query_scores([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]], [[1], [1], [0]])).value
    1.0

    queries (QueryScores): The scores of each query.
    RETURNS (Ratios): The parts; their value is `RetrievalScores.map_at_r`.
    """
    asks = queries.asks.astype(float)
    return Ratios(queries.map_at_r, asks, asks, queries.map_at_r_effect)


def accuracy_ratios(predictions: Predictions) -> Ratios:
    """Split accuracy into the parts of documents.

    >>> tested, carries = np.ones((2, 1), dtype=bool), np.asarray([[True], [False]])
    >>> accuracy_ratios(Predictions(tested, carries, tested, None, exclusive=False)).value
    0.5

    predictions (Predictions): The predictions.
    RETURNS (Ratios): The parts; their value is `ClassificationScores.accuracy`.
    """
    if predictions.exclusive:
        is_tested = np.asarray(predictions.tested.sum(axis=1) > 0)[:, None]
        right = is_tested & (n_wrong(predictions) == 0)[:, None]
        counts = is_tested.astype(float)
        return Ratios(right.astype(float), counts, counts)
    tested, carries, predicted = (part.astype(float) for part in predictions[:3])
    # A label is predicted right if it is both carried and predicted, or neither.
    carries, predicted = tested * carries, tested * predicted
    right = tested - carries - predicted + 2 * carries * predicted
    return Ratios(right, tested, tested)


def macro_f1_ratios(predictions: Predictions) -> Ratios:
    """Split macro-F1 into the parts of documents.

    >>> tested, carries = np.ones((2, 1), dtype=bool), np.asarray([[True], [False]])
    >>> round(macro_f1_ratios(Predictions(tested, carries, tested, None, exclusive=False)).value, 3)
    0.667

    predictions (Predictions): The predictions.
    RETURNS (Ratios): The parts; their value is `ClassificationScores.macro_f1`.
    """
    carries, predicted = predictions.carries.astype(float), predictions.predicted.astype(float)
    return Ratios(2 * carries * predicted, carries + predicted, carries)


class Difference(NamedTuple):
    """The difference of two metrics over the same documents.

    value (float): The second metric minus the first.
    low (float): The lower end of its interval, at the level given to `compare_ratios`.
    high (float): The upper end of its interval.
    """

    value: float
    low: float
    high: float


class Differences(NamedTuple):
    """The differences of several metrics, tested together.

    each (list[Difference | None]): The difference of each metric; None if it is not defined.
    better (list[bool]): Whether each metric is better beyond chance. All metrics are tested
        together: if there is no difference in any metric, the chance that one or more of them are
        marked as better or worse is 1 - level, 5 % by default.
    worse (list[bool]): Whether each metric is worse beyond chance.
    """

    each: list[Difference | None]
    better: list[bool]
    worse: list[bool]


def compare_ratios(
    first: Sequence[Ratios],
    second: Sequence[Ratios],
    *,
    groups: Ints | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Differences:
    """Compare the metrics of two kinds of vectors of the same documents, by a paired bootstrap over
    documents (Efron & Tibshirani 1993). Each resample draws documents with replacement. Both kinds
    of vectors and all metrics use the same draws.

    In retrieval, a document that is drawn twice is a query twice, but never its own neighbour. Its
    effect as a candidate is added as a first-order approximation. (Drawing only queries would make
    the intervals of MAP@R half as wide as they must be.) For classifiers, the training documents
    are not resampled.

    The interval of a single metric consists of percentiles. Whether a metric is better or worse
    beyond chance is decided by simultaneous intervals, value ± q * deviation, where q is the same
    percentile of the largest |deviation| over all metrics (max-T; Westfall & Young 1993). Otherwise
    one of several intervals would often exclude zero by chance.

    >>> ones = np.ones((40, 1))
    >>> first, second = Ratios(0 * ones, ones, ones), Ratios(ones, ones, ones)
    >>> compare_ratios([first], [second]).each
    [Difference(value=1.0, low=1.0, high=1.0)]

    first (Sequence[Ratios]): Metrics of the first kind of vectors, over n documents.
    second (Sequence[Ratios]): The same metrics of the second kind of vectors.
    groups (Ints | None): The group of each document, shape (n,). Documents of a group are drawn
        together, because they are not independent, such as sentences of one text. With a single
        group there are no intervals. None: each document is a group.
    n_resamples (int): The number of resamples.
    level (float): The share of resamples within an interval.
    seed (int): The seed of the random numbers.
    RETURNS (Differences): The differences, second minus first, in the order of the metrics.
    RAISES (ValueError): If the metrics are computed from different numbers of documents.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return Differences([], [], [])
    if len({ratios.numerator.shape[0] for pair in pairs for ratios in pair}) > 1:
        raise ValueError("The metrics must be computed from the same documents.")
    # Documents without known labels are left out, because they would make the number of the other
    # documents vary between resamples.
    is_used = [
        (part != 0).sum(axis=1) > 0
        for pair in pairs
        for ratios in pair
        for part in (ratios.denominator, ratios.effect)
        if part is not None
    ]
    rows = np.flatnonzero(np.logical_or.reduce(is_used))
    values = np.array([_subtract(b.value, a.value) for a, b in pairs])
    drawn = np.full((n_resamples, len(pairs)), np.nan)
    if rows.size:
        parts = [(a.select(rows), b.select(rows)) for a, b in pairs]
        places = np.arange(rows.size)
        if groups is not None:
            places = np.unique(np.asarray(groups)[rows], return_inverse=True)[1].ravel()
        n_groups = int(places.max()) + 1
        if groups is not None and n_groups == 1:
            # One text says nothing of others, however many sentences it has.
            return Differences([None] * len(pairs), [False] * len(pairs), [False] * len(pairs))
        for at, of_groups in _resample(n_groups, n_resamples, seed, n_rows=rows.size):
            weights = of_groups if groups is None else of_groups[:, places]
            for k, (a, b) in enumerate(parts):
                drawn[at, k] = b.resample(weights, n_groups=n_groups) - a.resample(
                    weights, n_groups=n_groups
                )
    each = [_interval(value, column, level) for value, column in zip(values, drawn.T, strict=True)]
    better, worse = _beyond_chance(values, drawn, level)
    return Differences(each, better, worse)


def _subtract(second: float | None, first: float | None) -> float:
    return np.nan if second is None or first is None else second - first


def _resample(
    n: int, n_resamples: int, seed: int, *, n_rows: int
) -> Iterator[tuple[slice, Floats]]:
    """YIELDS (tuple): The positions of some resamples, and how often each of n groups is drawn in
    each of them, shape (b, n). The b resamples of `n_rows` documents fit in memory."""
    rng = np.random.default_rng(seed)
    size = max(1, _WEIGHT_ENTRIES // n_rows)
    for start in range(0, n_resamples, size):
        b = min(size, n_resamples - start)
        drawn = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(float)
        yield slice(start, start + b), weights


def _interval(value: float, drawn: Floats, level: float) -> Difference | None:
    """RETURNS (Difference | None): A difference and its interval, from the resamples in which the
    difference is defined."""
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
    # A metric that is the same in all resamples does not affect q.
    largest = (np.abs(deviations) / np.where(spread > 0, spread, np.inf)).max(axis=1)
    margin = float(np.quantile(largest, level)) * spread
    # Comparisons with NaN are false, so an undefined metric is neither better nor worse.
    return (values - margin > 0).tolist(), (values + margin < 0).tolist()
