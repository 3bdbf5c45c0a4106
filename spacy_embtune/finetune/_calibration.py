"""Learn the temperature of a tuner from predictions of rows that it was not trained on."""

import warnings
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ..labels import MOST_DENSE, SparseTargets
from ..metrics import CARRIES, fit_temperature
from ..metrics.carriers import find_carriers
from ..pipeline import ComputedRows
from ..pipeline.model import Head
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
    RETURNS (float | None): The temperature. None if there are too few rows.
    RAISES (KeyboardInterrupt): On Ctrl-C.
    """
    if isinstance(targets, SparseTargets):
        return _sparse_temperature(tuner, base, labels, targets)
    values, known = np.asarray(targets.values), np.asarray(targets.known) > 0
    carries = known & (values >= CARRIES)
    if known.any(axis=1).sum() < LEAST:
        return None
    fold = _folds(np.where(carries.any(axis=1), carries.argmax(axis=1), -1))
    scores = np.zeros(values.shape)
    tested = np.zeros(values.shape, dtype=bool)
    for held_out in range(1 if len(base) >= _MANY else _N_FOLDS):
        out = fold == held_out
        head = _train_head(tuner, base[~out], labels, _take(targets, ~out))
        if head is None:
            continue
        scores[out] = apply_head(head, base[out])[1]
        can_predict = carries[~out].any(axis=0)
        if targets.exclusive:
            tested[out] = ~(carries[out] & ~can_predict).any(axis=1, keepdims=True)
        else:
            tested[out] = can_predict
    has_vector = base.any(axis=1, keepdims=True)
    compared: Any = (known & tested & has_vector).astype("float32")
    return fit_temperature(scores, targets._replace(known=compared))


def _train_head(tuner: Any, base: NDArray[Any], labels: Labels, learned: AnyTargets) -> Head | None:
    """RETURNS (Model | None): The head of a tuner that is trained on some rows. None if they have
    nothing to learn from."""
    try:
        if not tuner.label_vectors:
            require_contrast(learned, labels.classes)
    except ValueError:
        return None
    part = clone(tuner)
    part.n_features_in_ = tuner.n_features_in_
    with warnings.catch_warnings():
        # The fit of the tuner itself has said so.
        warnings.filterwarnings("ignore", message="label_vectors are left out")
        batches, n_steps = part._begin_fit(base, labels, learned, np.random.RandomState(0))
        # Nothing that the user trains is interrupted.
        warnings.filterwarnings("ignore", message="Interrupted after")
        is_complete = part._train(batches, n_steps=n_steps)
    if not is_complete:
        raise KeyboardInterrupt
    return cast(Head, part.head_)


def _sparse_temperature(
    tuner: Any, base: NDArray[Any], labels: Labels, targets: SparseTargets
) -> float | None:
    """RETURNS (float | None): `out_of_fold_temperature` of sparse targets. Raw scores are computed
    when they are read."""
    found = find_carriers(targets)
    if found.is_known().sum() < LEAST:
        return None
    fold = _folds(found.first_label())
    heads: dict[int, Head] = {}
    can_predict = np.zeros((_N_FOLDS, targets.n_labels), dtype=bool)
    for held_out in range(1 if len(base) >= _MANY else _N_FOLDS):
        learned = np.flatnonzero(fold != held_out)
        head = _train_head(tuner, base[learned], labels, targets.subset(learned))
        if head is not None:
            heads[held_out] = head
            can_predict[held_out] = found.subset(learned).counts() > 0
    is_new = np.isin(fold, list(heads)) & np.asarray(base.any(axis=1))
    # A document with a label that its head did not learn is left out if labels are exclusive.
    unknown = ~can_predict[fold[targets.rows], targets.columns] & (targets.values >= CARRIES)
    if targets.exclusive:
        is_new[targets.rows[unknown]] = False
    rows = np.flatnonzero(is_new)
    compared = targets.subset(rows)
    if not targets.exclusive:
        compared = _predictable_entries(compared, can_predict, fold[rows])

    def compute(at: NDArray[Any]) -> NDArray[Any]:
        scores = np.empty((len(at), targets.n_labels), dtype="float32")
        for held_out, head in heads.items():
            of_head = fold[at[:, 0]] == held_out
            if of_head.any():
                scores[of_head] = apply_head(head, base[at[of_head, 0]])[1]
        return scores

    scores = ComputedRows(compute, rows[:, None], width=targets.n_labels)
    return fit_temperature(scores, compared)


def _predictable_entries(
    targets: SparseTargets, can_predict: NDArray[Any], fold: NDArray[Any]
) -> SparseTargets:
    """RETURNS (SparseTargets): The known values of labels that the head of a fold can predict
    (bool, shape (folds, L)), each with an entry. Of documents of which all labels are known, only
    some are kept."""
    complete = np.flatnonzero(targets.is_complete)
    complete = complete[: max(1, MOST_DENSE // max(1, targets.n_labels))]
    whole = np.asarray(targets.select(complete).values)
    apart = ~targets.is_complete[targets.rows]
    rows = np.concatenate([targets.rows[apart], np.repeat(complete, targets.n_labels)])
    every = np.tile(np.arange(targets.n_labels), complete.size)
    columns = np.concatenate([targets.columns[apart], every])
    values = np.concatenate([targets.values[apart], whole.ravel()])
    order = np.lexsort((columns, rows))
    order = order[can_predict[fold[rows[order]], columns[order]]]
    return targets._replace(
        rows=rows[order],
        columns=columns[order],
        values=values[order],
        is_complete=np.zeros_like(targets.is_complete),
    )


def _folds(first: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The fold of each row, shape (n,). Each fold gets its share of each class,
    `first`: the first one that a row carries, or -1."""
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
