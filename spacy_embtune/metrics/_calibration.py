"""Measure how well probabilities agree with outcomes, and fit a temperature that improves them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from ..labels import TOLERANCE, AnyTargets, SparseTargets
from ..types import Targets
from ._rows import Rows, read_entries, row_blocks
from .ranking import Array, Bools, Floats, Ints

# The range of temperatures. Outside of it, probabilities are all alike, or all 0 or 1.
_LOWEST, _HIGHEST = 0.05, 20.0
# A temperature is one number. If more raw scores than this can be compared, documents are drawn.
MOST_SCORES = 2**23
_SEED = 0


class CalibrationScores(NamedTuple):
    """How well probabilities agree with outcomes; lower is better.

    error (float | None): The expected calibration error, 0..1: the mean difference between
        probability and outcome in bins of equal width (Guo et al. 2017, "On Calibration of Modern
        Neural Networks"). If labels are exclusive, the probability of the most probable label and
        whether it is right; otherwise the probability of each label and whether it is present.
    log_loss (float | None): The mean of -log(probability of what is true), in nats: over documents
        if labels are exclusive, otherwise over documents and labels.
    n (int): The number of documents, or of documents and labels, that were compared. The scores are
        None if it is 0.
    """

    error: float | None
    log_loss: float | None
    n: int


def calibration_scores(
    probabilities: Array | Rows, targets: AnyTargets, *, n_bins: int = 15
) -> CalibrationScores:
    """Score probabilities. Unknown labels are left out. If labels are exclusive, documents whose
    values do not sum to 1 are left out too.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> scores = calibration_scores([[0.75, 0.25], [0.25, 0.75]], targets)
    >>> scores.error, round(scores.log_loss, 3), scores.n
    (0.25, 0.288, 2)

    probabilities (Array | Rows): The probability of each label, shape (n, L). With sparse targets
        it is read in blocks of rows.
    targets (Targets | SparseTargets): What is known of the labels, shape (n, L).
    n_bins (int): The number of bins.
    RETURNS (CalibrationScores): The scores.
    """
    gaps, loss, n = np.zeros(n_bins), 0.0, 0
    for certain, right, losses in _compare_parts(probabilities, targets):
        bins = np.minimum((certain * n_bins).astype(np.intp), n_bins - 1)
        gaps += np.bincount(bins, certain - right, n_bins)
        loss += float(losses.sum())
        n += certain.size
    if not n:
        return CalibrationScores(None, None, 0)
    return CalibrationScores(float(np.abs(gaps).sum() / n), loss / n, n)


_Compared: TypeAlias = tuple[Floats, Floats, Floats]


def _compare_parts(p: Any, targets: AnyTargets) -> Iterator[_Compared]:
    """YIELDS (tuple): Probabilities that are compared, how much of each is true, and its log loss;
    arrays of one length."""
    if not isinstance(targets, SparseTargets):
        yield _compare(np.asarray(p, dtype=np.float64), targets)
        return
    # Documents of which all labels are known are compared as a whole.
    is_whole = targets.is_complete
    if targets.exclusive:
        is_whole = np.abs(targets.row_sums() - 1.0) <= TOLERANCE
    complete = np.flatnonzero(is_whole)
    for block in row_blocks(complete.size, targets.n_labels):
        rows = complete[block]
        yield _compare(np.asarray(p[rows], dtype=np.float64), targets.select(rows))
    if not targets.exclusive:
        apart = ~targets.is_complete[targets.rows]
        certain = read_entries(p, targets.rows[apart], targets.columns[apart])
        right = targets.values[apart].astype(np.float64)
        yield certain, right, _log_losses(certain, right)


def _compare(p: Floats, targets: Targets) -> _Compared:
    """RETURNS (tuple): One part of `_compare_parts`."""
    values, compared = _outcomes(targets)
    if not targets.exclusive:
        certain, right = p[compared], values[compared]
        return certain, right, _log_losses(certain, right)
    rows = compared.any(axis=1)
    p, values = p[rows], values[rows]
    best = p.argmax(axis=1) if p.size else np.zeros(0, dtype=np.intp)
    at = np.arange(len(p))
    losses = -(values * np.log(np.maximum(p, 1e-15))).sum(axis=1)
    return p[at, best], values[at, best], losses


def _log_losses(p: Floats, truth: Floats) -> Floats:
    losses: Floats = -(
        truth * np.log(np.maximum(p, 1e-15)) + (1 - truth) * np.log(np.maximum(1 - p, 1e-15))
    )
    return losses


def fit_temperature(scores: Array | Rows, targets: AnyTargets) -> float | None:
    """Find the temperature T with the lowest log loss of softmax(scores / T) if labels are
    exclusive, otherwise of sigmoid(scores / T) (Guo et al. 2017). The targets are smoothed as if
    there were one more document without information, so that T stays finite if all predictions are
    right (as in Platt 1999).

    The scores must come from a head that was not trained on these documents, because a head is more
    certain of the documents that it was trained on than it should be of others.

    >>> from spacy_embtune.labels import make_targets
    >>> cats = [{"A": 1.0}, {"B": 1.0}, {"A": 1.0}, {"A": 1.0}]
    >>> targets = make_targets(cats, ["A", "B"], exclusive=True)
    >>> scores = [[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0]]
    >>> round(fit_temperature(scores, targets), 1)
    10.6

    scores (Array | Rows): The raw scores of the output layer, shape (n, L). With sparse targets it
        is read in blocks of rows. If more than `MOST_SCORES` of them can be compared, those of a
        sample of the documents are used, always the same one.
    targets (Targets | SparseTargets): What is known of the labels, shape (n, L). Their weights are
        used.
    RETURNS (float | None): The temperature, 0.05..20. None if nothing is known, or the scores do
        not tell labels apart, as those of an output layer that was not trained.
    """
    if isinstance(targets, SparseTargets):
        drawn = _sample_known(targets)
        if not targets.exclusive:
            return _fit_known(scores, targets.subset(drawn), drawn)
        scores, targets = cast(Any, scores)[drawn], targets.select(drawn)
    z = np.asarray(scores, dtype=np.float64)
    values, compared = _outcomes(targets)
    rows = compared.any(axis=1)
    z, values, compared = z[rows], values[rows], compared[rows]
    if not rows.any() or np.ptp(z, axis=None if not targets.exclusive else 1).max() < 1e-6:
        return None
    weights = np.ones(len(z))
    if targets.weights is not None:
        weights = np.asarray(targets.weights, dtype=np.float64)[rows]
    smoothing = 1.0 / (weights.sum() + 1.0)
    even = 1.0 / z.shape[1] if targets.exclusive else 0.5
    goal = (1 - smoothing) * values + smoothing * even

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        if targets.exclusive:
            top = scaled.max(axis=1, keepdims=True)
            total = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
            each = total - (goal * scaled).sum(axis=1)
        else:
            each = (compared * (np.logaddexp(0.0, scaled) - goal * scaled)).sum(axis=1)
        return float(weights @ each)

    return _minimise(loss)


def _sample_known(targets: SparseTargets) -> Ints:
    """RETURNS (Ints): The documents of which a label is known, ascending; if more than
    `MOST_SCORES` values are known, a sample of them."""
    n_known = np.bincount(targets.rows, minlength=targets.shape[0])
    n_known[targets.is_complete] = targets.n_labels
    rows = np.flatnonzero(n_known)
    if n_known.sum() > MOST_SCORES:
        rows = np.random.default_rng(_SEED).permutation(rows)
        n_drawn = np.searchsorted(np.cumsum(n_known[rows]), MOST_SCORES, side="right")
        rows = np.sort(rows[: max(1, int(n_drawn))])
    return rows


def _fit_known(scores: Any, targets: SparseTargets, rows: Ints) -> float | None:
    """RETURNS (float | None): The temperature for labels that are not exclusive. `targets` are
    those of the documents in `rows`."""
    complete = np.flatnonzero(targets.is_complete)
    apart = ~targets.is_complete[targets.rows]
    z = np.concatenate(
        [
            np.asarray(scores[rows[complete]], dtype=np.float64).ravel(),
            read_entries(scores, rows[targets.rows[apart]], targets.columns[apart]),
        ]
    )
    if not z.size or np.ptp(z) < 1e-6:
        return None
    values = np.concatenate(
        [np.asarray(targets.select(complete).values).ravel(), targets.values[apart]]
    ).astype(np.float64)
    of_documents = np.ones(rows.size)
    if targets.weights is not None:
        of_documents = np.asarray(targets.weights, dtype=np.float64)
    weights = of_documents[
        np.concatenate([np.repeat(complete, targets.n_labels), targets.rows[apart]])
    ]
    smoothing = 1.0 / (of_documents.sum() + 1.0)
    goal = (1 - smoothing) * values + smoothing * 0.5

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        return float(weights @ (np.logaddexp(0.0, scaled) - goal * scaled))

    return _minimise(loss)


def _minimise(loss: Callable[[float], float]) -> float:
    """RETURNS (float): The temperature with the lowest loss of its logarithm."""
    from scipy.optimize import minimize_scalar  # slow to import

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _outcomes(targets: Targets) -> tuple[Floats, Bools]:
    """RETURNS (tuple): Values and whether they are compared, shape (n, L). Documents with exclusive
    labels are compared if their values sum to 1."""
    values = np.asarray(targets.values, dtype=np.float64)
    known = np.asarray(targets.known) > 0
    values = np.where(known, values, 0.0)
    if targets.exclusive:
        is_labelled = np.abs(values.sum(axis=1) - 1.0) <= TOLERANCE
        known = np.repeat(is_labelled[:, None], values.shape[1], axis=1)
    return values, known
