import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from thinc.api import Adam

from spacy_embtune.heads import Linear
from spacy_embtune.heads._output_layer import NEW_LABEL_BIAS, resize_output
from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cross_entropy, make_sum, make_supervised_contrastive
from spacy_embtune.types import HeadOutput, Output

CATS = [{"A": 1.0}, {"B": 1.0}, {"C": 1.0}, {"A": 1.0}, {"B": 1.0}, {"C": 1.0}]
TARGETS = make_targets(CATS, ["A", "B", "C"], exclusive=True)
LABELS = make_cross_entropy()
BOTH = make_sum({"pairs": make_supervised_contrastive(0.2), "labels": LABELS})


def base_vectors(n=6, d=5, seed=0):
    return np.random.RandomState(seed).normal(0.5, 1, (n, d)).astype("float32")


def initialized(X=None):
    return Linear().initialize(X=base_vectors() if X is None else X, Y=TARGETS.values)


def trained(n_steps=3):
    model, optimizer = initialized(), Adam(0.05)
    for _ in range(n_steps):
        output, backprop = model.begin_update(base_vectors())
        backprop(BOTH(Output(base_vectors(), *output), TARGETS)[1])
        model.finish_update(optimizer)
    return model


def test_it_is_registered():
    assert registry.architectures.get("spacy-embtune.Linear.v1") is Linear


def test_widths_are_learned_from_the_data_and_can_be_read():
    model = initialized()
    assert [model.get_dim(name) for name in ("nI", "nH", "nO")] == [5, 5, 3]
    assert model.get_ref("output_layer").get_dim("nO") == 3
    assert Linear(nO=2, nI=4).initialize().predict(base_vectors(3, 4)).scores.shape == (3, 2)


@pytest.mark.parametrize(
    ("data", "missing"),
    [({"X": base_vectors()}, "number of labels"), ({"Y": TARGETS.values}, "width of the base")],
)
def test_an_unknown_width_is_an_error_that_says_which(data, missing):
    with pytest.raises(ValueError, match=missing):
        Linear().initialize(**data)


@pytest.mark.parametrize("n", [0, 1])
def test_batches_of_none_and_one_are_fine(n):
    output, backprop = initialized().begin_update(base_vectors(n))
    assert isinstance(output, HeadOutput)
    assert output.scores.shape == (n, 3)
    assert backprop(output).shape == (n, 5)


def test_the_tuned_vector_is_the_base_vector_always():
    X = base_vectors()
    assert_array_equal(initialized().predict(X).tuned, X)
    assert_array_equal(trained().predict(X).tuned, X)


def test_all_labels_are_equally_likely_at_first():
    assert_array_equal(initialized().predict(base_vectors()).scores, np.zeros((6, 3)))


def test_scores_do_not_depend_on_the_length_of_a_vector():
    X, model = base_vectors(), trained()
    assert_allclose(model.predict(X * 7).scores, model.predict(X).scores, rtol=1e-4)


def test_labels_are_learned_from_vectors_that_stay():
    X, model, optimizer = base_vectors(), initialized(), Adam(0.05)
    for _ in range(100):
        output, backprop = model.begin_update(X)
        backprop(LABELS(Output(X, *output), TARGETS)[1])
        model.finish_update(optimizer)
    assert model.predict(X).scores.argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]


def test_the_gradient_by_finite_differences():
    """It reaches the encoder from both outputs."""
    model = trained()
    X = base_vectors(4, seed=1)
    weights = [base_vectors(4, 5, seed=2), base_vectors(4, 3, seed=3)]

    def loss(X):
        output = model.predict(X.astype("float32"))
        return sum((a.astype("float64") * b).sum() for a, b in zip(output, weights, strict=True))

    _, backprop = model.begin_update(X)
    gradient = backprop(HeadOutput(*weights))
    assert gradient.dtype == np.float32
    for i, j in np.ndindex(*X.shape):
        step = np.zeros_like(X)
        step[i, j] = 1e-2
        expected = (loss(X + step) - loss(X - step)) / 2e-2
        assert gradient[i, j] == pytest.approx(expected, rel=2e-2, abs=2e-3)


def test_a_document_without_a_vector_has_no_part_in_it():
    X = base_vectors()
    X[2] = 0
    model = trained()
    output, backprop = model.begin_update(X)
    assert not output.tuned[2].any()
    assert not output.scores[2].any()
    gradient = backprop(HeadOutput(np.ones((6, 5), "float32"), np.ones((6, 3), "float32")))
    assert not gradient[2].any()
    assert gradient[[0, 1, 3, 4, 5]].all()
    alone = model.get_ref("output_layer").get_grad("W").copy()
    others = trained()
    rows = [0, 1, 3, 4, 5]
    _, backprop = others.begin_update(X[rows])
    backprop(HeadOutput(np.ones((5, 5), "float32"), np.ones((5, 3), "float32")))
    assert_allclose(others.get_ref("output_layer").get_grad("W"), alone, atol=1e-5)


def test_labels_can_be_added():
    model, X = trained(), base_vectors()
    before = model.predict(X).scores
    assert model.attrs["resize_output"] is resize_output
    resize_output(model, 5)
    after = model.predict(X)
    assert_array_equal(after.scores[:, :3], before)
    assert_array_equal(after.scores[:, 3:], np.full((6, 2), NEW_LABEL_BIAS))
    assert_array_equal(after.tuned, X)
    with pytest.raises(ValueError, match="labels can be added, not removed"):
        resize_output(model, 2)


def test_without_labels_it_has_no_scores():
    X = base_vectors()
    model = Linear().initialize(X=X, Y=np.zeros((6, 0), "float32"))
    output, backprop = model.begin_update(X)
    assert output.scores.shape == (6, 0)
    assert_array_equal(backprop(HeadOutput(X, output.scores)), X)
    resize_output(model, 2)
    assert model.predict(X).scores.shape == (6, 2)


@pytest.mark.parametrize(
    "copied",
    [
        lambda model: Linear().from_bytes(model.to_bytes()),
        lambda model: model.copy(),
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
    ],
)
def test_copies_give_the_same(copied):
    model, X = trained(), base_vectors()
    for ours, theirs in zip(model.predict(X), copied(model).predict(X), strict=True):
        assert_array_equal(ours, theirs)
