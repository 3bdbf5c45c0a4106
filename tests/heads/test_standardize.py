import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.heads._standardize import Standardize


def base_vectors(n=6, d=5, seed=0):
    rng = np.random.RandomState(seed)
    return (rng.normal(0, 1, (n, d)) + 3).astype("float32")


def initialized(X):
    return Standardize().initialize(X=X)


def test_rows_are_centred_and_of_length_sqrt_d():
    X = base_vectors()
    Y = initialized(X).predict(X)
    centred = X - X.mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True) * 5**0.5
    assert_allclose(Y, expected, rtol=1e-4, atol=1e-5)
    assert Y.dtype == np.float32


def test_documents_without_a_vector_stay_out_of_the_mean_and_stay_zero():
    X = base_vectors()
    with_empty = np.vstack([X, np.zeros((4, 5), "float32")])
    model = initialized(with_empty)
    assert_allclose(model.get_param("mean"), X.mean(axis=0), rtol=1e-6)
    Y = model.predict(with_empty)
    assert_array_equal(Y[6:], np.zeros((4, 5)))
    assert_array_equal(Y[:6], model.predict(X))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_mean_itself_becomes_zero_and_its_gradient_finite(scale):
    row = base_vectors(1) * scale
    X = np.repeat(row, 3, axis=0)
    model = initialized(X)
    Y, backprop = model.begin_update(X)
    assert_array_equal(Y, np.zeros_like(X))
    assert_array_equal(backprop(np.ones_like(X)), np.zeros_like(X))


@pytest.mark.parametrize("X", [None, np.zeros((0, 5), "float32"), np.zeros((3, 5), "float32")])
def test_without_any_vector_the_mean_is_zero(X):
    model = Standardize(nI=5).initialize(X=X)
    assert_array_equal(model.get_param("mean"), np.zeros(5))
    assert model.predict(np.zeros((0, 5), "float32")).shape == (0, 5)


def test_initializing_again_replaces_the_mean():
    model = initialized(base_vectors())
    X = base_vectors(seed=1)
    model.initialize(X=X)
    assert_allclose(model.get_param("mean"), X.mean(axis=0), rtol=1e-6)


def test_the_gradient_is_that_of_the_layer():
    X = base_vectors().astype("float64")
    X[2] = 0.0
    model = initialized(X)
    weights = np.random.RandomState(1).normal(size=X.shape)
    _, backprop = model.begin_update(X)
    gradient = backprop(weights)
    numeric = np.zeros_like(X)
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = 1e-6
        difference = model.predict(X + step) - model.predict(X - step)
        numeric[index] = (difference * weights).sum() / 2e-6
    numeric[2] = 0.0  # A document without a vector has no gradient, by definition.
    assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-6)


def test_the_mean_is_not_trained():
    model = initialized(base_vectors())
    _, backprop = model.begin_update(base_vectors())
    backprop(np.ones((6, 5), "float32"))
    assert model.grad_names == ()


def test_the_input_is_not_changed():
    X = base_vectors()
    X.setflags(write=False)
    model = initialized(X)
    Y, backprop = model.begin_update(X)
    backprop(Y)


@pytest.mark.parametrize(
    "clone",
    [
        lambda model: Standardize().from_bytes(model.to_bytes()),
        lambda model: pickle.loads(pickle.dumps(model)),
        copy.deepcopy,
    ],
)
def test_the_mean_survives_bytes_pickle_and_copies(clone):
    X = base_vectors()
    model = initialized(X)
    assert_array_equal(clone(model).predict(X), model.predict(X))
