import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from spacy_embtune.metrics import (
    _intervals,
    accuracy_ratios,
    compare_ratios,
    knn_scores,
    macro_f1_ratios,
    map_at_r_ratios,
    p_at_1_ratios,
    predict_by_neighbour,
    predict_by_probe,
    probe_scores,
    query_scores,
    retrieval_scores,
)

from .made_up import corpora
from .test_classification import make_targets, one_hot

N_LABELS = 3


def draw(rng, n, *, gain=0.0, d=12):
    """Two kinds of vectors of the same documents, with noise of their own and in common; the second
    tells the classes better by `gain`."""
    classes = rng.integers(0, N_LABELS, n)
    centres = np.eye(N_LABELS, d)[classes]
    common = rng.normal(size=(n, d))
    first = 1.2 * centres + 0.7 * common + 0.7 * rng.normal(size=(n, d))
    second = (1.2 + gain) * centres + 0.7 * common + 0.7 * rng.normal(size=(n, d))
    return first, second, classes


def retrieval_ratios(x, classes):
    queries = query_scores(x, np.eye(N_LABELS)[classes])
    return [p_at_1_ratios(queries), map_at_r_ratios(queries)]


@pytest.mark.slow
@given(corpora(), corpora())
def test_ratios_have_the_values_of_the_metrics(train, test):
    vectors, values, known = test
    queries = query_scores(vectors, values, known)
    scores = retrieval_scores(vectors, values, known)
    approx = pytest.approx
    assert p_at_1_ratios(queries).value == (None if scores[0] is None else approx(scores[0]))
    assert map_at_r_ratios(queries).value == (None if scores[1] is None else approx(scores[1]))
    n_labels = min(values.shape[1], train[1].shape[1])
    d = min(vectors.shape[1], train[0].shape[1])
    sides = []
    for x, y, k in (train, test):
        sides += [x[:, :d], make_targets(y[:, :n_labels], k[:, :n_labels])]
    found, expected = predict_by_neighbour(*sides), knn_scores(*sides)
    for ratios, value in (
        (accuracy_ratios(found), expected.accuracy),
        (macro_f1_ratios(found), expected.macro_f1),
    ):
        assert ratios.value == (None if value is None else approx(value))


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(
    ("predict", "score"),
    [(predict_by_neighbour, knn_scores), (predict_by_probe, probe_scores)],
)
def test_a_resample_of_test_documents_is_the_score_of_the_documents_drawn(
    predict, score, exclusive
):
    rng = np.random.default_rng(0)
    x, _, classes = draw(rng, 40)
    x2, _, classes2 = draw(rng, 30)
    known, known2 = (rng.random((n, N_LABELS)) < 0.8 for n in (40, 30))

    def targets(classes, known):
        values = np.eye(N_LABELS)[classes]
        return make_targets(values, None if exclusive else known, exclusive=exclusive)

    found = predict(x, targets(classes, known), x2, targets(classes2, known2))
    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 30, 30)
        weights = np.bincount(rows, minlength=30)[None].astype(float)
        expected = score(
            x, targets(classes, known), x2[rows], targets(classes2[rows], known2[rows])
        )
        assert accuracy_ratios(found).resample(weights) == pytest.approx(expected.accuracy)
        assert macro_f1_ratios(found).resample(weights) == pytest.approx(expected.macro_f1)


def test_a_resample_without_one_document_is_the_score_of_the_others():
    rng = np.random.default_rng(1)
    x, _, classes = draw(rng, 40)
    p_at_1, map_at_r = retrieval_ratios(x, classes)
    weights = 1.0 - np.eye(40)
    expected = []
    for i in range(40):
        others = np.delete(np.arange(40), i)
        scores = retrieval_scores(x[others], np.eye(N_LABELS)[classes[others]])
        expected.append([scores.p_at_1, scores.map_at_r])
    expected = np.array(expected)
    np.testing.assert_allclose(map_at_r.resample(weights), expected[:, 1])
    # p@1 less what is missing on average, which is the same for all.
    shift = p_at_1.resample(weights) - expected[:, 0]
    np.testing.assert_allclose(shift, shift.mean(), atol=2e-3)


def slow_bootstrap(x, classes, rng):
    """p@1 and MAP@R of documents drawn with replacement; nobody finds a double of itself."""
    rows = rng.integers(0, len(x), len(x))
    x, classes = x[rows], classes[rows]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    distance[rows[:, None] == rows[None, :]] = np.inf
    first, averages = [], []
    for label in range(N_LABELS):
        hits_of = []
        for i in np.flatnonzero(classes == label):
            others = np.flatnonzero(np.isfinite(distance[i]))
            relevant = classes[others] == label
            ranked = relevant[np.argsort(distance[i, others], kind="stable")]
            r = relevant.sum()
            precision = np.cumsum(ranked[:r]) / np.arange(1, r + 1)
            hits_of.append((ranked[0], (precision * ranked[:r]).sum() / r))
        first.append(np.mean([hit for hit, _ in hits_of]))
        averages.append(np.mean([average for _, average in hits_of]))
    return np.mean(first), np.mean(averages)


@pytest.mark.slow
def test_intervals_are_as_wide_as_those_of_the_slow_bootstrap():
    rng = np.random.default_rng(2)
    first, second, classes = draw(rng, 80, gain=0.4)
    slow = []
    for seed in range(300):
        drawn = [slow_bootstrap(x, classes, np.random.default_rng(seed)) for x in (first, second)]
        slow.append(np.subtract(drawn[1], drawn[0]))
    found = compare_ratios(retrieval_ratios(first, classes), retrieval_ratios(second, classes))
    for difference, width in zip(found.each, 3.92 * np.std(slow, axis=0), strict=True):
        assert difference.high - difference.low == pytest.approx(width, rel=0.2)


@pytest.mark.slow
def test_intervals_hold_the_true_difference_in_about_95_of_100_samples():
    """The difference of two kinds of vectors, in truth and in samples of 100 documents."""
    rng = np.random.default_rng(3)
    train_first, train_second, train_classes = draw(rng, 60)
    teaching = one_hot(train_classes, N_LABELS)

    def ratios(x, classes, train_x):
        found = predict_by_neighbour(train_x, teaching, x, one_hot(classes, N_LABELS))
        scores = [accuracy_ratios(found), macro_f1_ratios(found)]
        return [*retrieval_ratios(x, classes), *scores]

    found = []
    for seed in range(200):
        first, second, classes = draw(rng, 100, gain=0.3)
        compared = compare_ratios(
            ratios(first, classes, train_first),
            ratios(second, classes, train_second),
            n_resamples=300,
            seed=seed,
        )
        found.append(compared.each)
    values, lows, highs = np.moveaxis(np.array(found), 2, 0)
    truth = values.mean(axis=0)
    coverage = ((lows <= truth) & (truth <= highs)).mean(axis=0)
    # The standard error of a coverage of .95 over 200 samples is .015.
    assert (coverage > 0.90).all(), coverage
    assert (coverage < 0.995).all(), coverage


@pytest.mark.slow
def test_where_there_is_no_difference_anything_is_beyond_chance_in_5_of_100_samples():
    rng = np.random.default_rng(4)
    n_wrong = 0
    for seed in range(200):
        first, second, classes = draw(rng, 60)
        found = compare_ratios(
            retrieval_ratios(first, classes),
            retrieval_ratios(second, classes),
            n_resamples=300,
            seed=seed,
        )
        n_wrong += any(found.better + found.worse)
    assert 0 < n_wrong < 20


def test_a_difference_that_is_there_is_found_and_has_its_sign():
    first, second, classes = draw(np.random.default_rng(5), 200, gain=1.0)
    sides = retrieval_ratios(first, classes), retrieval_ratios(second, classes)
    found, reverse = compare_ratios(*sides), compare_ratios(*sides[::-1])
    assert found.better == reverse.worse == [True, True]
    assert found.worse == reverse.better == [False, False]
    for difference, opposite in zip(found.each, reverse.each, strict=True):
        assert 0 < difference.low < difference.value < difference.high
        assert opposite == pytest.approx((-difference[0], -difference[2], -difference[1]))


def test_the_same_vectors_do_not_differ():
    x, _, classes = draw(np.random.default_rng(6), 50)
    found = compare_ratios(retrieval_ratios(x, classes), retrieval_ratios(x, classes))
    assert found.each == [(0.0, 0.0, 0.0)] * 2
    assert not any(found.better + found.worse)


def test_a_difference_that_no_resample_changes_is_beyond_chance():
    # Every query is right with the second kind of vectors, and wrong with the first.
    classes = np.arange(40) % 2
    found = compare_ratios(
        retrieval_ratios(np.eye(2)[np.arange(40) // 2 % 2], classes),
        retrieval_ratios(np.eye(2)[classes], classes),
    )
    assert found.each[1].value > 0
    assert found.better[1]


def test_documents_that_take_no_part_change_nothing():
    rng = np.random.default_rng(7)
    first, second, classes = draw(rng, 40, gain=0.3)
    values = np.vstack([np.eye(N_LABELS)[classes], np.zeros((60, N_LABELS))])
    known = np.vstack([np.ones((40, N_LABELS)), np.zeros((60, N_LABELS))])
    sides = []
    for x in (first, second):
        queries = query_scores(np.vstack([x, rng.normal(size=(60, 12))]), values, known)
        sides.append([p_at_1_ratios(queries), map_at_r_ratios(queries)])
    expected = compare_ratios(retrieval_ratios(first, classes), retrieval_ratios(second, classes))
    np.testing.assert_allclose(compare_ratios(*sides).each, expected.each)


def test_what_is_not_defined_is_none_and_beside_it_the_others_are_as_they_were():
    first, second, classes = draw(np.random.default_rng(8), 40, gain=0.5)
    nothing = query_scores(first, np.zeros((40, 2)))
    sides = retrieval_ratios(first, classes), retrieval_ratios(second, classes)
    alone = compare_ratios(*sides)
    found = compare_ratios(*([*side, p_at_1_ratios(nothing)] for side in sides))
    assert found.each == [*alone.each, None]
    assert found.better == [*alone.better, False]
    assert compare_ratios([p_at_1_ratios(nothing)], [p_at_1_ratios(nothing)]).each == [None]
    assert compare_ratios([], []) == ([], [], [])


def test_metrics_over_different_documents_are_an_error():
    rng = np.random.default_rng(9)
    sides = [retrieval_ratios(x, c) for x, _, c in (draw(rng, 20), draw(rng, 21))]
    with pytest.raises(ValueError, match="same documents"):
        compare_ratios(*sides)


def test_intervals_depend_on_the_seed_and_not_on_how_many_resamples_are_held(monkeypatch):
    first, second, classes = draw(np.random.default_rng(10), 21, gain=0.5)
    sides = retrieval_ratios(first, classes), retrieval_ratios(second, classes)
    once = compare_ratios(*sides, n_resamples=50, seed=1)
    assert once != compare_ratios(*sides, n_resamples=50, seed=2)
    monkeypatch.setattr(_intervals, "_WEIGHT_ENTRIES", 21 * 7)
    in_blocks = compare_ratios(*sides, n_resamples=50, seed=1)
    np.testing.assert_allclose(in_blocks.each, once.each, atol=1e-12)


def test_memory_stays_bounded(monkeypatch):
    monkeypatch.setattr(_intervals, "_WEIGHT_ENTRIES", 2**16)
    first, second, classes = draw(np.random.default_rng(11), 1000)
    sides = retrieval_ratios(first, classes), retrieval_ratios(second, classes)
    tracemalloc.start()
    try:
        compare_ratios(*sides, n_resamples=2000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All weights at once would take 16 MB, and as much again three times on the way.
    assert peak < 4e6


def test_documents_of_a_group_are_drawn_together():
    rng = np.random.default_rng(0)
    parts = [(rng.random((40, 1)) < share).astype(float) for share in (0.4, 0.7)]
    ones = np.ones((40, 1))
    first, second = (_intervals.Ratios(part, ones, ones) for part in parts)
    alone = compare_ratios([first], [second])
    copied = [ratios.select(np.repeat(np.arange(40), 5)) for ratios in (first, second)]
    # Five copies of each document tell no more than one of each.
    grouped = compare_ratios(*([one] for one in copied), groups=np.repeat(np.arange(40), 5))
    np.testing.assert_allclose(grouped.each[0], alone.each[0])
    apart = compare_ratios(*([one] for one in copied))
    assert apart.each[0].high - apart.each[0].low < 0.6 * (alone.each[0].high - alone.each[0].low)
    only = compare_ratios([first], [second], groups=np.zeros(40, dtype=int))
    assert only == ([None], [False], [False])
