"""What the tests of losses on pairs share: batches, garbage, and the same losses written in torch
as loops over what the definition says."""

import math

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import make_targets, pairs_of
from spacy_embtune.losses import (
    make_cosine_pairs,
    make_preserve,
    make_supervised_contrastive,
)
from spacy_embtune.types import Output, PairTargets, Targets

LABELS = ["A", "B", "C"]
EXCLUSIVE = make_targets([{label: 1.0} for label in "AABBCAB"] + [{}], LABELS, exclusive=True)
MULTI = make_targets(
    [
        {"A": 1.0, "B": 0.0, "C": 1.0},
        {"A": 1.0, "B": 1.0},
        {"A": 0.0, "C": 1.0},
        {"B": 0.5, "C": 0.25},
        {},
        {"A": 0.0, "B": 0.0, "C": 0.0},
        {"A": 1.0},
        {"B": 1.0, "C": 0.0},
    ],
    LABELS,
    exclusive=False,
)


def graded_pairs(n=8, seed=0, share_known=0.6):
    rng = np.random.RandomState(seed)
    similarity = np.triu(rng.choice([0.0, 0.2, 0.5, 0.9, 1.0], (n, n)), 1)
    weight = np.triu(rng.uniform(0.1, 2, (n, n)) * (rng.uniform(size=(n, n)) < share_known), 1)
    return PairTargets(
        (similarity + similarity.T).astype("float32"), (weight + weight.T).astype("float32")
    )


UNLABELLED = make_targets([{}] * 8, LABELS, exclusive=False)
PAIRS = UNLABELLED._replace(pairs=graded_pairs())
BATCHES = {"exclusive": EXCLUSIVE, "several labels": MULTI, "graded pairs": PAIRS}

# Losses on pairs, each with other than default settings too.
LOSSES = {
    "supervised_contrastive": make_supervised_contrastive(),
    "supervised_contrastive of absent labels": make_supervised_contrastive(
        0.5, balanced=False, negatives="class"
    ),
    "cosine_pairs": make_cosine_pairs(),
    "preserve": make_preserve(),
}


def output(n=8, seed=0, dtype="float64"):
    """Random vectors."""
    rng = np.random.RandomState(seed)
    return Output(
        rng.normal(size=(n, 6)).astype(dtype),
        rng.normal(size=(n, 4)).astype(dtype) * rng.uniform(0.1, 9, (n, 1)).astype(dtype),
        rng.normal(size=(n, 3)).astype(dtype),
    )


def take(targets, rows):
    """The targets of some of the documents."""
    pairs = targets.pairs
    if pairs is not None:
        pairs = PairTargets(*(array[np.ix_(rows, rows)] for array in pairs))
    weights = None if targets.weights is None else targets.weights[rows]
    return targets._replace(
        values=targets.values[rows], known=targets.known[rows], pairs=pairs, weights=weights
    )


def cosines_in_torch(vectors):
    return torch.nn.functional.normalize(vectors, dim=1) @ torch.nn.functional.normalize(vectors).T


def known_pairs(targets, negatives="ignore"):
    similarity, weight = (
        array.astype("float64") for array in pairs_of(targets, negatives=negatives)
    )
    return similarity, weight


def check_against(by_torch, loss, out, targets):
    """Compare a loss and its gradient with autograd's of a function of the tensor of tuned
    vectors, and with finite differences."""
    tuned = torch.tensor(out.tuned, dtype=torch.float64, requires_grad=True)
    expected = by_torch(tuned)
    expected.backward()
    value, gradient = loss(out, targets)
    assert isinstance(value, float)
    assert value > 0
    assert_allclose(value, expected.item(), rtol=1e-6)
    assert gradient.tuned.dtype == out.tuned.dtype
    assert_allclose(gradient.tuned, tuned.grad, rtol=1e-5, atol=1e-8)
    assert_array_equal(gradient.scores, np.zeros_like(out.scores))
    assert_allclose(gradient.tuned, numeric_gradient(loss, out, targets), rtol=1e-4, atol=1e-6)


def numeric_gradient(loss, out, targets, size=1e-6):
    gradient = np.zeros_like(out.tuned)
    for index in np.ndindex(out.tuned.shape):
        step = np.zeros_like(out.tuned)
        step[index] = size
        above = loss(out._replace(tuned=out.tuned + step), targets)[0]
        below = loss(out._replace(tuned=out.tuned - step), targets)[0]
        gradient[index] = (above - below) / (2 * size)
    return gradient


def assert_teaches_nothing(loss, out, targets):
    value, gradient = loss(out, targets)
    assert value == 0.0
    assert_array_equal(gradient.tuned, np.zeros_like(out.tuned))
    assert_array_equal(gradient.scores, np.zeros_like(out.scores))


garbage = st.sampled_from([math.nan, math.inf, -math.inf, -5.0, 0.5, 1.0, 1e30])


@st.composite
def clean_and_dirty_targets(draw):
    """Targets, and the same with garbage where nothing is known."""
    n = draw(st.integers(0, 6))
    exclusive = draw(st.booleans())
    known = draw(arrays("float32", (n, 3), elements=st.sampled_from([0.0, 1.0])))
    if exclusive:
        values = np.eye(3, dtype="float32")[draw(arrays("int64", n, elements=st.integers(0, 2)))]
    else:
        values = draw(arrays("float32", (n, 3), elements=st.sampled_from([0.0, 0.5, 1.0])))
    junk = draw(arrays("float32", (n, 3), elements=garbage.map(np.float32)))
    clean = Targets(values * known, known, exclusive)
    dirty = clean._replace(values=np.where(known > 0, values, junk))
    if draw(st.booleans()):
        similarity, weight = graded_pairs(n, draw(st.integers(0, 9)))
        junk = draw(arrays("float32", (n, n), elements=garbage.map(np.float32)))
        clean = clean._replace(pairs=PairTargets(similarity, weight))
        similarity = np.where(weight > 0, similarity, junk)
        np.fill_diagonal(weight := weight.copy(), junk.diagonal())
        dirty = dirty._replace(pairs=PairTargets(similarity, weight))
    return clean, dirty
