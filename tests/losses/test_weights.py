"""What the weights of documents mean to every loss: 2 is as if a document were there twice."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import count_labels, pairs_of
from spacy_embtune.losses import (
    make_cosine_pairs,
    make_cross_entropy,
    make_sum,
    make_supervised_contrastive,
)
from spacy_embtune.types import Output

from .pairs_by_hand import (
    BATCHES,
    LOSSES,
    assert_teaches_nothing,
    clean_and_dirty_targets,
    graded_pairs,
    numeric_gradient,
    output,
    take,
)

ALL = {
    **LOSSES,
    "cross_entropy": make_cross_entropy(),
    "cross_entropy, balanced": make_cross_entropy("balanced"),
    "cross_entropy, smoothed": make_cross_entropy(label_smoothing=0.2),
    "sum": make_sum(
        {"labels": make_cross_entropy(), "pairs": make_cosine_pairs()}, {"labels": 0.5}
    ),
}
# Losses whose number differs from that of copies by a constant, and losses whose number is equal.
SHIFTED = [name for name in ALL if name.startswith("supervised_contrastive")]
EQUAL = [name for name in ALL if name not in SHIFTED]

each_loss = pytest.mark.parametrize("loss", ALL.values(), ids=ALL)
each_batch = pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.1, 3.0, 1.5, 0.0, 0.7], dtype="float32")


def with_weights(targets, weights):
    targets = targets._replace(weights=weights)
    return targets._replace(counts=count_labels(targets))


@st.composite
def batches(draw):
    """Targets and output of the same number of documents, and how often each is there."""
    targets, _ = draw(clean_and_dirty_targets())
    n = len(targets.values)
    times = draw(arrays("int64", n, elements=st.integers(0, 3)))
    return targets, output(n, seed=draw(st.integers(0, 99))), times


def copies(loss, out, targets, times):
    """The loss and gradient of a batch in which each document is repeated."""
    rows = np.repeat(np.arange(len(times)), times)
    repeated = with_weights(take(targets, rows), None)
    value, gradient = loss(Output(*(array[rows] for array in out)), repeated)
    folded = []
    for array, of_copies in zip((out.tuned, out.scores), gradient, strict=True):
        folded.append(np.zeros_like(array))
        np.add.at(folded[-1], rows, of_copies)
    return value, *folded


def weighted(loss, out, targets, weights):
    value, gradient = loss(out, with_weights(targets, weights))
    return value, gradient.tuned, gradient.scores


def assert_same(found, expected, rtol=1e-5, atol=1e-7):
    for a, b in zip(found, expected, strict=True):
        assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(batches(), st.sampled_from(EQUAL))
def test_a_weight_is_a_number_of_copies(batch, name):
    targets, out, times = batch
    expected = copies(ALL[name], out, targets, times)
    assert_same(weighted(ALL[name], out, targets, times.astype("float32")), expected)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(batches(), st.sampled_from(SHIFTED))
def test_a_weight_is_a_number_of_copies_up_to_a_constant(batch, name):
    targets, out, times = batch
    other = out._replace(tuned=output(len(times), seed=100).tuned)
    (value, *gradient), (of_other, *_) = (
        weighted(ALL[name], o, targets, times) for o in (out, other)
    )
    (expected, *by_copies), (expected_of_other, *_) = (
        copies(ALL[name], o, targets, times) for o in (out, other)
    )
    assert_same(gradient, by_copies)
    assert value - of_other == pytest.approx(expected - expected_of_other, rel=1e-5, abs=1e-5)


@each_batch
def test_the_constant_is_what_the_copies_of_a_document_have_of_its_chance_each(targets):
    times = np.array([1, 2, 3, 1, 0, 1, 3, 2])
    loss = make_supervised_contrastive(0.5, balanced=False)
    value = weighted(loss, output(), targets, times)[0]
    similarity, weight = pairs_of(targets._replace(weights=times))
    anchors = [len(set(s[w > 0].tolist())) > 1 for s, w in zip(similarity, weight, strict=True)]
    wanted = (similarity * weight)[anchors]
    wanted = wanted / wanted.sum(axis=1, keepdims=True)
    constant = np.average(wanted @ np.log(times.clip(1)), weights=times[anchors])
    assert constant > 0.1
    assert value == pytest.approx(copies(loss, output(), targets, times)[0] - constant, rel=1e-5)


@pytest.mark.parametrize("times", [[1, 2, 3, 1, 3, 1, 2, 2], [3, 1, 0, 2, 1, 1, 1, 3]])
def test_anchors_without_labels_count_by_weight_as_those_with_labels_do(times):
    known = BATCHES["exclusive"].known.copy()
    known[4:] = 0.0
    targets = BATCHES["exclusive"]._replace(known=known, pairs=graded_pairs())
    loss = make_supervised_contrastive()
    found, expected = (f(loss, output(), targets, np.array(times)) for f in (weighted, copies))
    assert found[1][4:].any(axis=1).any()
    assert_same(found[1:], expected[1:])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(batches(), st.sampled_from(list(ALL)), st.floats(0.1, 10))
def test_a_document_of_weight_0_is_left_out(batch, name, scale):
    targets, out, times = batch
    weights = (times * scale).astype("float32")
    rows = np.flatnonzero(weights)
    value, *gradient = weighted(ALL[name], out, targets, weights)
    part = Output(*(array[rows] for array in out))
    expected, *of_part = weighted(ALL[name], part, take(targets, rows), weights[rows])
    assert_same([value, *(g[rows] for g in gradient)], [expected, *of_part])
    for array in gradient:
        assert not array[weights == 0].any()


@each_loss
@each_batch
@pytest.mark.parametrize("constant", [1e-40, 1e-30, 0.1, 1.0, 3.0, 1e30])
def test_weights_that_are_all_the_same_are_as_none(loss, targets, constant):
    out = output()
    expected = weighted(loss, out, targets, None)
    weights = np.full(8, constant, dtype="float32")
    found = loss(out, targets._replace(weights=weights, counts=count_labels(targets)))
    assert_same((found[0], *found[1]), expected, rtol=1e-6, atol=1e-9)


@each_loss
@each_batch
def test_only_proportions_matter(loss, targets):
    expected = weighted(loss, output(), targets, WEIGHTS)
    assert_same(weighted(loss, output(), targets, WEIGHTS * 7.0), expected)


@each_loss
@each_batch
def test_the_gradient_is_that_of_the_loss(loss, targets):
    out, targets = output(), with_weights(targets, WEIGHTS)
    gradient = loss(out, targets)[1]
    assert_allclose(gradient.tuned, numeric_gradient(loss, out, targets), rtol=1e-4, atol=1e-6)
    by_scores = numeric_gradient(
        lambda o, t: loss(out._replace(scores=o.tuned), t), out._replace(tuned=out.scores), targets
    )
    assert_allclose(gradient.scores, by_scores, rtol=1e-4, atol=1e-6)


@each_loss
@each_batch
def test_float32_gives_the_same_as_float64(loss, targets):
    value, gradient = loss(output(), with_weights(targets, WEIGHTS))
    value32, gradient32 = loss(output(dtype="float32"), with_weights(targets, WEIGHTS))
    assert value32 == pytest.approx(value, rel=1e-4)
    for array, array32 in zip(gradient, gradient32, strict=True):
        assert array32.dtype == np.float32
        assert_allclose(array32, array, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", list(ALL))
@each_batch
def test_a_document_of_hardly_any_weight_hardly_matters(name, targets):
    weights = WEIGHTS.copy()
    weights[1] = 0.0
    expected = weighted(ALL[name], output(), targets, weights)
    weights[1] = 1e-12
    assert_same(weighted(ALL[name], output(), targets, weights), expected, rtol=1e-3, atol=1e-4)


@each_loss
@each_batch
def test_weights_as_different_as_can_be_give_finite_numbers(loss, targets):
    weights = np.array([3e38, 1e-40, 1.0, 3e38, 0.0, 1e-20, 1e20, 1e-3], dtype="float32")
    with np.errstate(all="raise", under="ignore"):
        value, gradient = loss(
            output(dtype="float32"), targets._replace(weights=weights, counts=count_labels(targets))
        )
    assert math.isfinite(value)
    assert np.isfinite(gradient.tuned).all()
    assert np.isfinite(gradient.scores).all()


@each_loss
@each_batch
def test_a_batch_of_weight_0_teaches_nothing(loss, targets):
    assert_teaches_nothing(loss, output(), with_weights(targets, np.zeros(8, "float32")))


@each_loss
@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones(7), r"shape \(7,\).*8 documents"),
        (np.ones((8, 1)), r"shape \(8, 1\).*8 documents"),
        (-np.ones(8), "negative or not finite"),
        (np.full(8, math.nan), "negative or not finite"),
    ],
)
def test_weights_that_are_not_valid_are_an_error(loss, weights, match):
    targets = with_weights(BATCHES["exclusive"], None)._replace(weights=weights)
    with pytest.raises(ValueError, match=match):
        loss(output(), targets)


def test_inputs_are_left_as_they_are():
    out, weights = output(), WEIGHTS.copy()
    for loss in ALL.values():
        loss(out, with_weights(BATCHES["graded pairs"], weights))
    assert_array_equal(weights, WEIGHTS)
    assert_array_equal(out.tuned, output().tuned)
