"""Read the arrays of `Targets`, on whatever device they are."""

from collections.abc import Callable
from typing import Any

from thinc.util import get_array_module

from ..types import Targets

array_module: Callable[[Any], Any] = get_array_module

# A document carries a label if its value is known and at least this.
CARRIES = 0.5
# The largest difference from 1 of the sum of a document's values, if labels are exclusive.
TOLERANCE = 1e-3
# Arrays with more entries than this (documents times labels) are not made for a whole corpus.
MOST_DENSE = 2**22


def clean_arrays(targets: Targets) -> tuple[Any, Any]:
    """RETURNS (tuple): `values`, with 0 where they are not known, and `known`, which includes the
    zeros that a positive label implies if labels are exclusive; both float32 of shape (n, L)."""
    xp = array_module(targets.values)
    known = xp.asarray(targets.known) > 0
    values = xp.where(known, targets.values, 0.0).astype("float32")
    if targets.exclusive:
        known = known | (values.sum(axis=1, keepdims=True) >= 1.0 - TOLERANCE)
    return values, known.astype("float32")


def document_weights(targets: Targets) -> Any:
    """RETURNS (array | None): The weights of the documents, float32 of shape (n,). They are
    checked."""
    if targets.weights is None:
        return None
    xp = array_module(targets.values)
    weights = xp.asarray(targets.weights, dtype="float32")
    n = targets.values.shape[0]
    if weights.shape != (n,):
        raise ValueError(
            f"The documents' weights have the shape {weights.shape}, but there are {n} documents: "
            f"give one weight for each, shape {(n,)}."
        )
    # All comparisons with NaN are false, so this form also finds NaN.
    if not ((weights >= 0) & (weights < xp.inf)).all():
        raise ValueError(
            "The weight of a document is negative or not finite. Give 0 to leave a document out."
        )
    return weights
