import copy
import pickle

import numpy as np
import pytest
import thinc.api
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import NumpyOps, fix_random_seed, use_ops

from spacy_embtune.heads import Contrastive, FeedForward, Linear
from spacy_embtune.heads._dense import ACTIVATIONS, Dense, training_product

# Thinc has no layer with tanh: tests/heads/test_feed_forward.py compares it with torch's.
THINCS = {name: getattr(thinc.api, name.title()) for name in sorted(set(ACTIVATIONS) - {"tanh"})}
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def normal(*shape, seed=0, scale=1.0):
    return np.random.RandomState(seed).normal(0, scale, shape).astype("float32")


class OtherOps(NumpyOps):
    """Ops with a product of their own, as on Apple's processors."""

    n_products = 0

    def gemm(self, *args, **kwargs):
        self.n_products += 1
        return super().gemm(*args, **kwargs)


@pytest.mark.parametrize("name", THINCS)
def test_a_layer_is_thincs_layer_of_that_name(name):
    layers = []
    for make in (lambda: Dense(name, nO=7, nI=5), lambda: THINCS[name](nO=7, nI=5)):
        fix_random_seed(0)
        layers.append(make().initialize())
    ours, thincs = layers
    assert ours.name == thincs.name
    assert ours.param_names == thincs.param_names
    assert_array_equal(ours.get_param("W"), thincs.get_param("W"))
    for layer in layers:
        layer.set_param("b", normal(7, seed=3))
    X, dY = normal(6, 5, scale=4.0), normal(6, 7, seed=1)
    results = []
    for layer in layers:
        Y, backprop = layer.begin_update(X)
        dX = backprop(dY.copy())
        results.append((Y, dX, layer.get_grad("W"), layer.get_grad("b")))
    for our, their in zip(*results, strict=True):
        assert our.dtype == np.float32
        assert_allclose(our, their, rtol=1e-4, atol=1e-5)
    assert_allclose(ours.predict(X), thincs.predict(X), rtol=1e-4, atol=1e-5)


def test_gelu_is_exact_where_it_is_steep_and_far_away():
    from scipy.special import ndtr

    layer = Dense("gelu", nO=1, nI=1).initialize()
    layer.set_param("W", np.ones((1, 1), dtype="float32"))
    X = np.linspace(-40, 40, 4001, dtype="float32")[:, None]
    Y, backprop = layer.begin_update(X)
    exact = X.astype("float64")
    assert_allclose(Y, exact * ndtr(exact), rtol=1e-5, atol=1e-6)
    slope = ndtr(exact) + exact * np.exp(-0.5 * exact**2) / (2 * np.pi) ** 0.5
    assert_allclose(backprop(np.ones_like(X)), slope, rtol=1e-5, atol=1e-6)


@each_activation
def test_neither_input_nor_gradient_is_changed(activation):
    layer = Dense(activation, nO=4, nI=3).initialize()
    X, dY = normal(5, 3), normal(5, 4, seed=1)
    given = X.copy(), dY.copy()
    backprop = layer.begin_update(X)[1]
    backprop(dY)
    assert_array_equal(X, given[0])
    assert_array_equal(dY, given[1])


@pytest.mark.parametrize("rows", [0, 1, 6])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_a_product_is_that_of_thinc_also_of_arrays_that_are_not_contiguous(rows, transposed):
    first, second = transposed
    a = normal(rows, 8)[:, ::2] if not first else normal(8, rows)[::2]
    b = normal(4, 5, seed=1).T.copy().T if not second else normal(5, 4, seed=1).T.copy().T
    ours = training_product(NumpyOps(), a, b, trans1=first, trans2=second)
    assert ours.flags.c_contiguous
    assert ours.dtype == np.float32
    contiguous = np.ascontiguousarray(a), np.ascontiguousarray(b)
    # BLIS does not take an array without rows.
    if rows:
        expected = NumpyOps().gemm(*contiguous, trans1=first, trans2=second)
        assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    assert ours.shape == (rows, 5)


def test_the_product_of_other_ops_is_used_where_the_model_has_them():
    with use_ops("numpy"):
        ops = OtherOps()
        layer = Dense("relu", nO=4, nI=3).initialize()
        layer.ops = ops
        X = normal(5, 3)
        Y, backprop = layer.begin_update(X)
        backprop(Y)
        assert ops.n_products == 3
        layer.predict(X)
    assert ops.n_products == 4
    plain = Dense("relu", nO=4, nI=3)
    plain.from_bytes(layer.to_bytes())
    assert_allclose(plain.predict(X), Y, rtol=1e-5, atol=1e-6)


@each_activation
@pytest.mark.parametrize(
    "clone",
    [
        lambda m: pickle.loads(pickle.dumps(m)),
        copy.deepcopy,
        lambda m: m.copy(),
        lambda m: Dense(m.name, nO=40, nI=30).from_bytes(m.to_bytes()),
    ],
)
def test_a_clone_gives_the_same_bits(clone, activation):
    layer = Dense(activation, nO=40, nI=30).initialize()
    X = normal(64, 30)
    assert_array_equal(clone(layer).predict(X), layer.predict(X))


@each_activation
@pytest.mark.parametrize("n", [1, 2, 7, 63])
def test_a_row_of_a_prediction_does_not_depend_on_the_other_rows(n, activation):
    layer = Dense(activation, nO=96, nI=384).initialize()
    X = normal(64, 384)
    assert_array_equal(layer.predict(X[:n]), layer.predict(X)[:n])


@pytest.mark.parametrize("make", [Contrastive, FeedForward, Linear])
def test_weights_saved_with_thincs_layers_load(make):
    """The layers have the names, the order and the parameters that they had as thinc's layers."""
    head = make(nI=6, nO=2).initialize(X=normal(9, 6))
    dense = [node.name for node in head.walk() if node.has_param("W") and node.has_param("b")]
    assert (
        dense
        == {
            Contrastive: ["gelu", "linear", "linear"],
            FeedForward: ["gelu", "linear"],
            Linear: ["linear"],
        }[make]
    )
