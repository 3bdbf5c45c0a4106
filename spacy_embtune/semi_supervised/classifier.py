"""What predicts labels: a linear classifier, and the labels of neighbours in the pile."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats
from .names import spread_names, weigh_names
from .propagation import Propagation
from .ridge import (
    FEWEST_TO_CHOOSE,
    TEMPERATURES,
    USUAL_TEMPERATURE,
    Extra,
    Ridge,
    fit_ridge,
    log_loss,
    to_probabilities,
)
from .space import VectorSpace

# How much the neighbours count beside the linear classifier, to choose from; and with few labels.
SHARES = (0.0, 0.25, 0.5, 1.0, 2.0)
USUAL_SHARE = 1.0
# What it costs, in logarithms of probabilities, that the share differs by 1 from the usual one.
_COST = 2.0


class Classifier(NamedTuple):
    """A fitted classifier of L labels, with its predictions for n texts, m of them labelled.

    probabilities (Floats): Shape (n, L).
    out_of_fold (Floats): The probabilities of labelled texts, each without its own label, shape
        (m, L).
    share (float): How much the neighbours count beside the linear classifier.
    from_some (Callable): Takes the places of some labelled texts. Returns the probabilities of all
        labelled texts by a classifier of these, shape (m, L).
    """

    probabilities: Floats
    out_of_fold: Floats
    share: float
    from_some: Callable[[NDArray[np.intp]], Floats]


def fit_classifier(
    space: VectorSpace,
    rows: NDArray[np.intp],
    values: Floats,
    *,
    exclusive: bool,
    labels: Sequence[str],
    names: Mapping[str, NDArray[Any]] | None = None,
) -> Classifier:
    """Fit the classifier of the page to labelled texts. Two views are combined: a ridge regression
    of the vectors, and the labels of neighbours in the pile. These know more while labels are few,
    if labels are topics (benchmarks/README.md). How much they count is what predicts best out of
    fold.

    space (VectorSpace): The n texts.
    rows (ndarray): The rows of the m labelled texts.
    values (Floats): 1 where a text carries a label, -1 where it does not, NaN where this is not
        known, shape (m, L).
    exclusive (bool): Whether a text carries one label at most.
    labels (Sequence[str]): The L labels.
    names (Mapping | None): The vectors of names of labels. They teach less as labels grow.
    RETURNS (Classifier): The classifier.
    """
    names = names or {}

    def weigh(some: NDArray[Any]) -> tuple[Extra | None, Floats]:
        """RETURNS (tuple): Names for the linear classifier, and their weights by label."""
        extra = weigh_names(space, labels, names, rows=rows[some], values=values[some])
        if extra is None:
            return None, np.zeros(len(labels))
        # Names are spread as if labels competed for each text, so they teach neighbours nothing
        # where labels do not exclude each other.
        return extra, extra.weights @ (extra.values == 1.0) * float(exclusive)

    extra, weights = weigh(np.arange(len(rows)))
    ridge = fit_to(space, rows, values, exclusive=exclusive, extra=extra)
    mass = spread_names(space, labels, names) if weights.any() else None
    near = Propagation(space.graph, rows, values, exclusive=exclusive, mass=mass)
    left_out = near.out_of_fold(weights)
    temperature, share = _choose(ridge, left_out, values, exclusive)

    def to_found(linear: Floats, propagated: Floats) -> Floats:
        return to_probabilities(linear / temperature + share * propagated, 1.0, exclusive)

    def from_some(some: NDArray[np.intp]) -> Floats:
        lighter, weights = weigh(some)
        of_some = fit_to(
            space,
            rows[some],
            values[some],
            exclusive=exclusive,
            extra=lighter,
            penalty=ridge.penalty,
        )
        return to_found(of_some.scores(space.vectors[rows]), near.from_some(some, weights))

    return Classifier(
        to_found(ridge.scores(space.vectors), near.scores(weights)),
        to_found(ridge.out_of_fold, left_out),
        share,
        from_some,
    )


def fit_to(
    space: VectorSpace,
    rows: NDArray[np.intp],
    values: Floats,
    *,
    exclusive: bool,
    extra: Extra | None = None,
    penalty: float | None = None,
) -> Ridge:
    """Fit the linear classifier to labelled texts.

    space, rows, values, exclusive: As for `fit_classifier`.
    extra, penalty: As for `fit_ridge`.
    RETURNS (Ridge): The linear classifier.
    """
    return fit_ridge(
        space.vectors[rows].astype(np.float64),
        values,
        mean=space.mean,
        scale=space.scale,
        exclusive=exclusive,
        extra=extra,
        penalty=penalty,
    )


def find_single(values: Floats) -> NDArray[np.bool_]:
    """RETURNS (ndarray): Whether each of m labelled texts is the only one of a label, shape (m,).
    values: As for `fit_classifier`."""
    carried = values == 1.0
    return np.asarray((carried & (carried.sum(axis=0) == 1)).any(axis=1))


def _choose(ridge: Ridge, near: Floats, values: Floats, exclusive: bool) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): The temperature of the linear classifier, and how much the
    neighbours count."""
    # The only text of its label tells nothing about either view.
    known = np.isfinite(values).all(axis=1) & ~find_single(values)
    if known.sum() < FEWEST_TO_CHOOSE:
        return USUAL_TEMPERATURE, USUAL_SHARE
    linear, near, values = ridge.out_of_fold[known], near[known], values[known]
    _, temperature, share = min(
        (
            log_loss(linear / t + share * near, values, 1.0, exclusive)
            + _COST * (share - USUAL_SHARE) ** 2,
            t,
            share,
        )
        for t in TEMPERATURES
        for share in SHARES
    )
    return temperature, share
