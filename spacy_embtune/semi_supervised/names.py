"""The names of labels as the first teacher."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats, unit_vectors
from ..training import (
    ODDS_OF_WORDS,
    find_nearest_labels,
    label_text_weights,
    move_to_documents,
    texts_mean_something,
)
from .propagation import NamePropagation, NeighbourGraph, propagate_names
from .ridge import Extra
from .space import VectorSpace

# Vectors of the names by label, shape (k, d) each. Names that look like codes have none.
Names = Mapping[str, NDArray[Any]]


class NamePredictions(NamedTuple):
    """What names say of n texts, before any text is labelled.

    labels (list[str]): The L labels whose names mean something.
    probabilities (Floats): Shape (n, L).
    """

    labels: list[str]
    probabilities: Floats


def predict_by_names(
    space: VectorSpace, labels: Sequence[str], names: Names
) -> NamePredictions | None:
    """Predict the label with the nearest name, by the text itself and by its neighbours.

    space (VectorSpace): The texts.
    labels (Sequence[str]): All labels.
    names (Names): The vectors of the names.
    RETURNS (NamePredictions | None): None if fewer than two labels have a vector, or all
        names have the same one.
    """
    named = [label for label in labels if label in names]
    if len(named) < 2:
        return None
    cosines, found = _propagate(space, named, names)
    if not np.ptp(cosines, axis=1).any():
        return None  # the encoder does not tell the names apart
    return NamePredictions(named, found.probabilities)


def spread_names(space: VectorSpace, labels: Sequence[str], names: Names) -> Floats:
    """Spread each label from the texts that are nearest to its name to their neighbours.

    space, names: As for `predict_by_names`.
    labels (Sequence[str]): The L labels that are learned.
    RETURNS (Floats): What each text has of each label, shape (n, L); 0 for labels without a vector.
    """
    named = [label for label in labels if label in names]
    mass = np.zeros((len(space.vectors), len(labels)))
    if len(named) > 1:
        columns = [labels.index(label) for label in named]
        mass[:, columns] = _propagate(space, named, names)[1].mass
    return mass


# The latest names of each graph, by a digest of their vectors: they are needed after each label.
_LATEST: WeakKeyDictionary[NeighbourGraph, tuple[bytes, Floats, NamePropagation]] = (
    WeakKeyDictionary()
)


def _propagate(
    space: VectorSpace, named: Sequence[str], names: Names
) -> tuple[Floats, NamePropagation]:
    """RETURNS (tuple): The cosine of each text to each name, shape (n, L), and what they say."""
    rows, columns = _stack(named, names)
    key = blake2b(rows.tobytes() + columns.tobytes()).digest()
    latest = _LATEST.get(space.graph)
    if latest is None or latest[0] != key:
        cosines = find_nearest_labels(space.vectors, rows, columns, mean=space.mean).cosines
        latest = key, cosines, propagate_names(space.graph, cosines)
        _LATEST[space.graph] = latest
    return latest[1:]


def weigh_names(
    space: VectorSpace,
    labels: Sequence[str],
    names: Names,
    *,
    rows: NDArray[np.intp],
    values: Floats,
) -> Extra | None:
    """Make the names rows that a classifier learns from, with a weight that falls as labels grow.

    space (VectorSpace): The texts.
    labels (Sequence[str]): The L labels that are learned.
    names (Names): The vectors of the names.
    rows (ndarray): The rows of the m labelled texts.
    values (Floats): 1, -1 or NaN, shape (m, L).
    RETURNS (Extra | None): None if the names tell the labelled texts apart no better than chance
        does, or there are enough labels.
    """
    named = [label for label in labels if label in names]
    if len(named) < 2:
        return None
    columns = [labels.index(label) for label in named]
    vectors, own = _stack(named, names)
    of_label = np.asarray(columns)[own]
    counts = (values == 1.0).sum(axis=0)
    weights = label_text_weights(counts, of_label)
    if not weights.any():
        return None
    nearest = find_nearest_labels(space.vectors[rows], vectors, own, mean=space.mean).nearest
    some = values[:, columns]
    carried, known = (some == 1.0).astype(np.float64), np.isfinite(some).astype(np.float64)
    if not texts_mean_something(nearest, carried, known, odds=ODDS_OF_WORDS):
        return None
    moved = move_to_documents(vectors, of_label, space.mean)
    signs = np.where(of_label[:, None] == np.arange(len(labels)), 1.0, -1.0)
    kept = weights > 0
    return Extra(moved[kept].astype(np.float64), signs[kept], weights[kept])


def _stack(named: Sequence[str], names: Names) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """RETURNS (tuple): The unit vectors of all names, and the position of the label of each."""
    rows = np.concatenate([names[label] for label in named])
    columns = np.repeat(np.arange(len(named)), [len(names[label]) for label in named])
    # As long as the vectors of texts in a `VectorSpace`, whatever encoder there is.
    return unit_vectors(rows), columns
