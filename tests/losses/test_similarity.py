import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cosine_pairs, make_preserve

from .pairs_by_hand import (
    BATCHES,
    EXCLUSIVE,
    LABELS,
    MULTI,
    check_against,
    cosines_in_torch,
    known_pairs,
    output,
)

each_batch = pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)


@each_batch
@pytest.mark.parametrize("negatives", ["ignore", "class"])
def test_cosine_pairs_is_the_weighted_mean_squared_error(targets, negatives):
    similarity, weight = known_pairs(targets, negatives)

    def by_torch(tuned):
        error = cosines_in_torch(tuned) - torch.tensor(similarity)
        return (torch.tensor(weight) * error**2).sum() / weight.sum()

    check_against(by_torch, make_cosine_pairs(negatives), output(), targets)


def test_cosine_pairs_leaves_nothing_to_learn_where_cosines_are_similarities():
    out = output(4)._replace(tuned=np.eye(3)[[0, 0, 1, 1]])
    targets = make_targets([{label: 1.0} for label in "AABB"], LABELS, exclusive=True)
    assert make_cosine_pairs()(out, targets)[0] == 0.0


# Preserve


def preserve_in_torch(weight, base):
    weight = torch.tensor(weight / weight.sum())
    base_cosine = cosines_in_torch(torch.tensor(base))

    def by_torch(tuned):
        change = cosines_in_torch(tuned) - base_cosine
        return (weight * (change - (weight * change).sum()) ** 2).sum()

    return by_torch


@each_batch
def test_preserve_is_about_all_pairs_as_far_as_they_are_not_different(targets):
    similarity, weight = known_pairs(targets)
    counts = np.where(weight > 0, similarity, 1.0) * (1 - np.eye(8))
    out = output()
    check_against(preserve_in_torch(counts, out.base), make_preserve(), out, targets)


def test_preserve_needs_no_labels():
    targets = make_targets([{}] * 8, LABELS, exclusive=True)
    out = output()
    check_against(preserve_in_torch(1 - np.eye(8), out.base), make_preserve(), out, targets)


@pytest.mark.parametrize("targets", [EXCLUSIVE, MULTI])
def test_preserve_has_nothing_against_the_base_vectors_turned_or_longer(targets):
    rotation = np.linalg.qr(np.random.RandomState(0).normal(size=(6, 6)))[0]
    out = output()
    value, gradient = make_preserve()(out._replace(tuned=out.base @ rotation * 3), targets)
    assert value == pytest.approx(0.0, abs=1e-12)
    assert_allclose(gradient.tuned, 0.0, atol=1e-9)


def test_preserve_is_against_collapse_but_not_against_a_shift_of_all_cosines():
    targets = make_targets([{}] * 8, LABELS, exclusive=True)
    out = output()
    collapsed = np.zeros_like(out.tuned) + [1.0, 0, 0, 0] + out.tuned * 1e-3
    assert make_preserve()(out._replace(tuned=collapsed), targets)[0] > 0.1
    # A constant that is common to all vectors of one length: cosines c become (c + 1) / 2.
    unit = out.base / np.linalg.norm(out.base, axis=1, keepdims=True)
    cone = np.concatenate([unit * 3, np.full((8, 1), 0.5)], axis=1)
    assert make_preserve()(out._replace(tuned=cone), targets)[0] < 1e-3


def test_preserve_ignores_the_scores():
    gradient = make_preserve()(output(), EXCLUSIVE)[1]
    assert_array_equal(gradient.scores, np.zeros((8, 3)))
