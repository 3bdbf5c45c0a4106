"""Two heads as one, for the rows of two sides."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.heads import Contrastive, Linear, Towers, join_sides
from spacy_embtune.types import HeadOutput


def make_towers(left, right, width=3):
    heads = []
    for side in (left, right):
        head = Contrastive(hidden_width=5, output_width=width, dropout=0.0, nO=2)
        head.initialize(X=side)
        for node in head.walk():
            for name in filter(node.has_param, node.param_names):
                weights = np.random.RandomState(50 + len(heads)).normal(
                    size=node.get_param(name).shape
                )
                node.set_param(name, weights.astype("float32"))
        heads.append(head)
    return Towers(*heads)


@pytest.fixture
def sides():
    rng = np.random.RandomState(0)
    return rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(2, 6)).astype("float32")


def test_each_row_goes_through_the_tower_of_its_side(sides):
    head = make_towers(*sides)
    X = join_sides(*sides)
    order = np.random.RandomState(1).permutation(6)
    tuned, scores = head.predict(X[order])
    parts = [tower.predict(side) for tower, side in zip(head.layers, sides, strict=True)]
    expected = np.concatenate([part.tuned for part in parts])
    assert_allclose(tuned, expected[order], rtol=1e-5)
    assert_allclose(scores, np.concatenate([part.scores for part in parts])[order], rtol=1e-5)
    assert (head.get_dim("nI"), head.get_dim("nH"), head.get_dim("nO")) == (9, 3, 2)


def test_the_gradient_is_that_of_finite_differences(sides):
    head = make_towers(*sides)
    X = join_sides(*sides)
    rng = np.random.RandomState(2)
    wanted = HeadOutput(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)))
    wanted = HeadOutput(*(array.astype("float32") for array in wanted))

    def value(rows):
        tuned, scores = head.predict(rows)
        return float((tuned * wanted.tuned).sum() + (scores * wanted.scores).sum())

    found = head.begin_update(X)[1](wanted)
    for i, j in np.ndindex(X.shape):
        if X[i, j] == 0:  # the columns of the other side
            assert found[i, j] == 0
            continue
        step = np.zeros_like(X)
        step[i, j] = 1e-2
        assert_allclose(
            found[i, j], (value(X + step) - value(X - step)) / 2e-2, rtol=0.02, atol=0.02
        )


def test_a_batch_may_have_rows_of_one_side_or_none(sides):
    head = make_towers(*sides)
    left, right = sides
    for part in (join_sides(left, right[:0]), join_sides(left[:0], right)):
        (tuned, scores), backprop = head.begin_update(part)
        assert tuned.shape == (len(part), 3)
        assert backprop(HeadOutput(tuned, scores)).shape == part.shape
    empty = join_sides(left, right) * 0
    assert not head.predict(empty).tuned.any()


def test_sides_are_joined_in_their_own_columns(sides):
    joined = join_sides(*sides)
    assert joined.dtype == np.float32
    assert_array_equal(joined[:4, :3], sides[0])
    assert_array_equal(joined[4:, 3:], sides[1])
    assert not joined[:4, 3:].any()
    assert not joined[4:, :3].any()


def test_towers_of_different_outputs_are_an_error():
    one, other = (Linear(nO=0).initialize(X=np.ones((1, d), dtype="float32")) for d in (2, 3))
    with pytest.raises(ValueError, match="nH = 2 and 3: give both the same width"):
        Towers(one, other)
