"""Build the dense layers of heads: a matrix product, a bias and an activation."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from thinc.api import Model, NumpyOps, glorot_uniform_init
from thinc.initializers import he_normal_init
from thinc.types import Floats2d

_Array = Any
# Takes (ops, Z), with Z the sum of product and bias. Returns the activations, and a callback from
# the gradient of the activations to the gradient of Z.
_Activate = Callable[[Any, _Array], tuple[_Array, Callable[[_Array], _Array]]]


def Dense(
    activation: str, nO: int | None = None, nI: int | None = None
) -> Model[Floats2d, Floats2d]:
    """Build a dense layer. It computes what thinc's layer of that name computes, but in training
    with the matrix products of numpy, see `training_product`. Tanh is not among thinc's layers.

    activation (str): A key of `ACTIVATIONS`: "gelu", "linear", "mish", "relu", "swish" or "tanh".
    nO (int | None): Output width.
    nI (int | None): Input width.
    RETURNS (Model[Floats2d, Floats2d]): A layer from arrays (n, nI) to arrays (n, nO), with the
        parameters "W", shape (nO, nI), and "b", shape (nO,). Its name is the activation.
    """
    activate, draw_weights = ACTIVATIONS[activation]
    return Model(
        activation,
        partial(_forward, activate),
        init=partial(_init, draw_weights),
        dims={"nO": nO, "nI": nI},
        params={"W": None, "b": None},
    )


def _forward(
    activate: _Activate, model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    W = cast(Floats2d, model.get_param("W"))
    multiply = training_product if is_train else predicting_product
    Z = multiply(model.ops, X, W, trans2=True)
    Z += cast(Any, model.get_param("b"))
    Y, backprop_activation = activate(model.ops, Z)

    def backprop(dY: Floats2d) -> Floats2d:
        dZ = backprop_activation(dY)
        model.inc_grad("b", dZ.sum(axis=0))
        model.inc_grad("W", training_product(model.ops, dZ, X, trans1=True))
        return cast(Floats2d, training_product(model.ops, dZ, W))

    return Y, backprop


def _init(
    draw_weights: Callable[..., Any],
    model: Model[Floats2d, Floats2d],
    X: Floats2d | None = None,
    Y: Floats2d | None = None,
) -> None:
    if X is not None:
        model.set_dim("nI", X.shape[1])
    if Y is not None:
        model.set_dim("nO", Y.shape[1])
    model.set_param("W", draw_weights(model.ops, (model.get_dim("nO"), model.get_dim("nI"))))
    model.set_param("b", model.ops.alloc1f(model.get_dim("nO")))


def training_product(
    ops: Any, a: _Array, b: _Array, *, trans1: bool = False, trans2: bool = False
) -> _Array:
    """Multiply two matrices in a training step.

    On processors thinc multiplies with BLIS, numpy with OpenBLAS (or Accelerate), which takes a
    sixth to a half of the time on the shapes of heads. Only thinc's plain `NumpyOps` is replaced:
    other ops bring a product of their own. The choice depends on the ops alone, never on shapes.

    ops (Ops): The ops of the layer.
    a, b (array): The matrices, float32.
    trans1, trans2 (bool): Whether the first or the second matrix is transposed.
    RETURNS (array): The product, float32.
    """
    if type(ops) is NumpyOps:
        return np.matmul(a.T if trans1 else a, b.T if trans2 else b)
    return ops.gemm(a, b, trans1=trans1, trans2=trans2)


def predicting_product(ops: Any, a: _Array, b: _Array, *, trans2: bool = False) -> _Array:
    """Multiply two matrices in a prediction, with the product of `ops`. With BLIS a row of the
    result does not depend on the other rows, not even in its last bits. With OpenBLAS it does.

    ops (Ops): The ops of the layer.
    a, b (array): The matrices, float32.
    trans2 (bool): Whether the second matrix is transposed.
    RETURNS (array): The product, float32.
    """
    return ops.gemm(a, b, trans2=trans2)


def _linear(ops: Any, Z: _Array) -> tuple[_Array, Callable[[_Array], _Array]]:
    return Z, _identity


def _identity(dY: _Array) -> _Array:
    return dY


def _tanh(ops: Any, Z: _Array) -> tuple[_Array, Callable[[_Array], _Array]]:
    Y = ops.xp.tanh(Z)
    return Y, lambda dY: dY * (1.0 - Y * Y)


def _relu(ops: Any, Z: _Array) -> tuple[_Array, Callable[[_Array], _Array]]:
    Y = ops.relu(Z)
    return Y, lambda dY: ops.backprop_relu(dY, Y)


def _mish(ops: Any, Z: _Array) -> tuple[_Array, Callable[[_Array], _Array]]:
    return ops.mish(Z), lambda dY: ops.backprop_mish(dY, Z)


def _swish(ops: Any, Z: _Array) -> tuple[_Array, Callable[[_Array], _Array]]:
    Y = ops.swish(Z)
    return Y, lambda dY: ops.backprop_swish(dY, Z, Y)


def _gelu(ops: Any, Z: _Array) -> tuple[_Array, Callable[[_Array], _Array]]:
    """GELU(z) is z times the probability that a standard normal number is below z. It is computed
    with the polynomial of thinc (Abramowitz and Stegun 1964, 7.1.26; error below 1e-7), but the
    exponential and the probability are computed once for forward and backward pass."""
    xp: Any = ops.xp
    density = xp.exp(-0.5 * Z * Z)
    t = 1.0 / (1.0 + _P * xp.abs(Z))
    upper = t * _POLYNOMIAL[0]
    for coefficient in _POLYNOMIAL[1:]:
        upper += coefficient
        upper *= t
    upper *= density
    below = xp.where(Z > 0, 1.0 - upper, upper)
    return Z * below, lambda dY: dY * (below + Z * density * _INVERSE_ROOT)


_P = 0.3275911 * 0.5**0.5
# Halved, because the probability of one side is half of 1 - erf.
_POLYNOMIAL = tuple(
    0.5 * a for a in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
)
_INVERSE_ROOT = (2.0 * np.pi) ** -0.5


class _Activation(NamedTuple):
    activate: _Activate
    draw_weights: Callable[..., Any]


ACTIVATIONS: dict[str, _Activation] = {
    "gelu": _Activation(_gelu, he_normal_init),
    "linear": _Activation(_linear, glorot_uniform_init),
    "mish": _Activation(_mish, glorot_uniform_init),
    "relu": _Activation(_relu, glorot_uniform_init),
    "swish": _Activation(_swish, he_normal_init),
    "tanh": _Activation(_tanh, glorot_uniform_init),
}
