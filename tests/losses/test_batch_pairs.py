"""What holds for every loss on pairs."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import make_targets
from spacy_embtune.losses import (
    make_cosine_pairs,
    make_preserve,
    make_supervised_contrastive,
)
from spacy_embtune.losses._batch_pairs import compare, cosines
from spacy_embtune.types import Output, PairTargets

from .pairs_by_hand import (
    BATCHES,
    EXCLUSIVE,
    LABELS,
    LOSSES,
    assert_teaches_nothing,
    clean_and_dirty_targets,
    numeric_gradient,
    output,
    take,
)

SUPERVISED = {name: loss for name, loss in LOSSES.items() if name != "preserve"}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
each_supervised = pytest.mark.parametrize("loss", SUPERVISED.values(), ids=SUPERVISED)
each_batch = pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)


@each_loss
@each_batch
def test_the_gradient_is_that_of_the_loss(loss, targets):
    out = output()
    assert loss(out, targets)[0] > 0
    assert_allclose(
        loss(out, targets)[1].tuned, numeric_gradient(loss, out, targets), rtol=1e-4, atol=1e-6
    )


@each_loss
@each_batch
def test_float32_gives_the_same_as_float64(loss, targets):
    value, gradient = loss(output(), targets)
    value32, gradient32 = loss(output(dtype="float32"), targets)
    assert isinstance(value32, float)
    assert value32 == pytest.approx(value, rel=1e-4)
    assert gradient32.tuned.dtype == gradient32.scores.dtype == np.float32
    assert_allclose(gradient32.tuned, gradient.tuned, rtol=1e-3, atol=1e-5)


@each_loss
@each_batch
def test_a_step_against_the_gradient_lowers_the_loss(loss, targets):
    out = output()
    value, gradient = loss(out, targets)
    assert loss(out._replace(tuned=out.tuned - 0.01 * gradient.tuned), targets)[0] < value


@each_loss
@each_batch
def test_only_directions_matter(loss, targets):
    out = output()
    value, gradient = loss(out, targets)
    longer = loss(out._replace(tuned=out.tuned * 4.0), targets)
    assert longer[0] == pytest.approx(value)
    assert_allclose(longer[1].tuned * 4.0, gradient.tuned, atol=1e-9)
    assert_allclose((gradient.tuned * out.tuned).sum(axis=1), 0.0, atol=1e-9)


@each_loss
@each_batch
def test_the_order_of_the_documents_does_not_matter(loss, targets):
    out, order = output(), [3, 1, 7, 0, 2, 6, 5, 4]
    value, gradient = loss(out, targets)
    reordered = loss(Output(*(array[order] for array in out)), take(targets, order))
    assert reordered[0] == pytest.approx(value)
    assert_allclose(reordered[1].tuned, gradient.tuned[order], atol=1e-9)


@each_loss
@each_batch
@pytest.mark.parametrize("which", ["base", "tuned"])
def test_documents_without_a_vector_take_no_part(loss, targets, which):
    out = output()
    rows = [0, 1, 3, 4, 6, 7]
    getattr(out, which)[[2, 5]] = 0.0
    value, gradient = loss(out, targets)
    expected = loss(Output(*(array[rows] for array in out)), take(targets, rows))
    assert value == pytest.approx(expected[0])
    assert_allclose(gradient.tuned[rows], expected[1].tuned, atol=1e-9)
    assert_array_equal(gradient.tuned[[2, 5]], np.zeros((2, 4)))


@each_supervised
def test_documents_of_which_nothing_is_known_take_no_part(loss):
    value, gradient = loss(output(), EXCLUSIVE)
    out = output()
    expected = loss(Output(*(array[:7] for array in out)), take(EXCLUSIVE, list(range(7))))
    assert value == pytest.approx(expected[0])
    assert_allclose(gradient.tuned[:7], expected[1].tuned, atol=1e-9)
    assert not gradient.tuned[7].any()


@each_supervised
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("cats", [[], [{"A": 1.0}], [{}, {}, {}], [{"A": 1.0}, {"B": 0.0}, {}]])
def test_no_known_pair_gives_no_loss_and_no_gradient(loss, cats, exclusive):
    targets = make_targets(cats, LABELS, exclusive=exclusive)
    assert_teaches_nothing(loss, output(len(cats)), targets)


@each_loss
@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_documents_teach_nothing(loss, n):
    assert_teaches_nothing(loss, output(n), make_targets([{"A": 1.0}] * n, LABELS, exclusive=True))


@each_loss
def test_one_class_alone_gives_finite_numbers(loss):
    targets = make_targets([{"A": 1.0}] * 5, LABELS, exclusive=True)
    value, gradient = loss(output(5), targets)
    assert math.isfinite(value)
    assert np.isfinite(gradient.tuned).all()


def test_supervised_contrastive_learns_nothing_of_one_class_alone():
    targets = make_targets([{"A": 1.0}] * 5, LABELS, exclusive=True)
    assert_teaches_nothing(make_supervised_contrastive(), output(5), targets)


@each_loss
@each_batch
def test_one_text_twice_is_no_pair_also_if_its_labels_contradict_each_other(loss, targets):
    out = output()
    for array in (out.base, out.tuned):
        array[2] = array[0] * (1 + 1e-7)
    pairs = compare(out, targets, "ignore")
    assert not pairs.comparable[0, 2]
    assert pairs.weight[0, 2] == pairs.similarity[2, 0] == 0
    value, gradient = loss(out, targets)
    assert math.isfinite(value)
    assert np.isfinite(gradient.tuned).all()


@each_loss
def test_a_batch_of_one_text_only_teaches_nothing(loss):
    out = Output(*(np.ones_like(array) for array in output()))
    assert_teaches_nothing(loss, out, EXCLUSIVE)


@each_loss
def test_different_texts_at_the_same_place_give_finite_numbers(loss):
    out = output()
    out.tuned[:] = out.tuned[:1]
    with np.errstate(all="raise", under="ignore"):
        value, gradient = loss(out, EXCLUSIVE)
    assert math.isfinite(value)
    assert np.isfinite(gradient.tuned).all()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(clean_and_dirty_targets(), st.sampled_from(list(LOSSES.values())))
def test_what_stands_where_nothing_is_known_changes_neither_loss_nor_gradient(targets, loss):
    clean, dirty = targets
    out = output(len(clean.values), dtype="float32")
    value, gradient = loss(out, clean)
    assert math.isfinite(value)
    assert np.isfinite(gradient.tuned).all()
    assert loss(out, dirty)[0] == value
    assert_array_equal(loss(out, dirty)[1].tuned, gradient.tuned)


@each_loss
def test_pairs_given_come_before_labels(loss):
    out = output()
    if hasattr(loss, "balanced"):
        # Labels still say which anchors are of common classes.
        loss = replace(loss, balanced=False)
    unlike = PairTargets(1.0 - np.eye(8, dtype="float32")[::-1], np.ones((8, 8), "float32"))
    by_pairs = loss(out, EXCLUSIVE._replace(pairs=unlike))[0]
    assert by_pairs != loss(out, EXCLUSIVE)[0]
    unlabelled = make_targets([{}] * 8, LABELS, exclusive=False)
    assert loss(out, unlabelled._replace(pairs=unlike))[0] == pytest.approx(by_pairs)


@each_loss
def test_targets_of_other_documents_are_an_error(loss):
    with pytest.raises(ValueError, match="7 tuned vectors and targets of 8"):
        loss(output(7), EXCLUSIVE)


@each_loss
def test_losses_pickle(loss):
    assert pickle.loads(pickle.dumps(loss)) == loss


@pytest.mark.parametrize(
    "make",
    [make_supervised_contrastive, make_cosine_pairs, make_preserve],
)
def test_unknown_ways_with_absent_labels_are_refused(make):
    with pytest.raises(ValueError, match=r'negatives.*"ignore" or "class"'):
        make(negatives="count")


def test_cosines_of_a_vector_of_zeros_are_zero_and_have_no_gradient():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0], [4.0, -3.0], [6.0, 8.0]])
    cosine, backprop = cosines(vectors)
    assert_allclose(cosine, [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]], atol=1e-15)
    assert_allclose(backprop(np.ones((4, 4)))[1], [0, 0])
