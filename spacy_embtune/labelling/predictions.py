"""Which labels documents probably have, and how sure that is."""

from typing import Literal, NamedTuple

import numpy as np

from ..metrics.ranking import Floats
from ..report.types import Documents
from .suspects import cross_predict

# What an output layer that nothing was learned by differs from "all alike" by: rounding.
_UNTAUGHT = 1e-6


class LabelPredictions(NamedTuple):
    """What is predicted of n documents.

    labels (list[list[str]]): The labels of each: the most probable one if they exclude each other,
        else all with a probability of at least 0.5.
    probability (Floats): That of the most probable label, 0..1, shape (n,); NaN where nothing can
        be predicted.
    margin (Floats): How far ahead of the next best answer it is, 0..1, shape (n,). Exclusive
        labels: the difference to the second. Otherwise the least, over the labels, of the
        difference between having and lacking it. NaN as above.
    source (str): Who predicted: "component", its output layer; "probe", a classifier that learned
        from the other documents' tuned vectors, where no loss taught the output layer; "nobody".
    """

    labels: list[list[str]]
    probability: Floats
    margin: Floats
    source: Literal["component", "probe", "nobody"]


def predict_labels(documents: Documents) -> LabelPredictions:
    """Predict labels by the component's output layer. If its losses only looked at pairs, so that
    this layer learned nothing, a logistic regression on the tuned vectors of the labelled documents
    takes its place, see `suspects.cross_predict`.

    documents (Documents): The documents.
    RETURNS (LabelPredictions): What is predicted.
    """
    has_vector = np.asarray(np.any(documents.base, axis=1))
    probabilities = np.asarray(documents.probabilities, dtype=np.float64)
    if documents.predicted_labels and has_vector.any():
        own = probabilities[has_vector]
        # How probabilities look tells more than whether the documents' labels exclude each other,
        # which may be others than the component's.
        is_exclusive = own.shape[1] > 1 and bool(np.abs(own.sum(axis=1) - 1).max() < 1e-3)
        neutral = 1 / own.shape[1] if is_exclusive else 0.5
        if np.abs(own - neutral).max() > _UNTAUGHT:
            probabilities = np.where(has_vector[:, None], probabilities, np.nan)
            return _read_off(
                probabilities, documents.predicted_labels, "component", is_exclusive=is_exclusive
            )
    probabilities = cross_predict(documents, space="tuned")
    return _read_off(
        probabilities,
        documents.labels,
        "probe" if np.isfinite(probabilities).any() else "nobody",
        is_exclusive=documents.targets.exclusive,
    )


def _read_off(
    probabilities: Floats,
    labels: list[str],
    source: Literal["component", "probe", "nobody"],
    *,
    is_exclusive: bool,
) -> LabelPredictions:
    n = probabilities.shape[0]
    predicted: list[list[str]] = [[] for _ in range(n)]
    probability, margin = np.full(n, np.nan), np.full(n, np.nan)
    for row in np.flatnonzero(np.isfinite(probabilities).any(axis=1)):
        of_row = probabilities[row]
        # Some labels may be beyond what could be learned.
        told = np.flatnonzero(np.isfinite(of_row))
        order = told[np.argsort(-of_row[told], kind="stable")]
        probability[row] = of_row[order[0]]
        if is_exclusive:
            predicted[row] = [labels[order[0]]]
            margin[row] = of_row[order[0]] - of_row[order[1]]
        else:
            predicted[row] = [labels[j] for j in order if of_row[j] >= 0.5]
            margin[row] = np.abs(2 * of_row[told] - 1).min()
    return LabelPredictions(predicted, probability, margin, source)
