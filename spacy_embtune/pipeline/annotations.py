"""What the component writes to Docs: vectors of documents and of spans, hooks, and cats."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from .extensions import register_extension, set_vector_hooks
from .model import Prediction
from .span_extensions import register_span_extension, set_span_hooks, store_span_vectors

# The default of max_cats: with more labels than ALL_CATS, MANY_CATS of them.
ALL_CATS, MANY_CATS = 1000, 100


def register_attributes(pipe: Any) -> None:
    """Make the attributes of a component vector attributes of Docs, and of Spans if it embeds them.

    pipe (EmbTune): The component.
    RAISES (ValueError): When an attribute is taken.
    """
    register_extension(pipe.base_extension, "base")
    register_extension(pipe.extension, "tuned")
    if pipe.spans is not None:
        register_span_extension(pipe.base_extension, "base")
        register_span_extension(pipe.extension, "tuned")


def annotate(pipe: Any, docs: Iterable[Doc], prediction: Prediction) -> None:
    """Write the prediction of a component to Docs.

    pipe (EmbTune): The component.
    docs (Iterable[Doc]): The documents.
    prediction (Prediction): What `predict` gave for these documents.
    """
    # In a process that unpickled the component, __init__ did not run.
    register_attributes(pipe)
    for i, doc in enumerate(docs):
        # A view would keep the vectors of the whole batch in memory, so rows are copied.
        doc._.set(pipe.base_extension, prediction.base[i].copy())
        if prediction.tuned is not None:
            doc._.set(pipe.extension, prediction.tuned[i].copy())
        if pipe.vector_hooks:
            set_vector_hooks(doc, pipe.extension)
            if pipe.spans is not None:
                set_span_hooks(doc, pipe.extension)
        if prediction.spans is not None:
            spans = prediction.spans
            store_span_vectors(doc, spans.offsets[i], pipe.base_extension, spans.base[i])
            if spans.tuned is not None:
                store_span_vectors(doc, spans.offsets[i], pipe.extension, spans.tuned[i])
        if pipe.set_cats and prediction.cats is not None:
            write_cats(doc, pipe.labels, prediction.cats[i], pipe.n_cats)


def count_cats(n_labels: int, max_cats: int | None) -> int:
    """Count the labels that are written to `doc.cats`. A Doc with 14,000 cats takes more than 1 MB,
    so of many labels only the most probable ones are written.

    n_labels (int): The number of labels.
    max_cats (int | None): The setting max_cats.
    RETURNS (int): How many are written.
    """
    if max_cats is None:
        return n_labels if n_labels <= ALL_CATS else MANY_CATS
    return min(n_labels, max_cats)


def write_cats(doc: Doc, labels: Sequence[str], probabilities: NDArray[Any], n: int) -> None:
    """Write the most probable labels to `doc.cats`. Labels of other components stay.

    doc (Doc): The document.
    labels (Sequence[str]): The L labels of the component.
    probabilities (ndarray): Their probabilities, shape (L,).
    n (int): How many are written.
    """
    if n == len(labels):
        for label, probability in zip(labels, probabilities, strict=True):
            doc.cats[label] = float(probability)
        return
    if doc.cats:
        # Labels of this component that an earlier run has written.
        own = set(labels)
        doc.cats = {label: value for label, value in doc.cats.items() if label not in own}
    best = np.argpartition(-probabilities, n - 1)[:n]
    best = best[np.argsort(-probabilities[best], kind="stable")]
    for j in best.tolist():
        doc.cats[labels[j]] = float(probabilities[j])
