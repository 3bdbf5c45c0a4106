"""Learn the temperature of a tuner from predictions of rows that it was not trained on."""

import warnings
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ..labels import SparseTargets
from ..metrics import CARRIES, fit_temperature
from ..types import Targets
from ._apply import apply_head
from .labels import AnyTargets, Labels, require_contrast

_N_FOLDS = 3
# From this many rows on, one fold is enough to measure one number.
_MANY = 3000
# With fewer rows, the temperature would be mostly chance.
LEAST = 20


def out_of_fold_temperature(
    tuner: Any, base: NDArray[Any], labels: Labels, targets: AnyTargets
) -> float | None:
    """Train tuners with the same parameters on two thirds of the rows, and find the temperature
    that fits their predictions for the last third, see `metrics.fit_temperature`. Rows whose class
    does not occur in the training rows are left out.

    tuner (HeadTuner): The tuner, fitted on the rows. It is not changed.
    base (ndarray): The vectors of n distinct rows, float32, shape (n, d).
    labels (Labels): The labels, for the names of the classes.
    targets (Targets | SparseTargets): The targets of the n rows.
    RETURNS (float | None): The temperature. None if there are too few rows, or if there are so
        many labels that their targets are sparse.
    RAISES (KeyboardInterrupt): On Ctrl-C.
    """
    if isinstance(targets, SparseTargets):
        return None
    values, known = np.asarray(targets.values), np.asarray(targets.known) > 0
    carries = known & (values >= CARRIES)
    if known.any(axis=1).sum() < LEAST:
        return None
    fold = _folds(carries)
    scores = np.zeros(values.shape)
    tested = np.zeros(values.shape, dtype=bool)
    for held_out in range(1 if len(base) >= _MANY else _N_FOLDS):
        out = fold == held_out
        learned = _take(targets, ~out)
        try:
            require_contrast(learned, labels.classes)
        except ValueError:
            continue
        part = clone(tuner)
        part.n_features_in_ = tuner.n_features_in_
        batches, n_steps = part._begin_fit(base[~out], labels, learned, np.random.RandomState(0))
        with warnings.catch_warnings():
            # Nothing that the user trains is interrupted.
            warnings.filterwarnings("ignore", message="Interrupted after")
            is_complete = part._train(batches, n_steps=n_steps)
        if not is_complete:
            raise KeyboardInterrupt
        scores[out] = apply_head(part.head_, base[out])[1]
        can_predict = carries[~out].any(axis=0)
        if targets.exclusive:
            tested[out] = ~(carries[out] & ~can_predict).any(axis=1, keepdims=True)
        else:
            tested[out] = can_predict
    has_vector = base.any(axis=1, keepdims=True)
    compared: Any = (known & tested & has_vector).astype("float32")
    return fit_temperature(scores, targets._replace(known=compared))


def _folds(carries: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The fold of each row, shape (n,). Each fold gets its share of each class
    (the first one that a row carries)."""
    first = np.where(carries.any(axis=1), carries.argmax(axis=1), -1)
    shuffled = np.random.RandomState(0).permutation(len(first))
    order = shuffled[np.argsort(first[shuffled], kind="stable")]
    fold = np.empty(len(first), dtype=np.intp)
    fold[order] = np.arange(len(first)) % _N_FOLDS
    return fold


def _take(targets: Targets, rows: NDArray[Any]) -> Targets:
    weights = targets.weights
    return targets._replace(
        values=cast(Any, np.asarray(targets.values)[rows]),
        known=cast(Any, np.asarray(targets.known)[rows]),
        weights=None if weights is None else cast(Any, np.asarray(weights)[rows]),
    )
