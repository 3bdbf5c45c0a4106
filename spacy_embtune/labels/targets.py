"""Make arrays from the labels of documents.

*Missing is not zero.* A label that is absent from the mapping of a document is unknown, and no
result depends on the number that an array holds in its place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np
from thinc.types import Floats1d, Floats2d

from ..types import Targets
from ._arrays import array_module, clean_arrays, document_weights
from .cats import describe_document
from .sparse import SparseTargets, make_sparse_targets

# The largest float32.
_MAX_WEIGHT = float(np.finfo("float32").max)


def make_targets(
    cats: Iterable[Mapping[str, float]],
    labels: Sequence[str],
    *,
    exclusive: bool,
    counts: Floats2d | None = None,
    weights: Sequence[float] | Floats1d | None = None,
    where: Callable[[int], str] | None = None,
) -> Targets:
    """Make arrays from what is known of the labels of documents.

    Labels that are not in `labels` are ignored. If labels are exclusive and the values of a
    document sum to 1, its other labels become known zeros. If only absent labels are known of a
    document, its other labels stay unknown.

    >>> targets = make_targets([{"A": 1.0}, {"B": 0.0}], ["A", "B"], exclusive=True)
    >>> targets.values.tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    >>> targets.known.tolist()
    [[1.0, 1.0], [0.0, 1.0]]

    cats (Iterable[Mapping[str, float]]): What is known of each of the n documents' labels.
    labels (Sequence[str]): The L labels, in the order of the columns.
    exclusive (bool): Whether a document carries exactly one label.
    counts (Floats2d | None): How often each label is known to be present and absent in the training
        corpus, shape (2, L), as `count_labels` returns it. The targets hold it unchanged.
    weights (Sequence[float] | Floats1d | None): How much each document counts, see `Targets`. None:
        all documents count the same.
    where (Callable[[int], str] | None): Returns the name of the i-th document (from 0) for error
        messages.
    RETURNS (Targets): numpy arrays of float32, values and known of shape (n, L), weights (n,).
    RAISES (ValueError): If a value is not a number in 0..1, the values of a document sum to more
        than 1 although labels are exclusive, a weight is not a finite number of 0 or more, or
        the number of weights is not the number of documents.
    """
    sparse = make_sparse_targets(cats, labels, exclusive=exclusive, where=where)
    targets = sparse.select(np.arange(sparse.shape[0]))._replace(counts=counts)
    if weights is None:
        return targets
    return targets._replace(
        weights=_make_weights(weights, sparse.shape[0], where or describe_document)
    )


def count_labels(targets: Targets | SparseTargets) -> Floats2d:
    """Count how often each label is known to be present and known to be absent.

    A value between 0 and 1 counts in part for both. A document with a weight of 2 counts twice.

    >>> targets = make_targets([{"A": 1.0}, {"A": 0.25, "B": 0.0}], ["A", "B"], exclusive=False)
    >>> count_labels(targets).tolist()
    [[1.25, 0.0], [0.75, 1.0]]

    targets (Targets | SparseTargets): What is known of n documents, shape (n, L).
    RETURNS (Floats2d): The sum of the values (row 0) and of 1 - value (row 1) over the documents in
        which the label is known, float32 of shape (2, L).
    RAISES (ValueError): If the weights are not valid.
    """
    if isinstance(targets, SparseTargets):
        return cast(Floats2d, targets.count_labels())
    values, known = clean_arrays(targets)
    xp = array_module(values)
    weights = document_weights(targets)
    if weights is not None:
        values, known = values * weights[:, None], known * weights[:, None]
    counts = xp.stack([values.sum(axis=0, dtype="float64"), known.sum(axis=0, dtype="float64")])
    counts[1] -= counts[0]
    return counts.astype("float32")


def _make_weights(weights: Any, n: int, name: Callable[[int], str]) -> Floats1d:
    """RETURNS (Floats1d): The weights that were given to `make_targets`, float32 of shape (n,)."""
    given = list(weights)
    if len(given) != n:
        raise ValueError(f"There are {len(given)} weights for {n} documents. Give one for each.")
    for i, weight in enumerate(given):
        is_number = isinstance(weight, Real | np.bool_)
        if not is_number or not 0.0 <= float(weight) <= _MAX_WEIGHT:
            raise ValueError(
                f"{name(i)}: the weight is {weight!r}, a {type(weight).__name__}. Give a finite "
                "number of 0 or more: 2 counts the document twice, 0 leaves it out."
            )
    return cast(Floats1d, np.asarray(given, dtype="float32"))
