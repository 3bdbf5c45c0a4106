"""Score each label: its neighbours, a classifier, and the predictions of the component."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import AnyTargets, SparseTargets
from ..metrics import (
    PrecisionRecall,
    Rows,
    calibration_scores,
    precision_recall,
    predict_by_threshold,
    row_blocks,
)
from ..metrics.carriers import find_carriers
from ..pipeline import ComputedRows
from ..pipeline.model import has_predictions
from .types import Calibration, Documents, LabelRow, LabelScores


class Side(NamedTuple):
    """What is known of one kind of vectors.

    p_at_1, map_at_r (Floats): The retrieval scores of each label, NaN without, shape (L,).
    predicted (PrecisionRecall): How well a classifier predicts the labels from the vectors.
    """

    p_at_1: NDArray[Any]
    map_at_r: NDArray[Any]
    predicted: PrecisionRecall


def score_labels(data: Documents, base: Side, tuned: Side) -> list[LabelRow]:
    """Score each label of which something is known in a document with a vector. For exclusive
    labels only presence counts.

    data (Documents): The documents.
    base, tuned (Side): What is known of both kinds of vectors.
    RETURNS (list[LabelRow]): The scores, in the order of the labels.
    """
    found = find_carriers(data.targets, None, np.flatnonzero(data.base.any(axis=1)))
    n_carry = found.counts()
    occurs = n_carry > 0
    if not data.targets.exclusive:
        occurs |= found.counts_known() > 0
    own = _score_own(data)
    rows = []
    for j in np.flatnonzero(occurs).tolist():
        of_base, of_tuned = (_scores_of(side, j) for side in (base, tuned))
        mine = () if own is None else _numbers(own.precision[j], own.recall[j], own.f1[j])
        rows.append(LabelRow(data.labels[j], int(n_carry[j]), of_base, of_tuned, *mine))
    return rows


def _score_own(data: Documents) -> PrecisionRecall | None:
    """RETURNS (PrecisionRecall | None): How well the component predicts the labels of the
    documents, NaN for labels that it does not predict. None if it predicts no labels."""
    own = _own_labels(data)
    if own is None:
        return None
    found = precision_recall(
        predict_by_threshold(
            own.probabilities,
            own.targets,
            threshold=data.threshold,
            has_vector=data.base.any(axis=1),
        )
    )
    precision, recall, f1 = (np.where(own.can_predict, part, np.nan) for part in found[:3])
    return PrecisionRecall(precision, recall, f1, found.n)


class _Own(NamedTuple):
    """What the component predicts of the labels of the documents.

    probabilities (Rows): The probabilities of the L labels of the documents, shape (n, L); -1 for
        labels that the component does not know.
    targets (Targets | SparseTargets): What is known of these labels.
    can_predict (ndarray): Whether the component knows each label, bool, shape (L,).
    """

    probabilities: Rows
    targets: AnyTargets
    can_predict: NDArray[np.bool_]


def _own_labels(data: Documents) -> _Own | None:
    """RETURNS (_Own | None): None if the component predicts no labels."""
    has_vector = np.asarray(data.base.any(axis=1))
    own = data.probabilities
    if not all(own.shape):
        return None
    # Decided from the probabilities: the labels of the documents may be exclusive although those of
    # the component are not, and the other way round.
    exclusive = is_distribution(own, has_vector=has_vector)
    if not has_predictions(own, exclusive=exclusive, has_vector=has_vector):
        return None
    place = {label: j for j, label in enumerate(data.predicted_labels)}
    column = np.asarray([place.get(label, -1) for label in data.labels], dtype=np.intp)
    can_predict = column >= 0
    targets = data.targets._replace(exclusive=exclusive)
    return _Own(_order_columns(own, column), targets, can_predict)


def _order_columns(own: Rows, column: NDArray[np.intp]) -> Rows:
    """RETURNS (Rows): The columns of `own` in this order; -1 stands for a column of -1."""
    if np.array_equal(column, np.arange(own.shape[1])):
        return own

    def order(rows: NDArray[Any]) -> NDArray[Any]:
        wide = np.column_stack([own[rows[:, 0]], np.full(len(rows), -1.0, dtype="float32")])
        return np.asarray(wide[:, column])

    if isinstance(own, np.ndarray):
        return order(np.arange(len(own))[:, None])
    return ComputedRows(order, np.arange(own.shape[0])[:, None], width=column.size)


def calibrate_own(data: Documents) -> Calibration | None:
    """Score the probabilities of the component. Labels that it does not know are left out.

    data (Documents): The documents.
    RETURNS (Calibration | None): The scores, before and after the temperature of the component.
        None if it predicts no labels, or none that is known.
    """
    own = _own_labels(data)
    if own is None:
        return None
    rows = np.flatnonzero(data.base.any(axis=1))
    exclusive, temperature = own.targets.exclusive, data.temperature
    if isinstance(own.targets, SparseTargets):
        targets: AnyTargets = own.targets.subset(rows).select_labels(own.can_predict)
    else:
        values, known = (np.asarray(part)[rows][:, own.can_predict] for part in own.targets[:2])
        targets = own.targets._replace(values=values, known=known)  # type: ignore[arg-type]

    def read(at: NDArray[Any], t: float) -> NDArray[Any]:
        p = np.asarray(own.probabilities[at], dtype=np.float64)[:, own.can_predict]
        return p if t == 1.0 else _heat(p, t, exclusive=exclusive)

    def score(t: float) -> Any:
        if not isinstance(own.probabilities, ComputedRows):
            return calibration_scores(read(rows, t), targets)
        width = int(own.can_predict.sum())
        lazy = ComputedRows(lambda at: read(at[:, 0], t), rows[:, None], width=width)
        return calibration_scores(lazy, targets)

    after = score(1.0)
    if not after.n:
        return None
    before = after if temperature == 1.0 else score(temperature)
    return Calibration(before, after, temperature)


def _heat(p: NDArray[Any], t: float, *, exclusive: bool) -> NDArray[Any]:
    """RETURNS (ndarray): Probabilities from raw scores that are multiplied by t, float64."""
    log_p = np.log(np.maximum(p, 1e-38))
    if exclusive:
        powers = np.exp(t * (log_p - log_p.max(axis=1, keepdims=True)))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.asarray(1 / (1 + np.exp(-t * (log_p - np.log(np.maximum(1 - p, 1e-7))))))


def is_distribution(probabilities: Rows, *, has_vector: NDArray[np.bool_] | None = None) -> bool:
    """Find out whether probabilities are those of exclusive labels.

    >>> is_distribution(np.asarray([[0.2, 0.8]])), is_distribution(np.asarray([[0.2, 0.7]]))
    (True, False)

    probabilities (Rows): Probabilities of documents, shape (n, L). They are read in blocks of rows.
    has_vector (ndarray | None): Whether each document has a vector, bool, shape (n,); the others
        are left out. None: all have one.
    RETURNS (bool): Whether there are several labels, and each row sums to 1.
    """
    n, n_labels = probabilities.shape
    rows = np.arange(n) if has_vector is None else np.flatnonzero(has_vector)
    if n_labels < 2 or not rows.size:
        return False
    return all(
        bool(np.abs(probabilities[rows[block]].sum(axis=1) - 1).max() < 1e-3)
        for block in row_blocks(rows.size, n_labels)
    )


def _scores_of(side: Side, j: int) -> LabelScores:
    predicted = side.predicted
    return LabelScores(
        *_numbers(
            side.p_at_1[j],
            side.map_at_r[j],
            predicted.precision[j],
            predicted.recall[j],
            predicted.f1[j],
        )
    )


def _numbers(*values: float) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
