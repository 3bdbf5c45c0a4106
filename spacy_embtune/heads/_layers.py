"""Build the small layers that heads share: dropout, projection and a fixed row length."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Dropout, Model
from thinc.types import Floats2d

from ._dense import predicting_product, training_product


def make_dropout(head: str, rate: float | None) -> Model[Floats2d, Floats2d]:
    """Build the dropout layer of a head.

    head (str): The name of the head, for the error message.
    rate (float | None): A fixed rate, in 0..1 without 1. None: `set_dropout_rate` sets the rate.
    RETURNS (Model[Floats2d, Floats2d]): A layer from arrays to arrays of the same shape.
    RAISES (ValueError): If the rate is out of range.
    """
    if rate is None:
        return Dropout(0.0)
    if not 0.0 <= rate < 1.0:
        raise ValueError(
            f"{head}: dropout is {rate!r}: give a number from 0 to less than 1, or null (None) to "
            "follow spaCy's training.dropout."
        )
    return FixedDropout(rate)


def FixedDropout(rate: float) -> Model[Floats2d, Floats2d]:
    """Build a dropout layer with a fixed rate, which `set_dropout_rate` does not change.

    rate (float): The share of values that are dropped in training, in 0..1 without 1.
    RETURNS (Model[Floats2d, Floats2d]): A layer from arrays to arrays of the same shape.
    """
    return Model("fixed_dropout", _forward_dropout, attrs={"fixed_dropout_rate": rate})


def _forward_dropout(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    rate = model.attrs["fixed_dropout_rate"]
    if not is_train or rate == 0.0:
        return X, _identity
    mask = cast(Floats2d, model.ops.get_dropout_mask(X.shape, rate))

    def backprop(dY: Floats2d) -> Floats2d:
        return dY * mask

    return X * mask, backprop


def Projection(nO: int | None = None, nI: int | None = None) -> Model[Floats2d, Floats2d]:
    """Build a layer that changes the width of vectors and is not trained. If both widths are the
    same, it is the identity. Otherwise it is a random matrix with orthonormal rows, or with
    orthonormal columns where the output is wider.

    nO (int | None): Output width.
    nI (int | None): Input width.
    RETURNS (Model[Floats2d, Floats2d]): A layer from arrays (n, nI) to arrays (n, nO).
    """
    return Model(
        "projection",
        _forward_projection,
        init=_init_projection,
        dims={"nO": nO, "nI": nI},
        params={"W": None},
    )


def _forward_projection(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    if not model.has_param("W"):
        return X, _identity
    W = cast(Floats2d, model.get_param("W"))

    def backprop(dY: Floats2d) -> Floats2d:
        return cast(Floats2d, training_product(model.ops, dY, W))

    multiply = training_product if is_train else predicting_product
    return multiply(model.ops, X, W, trans2=True), backprop


def _init_projection(
    model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None
) -> None:
    xp: Any = model.ops.xp
    nO, nI = model.get_dim("nO"), model.get_dim("nI")
    if nO == nI:
        return
    # The columns of Q of a QR decomposition of normal random numbers are orthonormal.
    Q = xp.linalg.qr(xp.random.normal(size=(max(nO, nI), min(nO, nI))))[0]
    # After this scaling the length of the vectors is again about the square root of their width.
    W = (Q if nO > nI else Q.T) * max(nO / nI, 1.0) ** 0.5
    model.set_param("W", W.astype("float32"))


def normalize_rows(model: Any, X: Floats2d) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Scale the rows of an array to the length sqrt(width): a variance of about 1 per dimension.

    model (Model): Any model, for its array module.
    X (Floats2d): The rows, shape (n, width). Rows of zeros stay zero.
    RETURNS (tuple): The scaled rows, shape (n, width), and a callback that takes their gradient and
        returns the gradient of X.
    """
    xp: Any = model.ops.xp
    rows: Any = X
    length = xp.sqrt((rows * rows).sum(axis=1, keepdims=True))
    inverse = xp.where(length > 0, 1.0 / xp.where(length > 0, length, 1.0), 0.0)
    unit = rows * inverse
    size = rows.shape[1] ** 0.5

    def backprop(dY: Floats2d) -> Floats2d:
        along = (unit * dY).sum(axis=1, keepdims=True)
        return cast(Floats2d, (dY - unit * along) * (inverse * size))

    return cast(Floats2d, unit * size), backprop


def _identity(dY: Floats2d) -> Floats2d:
    return dY
