"""Combine two heads for two kinds of objects in one space, for example questions and answers."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from ._standardize import has_vector


def Towers(
    left: Model[Floats2d, HeadOutput], right: Model[Floats2d, HeadOutput]
) -> Model[Floats2d, HeadOutput]:
    """Combine two heads, a tower for each side. Both make tuned vectors of one width, from base
    vectors that may have different widths.

    The input has the rows of both sides, as `join_sides` arranges them: the base vector of a left
    row is in the first columns, that of a right row in the last columns, and the other columns are
    zero. So batches and losses see one array of rows, as with a single head.

    >>> import numpy as np
    >>> from spacy_embtune.heads.contrastive import Contrastive
    >>> left, right = np.eye(2, 3, dtype="float32"), np.ones((1, 4), dtype="float32")
    >>> towers = [
    ...     Contrastive(output_width=3, nO=0).initialize(X=side) for side in (left, right)
    ... ]
    >>> Towers(*towers).predict(join_sides(left, right)).tuned.shape
    (3, 3)

    left, right (Model[Floats2d, HeadOutput]): The heads, initialized, with the same "nH" and "nO".
    RETURNS (Model[Floats2d, HeadOutput]): A head from base vectors (n, d1 + d2) to tuned vectors
        (n, k) and raw scores (n, L). Refs: "left", "right". Dims: "nI" is d1 + d2, "nH" is k, "nO"
        is L.
    RAISES (ValueError): If a head is not initialized, or their outputs have different widths.
    """
    for dim in ("nH", "nO"):
        widths = [head.get_dim(dim) for head in (left, right)]
        if widths[0] != widths[1]:
            raise ValueError(
                f"The towers have {dim} = {widths[0]} and {widths[1]}: give both the same width."
            )
    return Model(
        "towers",
        forward,
        layers=[left, right],
        dims={
            "nI": left.get_dim("nI") + right.get_dim("nI"),
            "nH": left.get_dim("nH"),
            "nO": left.get_dim("nO"),
        },
        refs={"left": left, "right": right},
    )


def join_sides(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Arrange the rows of two sides in one array, as `Towers` takes them.

    >>> import numpy as np
    >>> join_sides(np.ones((1, 1)), np.ones((1, 2))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]

    left (ndarray): The base vectors of the left side, shape (n, d1).
    right (ndarray): The base vectors of the right side, shape (m, d2).
    RETURNS (ndarray): The rows of the left side, then those of the right side, shape
        (n + m, d1 + d2).
    """
    joined = np.zeros((len(left) + len(right), left.shape[1] + right.shape[1]), dtype=left.dtype)
    joined[: len(left), : left.shape[1]] = left
    joined[len(left) :, left.shape[1] :] = right
    return joined


def forward(
    model: Model[Floats2d, HeadOutput], X: Floats2d, is_train: bool
) -> tuple[HeadOutput, Callable[[HeadOutput], Floats2d]]:
    """Apply each tower to the rows of its side.

    X (Floats2d): Base vectors, shape (n, d1 + d2).
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and a callback that takes the gradient
        of both and returns the gradient of X, shape (n, d1 + d2).
    """
    ops: Any = model.ops
    rows: Any = X
    width = model.layers[0].get_dim("nI")
    is_right = cast(Any, has_vector(rows[:, width:]))[:, 0]
    # A row without a vector is on no side; the left tower gives it a tuned vector of zeros.
    sides = [(~is_right, slice(None, width)), (is_right, slice(width, None))]
    tuned: Any = ops.alloc2f(len(rows), model.get_dim("nH"))
    scores: Any = ops.alloc2f(len(rows), model.get_dim("nO"))
    backprops = []
    for tower, (chosen, columns) in zip(model.layers, sides, strict=True):
        part = ops.xp.ascontiguousarray(rows[chosen, columns])
        output, back = tower(part, is_train)
        tuned[chosen], scores[chosen] = output
        backprops.append(back)

    def backprop(gradient: HeadOutput) -> Floats2d:
        d_rows = ops.xp.zeros_like(rows)
        d_tuned, d_scores = cast(Any, gradient.tuned), cast(Any, gradient.scores)
        for back, (chosen, columns) in zip(backprops, sides, strict=True):
            d_rows[chosen, columns] = back(HeadOutput(d_tuned[chosen], d_scores[chosen]))
        return cast(Floats2d, d_rows)

    return HeadOutput(tuned, scores), backprop
