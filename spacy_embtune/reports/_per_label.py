"""Score each label: its neighbours, a classifier, and the predictions of the component."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import (
    CARRIES,
    PrecisionRecall,
    Predictions,
    precision_recall,
    predict_by_threshold,
)
from ..pipeline.model import has_predictions
from ..types import Targets
from .types import Documents, LabelRow, LabelScores


class Side(NamedTuple):
    """What is known of one kind of vectors.

    p_at_1, map_at_r (Floats): The retrieval scores of each label, NaN without, shape (L,).
    predictions (Predictions): What a classifier predicts from the vectors.
    """

    p_at_1: NDArray[Any]
    map_at_r: NDArray[Any]
    predictions: Predictions


def score_labels(data: Documents, base: Side, tuned: Side) -> list[LabelRow]:
    """Score each label of which something is known in a document with a vector. For exclusive
    labels only presence counts.

    data (Documents): The documents.
    base, tuned (Side): What is known of both kinds of vectors.
    RETURNS (list[LabelRow]): The scores, in the order of the labels.
    """
    values, known = np.asarray(data.targets.values), np.asarray(data.targets.known) > 0
    known = known & data.base.any(axis=1, keepdims=True)
    carries = known & (values >= CARRIES)
    occurs = carries.any(axis=0)
    if not data.targets.exclusive:
        occurs |= known.any(axis=0)
    sides = [(side, precision_recall(side.predictions)) for side in (base, tuned)]
    own = _score_own(data)
    rows = []
    for j in np.flatnonzero(occurs).tolist():
        of_base, of_tuned = (_scores_of(*side, j) for side in sides)
        mine = () if own is None else _numbers(own.precision[j], own.recall[j], own.f1[j])
        rows.append(LabelRow(data.labels[j], int(carries[:, j].sum()), of_base, of_tuned, *mine))
    return rows


def _score_own(data: Documents) -> PrecisionRecall | None:
    """RETURNS (PrecisionRecall | None): How well the component predicts the labels of the
    documents, NaN for labels that it does not predict. None if it predicts no labels."""
    has_vector = data.base.any(axis=1)
    own = np.asarray(data.probabilities, dtype=np.float64)
    if not own.size:
        return None
    # Decided from the probabilities: the labels of the documents may be exclusive although those of
    # the component are not, and the other way round.
    exclusive = is_distribution(own[has_vector])
    if not has_predictions(own[has_vector], exclusive=exclusive):
        return None
    column = {label: j for j, label in enumerate(data.predicted_labels)}
    probabilities = np.full((len(own), len(data.labels)), -1.0)
    can_predict = np.zeros(len(data.labels), dtype=bool)
    for j, label in enumerate(data.labels):
        if label in column:
            probabilities[:, j] = own[:, column[label]]
            can_predict[j] = True
    predicted = predict_by_threshold(
        probabilities,
        Targets(data.targets.values, data.targets.known, exclusive),
        threshold=data.threshold,
        has_vector=has_vector,
    )
    found = precision_recall(predicted)
    precision, recall, f1 = (np.where(can_predict, part, np.nan) for part in found[:3])
    return PrecisionRecall(precision, recall, f1, found.n)


def is_distribution(probabilities: Any) -> bool:
    """Find out whether probabilities are those of exclusive labels.

    >>> is_distribution(np.asarray([[0.2, 0.8]])), is_distribution(np.asarray([[0.2, 0.7]]))
    (True, False)

    probabilities (ndarray): Probabilities of documents with a vector, shape (n, L).
    RETURNS (bool): Whether there are several labels, and each row sums to 1.
    """
    if probabilities.shape[1] < 2 or not len(probabilities):
        return False
    return bool(np.abs(probabilities.sum(axis=1) - 1).max() < 1e-3)


def _scores_of(side: Side, predicted: PrecisionRecall, j: int) -> LabelScores:
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
