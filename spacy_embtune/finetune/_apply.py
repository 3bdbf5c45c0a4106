"""Applying a head to many rows."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..pipeline.model import Head

# The number of rows in a forward pass.
BLOCK = 256


def apply_head(
    head: Head, X: NDArray[Any], *, scores: bool = True
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Apply a head in blocks of one size. Matrix products of another size are rounded differently,
    so this makes the result of a row independent of the other rows.

    head (Model[Floats2d, HeadOutput]): The head.
    X (ndarray): Base vectors, float32, shape (n, d).
    scores (bool): Whether to keep the raw scores, which may be many.
    RETURNS (tuple[ndarray, ndarray]): Tuned vectors, shape (n, k), and raw scores, shape (n, L), or
        (n, 0) if they are not kept.
    """
    ops: Any = head.ops
    tuned, raw = [], []
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK]
        padded = np.zeros((BLOCK, X.shape[1]), dtype="float32")
        padded[: len(block)] = block
        output = head.predict(ops.asarray2f(cast(Any, padded)))
        tuned.append(ops.to_numpy(output.tuned)[: len(block)])
        raw.append(ops.to_numpy(output.scores)[: len(block), : None if scores else 0])
    return np.concatenate(tuned), np.concatenate(raw)
