"""A linear classifier for few labels: ridge regression, with exact predictions out of fold."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats

# Penalties to choose from, for vectors with a mean squared length of 1.
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
# Divisors of scores to choose from. Lower ones would be too sure of few labels.
TEMPERATURES = (0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
# With fewer labelled texts, settings are not chosen by the data.
FEWEST_TO_CHOOSE = 12
# The exponent of the class weights: 0 weighs all texts alike, 1 all labels alike.
BALANCE = 0.5
USUAL_PENALTY, USUAL_TEMPERATURE = 0.3, 0.5


class Ridge(NamedTuple):
    """A fitted classifier of L labels.

    weights (Floats): Shape (d + 1, L). The last row belongs to a constant feature.
    mean, scale: What vectors are shifted and divided by, shape (d,) and a number.
    penalty (float): The penalty.
    out_of_fold (Floats): The scores of the m labelled texts, each by a classifier without it, shape
        (m, L).
    """

    weights: Floats
    mean: Floats
    scale: float
    penalty: float
    out_of_fold: Floats

    def scores(self, vectors: NDArray[Any]) -> Floats:
        """RETURNS (Floats): The scores of vectors of shape (n, d), shape (n, L)."""
        # In single precision, because there may be 100,000 vectors.
        slopes = (self.weights[:-1] / self.scale).astype(np.float32)
        return np.asarray(vectors @ slopes + (self.weights[-1] - self.mean @ slopes))


class Extra(NamedTuple):
    """Rows that teach and are not predicted, such as the names of labels.

    vectors (Floats): Shape (k, d).
    values (Floats): 1 or -1, shape (k, L).
    weights (Floats): How much each row counts, in labelled texts, shape (k,).
    """

    vectors: Floats
    values: Floats
    weights: Floats


def fit_ridge(
    vectors: Floats,
    values: Floats,
    *,
    mean: Floats,
    scale: float,
    exclusive: bool,
    extra: Extra | None = None,
    penalty: float | None = None,
) -> Ridge:
    """Fit a classifier. The penalty is the one that predicts best out of fold.

    The scores out of fold are exact for given weights of texts, because leaving out one row of a
    ridge regression has a closed form (Allen 1974, "The relationship between variable selection and
    data augmentation").

    vectors (Floats): The vectors of the m labelled texts, shape (m, d).
    values (Floats): 1 where a text carries a label, -1 where it does not, NaN where this is not
        known, shape (m, L).
    mean, scale: As in `Ridge`; of all texts, labelled or not.
    exclusive (bool): Whether a text carries one label at most.
    extra (Extra | None): Further rows to learn from.
    penalty (float | None): The penalty, if it is known.
    RETURNS (Ridge): The classifier.
    """
    n = len(vectors)
    if extra is not None and len(extra.weights):
        vectors = np.vstack([vectors, extra.vectors])
        values = np.vstack([values, extra.values])
    rows = np.hstack([(vectors - mean) / scale, np.ones((len(vectors), 1))])
    # Least squares with weights is that of rows multiplied by their roots.
    roots = np.ones((len(rows), 1))
    if exclusive:
        roots[:n, 0] = np.sqrt(balance(values[:n]))
    if extra is not None:
        roots[n:, 0] = np.sqrt(extra.weights)
    rows, values = rows * roots, values * roots
    complete: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    n_complete = int(complete[:n].sum())
    if penalty is None and n_complete >= FEWEST_TO_CHOOSE:
        known, targets = rows[complete], values[complete]
        parts, of_known = _decompose(known), roots[complete][:n_complete]
        _, penalty = min(
            (log_loss(scores, targets[:n_complete], t, exclusive), p)
            for p in PENALTIES
            for scores in [_solve(known, targets, p, parts)[1][:n_complete] / of_known]
            for t in TEMPERATURES
        )
    penalty = USUAL_PENALTY if penalty is None else penalty
    weights = np.zeros((rows.shape[1], values.shape[1]))
    out_of_fold = np.full(values.shape, np.nan)
    # Labels whose values are known of the same texts share a solution.
    patterns, pattern = np.unique(np.isfinite(values).T, axis=0, return_inverse=True)
    for number, is_known in enumerate(patterns):
        columns = np.flatnonzero(pattern.ravel() == number)
        known = rows[is_known]
        solved, left_out = _solve(
            known, values[np.ix_(is_known, columns)], penalty, _decompose(known)
        )
        weights[:, columns] = solved
        out_of_fold[np.ix_(is_known, columns)] = left_out
    out_of_fold = out_of_fold[:n] / roots[:n]
    return Ridge(weights, mean, scale, penalty, out_of_fold)


def balance(values: Floats) -> Floats:
    """Weigh texts so that frequent labels do not win for being frequent.

    values (Floats): 1 where a text carries a label, -1 where it does not, NaN where this is not
        known, shape (m, L), with one 1 a row at most.
    RETURNS (Floats): The weights, shape (m,), whose mean is near 1.
    """
    carried = values == 1.0
    counts = carried.sum(axis=0)
    known: NDArray[np.bool_] = np.asarray(carried.any(axis=1))
    weights = np.ones(len(values))
    if known.any():
        # How many times as frequent as the labels are in the mean.
        frequency = carried[known] @ counts * (counts > 0).sum() / known.sum()
        weights[known] = frequency**-BALANCE
    return weights


def to_probabilities(scores: Floats, temperature: float, exclusive: bool) -> Floats:
    """RETURNS (Floats): Probabilities of scores of shape (n, L): softmax if labels are exclusive,
    else the logistic function."""
    scaled = np.asarray(scores, dtype=np.float64) / temperature
    if not exclusive:
        return np.asarray(1 / (1 + np.exp(-2 * np.clip(scaled, -300, 300))))
    from scipy.special import softmax

    return np.asarray(softmax(scaled, axis=1))


_Parts = tuple[Floats, Floats, Floats]


def _decompose(rows: Floats) -> _Parts:
    left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    return left, sizes, right


def _solve(rows: Floats, targets: Floats, penalty: float, parts: _Parts) -> tuple[Floats, Floats]:
    """RETURNS (tuple[Floats, Floats]): Weights, and scores out of fold."""
    left, sizes, right = parts
    inner = left.T @ targets
    weights = right.T @ ((sizes / (sizes**2 + penalty))[:, None] * inner)
    shares = sizes**2 / (sizes**2 + penalty)
    leverage = np.minimum((left**2) @ shares, 1 - 1e-9)[:, None]
    fitted = left @ (shares[:, None] * inner)
    return weights, (fitted - leverage * targets) / (1 - leverage)


def log_loss(scores: Floats, targets: Floats, temperature: float, exclusive: bool) -> float:
    """RETURNS (float): The negative log-likelihood of the known values."""
    found = np.clip(to_probabilities(scores, temperature, exclusive), 1e-9, 1 - 1e-9)
    of_carried = np.log(found)[targets > 0].sum()
    of_others = 0.0 if exclusive else np.log(1 - found)[targets < 0].sum()
    return float(-(of_carried + of_others))
