"""Precision, recall and F1 of each label."""

from typing import NamedTuple

import numpy as np

from ..types import Targets
from ._classification import Predictions
from .ranking import (
    Array,
    Floats,
    Ints,
    blocks,
    carried_labels,
    group_labels,
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


def precision_recall(*predictions: Predictions) -> PrecisionRecall:
    """Compute precision, recall and F1 of each label, over the documents in which it is known.

    >>> carries = np.asarray([[True, False], [True, False], [False, True]])
    >>> predicted = np.asarray([[True, False], [False, True], [False, True]])
    >>> tested = np.ones((3, 2), dtype=bool)
    >>> scores = precision_recall(Predictions(tested, carries, predicted, None, exclusive=True))
    >>> scores.precision.tolist(), scores.recall.tolist()
    ([1.0, 0.5], [0.5, 1.0])

    predictions (Predictions): The predictions; several, if they are of several blocks of documents.
    RETURNS (PrecisionRecall): The scores.
    """
    n, found, right = np.sum(
        [
            [
                (tested & carries).sum(axis=0),
                (tested & predicted).sum(axis=0),
                (tested & carries & predicted).sum(axis=0),
            ]
            for tested, carries, predicted, _, _ in predictions
        ],
        axis=0,
    )
    return PrecisionRecall(
        _divide(right, found), _divide(right, n), _divide(2 * right, n + found), n
    )


def predict_by_threshold(
    probabilities: Array, targets: Targets, *, threshold: float = 0.5, has_vector: Array
) -> Predictions:
    """Predict labels from probabilities: the most probable label if labels are exclusive, otherwise
    all labels with at least the probability `threshold`.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0, "B": 0.0}], ["A", "B"], exclusive=False)
    >>> found = predict_by_threshold([[0.4, 0.3]], targets, threshold=0.35, has_vector=[True])
    >>> found.predicted.tolist()
    [[True, False]]

    probabilities (Array): The probability of each label, shape (n, L).
    targets (Targets): What is known of the labels, shape (n, L).
    threshold (float): The threshold, 0..1.
    has_vector (Array): Whether each document has a vector; the others are left out, shape (n,).
    RETURNS (Predictions): The predictions, with the probabilities as decision values.
    """
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


def predict_by_other_neighbour(vectors: Array, targets: Targets) -> Predictions:
    """Predict the labels of each document from the nearest other document by cosine, in which the
    label is known. If several are equally near, the first one counts.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> found = predict_by_other_neighbour([[1.0, 0.0], [1.0, 0.1], [0.5, 1.0]], targets)
    >>> found.predicted.tolist()
    [[True, False], [True, False], [True, False]]

    vectors (Array): The vectors, shape (n, d). A row of zeros has no prediction.
    targets (Targets): What is known of the labels, shape (n, L).
    RETURNS (Predictions): The predictions, without decision values.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    carries, known = carried_labels(targets.values, targets.known, n_docs=np.shape(vectors)[0])
    carries, known = carries[rows], known[rows]
    if targets.exclusive:
        known = known & carries.any(axis=1, keepdims=True)
    tested, carried, predicted = (np.zeros(np.shape(targets.values), dtype=bool) for _ in range(3))
    for among, labels in group_labels(known, np.flatnonzero(known.sum(axis=0) >= 2)):
        for block in blocks(among, among.size, None):
            keys = ranking_keys(unit[among], np.searchsorted(among, block))
            nearest = among[nearest_first(keys, 1)[:, 0]]
            at = np.ix_(rows[block], labels)
            tested[at] = True
            carried[at] = carries[np.ix_(block, labels)]
            predicted[at] = carries[np.ix_(nearest, labels)]
    return Predictions(tested, carried, predicted, None, targets.exclusive)


def _divide(a: Ints, b: Ints) -> Floats:
    shares = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=shares, where=b > 0)
    return shares
