"""Standardize base vectors: subtract the training mean, then scale all vectors to one length."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

# A centred row that is shorter than this share of the mean's length is only rounding error.
_ROUNDING = 1e-6
_TINY = 1e-12


def Standardize(nI: int | None = None) -> Model[Floats2d, Floats2d]:
    """Build a layer that gives base vectors zero mean, one length and unit variance.

    The vectors of a sentence encoder share a large common part, which does not help to tell texts
    apart. The layer subtracts the mean of the training vectors (the first step of
    "all-but-the-top", Mu and Viswanath 2018), scales each row to unit length and multiplies it by
    sqrt(d). The variance per dimension is then about 1, which initialisers and learning rates
    expect.

    The mean is a parameter without a gradient. `initialize(X)` computes it from all rows of X.
    Rows of zeros are documents without a vector: the mean does not count them, and they stay zero.
    A row that equals the mean becomes zero.

    >>> import numpy as np
    >>> X = np.asarray([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0]], dtype="float32")
    >>> Standardize().initialize(X=X).predict(X).round(3) + 0.0
    array([[-1.414,  0.   ],
           [ 1.414,  0.   ],
           [ 0.   ,  0.   ]], dtype=float32)

    nI (int | None): The width d of the input and output vectors. None: `initialize` sets it.
    RETURNS (Model[Floats2d, Floats2d]): A layer from base vectors to vectors of the same shape
        (n, d).
    """
    return Model(
        "standardize", forward, init=init, dims={"nI": nI, "nO": nI}, params={"mean": None}
    )


def forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Apply the layer.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (tuple): The standardised vectors, shape (n, d), and a callback that takes their
        gradient and returns the gradient of X.
    """
    xp: Any = model.ops.xp
    mean: Any = model.get_param("mean")
    centred = (X - mean) * has_vector(X)
    length = xp.sqrt((centred * centred).sum(axis=1, keepdims=True))
    has_direction = length > _ROUNDING * float(xp.sqrt((mean * mean).sum())) + _TINY
    scale = xp.where(has_direction, X.shape[1] ** 0.5 / xp.where(has_direction, length, 1.0), 0.0)
    unit = centred / xp.where(has_direction, length, 1.0)
    Y = (centred * scale).astype(X.dtype)

    def backprop(dY: Floats2d) -> Floats2d:
        # The length of a row is fixed, so the part of its gradient along the row has no effect.
        along = (unit * dY).sum(axis=1, keepdims=True)
        return cast(Floats2d, ((dY - unit * along) * scale).astype(dY.dtype))

    return Y, backprop


def init(
    model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None
) -> None:
    """Set the mean to the mean of the rows of X that hold a vector, or to zero without such rows.

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d).
    Y (Floats2d | None): Not used.
    """
    if X is not None:
        model.set_dim("nI", X.shape[1])
    model.set_dim("nO", model.get_dim("nI"))
    total: Any = model.ops.xp.zeros((model.get_dim("nI"),), dtype="float64")
    if X is not None:
        # Rows of zeros add nothing to the sum, so only the count has to leave them out.
        total = cast(Any, X).sum(axis=0, dtype="float64") / max(int(has_vector(X).sum()), 1)
    model.set_param("mean", total.astype("float32"))


def has_vector(X: Floats2d) -> Any:
    """Find the documents that have a vector. The row of a document without a vector is all zeros.

    >>> import numpy as np
    >>> has_vector(np.asarray([[0.0, 0.5], [0.0, 0.0]])).tolist()
    [[True], [False]]

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (array of bool): True where a row holds a vector, shape (n, 1).
    """
    return cast(Any, X != 0).any(axis=1, keepdims=True)
