"""The vectors of labels' texts among the rows that a tuner is trained on."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..labels import MOST_DENSE, SparseTargets, to_sparse
from ..training import (
    ODDS_OF_WORDS,
    find_nearest_labels,
    label_text_weights,
    move_to_documents,
    select_rows,
    texts_mean_something,
)
from ..types import Targets
from .labels import AnyTargets, Labels

# Whether texts mean something is decided by at most so many documents.
_MOST_JUDGED = 1000


def check_label_vectors(vectors: Any, labels: Labels, *, width: int) -> None:
    """Check the parameter label_vectors of a tuner.

    vectors (Any): The parameter.
    labels (Labels): The labels of y.
    width (int): The width d of the rows.
    RAISES (ValueError): If the parameter has another form than that of `encode_labels`, if vectors
        have another width or are not finite, or if its classes are not of the type of those of y.
    """
    if not isinstance(vectors, Mapping):
        raise ValueError(
            f"label_vectors is a {type(vectors).__name__}: give a mapping from class to vector, "
            "such as encode_labels(classes, encoder)."
        )
    for label, given in vectors.items():
        rows = _as_rows(given)
        if rows is None or rows.shape[1] != width or not np.isfinite(rows).all():
            shape = np.shape(given) if rows is None else rows.shape
            raise ValueError(
                f"label_vectors of {label!r} have the shape {shape}, or values that are not "
                f"finite. Give vectors of width {width}, from the encoder of X."
            )
    kinds = {_kind(label) for label in (*labels.classes.tolist(), *vectors)}
    if len(kinds) > 1:
        raise ValueError(
            f"label_vectors has the classes {list(vectors)[:5]!r}, but y has "
            f"{labels.classes.tolist()[:5]!r}. Give classes of the same type."
        )


def _kind(label: Any) -> str:
    return "text" if isinstance(label, str) else "number"


def _as_rows(given: Any) -> NDArray[Any] | None:
    """RETURNS (ndarray | None): Vectors of shape (k, d); None if they have another form."""
    try:
        rows = np.atleast_2d(np.asarray(given, dtype="float32"))
    except (TypeError, ValueError):
        return None
    return rows if rows.ndim == 2 else None


def may_add_classes(vectors: Any, y: Any) -> bool:
    """Find out whether the classes that have vectors can be read together with those of y.

    vectors (Any): The parameter label_vectors.
    y (Any): The y of a fit.
    RETURNS (bool): Whether there are vectors, and y is no table.
    """
    if not isinstance(vectors, Mapping) or not vectors or hasattr(y, "columns"):
        return False
    try:
        return np.ndim(y) == 1 and len({_kind(label) for label in vectors}) == 1
    except ValueError:
        # Lists of different lengths: the labels of each document.
        return True


def new_classes(vectors: Mapping[Any, Any], labels: Labels) -> list[Any]:
    """Find the classes that have vectors and do not occur in y.

    vectors (Mapping): The parameter label_vectors.
    labels (Labels): The labels of y.
    RETURNS (list): The classes.
    RAISES (ValueError): If there are any and y is a matrix, whose columns are the classes.
    """
    known = set(labels.classes.tolist())
    more = [label for label in vectors if label not in known]
    if more and labels.kind == "matrix":
        raise ValueError(
            f"label_vectors has a vector for {more[0]!r}, which is no column of y. The columns are "
            f"{labels.classes.tolist()[:10]!r}."
        )
    return more


def add_label_documents(
    base: NDArray[Any],
    targets: AnyTargets,
    vectors: Mapping[Any, Any],
    *,
    classes: Sequence[Any],
    counts: NDArray[Any],
    mean: NDArray[Any],
) -> tuple[NDArray[Any], AnyTargets]:
    """Put the vectors of labels' texts behind the labelled documents, with their weights.

    base (ndarray): The vectors of n documents, float32, shape (n, d).
    targets (Targets | SparseTargets): Their targets.
    vectors (Mapping): The parameter label_vectors. Classes that are not in `classes` are left out.
    classes (Sequence): The L classes.
    counts (ndarray): The sum of the weights of the documents that carry each class, shape (L,).
    mean (ndarray): The mean of the documents, shape (d,).
    RETURNS (tuple): The vectors and targets of the n documents and of the texts. Only those of the
        documents, with a warning, if the texts do not mean anything.
    """
    place = {label: column for column, label in enumerate(classes)}
    found = [(_as_rows(given), place[label]) for label, given in vectors.items() if label in place]
    if not found:
        return base, targets
    rows = np.concatenate([cast(Any, of_label) for of_label, _ in found])
    columns = np.repeat([column for _, column in found], [len(cast(Any, r)) for r, _ in found])
    # A sum of weights is a number of documents only if their mean is 1.
    unit = 1.0 if targets.weights is None else float(np.mean(np.asarray(targets.weights))) or 1.0
    weights = label_text_weights(np.asarray(counts) / unit, columns) * unit
    if not weights.any():
        return base, targets
    if not _mean_something(base, targets, rows, columns, mean):
        warnings.warn(
            "label_vectors are left out: they do not tell the labelled rows apart better than "
            "chance does. Give texts that describe the classes.",
            stacklevel=5,
        )
        return base, targets
    moved = move_to_documents(rows, columns, mean)
    kept = weights > 0
    rows, columns, weights = moved[kept], columns[kept], weights[kept]
    n, m = len(base), len(rows)
    of_documents = np.ones(n) if targets.weights is None else np.asarray(targets.weights)
    both: Any = np.concatenate([of_documents, weights]).astype("float32")
    base = np.concatenate([base, rows])
    if not isinstance(targets, SparseTargets) and (n + m) * len(classes) > MOST_DENSE:
        targets = to_sparse(targets)
    if isinstance(targets, SparseTargets):
        return base, targets._replace(
            rows=np.concatenate([targets.rows, np.arange(n, n + m)]),
            columns=np.concatenate([targets.columns, columns]),
            values=np.concatenate([targets.values, np.ones(m, dtype="float32")]),
            is_complete=np.concatenate([targets.is_complete, np.ones(m, dtype=bool)]),
            weights=both,
        )
    values: Any = np.zeros((m, len(classes)), dtype="float32")
    values[np.arange(m), columns] = 1.0
    return base, targets._replace(
        values=cast(Any, np.concatenate([targets.values, values])),
        known=cast(Any, np.concatenate([targets.known, np.ones_like(values)])),
        weights=both,
    )


def _mean_something(
    base: NDArray[Any],
    targets: AnyTargets,
    rows: NDArray[Any],
    columns: NDArray[Any],
    mean: NDArray[Any],
) -> bool:
    """RETURNS (bool): Whether the nearest text of a label is right more often than by chance."""
    if len(base) == 0:
        return True
    n_labels = targets.n_labels if isinstance(targets, SparseTargets) else targets.values.shape[1]
    n = min(len(base), _MOST_JUDGED, max(MOST_DENSE // n_labels, 1))
    some: Targets = select_rows(targets, np.arange(n))
    # Documents are judged by the labels that have a text.
    described, place = np.unique(columns, return_inverse=True)
    nearest = find_nearest_labels(base[:n], rows, place, mean=mean).nearest
    values, known = np.asarray(some.values), np.asarray(some.known)
    return texts_mean_something(
        nearest, values[:, described], known[:, described], odds=ODDS_OF_WORDS
    )
