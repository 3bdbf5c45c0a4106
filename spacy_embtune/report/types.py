"""What every report is made of: documents with both their vectors and what is known of them."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..types import Targets


class Documents(NamedTuple):
    """n documents as a pipeline sees them. A document without text has vectors of zeros.

    ids (list[str]): Names that tell the documents apart.
    texts (list[str]): Their texts.
    labels (list[str]): The L labels that `targets` has columns for.
    targets (Targets): What is known of their labels, as numpy arrays of shape (n, L).
    base (ndarray): The encoder's vectors, float32, shape (n, d); as it was before it was finetuned,
        if it was.
    tuned (ndarray): The tuned vectors, float32, shape (n, k).
    probabilities (ndarray): What the component's output layer makes of its own labels, float32,
        shape (n, M).
    predicted_labels (list[str]): The M labels of the component, the columns of `probabilities`.
    """

    ids: list[str]
    texts: list[str]
    labels: list[str]
    targets: Targets
    base: NDArray[Any]
    tuned: NDArray[Any]
    probabilities: NDArray[Any]
    predicted_labels: list[str]
