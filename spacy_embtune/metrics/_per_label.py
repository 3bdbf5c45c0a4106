"""Precision, recall and F1 of each label."""

from typing import Any, NamedTuple

import numpy as np

from ..labels import AnyTargets, SparseTargets
from ._predictions import Predictions, PredictionsBuilder
from ._rows import Rows, read_entries, row_blocks
from .carriers import find_carriers, group_by_documents
from .ranking import (
    Array,
    Bools,
    Floats,
    Ints,
    blocks,
    carried_labels,
    nearest_first,
    ranking_keys,
    unit_rows,
)


class PrecisionRecall(NamedTuple):
    """Precision, recall and F1 of L labels, arrays of shape (L,); NaN where they are not defined.

    precision (Floats): The share of predictions of the label that are right. NaN if it is never
        predicted.
    recall (Floats): The share of documents with the label for which it is predicted. NaN if no
        document carries it.
    f1 (Floats): Their harmonic mean. NaN if the label is neither carried nor predicted.
    n (Ints): The number of documents that carry the label, among those with a prediction.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    n: Ints


def precision_recall(predictions: Predictions) -> PrecisionRecall:
    """Compute precision, recall and F1 of each label, over the documents in which it is known.

    >>> carries = np.asarray([[True, False], [True, False], [False, True]])
    >>> predicted = np.asarray([[True, False], [False, True], [False, True]])
    >>> tested = np.ones((3, 2), dtype=bool)
    >>> scores = precision_recall(Predictions(tested, carries, predicted, None, exclusive=True))
    >>> scores.precision.tolist(), scores.recall.tolist()
    ([1.0, 0.5], [0.5, 1.0])

    predictions (Predictions): The predictions.
    RETURNS (PrecisionRecall): The scores.
    """
    tested, carries, predicted = predictions[:3]
    carries, predicted = tested * carries, tested * predicted
    n, found, right = (m.sum(axis=0) for m in (carries, predicted, carries * predicted))
    return PrecisionRecall(
        _divide(right, found), _divide(right, n), _divide(2 * right, n + found), n
    )


def predict_by_threshold(
    probabilities: Array | Rows,
    targets: AnyTargets,
    *,
    threshold: float = 0.5,
    has_vector: Array,
) -> Predictions:
    """Predict labels from probabilities: the most probable label if labels are exclusive, otherwise
    all labels with at least the probability `threshold`.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0, "B": 0.0}], ["A", "B"], exclusive=False)
    >>> found = predict_by_threshold([[0.4, 0.3]], targets, threshold=0.35, has_vector=[True])
    >>> found.predicted.tolist()
    [[True, False]]

    probabilities (Array | Rows): The probability of each label, shape (n, L). With sparse targets
        it is read in blocks of rows, so it may also compute rows when they are read.
    targets (Targets | SparseTargets): What is known of the labels, shape (n, L).
    threshold (float): The threshold, 0..1.
    has_vector (Array): Whether each document has a vector; the others are left out, shape (n,).
    RETURNS (Predictions): The predictions, with the probabilities as decision values.
    """
    if isinstance(targets, SparseTargets):
        return _threshold_entries(probabilities, targets, threshold, np.asarray(has_vector))
    p = np.asarray(probabilities, dtype=np.float64)
    carries, known = carried_labels(targets.values, targets.known, n_docs=len(p))
    tested = known & np.asarray(has_vector, dtype=bool)[:, None]
    if targets.exclusive:
        # A document of which only absent labels are known has no right prediction.
        tested &= carries.any(axis=1, keepdims=True)
        predicted = np.zeros(p.shape, dtype=bool)
        if p.size:
            predicted[np.arange(len(p)), p.argmax(axis=1)] = True
    else:
        predicted = p >= threshold
    return Predictions(tested, carries, predicted, p, targets.exclusive)


def _threshold_entries(
    probabilities: Any, targets: SparseTargets, threshold: float, has_vector: Bools
) -> Predictions:
    builder = PredictionsBuilder(targets)
    rows = np.flatnonzero(has_vector)
    found = find_carriers(targets, None, rows)
    if targets.exclusive:
        true = found.first_label()
        best = np.full(len(has_vector), -1)
        for block in row_blocks(*probabilities.shape):
            part = np.asarray(probabilities[block])
            best[block] = part.argmax(axis=1) if part.size else -1
        complete = found.is_complete() & (true >= 0)
        builder.add_classes(rows[complete], true[complete], best[rows][complete])
        # Of other documents with a label, only known labels are tested.
        apart = ~found.is_complete()[found.rows] & (true[found.rows] >= 0)
        at, labels = rows[found.rows[apart]], found.columns[apart]
        builder.add_entries(at, labels, found.carries[apart], best[at] == labels)
        return builder.build()
    at, labels, carries = found.known_entries()
    p = read_entries(probabilities, rows[at], labels)
    builder.add_entries(rows[at], labels, carries, p >= threshold, p)
    return builder.build(has_decision=True)


def predict_by_other_neighbour(vectors: Array, targets: AnyTargets) -> Predictions:
    """Predict the labels of each document from the nearest other document by cosine, in which the
    label is known. If several are equally near, the first one counts.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> found = predict_by_other_neighbour([[1.0, 0.0], [1.0, 0.1], [0.5, 1.0]], targets)
    >>> found.predicted.tolist()
    [[True, False], [True, False], [True, False]]

    vectors (Array): The vectors, shape (n, d). A row of zeros has no prediction.
    targets (Targets | SparseTargets): What is known of the labels, shape (n, L).
    RETURNS (Predictions): The predictions, without decision values.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    found = find_carriers(targets, None, rows, n_docs=np.shape(vectors)[0])
    builder = PredictionsBuilder(targets)
    if targets.exclusive:
        labelled = np.flatnonzero(found.n_carried() > 0)
        if labelled.size >= 2:
            classes = found.first_label()[labelled]
            nearest = _nearest_others(unit[labelled])
            builder.add_classes(rows[labelled], classes, classes[nearest])
        return builder.build()
    carriers, apart = found.carried(), found.known_apart()
    is_carrier = np.zeros(rows.size, dtype=bool)
    labels = np.flatnonzero(found.counts_known() >= 2)
    groups = group_by_documents(apart, labels, found.n_labels)
    for group in np.unique(groups[labels]):
        members = labels[groups[labels] == group].tolist()
        among = found.knowing(members[0], apart)
        nearest = among[_nearest_others(unit[among])]
        for label in members:
            is_carrier[carriers.of(label)] = True
            builder.add_label(label, rows[among], is_carrier[among], is_carrier[nearest])
            is_carrier[carriers.of(label)] = False
    return builder.build()


def _nearest_others(unit: Floats) -> Ints:
    """RETURNS (Ints): The nearest other row of each unit vector, shape (n,)."""
    nearest = [
        nearest_first(ranking_keys(unit, block), 1)[:, 0]
        for block in blocks(np.arange(len(unit)), len(unit), None)
    ]
    return np.concatenate(nearest)


def _divide(a: Ints, b: Ints) -> Floats:
    shares = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=shares, where=b > 0)
    return shares
