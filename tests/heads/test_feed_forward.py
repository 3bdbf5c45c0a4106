import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Model, chain, fix_random_seed, noop, registry, set_dropout_rate

from spacy_embtune.heads import FeedForward
from spacy_embtune.heads._output_layer import NEW_LABEL_BIAS, resize_output
from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cross_entropy
from spacy_embtune.types import HeadOutput, Output

ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "mish": torch.nn.functional.mish,
    "relu": torch.relu,
    "swish": torch.nn.functional.silu,
    "tanh": torch.tanh,
}
CATS = [{"A": 1.0}, {"B": 1.0}, {"C": 1.0}, {"A": 1.0}, {"B": 1.0}, {"C": 1.0}]
TARGETS = make_targets(CATS, ["A", "B", "C"], exclusive=True)
LOSS = make_cross_entropy()


@pytest.fixture(autouse=True)
def _seed():
    fix_random_seed(0)


def base_vectors(n=6, d=5):
    return np.random.RandomState(0).normal(0.5, 1, (n, d)).astype("float32")


def head(**settings):
    return FeedForward(**{"hidden_width": 8, "dropout": None, **settings})


def initialized(**settings):
    return head(**settings).initialize(X=base_vectors(), Y=TARGETS.values)


def step(model, X, optimizer, targets=TARGETS):
    output, backprop = model.begin_update(X)
    value, gradient = LOSS(Output(X, *output), targets)
    backprop(gradient)
    model.finish_update(optimizer)
    return value


def assert_same_output(one, other, X):
    for ours, theirs in zip(one.predict(X), other.predict(X), strict=True):
        assert_array_equal(ours, theirs)


def test_widths_are_learned_from_the_data_and_can_be_read():
    model = initialized()
    assert {name: model.get_dim(name) for name in ("nI", "nH", "nO")} == {"nI": 5, "nH": 8, "nO": 3}
    output = model.predict(base_vectors())
    assert isinstance(output, HeadOutput)
    assert output.tuned.shape == (6, 8)
    assert output.scores.shape == (6, 3)
    assert output.tuned.dtype == output.scores.dtype == np.float32
    assert model.get_ref("output_layer").get_dim("nO") == 3
    assert model.get_ref("hidden").get_dim("nO") == 8
    assert model.get_ref("standardize").get_dim("nI") == 5


def test_labels_may_be_given_as_a_heads_output():
    Y = HeadOutput(np.zeros((2, 8), "float32"), np.zeros((2, 4), "float32"))
    assert head().initialize(X=base_vectors(), Y=Y).get_dim("nO") == 4


def test_widths_given_beforehand_need_no_data():
    assert head(nI=4, nO=2).initialize().predict(base_vectors(3, 4)).scores.shape == (3, 2)


@pytest.mark.parametrize(
    ("data", "missing"),
    [({"X": base_vectors()}, "number of labels"), ({"Y": TARGETS.values}, "width of the base")],
)
def test_an_unknown_width_is_an_error_that_says_which(data, missing):
    with pytest.raises(ValueError, match=missing):
        head().initialize(**data)


@pytest.mark.parametrize("n", [0, 1])
def test_batches_of_none_and_one_are_fine(n):
    model = initialized()
    output, backprop = model.begin_update(base_vectors(n))
    assert output.tuned.shape == (n, 8)
    assert output.scores.shape == (n, 3)
    assert backprop(output).shape == (n, 5)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_output_and_gradients_are_those_of_the_same_network_in_torch(activation):
    model = initialized(activation=activation)
    X = base_vectors()
    X[4] = 0.0
    output, backprop = model.begin_update(X)
    rng = np.random.RandomState(1)
    gradient = HeadOutput(
        rng.normal(size=(6, 8)).astype("float32"), rng.normal(size=(6, 3)).astype("float32")
    )
    dX = backprop(gradient)

    names = ("hidden", "output_layer")
    params = {
        (ref, name): torch.tensor(model.get_ref(ref).get_param(name)).double().requires_grad_()
        for ref in names
        for name in ("W", "b")
    }
    x = torch.tensor(X).double().requires_grad_()
    present = (x != 0).any(1, keepdim=True)
    centred = x - torch.tensor(model.get_ref("standardize").get_param("mean"))
    z = centred / centred.norm(dim=1, keepdim=True) * 5**0.5
    tuned = ACTIVATIONS[activation](z @ params["hidden", "W"].T + params["hidden", "b"]) * present
    scores = tuned @ params["output_layer", "W"].T + params["output_layer", "b"] * present
    assert_allclose(output.tuned, tuned.detach(), rtol=1e-3, atol=1e-5)
    assert_allclose(output.scores, scores.detach(), rtol=1e-3, atol=1e-5)
    torch.autograd.backward([tuned, scores], [torch.tensor(g).double() for g in gradient])
    assert_allclose(dX, x.grad, rtol=1e-3, atol=1e-4)
    for (ref, name), parameter in params.items():
        ours = model.get_ref(ref).get_grad(name)
        assert_allclose(ours, parameter.grad, rtol=1e-3, atol=1e-4)


def test_a_document_without_a_vector_gives_zeros_and_teaches_nothing():
    model = initialized(dropout=0.0)
    step(model, base_vectors(), Adam(0.1))  # So that no bias is 0.
    X = base_vectors()
    X[1] = 0.0
    output, backprop = model.begin_update(X)
    assert not output.tuned[1].any()
    assert not output.scores[1].any()
    nothing = HeadOutput(np.zeros((6, 8), "float32"), np.zeros((6, 3), "float32"))
    nothing.tuned[1] = nothing.scores[1] = 7.0
    assert not backprop(nothing).any()
    for node in model.walk():
        for name in node.grad_names:
            assert not node.get_grad(name).any()


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_it_overfits_a_tiny_problem(activation):
    model = initialized(activation=activation, dropout=0.0)
    optimizer = Adam(0.02)
    values = [step(model, base_vectors(), optimizer) for _ in range(200)]
    assert values[-1] < 0.01 < values[0]
    scores = model.predict(base_vectors()).scores
    assert_array_equal(scores.argmax(axis=1), TARGETS.values.argmax(axis=1))


def test_a_rate_of_its_own_is_not_touched_and_without_one_the_trainers_is_followed():
    own, follows = initialized(dropout=0.5), initialized(dropout=None)
    X = base_vectors()

    def is_dropped(model):
        plain = model.predict(X)
        output, _ = model.begin_update(X)
        # The tuned vectors are those of a prediction, whatever is dropped behind them. Training and
        # prediction multiply with two products, whose last bits differ.
        assert_allclose(output.tuned, plain.tuned, atol=1e-6)
        return not np.allclose(output.scores, plain.scores, atol=1e-5)

    assert is_dropped(own)
    assert not is_dropped(follows)
    for model in (own, follows):
        set_dropout_rate(model, 0.4)
    assert is_dropped(follows)
    for model in (own, follows):
        set_dropout_rate(model, 0.0)
    assert is_dropped(own)
    assert not is_dropped(follows)


def test_what_is_dropped_has_no_gradient():
    model = initialized(dropout=0.5)
    _, backprop = model.begin_update(base_vectors())
    backprop(HeadOutput(np.zeros((6, 8), "float32"), np.ones((6, 3), "float32")))
    once = model.get_ref("output_layer").get_grad("W").copy()
    predicted = model.predict(base_vectors()).tuned
    assert not np.allclose(once, np.tile(predicted.sum(axis=0), (3, 1)))


def test_the_optimizers_averages_are_used_and_put_back():
    model = initialized()
    optimizer = Adam(0.1)
    for _ in range(5):
        step(model, base_vectors(), optimizer)
    before = model.predict(base_vectors())
    output_layer = model.get_ref("output_layer")
    with model.use_params(optimizer.averages):
        assert_array_equal(output_layer.get_param("W"), optimizer.averages[(output_layer.id, "W")])
        averaged = model.predict(base_vectors())
    assert not np.allclose(averaged.scores, before.scores)
    assert_array_equal(model.predict(base_vectors()).scores, before.scores)


def test_initializing_again_starts_anew():
    model = initialized()
    for _ in range(5):
        step(model, base_vectors(), Adam(0.1))
    fix_random_seed(3)
    model.initialize(X=base_vectors(), Y=TARGETS.values)
    fix_random_seed(3)
    assert_same_output(model, initialized(), base_vectors())


# Resizing


@pytest.mark.parametrize("train", [False, True])
def test_resizing_keeps_trained_rows_bitwise_and_new_labels_start_improbable(train):
    model = initialized()
    if train:
        step(model, base_vectors(), Adam(0.1))
    before = model.predict(base_vectors())
    W = model.get_ref("output_layer").get_param("W").copy()
    assert model.attrs["resize_output"](model, 5) is model
    assert model.get_dim("nO") == model.get_ref("output_layer").get_dim("nO") == 5
    assert model.get_ref("output_layer") is model.layers[-1]
    assert_array_equal(model.get_ref("output_layer").get_param("W")[:3], W)
    after = model.predict(base_vectors())
    assert_array_equal(after.tuned, before.tuned)
    assert_allclose(after.scores[:, :3], before.scores, rtol=1e-6)
    assert_array_equal(after.scores[:, 3:], np.full((6, 2), NEW_LABEL_BIAS))


def test_a_new_label_is_learned_with_the_optimizer_that_trained_the_old_ones():
    model = initialized()
    optimizer = Adam(0.02)
    step(model, base_vectors(), optimizer)
    resize_output(model, 4)
    targets = make_targets([*CATS[:5], {"D": 1.0}], ["A", "B", "C", "D"], exclusive=True)
    for _ in range(200):
        value = step(model, base_vectors(), optimizer, targets)
    assert value < 0.02
    assert model.predict(base_vectors()).scores[5].argmax() == 3


def test_an_uninitialized_head_can_be_resized_in_both_directions():
    model = head()
    for new_nO in (7, 2):
        resize_output(model, new_nO)
        assert model.get_dim("nO") == new_nO
    assert model.initialize(X=base_vectors()).predict(base_vectors()).scores.shape == (6, 2)


def test_trained_labels_cannot_get_lost_and_the_same_number_changes_nothing():
    model = initialized()
    output_layer = model.get_ref("output_layer")
    assert resize_output(model, 3).get_ref("output_layer") is output_layer
    with pytest.raises(ValueError, match="from 3 to 2 labels"):
        resize_output(model, 2)


def test_a_resized_head_loads_into_a_fresh_one_and_can_be_resized_again():
    model = resize_output(initialized(), 5)
    fresh = head().from_bytes(model.to_bytes())
    assert_same_output(fresh, model, base_vectors())
    assert_same_output(resize_output(fresh, 6), resize_output(model, 6), base_vectors())
    assert head().from_bytes(fresh.to_bytes()).get_ref("output_layer").get_dim("nO") == 6


def test_a_head_inside_a_larger_model_can_be_resized():
    model = initialized()
    larger: Model = chain(noop(), model)
    resize_output(model, 4)
    assert larger.predict(base_vectors()).scores.shape == (6, 4)


# Bytes and copies


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("dropout", [None, 0.3])
def test_bytes_of_a_trained_head_load_into_a_fresh_one(activation, dropout):
    model = initialized(activation=activation, dropout=dropout)
    step(model, base_vectors(), Adam(0.1))
    fresh = head(activation=activation, dropout=dropout).from_bytes(model.to_bytes())
    assert_same_output(fresh, model, base_vectors())
    assert fresh.to_bytes() == model.to_bytes()
    assert {"resize_output"} <= set(fresh.attrs)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize(
    "clone", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, lambda m: m.copy()]
)
def test_a_clone_does_the_same_and_is_independent(clone, activation):
    model = initialized(activation=activation)
    cloned = clone(model)
    assert_same_output(cloned, model, base_vectors())
    step(cloned, base_vectors(), Adam(0.1))
    assert not np.array_equal(
        cloned.predict(base_vectors()).scores, model.predict(base_vectors()).scores
    )


def test_an_uninitialized_head_pickles():
    model = pickle.loads(pickle.dumps(head()))
    model.initialize(X=base_vectors(), Y=TARGETS.values)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"hidden_width": 0}, "hidden_width"),
        ({"hidden_width": 1.5}, "hidden_width"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"activation": "sigmoid"}, r"activation.*gelu"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(settings, name):
    with pytest.raises(ValueError, match=name):
        FeedForward(**settings)


def test_a_config_can_describe_the_head():
    registry.layers("test-embtune.FeedForward.v1", func=FeedForward)
    config = {"head": {"@layers": "test-embtune.FeedForward.v1", "dropout": None, "nO": 2}}
    model = registry.resolve(config)["head"]
    assert model.get_dim("nH") == 200
    assert model.get_dim("nO") == 2
