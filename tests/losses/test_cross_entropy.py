import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from spacy_embtune.labels import count_labels, make_targets
from spacy_embtune.losses import make_cross_entropy
from spacy_embtune.types import Output, Targets


def output(scores):
    scores = np.asarray(scores, dtype="float32")
    n = len(scores)
    return Output(np.ones((n, 4), "float32"), np.ones((n, 2), "float32"), scores)


def random_scores(shape, seed=0):
    return np.random.RandomState(seed).normal(0, 2, shape).astype("float32")


def gradient_of(function, scores):
    """The value of a function of a torch tensor, and its gradient."""
    scores = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    value = function(scores)
    value.backward()
    return value.item(), scores.grad.numpy()


def check(loss, scores, targets, expected, gradient):
    value, d_output = loss(output(scores), targets)
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert d_output.scores.dtype == np.float32
    assert_allclose(d_output.scores, gradient, rtol=1e-4, atol=1e-6)
    assert_array_equal(d_output.tuned, np.zeros((len(scores), 2)))


LABELS = ["A", "B", "C"]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_of_exclusive_classes_it_is_torchs_cross_entropy(smoothing, class_weight):
    cats = [{"A": 1.0}, {"B": 1.0}, {"A": 1.0}, {"C": 1.0}, {"A": 0.25, "C": 0.75}]
    targets = make_targets(cats, LABELS, exclusive=True)
    n_c = count_labels(targets)[0]
    targets = targets._replace(counts=count_labels(targets))
    weight = torch.tensor(n_c.sum() / (3 * n_c)).double() if class_weight else None
    scores = random_scores((5, 3))
    expected = gradient_of(
        lambda s: cross_entropy(
            s, torch.tensor(targets.values).double(), weight, label_smoothing=smoothing
        ),
        scores,
    )
    check(make_cross_entropy(class_weight, smoothing), scores, targets, *expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_of_other_classes_it_is_torchs_binary_cross_entropy_over_what_is_known(
    smoothing, class_weight
):
    cats = [{"A": 1.0, "B": 0.0}, {"B": 1.0, "C": 0.25, "A": 0.0}, {}, {"C": 1.0}]
    targets = make_targets(cats, LABELS, exclusive=False)
    counts = count_labels(targets)
    targets = targets._replace(counts=counts)
    values = torch.tensor(targets.values * (1 - smoothing) + smoothing / 2).double()
    n_pos, n_neg = torch.tensor(counts).double()
    scores = random_scores((4, 3))

    def by_torch(s):
        pos = binary_cross_entropy_with_logits(s, torch.ones_like(s), reduction="none")
        neg = binary_cross_entropy_with_logits(s, torch.zeros_like(s), reduction="none")
        if class_weight:
            pos = pos * (n_pos + n_neg) / (2 * n_pos)
            neg = neg * (n_pos + n_neg) / (2 * n_neg)
        cells = values * pos + (1 - values) * neg
        return cells[torch.tensor(targets.known) > 0].mean()

    check(
        make_cross_entropy(class_weight, smoothing),
        scores,
        targets,
        *gradient_of(by_torch, scores),
    )


def test_a_document_with_only_absent_labels_is_charged_for_their_probability():
    targets = make_targets([{"A": 0.0}, {"A": 0.0, "C": 0.0}, {"B": 1.0}], LABELS, exclusive=True)
    scores = random_scores((3, 3))

    def partial(s):
        p = s.softmax(1)
        return -((p[0, 1] + p[0, 2]).log() + p[1, 1].log() + p[2, 1].log()) / 3

    check(make_cross_entropy(), scores, targets, *gradient_of(partial, scores))


def test_what_graded_exclusive_values_leave_open_goes_to_the_labels_not_looked_at():
    targets = make_targets([{"A": 0.6}, {"A": 0.6, "B": 0.0}], LABELS, exclusive=True)
    scores = random_scores((2, 3))

    def partial(s):
        p = s.softmax(1)
        first = 0.6 * p[0, 0].log() + 0.4 * (p[0, 1] + p[0, 2]).log()
        second = 0.6 * p[1, 0].log() + 0.4 * p[1, 2].log()
        return -(first + second) / 2

    check(make_cross_entropy(), scores, targets, *gradient_of(partial, scores))


def test_balanced_weights_of_a_partial_document_are_those_of_the_mean_count():
    counts = np.array([[6, 1, 3], [0, 0, 0]], dtype="float32")
    targets = make_targets([{"A": 0.0}], LABELS, exclusive=True, counts=counts)
    scores = random_scores((1, 3))
    plain, d_plain = make_cross_entropy()(output(scores), targets)
    weight = 10 / (3 * 2)
    check(make_cross_entropy("balanced"), scores, targets, plain * weight, d_plain.scores * weight)


@pytest.mark.parametrize("exclusive", [True, False])
def test_labels_that_never_occur_weigh_1_and_do_not_count_as_a_class(exclusive):
    counts = np.array([[4, 0, 4], [4, 0, 4]], dtype="float32")
    targets = make_targets(
        [{"A": 1.0, "B": 0.0, "C": 0.0}, {"A": 0.0, "B": 1.0, "C": 0.0}],
        LABELS,
        exclusive=exclusive,
        counts=counts,
    )
    scores = random_scores((2, 3))
    plain, d_plain = make_cross_entropy()(output(scores), targets)
    check(make_cross_entropy("balanced"), scores, targets, plain, d_plain.scores)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("cats", [[], [{}], [{}, {"X": 1.0}]])
def test_nothing_known_gives_no_loss_and_no_gradient(exclusive, cats):
    targets = make_targets(cats, LABELS, exclusive=exclusive)
    scores = random_scores((len(cats), 3))
    check(make_cross_entropy(label_smoothing=0.1), scores, targets, 0.0, np.zeros_like(scores))


def test_an_exclusive_document_that_excludes_every_label_teaches_nothing():
    targets = make_targets([{"A": 0.0, "B": 0.0, "C": 0.0}, {"A": 1.0}], LABELS, exclusive=True)
    scores = random_scores((2, 3))
    expected, gradient = gradient_of(lambda s: -s.log_softmax(1)[1, 0], scores)
    check(make_cross_entropy(label_smoothing=0.0), scores, targets, expected, gradient)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_document_without_knowledge_changes_nothing_for_the_others(exclusive):
    scores = random_scores((3, 3))
    cats = [{"A": 1.0, "B": 0.0}, {}, {"A": 0.0}]
    loss = make_cross_entropy(label_smoothing=0.1)
    value, gradient = loss(output(scores), make_targets(cats, LABELS, exclusive=exclusive))
    alone = make_targets([cats[0], cats[2]], LABELS, exclusive=exclusive)
    expected, expected_gradient = loss(output(scores[[0, 2]]), alone)
    assert value == pytest.approx(expected)
    assert_allclose(gradient.scores[[0, 2]], expected_gradient.scores, rtol=1e-6)
    assert not gradient.scores[1].any()


def test_every_known_value_of_independent_labels_has_the_same_say():
    targets = make_targets([{"A": 1.0}, {"A": 1.0, "B": 0.0, "C": 0.0}], LABELS, exclusive=False)
    gradient = make_cross_entropy()(output(np.zeros((2, 3))), targets)[1].scores
    assert gradient[0, 0] == gradient[1, 0]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_extreme_scores_give_finite_losses_and_gradients(exclusive, class_weight):
    cats = [{"A": 1.0}, {"B": 1.0}, {"A": 0.0}, {"B": 0.0}, {"A": 0.0, "B": 0.0}]
    scores = np.tile(np.array([1e4, -1e4, -1e4], dtype="float32"), (5, 1))
    targets = make_targets(cats, LABELS, exclusive=exclusive)
    targets = targets._replace(counts=count_labels(targets))
    with np.errstate(all="raise", under="ignore"):
        value, gradient = make_cross_entropy(class_weight, 0.01)(output(scores), targets)
    assert math.isfinite(value)
    assert value > 100
    assert np.isfinite(gradient.scores).all()


def test_equal_large_scores_share_their_probability_exactly():
    targets = make_targets([{"A": 1.0}, {"C": 0.0}], LABELS, exclusive=True)
    scores = np.full((2, 3), 1e4, dtype="float32")
    value, gradient = make_cross_entropy()(output(scores), targets)
    assert value == pytest.approx((math.log(3) + math.log(1.5)) / 2, rel=1e-6)
    assert_allclose(gradient.scores * 2, [[-2 / 3, 1 / 3, 1 / 3], [-1 / 6, -1 / 6, 1 / 3]], 1e-5)


garbage = st.sampled_from([math.nan, math.inf, -math.inf, -5.0, 0.5, 1.0, 1e30])


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.data(),
    st.booleans(),
    st.sampled_from([None, "balanced"]),
    st.sampled_from([0.0, 0.2]),
)
def test_what_stands_where_nothing_is_known_changes_neither_loss_nor_gradient(
    data, exclusive, class_weight, smoothing
):
    shape = data.draw(st.tuples(st.integers(0, 5), st.integers(1, 4)))
    known = data.draw(arrays("float32", shape, elements=st.sampled_from([0.0, 1.0])))
    scores = data.draw(arrays("float32", shape, elements=st.floats(-20, 20, width=32)))
    if exclusive:
        carried = data.draw(arrays("int64", shape[:1], elements=st.integers(0, shape[1] - 1)))
        values = np.eye(shape[1], dtype="float32")[carried]
    else:
        values = data.draw(arrays("float32", shape, elements=st.sampled_from([0.0, 0.5, 1.0])))
    clean = Targets(values * known, known, exclusive)
    clean = clean._replace(counts=count_labels(clean))
    junk = data.draw(arrays("float32", shape, elements=garbage.map(np.float32)))
    dirty = clean._replace(values=np.where(known > 0, values, junk))
    loss = make_cross_entropy(class_weight, smoothing)
    value, gradient = loss(output(scores), clean)
    assert loss(output(scores), dirty)[0] == value
    assert_array_equal(loss(output(scores), dirty)[1].scores, gradient.scores)
    assert_array_equal(count_labels(dirty), clean.counts)
    assert math.isfinite(value)
    # A document without knowledge, and a label not known outside exclusive classes, stay alone.
    assert not gradient.scores[~known.any(axis=1)].any()
    if not exclusive:
        assert not gradient.scores[known == 0].any()
    # Softmax gradients neither raise nor lower all scores of a document at once.
    elif class_weight is None:
        assert_allclose(gradient.scores.sum(axis=1), 0.0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([0.0, 0.2]))
def test_the_gradient_is_that_of_the_loss(data, exclusive, smoothing):
    shape = (3, 3)
    known = data.draw(arrays("float32", shape, elements=st.sampled_from([0.0, 1.0])))
    values = np.eye(3) if exclusive else data.draw(arrays("float32", shape, elements=st.just(1)))
    scores = data.draw(arrays("float64", shape, elements=st.floats(-3, 3)))
    targets = Targets(values * known, known, exclusive)
    targets = targets._replace(counts=np.array([[1, 5, 2], [3, 1, 4]], dtype="float32"))
    loss = make_cross_entropy("balanced", smoothing)
    out = output(scores)._replace(scores=scores)
    gradient = loss(out, targets)[1].scores
    numeric = np.zeros(shape)
    for index in np.ndindex(shape):
        step = np.zeros(shape)
        step[index] = 1e-5
        numeric[index] = (
            loss(out._replace(scores=scores + step), targets)[0]
            - loss(out._replace(scores=scores - step), targets)[0]
        ) / 2e-5
    assert_allclose(gradient, numeric, atol=1e-6)


@pytest.mark.parametrize("counts", [None, np.ones((2, 2), dtype="float32")])
def test_balanced_weights_without_fitting_counts_are_an_error_with_its_cure(counts):
    targets = make_targets([{"A": 1.0}], LABELS, exclusive=True, counts=counts)
    with pytest.raises(ValueError, match=r"count_labels.*class_weight = null"):
        make_cross_entropy("balanced")(output(np.zeros((1, 3))), targets)


def test_targets_of_other_labels_than_the_scores_are_an_error():
    targets = make_targets([{"A": 1.0}], LABELS, exclusive=True)
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 3\)"):
        make_cross_entropy()(output(np.zeros((1, 2))), targets)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"class_weight": "equal"}, "class_weight"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"label_smoothing": math.nan}, "label_smoothing"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=name):
        make_cross_entropy(**arguments)


def test_the_loss_pickles():
    loss = make_cross_entropy("balanced", 0.1)
    assert pickle.loads(pickle.dumps(loss)) == loss


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.0, 2.0, 0.5], dtype="float32")])
def test_the_loss_of_many_labels_is_computed_where_they_are_known(
    monkeypatch, class_weight, weights
):
    rng = np.random.RandomState(0)
    scores = rng.normal(size=(4, 30)).astype("float32")
    known = (rng.rand(4, 30) < 0.2).astype("float32")
    values = known * rng.choice([0.0, 0.25, 1.0], size=(4, 30)).astype("float32")
    counts = rng.randint(0, 4, size=(2, 30)).astype("float32")
    targets = Targets(values, known, exclusive=False, counts=counts, weights=weights)
    base = np.ones((4, 2), dtype="float32")
    loss = make_cross_entropy(class_weight=class_weight, label_smoothing=0.1)
    dense = loss(Output(base, base, scores), targets)
    monkeypatch.setattr("spacy_embtune.losses.cross_entropy.MOST_DENSE", 0)
    sparse = loss(Output(base, base, scores), targets)
    assert sparse[0] == pytest.approx(dense[0], rel=1e-6)
    np.testing.assert_array_equal(sparse[1].scores, dense[1].scores)
    assert sparse[1].scores.dtype == scores.dtype
