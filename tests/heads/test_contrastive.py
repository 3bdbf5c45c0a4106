import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy import registry
from thinc.api import Adam, fix_random_seed, set_dropout_rate

from spacy_embtune.heads import Contrastive
from spacy_embtune.heads._layers import Projection
from spacy_embtune.heads._output_layer import NEW_LABEL_BIAS, resize_output
from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cross_entropy, make_sum, make_supervised_contrastive
from spacy_embtune.types import HeadOutput, Output

CATS = [{"A": 1.0}, {"B": 1.0}, {"C": 1.0}, {"A": 1.0}, {"B": 1.0}, {"C": 1.0}]
TARGETS = make_targets(CATS, ["A", "B", "C"], exclusive=True)
LABELS = make_cross_entropy()
PAIRS = make_supervised_contrastive(0.2)
BOTH = make_sum({"pairs": PAIRS, "labels": LABELS})

# What the head may look like: the usual, another width of both kinds, and not residual.
SHAPES = {
    "residual": {},
    "narrow": {"output_width": 3},
    "wide": {"output_width": 9},
    "not residual": {"output_width": 4, "residual": False},
}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@pytest.fixture(autouse=True)
def _seed():
    fix_random_seed(0)


def base_vectors(n=6, d=5):
    return np.random.RandomState(0).normal(0.5, 1, (n, d)).astype("float32")


def head(**settings):
    return Contrastive(**{"hidden_width": 8, "dropout": None, **settings})


def initialized(**settings):
    return head(**settings).initialize(X=base_vectors(), Y=TARGETS.values)


def step(model, X, optimizer, targets=TARGETS, loss=BOTH):
    output, backprop = model.begin_update(X)
    value, gradient = loss(Output(X, *output), targets)
    backprop(gradient)
    model.finish_update(optimizer)
    return value


def trained(**settings):
    model = initialized(**settings)
    optimizer = Adam(0.05)
    for _ in range(3):
        step(model, base_vectors(), optimizer)
    return model


def assert_same_output(one, other, X):
    for ours, theirs in zip(one.predict(X), other.predict(X), strict=True):
        assert_array_equal(ours, theirs)


def cosines(X):
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    return unit @ unit.T


@each_shape
def test_widths_are_learned_from_the_data_and_can_be_read(shape):
    model = initialized(**shape)
    width = shape.get("output_width", 5)
    dims = {name: model.get_dim(name) for name in ("nI", "nH", "nO")}
    assert dims == {"nI": 5, "nH": width, "nO": 3}
    output = model.predict(base_vectors())
    assert isinstance(output, HeadOutput)
    assert output.tuned.shape == (6, width)
    assert output.scores.shape == (6, 3)
    assert output.tuned.dtype == output.scores.dtype == np.float32
    assert model.get_ref("output_layer").get_dim("nO") == 3
    assert model.get_ref("hidden").get_dim("nO") == 8


@each_shape
def test_widths_given_beforehand_need_no_data(shape):
    model = head(nI=4, nO=2, **shape).initialize()
    assert model.predict(base_vectors(3, 4)).scores.shape == (3, 2)


@pytest.mark.parametrize(
    ("data", "missing"),
    [({"X": base_vectors()}, "number of labels"), ({"Y": TARGETS.values}, "width of the base")],
)
def test_an_unknown_width_is_an_error_that_says_which(data, missing):
    with pytest.raises(ValueError, match=missing):
        head().initialize(**data)


@each_shape
@pytest.mark.parametrize("n", [0, 1])
def test_batches_of_none_and_one_are_fine(n, shape):
    output, backprop = initialized(**shape).begin_update(base_vectors(n))
    assert output.scores.shape == (n, 3)
    assert backprop(output).shape == (n, 5)


# Before training


def test_it_starts_as_the_standardised_base_vectors():
    model = initialized()
    standardised = model.get_ref("standardize").predict(base_vectors())
    assert_array_equal(model.predict(base_vectors()).tuned, standardised)
    assert_array_equal(model.begin_update(base_vectors())[0].tuned, standardised)


def test_a_wider_tuned_vector_starts_with_the_same_cosines_and_variance():
    model = initialized(output_width=9)
    standardised = model.get_ref("standardize").predict(base_vectors())
    tuned = model.predict(base_vectors()).tuned
    assert_allclose(cosines(tuned), cosines(standardised), atol=1e-5)
    assert_allclose((tuned**2).mean(axis=1), 1.0, rtol=1e-5)


def test_a_narrower_tuned_vector_starts_with_about_the_same_cosines_and_variance():
    X = base_vectors(50, 400)
    model = Contrastive(output_width=200).initialize(X=X, Y=TARGETS.values)
    standardised = model.get_ref("standardize").predict(X)
    tuned = model.predict(X).tuned
    assert np.abs(cosines(tuned) - cosines(standardised)).mean() < 200**-0.5
    assert_allclose((tuned**2).mean(axis=1), 1.0, atol=0.3)
    W = model.get_ref("project").get_param("W")
    assert_allclose(W @ W.T, np.eye(200), atol=1e-5)


def test_without_the_residual_it_starts_at_random():
    tuned = initialized(residual=False).predict(base_vectors()).tuned
    assert tuned.any()
    standardised = initialized().predict(base_vectors()).tuned
    assert not np.allclose(cosines(tuned), cosines(standardised), atol=0.1)


@each_shape
def test_before_labels_are_learned_all_are_equally_likely(shape):
    assert not initialized(**shape).predict(base_vectors()).scores.any()


@each_shape
def test_a_loss_on_pairs_leaves_the_scores_alone(shape):
    model = initialized(**shape)
    step(model, base_vectors(), Adam(0.1), loss=PAIRS)
    assert not model.predict(base_vectors()).scores.any()


def test_the_projection_is_not_trained():
    model = initialized(output_width=3)
    W = model.get_ref("project").get_param("W").copy()
    step(model, base_vectors(), Adam(0.1))
    assert_array_equal(model.get_ref("project").get_param("W"), W)


def test_a_projection_to_the_same_width_is_the_identity():
    model = Projection(5, 5).initialize()
    Y, backprop = model.begin_update(base_vectors())
    assert_array_equal(Y, base_vectors())
    assert_array_equal(backprop(Y), Y)


# Gradients


@each_shape
def test_output_and_gradients_are_those_of_the_same_network_in_torch(shape):
    # Trained for a while, so that no weights are 0.
    model = trained(**shape)
    X = base_vectors()
    X[4] = 0.0
    output, backprop = model.begin_update(X)
    rng = np.random.RandomState(1)
    gradient = HeadOutput(*(rng.normal(size=array.shape).astype("float32") for array in output))
    dX = backprop(gradient)

    params = {
        (ref, name): torch.tensor(model.get_ref(ref).get_param(name)).double().requires_grad_()
        for ref in ("hidden", "update", "output_layer")
        for name in ("W", "b")
    }
    x = torch.tensor(X).double().requires_grad_()
    present = (x != 0).any(1, keepdim=True)
    centred = x - torch.tensor(model.get_ref("standardize").get_param("mean"))
    z = centred / centred.norm(dim=1, keepdim=True) * 5**0.5
    hidden = torch.nn.functional.gelu(z @ params["hidden", "W"].T + params["hidden", "b"])
    tuned = hidden @ params["update", "W"].T + params["update", "b"]
    if shape.get("residual", True):
        project = model.get_ref("project")
        W = torch.tensor(project.get_param("W") if project.has_param("W") else np.eye(5))
        tuned = tuned + z @ W.double().T
    tuned = tuned * present
    unit = torch.nn.functional.normalize(tuned, dim=1) * tuned.shape[1] ** 0.5
    scores = (unit @ params["output_layer", "W"].T + params["output_layer", "b"]) * present
    assert_allclose(output.tuned, tuned.detach(), rtol=1e-3, atol=1e-4)
    assert_allclose(output.scores, scores.detach(), rtol=1e-3, atol=1e-4)
    torch.autograd.backward([tuned, scores], [torch.tensor(g).double() for g in gradient])
    assert_allclose(dX, x.grad, rtol=1e-2, atol=1e-3)
    for (ref, name), parameter in params.items():
        ours = model.get_ref(ref).get_grad(name)
        assert_allclose(ours, parameter.grad, rtol=1e-2, atol=1e-3)


@each_shape
def test_a_document_without_a_vector_gives_zeros_and_teaches_nothing(shape):
    model = trained(**shape)  # So that no bias is 0.
    X = base_vectors()
    X[1] = 0.0
    output, backprop = model.begin_update(X)
    assert not output.tuned[1].any()
    assert not output.scores[1].any()
    nothing = HeadOutput(*(np.zeros_like(array) for array in output))
    nothing.tuned[1] = nothing.scores[1] = 7.0
    assert not backprop(nothing).any()
    for node in model.walk():
        for name in node.grad_names:
            assert not node.get_grad(name).any()


@each_shape
@pytest.mark.parametrize("loss", [PAIRS, LABELS, BOTH], ids=["pairs", "labels", "both"])
def test_it_overfits_a_tiny_problem(shape, loss):
    model = initialized(dropout=0.0, **shape)
    optimizer = Adam(0.02)
    values = [step(model, base_vectors(), optimizer, loss=loss) for _ in range(200)]
    assert values[-1] < 0.05 < values[0]
    tuned, scores = model.predict(base_vectors())
    if loss is not LABELS:
        nearest = (cosines(tuned) - 2 * np.eye(6)).argmax(axis=1)
        assert_array_equal(nearest, [3, 4, 5, 0, 1, 2])
    if loss is not PAIRS:
        assert_array_equal(scores.argmax(axis=1), TARGETS.values.argmax(axis=1))


def test_a_rate_of_its_own_is_not_touched_and_without_one_the_trainers_is_followed():
    own, follows = trained(dropout=0.5), trained(dropout=None)
    X = base_vectors()

    def is_dropped(model):
        # Training and prediction multiply with two products, whose last bits differ.
        return not np.allclose(model.begin_update(X)[0].tuned, model.predict(X).tuned, atol=1e-5)

    assert is_dropped(own)
    assert not is_dropped(follows)
    for model in (own, follows):
        set_dropout_rate(model, 0.4)
    assert is_dropped(follows)
    for model in (own, follows):
        set_dropout_rate(model, 0.0)
    assert is_dropped(own)
    assert not is_dropped(follows)


def test_what_is_dropped_still_has_the_residual():
    model = trained(dropout=0.99)
    update = model.get_ref("update")
    update.set_param("b", update.get_param("b") * 0)
    dropped = model.begin_update(base_vectors())[0].tuned
    standardised = model.get_ref("standardize").predict(base_vectors())
    assert (np.abs(dropped - standardised).max(axis=1) < 1e-6).any()


def test_the_optimizers_averages_are_used_and_put_back():
    model = initialized()
    optimizer = Adam(0.1)
    for _ in range(5):
        step(model, base_vectors(), optimizer)
    before = model.predict(base_vectors())
    update = model.get_ref("update")
    with model.use_params(optimizer.averages):
        assert_array_equal(update.get_param("W"), optimizer.averages[(update.id, "W")])
        averaged = model.predict(base_vectors())
    assert not np.allclose(averaged.tuned, before.tuned)
    assert_array_equal(model.predict(base_vectors()).tuned, before.tuned)


@each_shape
def test_initializing_again_starts_anew(shape):
    model = trained(**shape)
    fix_random_seed(3)
    model.initialize(X=base_vectors(), Y=TARGETS.values)
    fix_random_seed(3)
    assert_same_output(model, initialized(**shape), base_vectors())


# Resizing


@each_shape
def test_resizing_keeps_trained_rows_bitwise_and_new_labels_start_improbable(shape):
    model = trained(**shape)
    before = model.predict(base_vectors())
    W = model.get_ref("output_layer").get_param("W").copy()
    assert model.attrs["resize_output"](model, 5) is model
    assert model.get_dim("nO") == model.get_ref("output_layer").get_dim("nO") == 5
    assert model.get_ref("output_layer") is model.layers[-1]
    assert_array_equal(model.get_ref("output_layer").get_param("W")[:3], W)
    after = model.predict(base_vectors())
    assert_array_equal(after.tuned, before.tuned)
    assert_allclose(after.scores[:, :3], before.scores, rtol=1e-5)
    assert_array_equal(after.scores[:, 3:], np.full((6, 2), NEW_LABEL_BIAS))


def test_a_new_label_is_learned_with_the_optimizer_that_trained_the_old_ones():
    model = initialized()
    optimizer = Adam(0.02)
    step(model, base_vectors(), optimizer)
    resize_output(model, 4)
    targets = make_targets([*CATS[:5], {"D": 1.0}], ["A", "B", "C", "D"], exclusive=True)
    for _ in range(200):
        value = step(model, base_vectors(), optimizer, targets, loss=LABELS)
    assert value < 0.02
    assert model.predict(base_vectors()).scores[5].argmax() == 3


def test_an_uninitialized_head_can_be_resized_in_both_directions():
    model = head()
    for new_nO in (7, 2):
        resize_output(model, new_nO)
        assert model.get_dim("nO") == new_nO
    assert model.initialize(X=base_vectors()).predict(base_vectors()).scores.shape == (6, 2)


def test_trained_labels_cannot_get_lost():
    with pytest.raises(ValueError, match="from 3 to 2 labels"):
        resize_output(initialized(), 2)


# Bytes and copies


@each_shape
@pytest.mark.parametrize("dropout", [None, 0.3])
def test_bytes_of_a_trained_head_load_into_a_fresh_one(shape, dropout):
    model = trained(dropout=dropout, **shape)
    fresh = head(dropout=dropout, **shape).from_bytes(model.to_bytes())
    assert_same_output(fresh, model, base_vectors())
    assert fresh.to_bytes() == model.to_bytes()
    assert fresh.get_dim("nH") == model.get_dim("nH")
    resized = resize_output(fresh, 4)
    assert_same_output(
        head(dropout=dropout, **shape).from_bytes(resized.to_bytes()), resized, base_vectors()
    )


@each_shape
@pytest.mark.parametrize(
    "clone", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, lambda m: m.copy()]
)
def test_a_clone_does_the_same_and_is_independent(clone, shape):
    model = trained(**shape)
    cloned = clone(model)
    assert_same_output(cloned, model, base_vectors())
    step(cloned, base_vectors(), Adam(0.1))
    assert not np.array_equal(
        cloned.predict(base_vectors()).tuned, model.predict(base_vectors()).tuned
    )


@each_shape
def test_an_uninitialized_head_pickles(shape):
    model = pickle.loads(pickle.dumps(head(**shape)))
    model.initialize(X=base_vectors(), Y=TARGETS.values)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"hidden_width": 0}, "hidden_width"),
        ({"hidden_width": 1.5}, "hidden_width"),
        ({"output_width": 0}, "output_width"),
        ({"output_width": True}, "output_width"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(settings, name):
    with pytest.raises(ValueError, match=name):
        Contrastive(**settings)


def test_a_config_can_describe_the_head():
    config = {"head": {"@architectures": "spacy-embtune.Contrastive.v1", "output_width": 64}}
    model = registry.resolve(config)["head"]
    assert model.get_dim("nH") == 64
    assert model.layers[1].get_dim("nO") == 384
