"""Measure how well probabilities agree with outcomes, and fit a temperature that improves them."""

from typing import NamedTuple

import numpy as np

from ..labels import TOLERANCE
from ..types import Targets
from .ranking import Array, Bools, Floats

# The range of temperatures. Outside of it, probabilities are all alike, or all 0 or 1.
_LOWEST, _HIGHEST = 0.05, 20.0


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
    probabilities: Array, targets: Targets, *, n_bins: int = 15
) -> CalibrationScores:
    """Score probabilities. Unknown labels are left out. If labels are exclusive, documents whose
    values do not sum to 1 are left out too.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> scores = calibration_scores([[0.75, 0.25], [0.25, 0.75]], targets)
    >>> scores.error, round(scores.log_loss, 3), scores.n
    (0.25, 0.288, 2)

    probabilities (Array): The probability of each label, shape (n, L).
    targets (Targets): What is known of the labels, shape (n, L).
    n_bins (int): The number of bins.
    RETURNS (CalibrationScores): The scores.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    values, compared = _outcomes(targets)
    if targets.exclusive:
        rows = compared.any(axis=1)
        p, values = p[rows], values[rows]
        best = p.argmax(axis=1) if p.size else np.zeros(0, dtype=np.intp)
        at = np.arange(len(p))
        certain, right = p[at, best], values[at, best]
        losses = -(values * np.log(np.maximum(p, 1e-15))).sum(axis=1)
    else:
        certain, right = p[compared], values[compared]
        losses = -(
            right * np.log(np.maximum(certain, 1e-15))
            + (1 - right) * np.log(np.maximum(1 - certain, 1e-15))
        )
    if not certain.size:
        return CalibrationScores(None, None, 0)
    bins = np.minimum((certain * n_bins).astype(np.intp), n_bins - 1)
    gaps = np.bincount(bins, certain - right, n_bins)
    return CalibrationScores(
        float(np.abs(gaps).sum() / certain.size), float(losses.mean()), int(certain.size)
    )


def fit_temperature(scores: Array, targets: Targets) -> float | None:
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

    scores (Array): The raw scores of the output layer, shape (n, L).
    targets (Targets): What is known of the labels, shape (n, L). Their weights are used.
    RETURNS (float | None): The temperature, 0.05..20. None if nothing is known, or the scores do
        not tell labels apart, as those of an output layer that was not trained.
    """
    from scipy.optimize import minimize_scalar  # slow to import

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
