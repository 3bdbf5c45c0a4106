"""Metrics of sparse targets: the same numbers as those of arrays of documents times labels."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import issparse

from spacy_embtune.labels import SparseTargets, known_rows, to_sparse
from spacy_embtune.metrics import (
    _calibration,
    _clusters,
    _rows,
    accuracy_ratios,
    auc_score,
    calibration_scores,
    cluster_scores,
    compare_ratios,
    fit_temperature,
    macro_f1_ratios,
    map_at_r_ratios,
    p_at_1_ratios,
    precision_recall,
    predict_by_neighbour,
    predict_by_other_neighbour,
    predict_by_probe,
    predict_by_threshold,
    query_scores,
    score_predictions,
    space_scores,
)
from spacy_embtune.metrics.carriers import find_carriers
from spacy_embtune.types import Targets

from .made_up import corpora
from .test_classification import make_targets

RNG = np.random.default_rng(0)


class Computed:
    """Rows that are computed when they are read, and how many were read at a time."""

    def __init__(self, array):
        self.array, self.shape, self.most = np.asarray(array), np.shape(array), 0

    def __getitem__(self, rows):
        found = self.array[rows]
        self.most = max(self.most, len(found))
        return found


def draw(n, n_labels, *, exclusive, seed=0, share=0.5):
    """Vectors with their targets: of 9 in 10 documents something is known."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 6)).astype("f")
    vectors[0] = 0.0
    classes = np.abs(vectors[:, :n_labels] + rng.normal(size=(n, n_labels))).argmax(axis=1)
    labelled = (rng.random(n) < 0.9)[:, None]
    if exclusive:
        known = np.repeat(labelled, n_labels, axis=1)
        return vectors, make_targets(np.eye(n_labels)[classes], known, exclusive=True)
    known = labelled & (rng.random((n, n_labels)) < share)
    known[5:8] = True
    carries = np.eye(n_labels)[classes] + (rng.random((n, n_labels)) < 0.2)
    return vectors, make_targets(np.minimum(carries, 1.0), known)


def assert_same(found, expected):
    """Compare numbers, None and arrays."""
    for a, b in zip(found, expected, strict=True):
        if b is None:
            assert a is None
        elif isinstance(b, tuple):
            assert_same(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@given(corpora())
def test_what_is_known_survives_the_way_to_sparse_targets_and_back(corpus):
    _, values, known = corpus
    targets = make_targets(np.where(known, values, 0.0), known)
    sparse = to_sparse(targets)
    back = sparse.select(range(len(values)))
    np.testing.assert_array_equal(back.known, targets.known)
    np.testing.assert_array_equal(back.values, targets.values)
    np.testing.assert_array_equal(known_rows(sparse), known_rows(targets))
    assert to_sparse(sparse) is sparse
    columns = np.arange(values.shape[1]) % 2 == 0
    part = sparse.select_labels(columns).select(range(len(values)))
    np.testing.assert_array_equal(part.values, targets.values[:, columns])
    np.testing.assert_array_equal(part.known, targets.known[:, columns])


@pytest.mark.slow
@given(corpora())
def test_carriers_count_what_arrays_say(corpus):
    _, values, known = corpus
    targets = make_targets(np.where(known, values, 0.0), known)
    known = known > 0
    carries = known & (targets.values >= 0.5)
    for found in (find_carriers(targets), find_carriers(to_sparse(targets))):
        np.testing.assert_array_equal(found.counts(), carries.sum(axis=0))
        np.testing.assert_array_equal(found.counts_absent(), (known & ~carries).sum(axis=0))
        np.testing.assert_array_equal(found.counts_known(), known.sum(axis=0))
        np.testing.assert_array_equal(found.is_known(), known.any(axis=1))
        np.testing.assert_array_equal(found.n_carried(), carries.sum(axis=1))
        first = np.where(carries.any(axis=1), carries.argmax(axis=1), -1)
        np.testing.assert_array_equal(found.first_label(), first)
        np.testing.assert_array_equal(found.matrix().toarray(), carries)
        rows = np.arange(0, len(values), 2)
        np.testing.assert_array_equal(found.subset(rows).counts(), carries[rows].sum(axis=0))


@pytest.mark.slow
@given(corpora(), corpora())
@settings(max_examples=60)
def test_neighbours_predict_the_same(train, test):
    n_labels = min(test[1].shape[1], train[1].shape[1])
    d = min(test[0].shape[1], train[0].shape[1])
    sides, sparse_sides = [], []
    for x, y, k in (train, test):
        targets = make_targets(np.where(k, y, 0.0)[:, :n_labels], k[:, :n_labels])
        sides += [x[:, :d], targets]
        sparse_sides += [x[:, :d], to_sparse(targets)]
    for found, expected in (
        (predict_by_neighbour(*sparse_sides), predict_by_neighbour(*sides)),
        (
            predict_by_other_neighbour(*sparse_sides[:2]),
            predict_by_other_neighbour(*sides[:2]),
        ),
    ):
        for a, b in zip(found[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(a.toarray(), b)


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
def test_predictions_and_their_scores_are_the_same(exclusive):
    x, train = draw(90, 4, exclusive=exclusive)
    x2, test = draw(70, 4, exclusive=exclusive, seed=1)
    dense, sparse = (x, train, x2, test), (x, to_sparse(train), x2, to_sparse(test))
    p = RNG.random((70, 4))
    p /= p.sum(axis=1, keepdims=True) if exclusive else 1.0
    has_vector = x2.any(axis=1)
    pairs = [
        (predict_by_neighbour(*sparse), predict_by_neighbour(*dense)),
        (predict_by_probe(*sparse), predict_by_probe(*dense)),
        (predict_by_other_neighbour(*sparse[:2]), predict_by_other_neighbour(*dense[:2])),
    ]
    for found, expected in pairs:
        assert issparse(found.tested)
        assert_same(score_predictions(found), score_predictions(expected))
        weights = RNG.integers(0, 3, size=(5, len(expected.tested))).astype(float)
        for make in (accuracy_ratios, macro_f1_ratios):
            assert make(found).value == pytest.approx(make(expected).value)
            resampled = make(expected).resample(weights)
            np.testing.assert_allclose(make(found).resample(weights), resampled)
    pairs.append(
        tuple(
            predict_by_threshold(p, targets, threshold=0.4, has_vector=has_vector)
            for targets in (sparse[3], dense[3])
        )
    )
    for found, expected in pairs:
        assert_same(precision_recall(found), precision_recall(expected))
        if not exclusive and expected.decision is not None:
            assert auc_score(found) == pytest.approx(auc_score(expected))
    if exclusive:
        assert auc_score(pairs[1][0]) is None


@given(corpora())
@settings(max_examples=60)
def test_queries_and_their_effects_are_the_same(corpus):
    vectors, values, known = corpus
    targets = make_targets(np.where(known, values, 0.0), known)
    found, expected = (
        query_scores(vectors, targets.values, targets.known),
        query_scores(vectors, to_sparse(targets)),
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(b.toarray(), a, atol=1e-12)


def test_intervals_and_verdicts_are_the_same():
    x, targets = draw(120, 4, exclusive=False)
    better = x + 2.0 * np.pad(np.asarray(targets.values), ((0, 0), (0, 2)))
    found = []
    for some in (targets, to_sparse(targets)):
        args = (some,) if isinstance(some, SparseTargets) else (some.values, some.known)
        queries = [query_scores(vectors, *args) for vectors in (x, better)]
        sides = [[p_at_1_ratios(q), map_at_r_ratios(q)] for q in queries]
        found.append(compare_ratios(*sides))
    assert found[0].better == found[1].better == [True, True]
    assert_same(found[1].each, found[0].each)


@pytest.mark.parametrize("exclusive", [True, False])
def test_shapes_and_clusters_are_the_same(exclusive, monkeypatch):
    x, targets = draw(120, 4, exclusive=exclusive)
    assert_same(space_scores(x, to_sparse(targets)), space_scores(x, targets))
    expected = cluster_scores(x, targets)
    assert expected.agreement is not None
    assert cluster_scores(x, to_sparse(targets)) == expected
    monkeypatch.setattr(_rows, "MOST_ENTRIES", 10)
    assert_same(cluster_scores(x, to_sparse(targets)), expected)
    monkeypatch.setattr(_clusters, "MOST_CLUSTERS", 2)
    sample = cluster_scores(x, targets)
    assert sample.silhouette == pytest.approx(expected.silhouette)
    assert (sample.n_classes, sample.n_clusters) == (expected.n_classes, 2)
    assert sample == cluster_scores(x, targets)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("weights", [None, np.arange(120) / 60])
def test_calibration_is_the_same_in_blocks_of_any_size(exclusive, weights, monkeypatch):
    _, targets = draw(120, 4, exclusive=exclusive)
    targets = targets._replace(weights=weights)
    scores = 3.0 * np.asarray(targets.values) + RNG.normal(size=(120, 4))
    p = 1 / (1 + np.exp(-scores))
    p = p / p.sum(axis=1, keepdims=True) if exclusive else p
    expected = calibration_scores(p, targets), fit_temperature(scores, targets)
    for most in (_rows.MOST_ENTRIES, 8):
        monkeypatch.setattr(_rows, "MOST_ENTRIES", most)
        rows = Computed(p)
        assert_same(calibration_scores(rows, to_sparse(targets)), expected[0])
        assert rows.most <= most
        assert fit_temperature(Computed(scores), to_sparse(targets)) == pytest.approx(expected[1])


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_temperature_of_very_many_scores_is_that_of_a_sample(exclusive, monkeypatch):
    _, targets = draw(4000, 4, exclusive=exclusive)
    scores = 3.0 * np.asarray(targets.values) + RNG.normal(size=(4000, 4))
    expected = fit_temperature(scores, targets)
    monkeypatch.setattr(_calibration, "MOST_SCORES", 4000)
    rows = Computed(scores)
    found = fit_temperature(rows, to_sparse(targets))
    assert rows.most <= 4000
    assert found != expected
    assert found == pytest.approx(expected, rel=0.15)
    assert found == fit_temperature(scores, to_sparse(targets))


def test_thresholds_read_blocks_of_rows(monkeypatch):
    _, targets = draw(120, 4, exclusive=False)
    p, has_vector = RNG.random((120, 4)), np.ones(120, dtype=bool)
    expected = precision_recall(predict_by_threshold(p, targets, has_vector=has_vector))
    monkeypatch.setattr(_rows, "MOST_ENTRIES", 12)
    rows = Computed(p)
    found = predict_by_threshold(rows, to_sparse(targets), has_vector=has_vector)
    assert_same(precision_recall(found), expected)
    assert rows.most == 3


@pytest.mark.parametrize("exclusive", [True, False])
def test_nothing_known_gives_no_scores(exclusive):
    x = RNG.normal(size=(5, 3))
    targets = to_sparse(Targets(np.zeros((5, 4)), np.zeros((5, 4)), exclusive))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predict_by_neighbour(x, targets, x, targets)
        assert score_predictions(found) == (None, None, 0, 0)
        assert accuracy_ratios(found).value is None
        assert np.isnan(precision_recall(found).f1).all()
        assert score_predictions(predict_by_probe(x, targets, x, targets)).accuracy is None
        assert p_at_1_ratios(query_scores(x, targets)).value is None
        assert calibration_scores(x[:, [0, 1, 2, 0]], targets) == (None, None, 0)
        assert fit_temperature(x[:, [0, 1, 2, 0]], targets) is None
        assert space_scores(x, targets).within is None
        assert cluster_scores(x, targets).silhouette is None
