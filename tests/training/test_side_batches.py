"""Batches of pairs of two sides: what is compared, and what the loss of them is."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.heads import join_sides
from spacy_embtune.losses import make_supervised_contrastive
from spacy_embtune.training import SidePairs, has_negatives, side_batches
from spacy_embtune.types import Output


def rows(n, width, seed=0):
    return np.random.RandomState(seed).normal(size=(n, width)).astype("float32")


def one_batch(pairs, size=100):
    (batch,) = side_batches(pairs, batch_size=size, n_epochs=1, rng=np.random.RandomState(0))
    return batch


def make_output(batch, width=4, dtype="float64"):
    n = len(batch.base)
    return Output(batch.base, rows(n, width, 7).astype(dtype), np.zeros((n, 0)))


def test_without_common_rows_the_loss_is_clips():
    n, temperature = 5, 0.1
    order = np.arange(n)
    batch = one_batch(SidePairs(rows(n, 3), rows(n, 6, 1), order, order, None))
    out = make_output(batch)
    tuned = torch.tensor(out.tuned, requires_grad=True)
    unit = torch.nn.functional.normalize(tuned, dim=1)
    logits = unit[:n] @ unit[n:].T / temperature
    # As in the pseudocode of the paper.
    answers = torch.arange(n)
    expected = torch.nn.functional.cross_entropy(logits, answers)
    expected = (expected + torch.nn.functional.cross_entropy(logits.T, answers)) / 2
    expected.backward()
    value, gradient = make_supervised_contrastive(temperature)(out, batch.targets)
    assert_allclose(value, expected.item(), rtol=1e-6)
    assert_allclose(gradient.tuned, tuned.grad, rtol=1e-5, atol=1e-8)
    for index in np.ndindex(out.tuned.shape):
        step = np.zeros_like(out.tuned)
        step[index] = 1e-6
        above, below = (
            make_supervised_contrastive(temperature)(
                out._replace(tuned=out.tuned + sign * step), batch.targets
            )[0]
            for sign in (1, -1)
        )
        assert_allclose(gradient.tuned[index], (above - below) / 2e-6, rtol=1e-3, atol=1e-6)


def test_rows_of_one_side_and_other_pairs_of_a_row_are_no_negatives():
    # Question 0 has the answers 0 and 1, and answer 1 is that of question 2 as well.
    first, second = np.array([0, 0, 1, 2]), np.array([0, 1, 2, 1])
    batch = one_batch(SidePairs(rows(3, 2), rows(3, 2, 1), first, second, None))
    similarity, weight = batch.targets.pairs
    assert_array_equal(similarity[:3, 3:], [[1, 1, 0], [0, 0, 1], [0, 1, 0]])
    assert_array_equal(weight[:3, 3:], np.ones((3, 3)))
    for array in (similarity, weight):
        assert_array_equal(array, array.T)
        assert not array[:3, :3].any()
        assert not array[3:, 3:].any()


def test_a_pair_of_another_batch_is_no_negative_either():
    first, second = np.array([0, 0, 1]), np.array([0, 1, 1])
    pairs = SidePairs(rows(2, 2), rows(2, 3), first, second, None)
    batches = list(side_batches(pairs, batch_size=2, n_epochs=30, rng=np.random.RandomState(0)))
    assert {len(batch.base) for batch in batches} == {2, 3, 4}
    for batch in batches:
        if len(batch.base) == 4:
            assert batch.targets.pairs.similarity[:2, 2:].sum() == 3


def test_sides_that_share_rows_have_each_row_once():
    base = rows(4, 3)
    pairs = SidePairs(base, None, np.array([0, 1, 3]), np.array([1, 2, 2]), None)
    batch = one_batch(pairs)
    similarity, weight = batch.targets.pairs
    assert_array_equal(batch.base, base)
    # Left rows are 0, 1 and 3, right rows 1 and 2.
    assert_array_equal(
        similarity, np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    )
    assert weight[0, 2] == weight[3, 1] == 1
    assert weight[0, 3] == 0


def test_scores_are_those_of_the_pairs_alone():
    first, second = np.array([0, 1, 1]), np.array([0, 1, 1])
    pairs = SidePairs(rows(2, 2), rows(2, 3), first, second, np.array([0.2, 0.4, 0.6]))
    similarity, weight = one_batch(pairs).targets.pairs
    assert_allclose(similarity[:2, 2:], [[0.2, 0], [0, 0.5]])
    assert_array_equal(weight[:2, 2:], np.eye(2))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.booleans(),
)
def test_each_pair_is_in_one_batch_of_an_epoch(pairs, size, is_shared):
    first, second = np.array(pairs).T
    right = None if is_shared else rows(5, 3, 1)
    given_pairs = SidePairs(rows(5, 2), right, first, second, None)
    batches = list(
        side_batches(given_pairs, batch_size=size, n_epochs=1, rng=np.random.RandomState(0))
    )
    known = {*pairs, *((b, a) for a, b in pairs)} if is_shared else set(pairs)
    seen = set()
    for batch in batches:
        similarity, weight = batch.targets.pairs
        assert ((similarity == 1) <= (weight == 1)).all()
        names = [name_row(row, given_pairs) for row in batch.base]
        for i, j in np.argwhere(weight > 0):
            if i == j:
                continue
            (side, a), (_, b) = names[i], names[j]
            if not is_shared and side == "right":
                continue
            assert similarity[i, j] == ((a, b) in known)
            if similarity[i, j]:
                seen.add((a, b))
    assert {pair for pair in pairs if not is_shared or pair[0] != pair[1]} <= seen


def name_row(row, pairs):
    """RETURNS (tuple): The side of a row of a batch and its place there."""
    if pairs.right is None:
        return "left", int((pairs.left == row).all(axis=1).argmax())
    joined = join_sides(pairs.left, pairs.right)
    place = int((joined == row).all(axis=1).argmax())
    n = len(pairs.left)
    return ("left", place) if place < n else ("right", place - n)


def test_negatives_are_rows_that_are_in_no_pair_together():
    def ask(first, second, right):
        pairs = SidePairs(rows(3, 2), right, np.array(first), np.array(second), None)
        return has_negatives(pairs)

    other = rows(3, 2, 1)
    assert not ask([0], [0], other)
    assert not ask([0, 0], [0, 1], other)
    assert ask([0, 1], [0, 1], other)
    # A row is no negative of itself.
    assert not ask([0, 1], [1, 0], None)
    assert ask([0, 1], [1, 2], None)
