import math
import time

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cosent, make_cosine_pairs, make_preserve
from spacy_embtune.types import PairTargets

from .pairs_by_hand import (
    BATCHES,
    EXCLUSIVE,
    LABELS,
    MULTI,
    PAIRS,
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


def cosent_in_torch(targets, scale):
    """As in sentence-transformers, over all pairs of pairs, with weights."""
    similarity, weight = known_pairs(targets)
    rows, columns = np.nonzero(np.triu(weight > 0, 1))
    score = torch.tensor(np.round(similarity[rows, columns], 4))
    w = torch.tensor(weight[rows, columns])
    w = w / w.mean()

    def by_torch(tuned):
        cosine = cosines_in_torch(tuned)[rows, columns] * scale
        terms = (cosine[:, None] - cosine) + (w[:, None] * w).log()
        wrong_way = terms[score[:, None] < score]
        return torch.cat([torch.zeros(1, dtype=torch.float64), wrong_way]).logsumexp(0)

    return by_torch


@each_batch
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_cosent_is_that_of_all_pairs_of_pairs(targets, scale):
    check_against(cosent_in_torch(targets, scale), make_cosent(scale), output(), targets)


def test_cosent_does_not_depend_on_how_much_of_all_pairs_is_known_alike():
    half = PAIRS.pairs._replace(weight=PAIRS.pairs.weight / 2)
    expected = make_cosent()(output(), PAIRS)[0]
    assert make_cosent()(output(), PAIRS._replace(pairs=half))[0] == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-3, 300.0])
def test_cosent_is_finite_at_extreme_scales_and_cosines(scale, dtype):
    out = output(dtype=dtype)
    out.tuned[:] = np.array([[1, 0, 0, 0]])
    out.tuned[::2] *= -1
    with np.errstate(all="raise", under="ignore"):
        value, gradient = make_cosent(scale)(out, EXCLUSIVE)
    assert math.isfinite(value)
    assert value == pytest.approx(2 * scale, rel=0.02) or scale < 1
    assert np.isfinite(gradient.tuned).all()


def test_cosent_of_a_large_batch_neither_needs_all_pairs_of_pairs_nor_long():
    n = 400  # 80,000 pairs, 6.4e9 pairs of pairs.
    rng = np.random.RandomState(0)
    score = rng.uniform(size=(n, n)).astype("float32")
    pairs = PairTargets((score + score.T) / 2, np.ones((n, n), "float32"))
    targets = make_targets([{}] * n, LABELS, exclusive=False)._replace(pairs=pairs)
    start = time.perf_counter()
    value, gradient = make_cosent()(output(n, dtype="float32"), targets)
    assert time.perf_counter() - start < 5
    assert math.isfinite(value)
    assert gradient.tuned.any()


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


@pytest.mark.parametrize("scale", [0.0, -1.0, 301.0, math.nan])
def test_a_scale_out_of_range_is_refused_by_name(scale):
    with pytest.raises(ValueError, match="scale"):
        make_cosent(scale)
