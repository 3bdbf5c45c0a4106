"""The layer before every head: centre on the training mean, project on the sphere, scale."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

# A centred row shorter than this share of the mean's length is rounding error, not a direction.
_ROUNDING = 1e-6
_TINY = 1e-12


def Standardize(nI: int | None = None) -> Model[Floats2d, Floats2d]:
    """Build a layer that gives base vectors zero mean, one length and unit variance.

    Sentence encoders put all texts in a narrow cone; what is common to all says nothing about
    any. The layer subtracts the mean of the training vectors ("all-but-the-top" without its second
    step: Mu and Viswanath 2018), brings each row to unit length and multiplies by sqrt(d), for a
    variance of about 1 per dimension, which initialisers and learning rates expect.

    The mean is a parameter without a gradient, learned by `initialize(X)` from all of X. Rows that
    are all zero are documents without a vector: they stay out of the mean, and stay zero. A row
    that the mean leaves nothing of becomes zero as well.

    nI (int | None): The width d of the vectors, in and out. None: known from `initialize`.
    RETURNS (Model[Floats2d, Floats2d]): Base vectors to vectors of the same shape (n, d).
    """
    return Model(
        "standardize", forward, init=init, dims={"nI": nI, "nO": nI}, params={"mean": None}
    )


def forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Apply the layer.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (tuple): The standardised vectors, shape (n, d), and the callback that takes the
        gradient with respect to them and returns the one with respect to X.
    """
    xp: Any = model.ops.xp
    mean: Any = model.get_param("mean")
    centred = (X - mean) * has_vector(X)
    length = xp.sqrt((centred * centred).sum(axis=1, keepdims=True))
    directed = length > _ROUNDING * float(xp.sqrt((mean * mean).sum())) + _TINY
    scale = xp.where(directed, X.shape[1] ** 0.5 / xp.where(directed, length, 1.0), 0.0)
    unit = centred / xp.where(directed, length, 1.0)
    Y = (centred * scale).astype(X.dtype)

    def backprop(dY: Floats2d) -> Floats2d:
        # What points along the row itself would only change its length, which is fixed.
        along = (unit * dY).sum(axis=1, keepdims=True)
        return cast(Floats2d, ((dY - unit * along) * scale).astype(dY.dtype))

    return Y, backprop


def init(
    model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None
) -> None:
    """Set the mean to that of the rows of X that hold a vector, or to zero if there are none.

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
    """Tell documents with a vector from those without, whose row is all zeros.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (array of bool): True where a row holds a vector, shape (n, 1).
    """
    return cast(Any, X != 0).any(axis=1, keepdims=True)
