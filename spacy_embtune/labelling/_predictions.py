"""Predict the labels of documents, and compute how certain the predictions are."""

from typing import Literal, NamedTuple

import numpy as np

from ..metrics import Rows, row_blocks
from ..metrics.ranking import Bools, Floats
from ..pipeline.annotations import ALL_CATS, MANY_CATS
from ..pipeline.model import has_predictions
from ..reports import is_distribution
from ..reports.types import Documents
from ._suspects import predict_out_of_fold, with_frequent_labels


class LabelPredictions(NamedTuple):
    """Predicted labels of n documents.

    labels (list[list[str]]): The labels of each document: the most probable label if labels are
        exclusive, else all labels with a probability of at least the threshold. If there are more
        than 1,000 labels, at most the 100 most probable ones.
    probability (Floats): The probability of the most probable label, 0..1, shape (n,); NaN without
        a prediction.
    margin (Floats): The distance to another prediction, 0..1, shape (n,). If labels are exclusive,
        the difference of the two largest probabilities. Otherwise the smallest difference, over the
        labels, between probability and threshold, as a share of the largest possible difference
        on this side of the threshold. NaN without a prediction.
    source (str): The source of the predictions. "component": the output layer of the component.
        "probe": a logistic regression on the tuned vectors of labelled documents, if no loss
        trained the output layer. "none": there are no predictions.
    """

    labels: list[list[str]]
    probability: Floats
    margin: Floats
    source: Literal["component", "probe", "none"]


def predict_labels(documents: Documents) -> LabelPredictions:
    """Predict labels by the output layer of the component. If its losses only compared pairs, this
    layer is not trained, and a logistic regression on the tuned vectors of the labelled documents
    predicts instead.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> cats = [{"A": 1.0}, {"B": 1.0}] * 10 + [{}]
    >>> vectors = np.asarray([[1.0, 0.1], [0.1, 1.0]] * 10 + [[1.0, 0.2]])
    >>> documents = Documents(
    ...     ids=[str(i) for i in range(21)],
    ...     texts=[f"text {i}" for i in range(21)],
    ...     labels=["A", "B"],
    ...     targets=make_targets(cats, ["A", "B"], exclusive=True),
    ...     base=vectors,
    ...     tuned=vectors,
    ...     probabilities=np.zeros((21, 0)),
    ...     predicted_labels=[],
    ... )
    >>> predictions = predict_labels(documents)
    >>> predictions.source, predictions.labels[20]
    ('probe', ['A'])

    documents (Documents): The documents.
    RETURNS (LabelPredictions): The predictions.
    """
    has_vector = np.asarray(np.any(documents.base, axis=1))
    own = documents.probabilities
    if documents.predicted_labels and has_vector.any():
        # Decided from the probabilities, because the labels of the documents may differ from the
        # labels of the component.
        is_exclusive = is_distribution(own, has_vector=has_vector)
        if has_predictions(own, exclusive=is_exclusive, has_vector=has_vector):
            return _choose_labels(
                own,
                documents.predicted_labels,
                "component",
                has_vector=has_vector,
                is_exclusive=is_exclusive,
                threshold=documents.threshold,
            )
    documents = with_frequent_labels(documents)
    probabilities = predict_out_of_fold(documents, space="tuned")
    return _choose_labels(
        probabilities,
        documents.labels,
        "probe" if np.isfinite(probabilities).any() else "none",
        has_vector=has_vector,
        is_exclusive=documents.targets.exclusive,
    )


def _choose_labels(
    probabilities: Rows,
    labels: list[str],
    source: Literal["component", "probe", "none"],
    *,
    has_vector: Bools,
    is_exclusive: bool,
    threshold: float = 0.5,
) -> LabelPredictions:
    """RETURNS (LabelPredictions): The labels by their probabilities, of shape (n, L), of the
    documents that have a vector."""
    n = probabilities.shape[0]
    predicted: list[list[str]] = [[] for _ in range(n)]
    probability, margin = np.full(n, np.nan), np.full(n, np.nan)
    most = None if len(labels) <= ALL_CATS else MANY_CATS
    rows = np.flatnonzero(has_vector)
    for block in row_blocks(rows.size, len(labels)):
        found = np.asarray(probabilities[rows[block]], dtype=np.float64)
        for row, values in zip(rows[block].tolist(), found, strict=True):
            # The probe has no probability for a label with too few documents.
            finite = np.flatnonzero(np.isfinite(values))
            if not finite.size:
                continue
            best = finite[values[finite].argmax()]
            probability[row] = values[best]
            if is_exclusive:
                predicted[row] = [labels[best]]
                margin[row] = values[best] - np.partition(values[finite], -2)[-2]
            else:
                chosen = np.flatnonzero(values >= threshold)
                chosen = chosen[np.argsort(-values[chosen], kind="stable")][:most]
                predicted[row] = [labels[j] for j in chosen]
                margin[row] = _distance(values[finite], threshold).min()
    return LabelPredictions(predicted, probability, margin, source)


def _distance(probabilities: Floats, threshold: float) -> Floats:
    """RETURNS (Floats): The distance of each probability to the threshold, as a share of the
    largest possible distance on this side of it, 0..1."""
    room = np.where(probabilities >= threshold, 1 - threshold, threshold)
    return np.abs(probabilities - threshold) / np.where(room > 0, room, 1.0)
