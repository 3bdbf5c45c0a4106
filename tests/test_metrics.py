import math
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spacy_embtune import metrics
from spacy_embtune.metrics import knn_scores, probe_scores, retrieval_scores
from spacy_embtune.types import Targets

# Entries from which cosines come out in few distinct values: many ties, zero rows, duplicates.
COARSE = st.sampled_from([0.0, 0.0, 1.0, -1.0, 2.0])


@st.composite
def corpora(draw):
    """Vectors with many ties and zero rows; multi-label values, graded, with labels missing."""
    n = draw(st.integers(1, 14))
    d = draw(st.integers(1, 3))
    n_labels = draw(st.integers(1, 4))
    vectors = draw(hnp.arrays(np.float32, (n, d), elements=COARSE))
    graded = st.sampled_from([0.0, 0.49, 0.5, 1.0])
    values = draw(hnp.arrays(np.float32, (n, n_labels), elements=graded))
    if draw(st.booleans()):
        known = np.ones_like(values)
    else:
        known = draw(hnp.arrays(np.float32, (n, n_labels), elements=st.sampled_from([0.0, 1.0])))
    # What stands where nothing is known must not matter.
    values[known == 0] = draw(st.sampled_from([0.0, 1.0, np.nan]))
    return vectors, values, known


def dot(u, v):
    return math.fsum(float(x) * float(y) for x, y in zip(u, v, strict=True))


def cosine_steps(u, v):
    return round(dot(u, v) / math.sqrt(dot(u, u) * dot(v, v)) * 2**30)


def naive_retrieval(vectors, values, known):
    """One query and one label after the other, by full sorts: slow, and plain to see through."""
    per_label = {}
    for label in range(values.shape[1]):
        gallery = [i for i in range(len(vectors)) if known[i, label] > 0 and any(vectors[i])]
        carrying = {i for i in gallery if values[i, label] >= 0.5}
        r = len(carrying) - 1
        if r < 1:
            continue
        p_at_1, map_at_r, r_precision = [], [], []
        for query in sorted(carrying):
            others = [i for i in gallery if i != query]
            others.sort(key=lambda i: (-cosine_steps(vectors[query], vectors[i]), i))
            hits = [i in carrying for i in others[:r]]
            p_at_1.append(hits[0])
            r_precision.append(sum(hits) / r)
            precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]]
            map_at_r.append(sum(precisions) / r)
        per_label[label] = [np.mean(p_at_1), np.mean(map_at_r), np.mean(r_precision), r + 1]
    return per_label


def assert_equals_naive(scores, naive, n_labels):
    left_in = sorted(naive)
    for column, name in enumerate(["p_at_1", "map_at_r", "r_precision", "n_queries"]):
        got = getattr(scores.per_label, name)
        assert got.shape == (n_labels,)
        np.testing.assert_allclose(got[left_in], [naive[k][column] for k in left_in], atol=1e-12)
        left_out = np.delete(got, left_in)
        assert (left_out == 0).all() if name == "n_queries" else np.isnan(left_out).all()
    if not naive:
        assert scores[:3] == (None, None, None)
        assert scores.n_queries == 0
    else:
        np.testing.assert_allclose(scores[:3], np.mean(list(naive.values()), axis=0)[:3])
        assert scores.n_queries == sum(row[3] for row in naive.values())


@given(corpora(), st.sampled_from([None, 1, 2, 3, 100]))
def test_retrieval_equals_the_naive_computation_for_any_block_size(corpus, block_size):
    vectors, values, known = corpus
    scores = retrieval_scores(vectors, values, known, block_size=block_size)
    assert_equals_naive(scores, naive_retrieval(vectors, values, known), values.shape[1])


@given(st.integers(0, 2**32 - 1))
def test_retrieval_equals_the_naive_computation_without_ties(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(40, 5)).astype("f")
    values = (rng.random((40, 3)) < 0.3).astype("f")
    known = (rng.random((40, 3)) < 0.7).astype("f")
    scores = retrieval_scores(vectors, values, known, block_size=7)
    assert_equals_naive(scores, naive_retrieval(vectors, values, known), 3)


def test_map_at_r_of_a_ranking_worked_out_by_hand():
    # On a quarter circle the neighbours of row 0 are 1, 2, 3, 4 in this order. R = 3; of the three
    # nearest, the first and the third are relevant: (1/1 + 2/3) / 3.
    angles = np.radians([0, 10, 25, 45, 80])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)])
    values = np.array([[1], [1], [0], [1], [1]])
    naive = naive_retrieval(vectors, values, np.ones_like(values))
    scores = retrieval_scores(vectors, values)
    assert_equals_naive(scores, naive, 1)
    # row 1: 0, 2, 3 -> (1 + 2/3)/3; row 3: 2, 4, 1 -> (1/2 + 2/3)/3; row 4: 3, 2, 1 -> (1 + 2/3)/3
    assert scores.map_at_r == pytest.approx((3 * (1 + 2 / 3) + (1 / 2 + 2 / 3)) / 3 / 4)
    assert scores.p_at_1 == 3 / 4
    assert scores.r_precision == pytest.approx(2 / 3)


def test_a_query_never_finds_itself_but_finds_its_duplicate():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype="f")
    assert retrieval_scores(vectors, np.eye(2)[[0, 0, 1, 1]]).p_at_1 == 1.0
    assert retrieval_scores(vectors, np.eye(2)[[0, 1, 0, 1]]).p_at_1 == 0.0


def test_equal_vectors_tie_however_the_matrix_product_rounds():
    # Everybody is equal, so the nearest is row 0, for row 0 it is row 1.
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 384)).astype("f")
    # Powers of two: the same direction to the last bit.
    vectors = row * 2.0 ** rng.integers(-3, 4, size=(501, 1))
    values = np.zeros((501, 1))
    values[[0, 1, 500]] = 1
    for block_size in (1, 7, 64, None):
        scores = retrieval_scores(vectors, values, block_size=block_size)
        assert scores.p_at_1 == 1.0
        # rows 0 and 1 find one another, then 2; row 500 finds 0 and 1
        assert scores.map_at_r == pytest.approx((0.5 + 0.5 + 1.0) / 3)


@given(corpora(), st.sampled_from([2.0**-20, 4.0, 2.0**30]))
def test_retrieval_does_not_depend_on_the_lengths_of_the_vectors(corpus, factor):
    vectors, values, known = corpus
    scaled = vectors.copy()
    scaled[::2] *= factor
    ours, theirs = (retrieval_scores(v, values, known) for v in (vectors, scaled))
    np.testing.assert_array_equal(ours.per_label, theirs.per_label)


def test_tiny_and_huge_float32_vectors_have_cosines():
    vectors = np.array([[1e-30, 0], [1e-30, 1e-32], [0, 3e38], [1e37, 3e38]], dtype="f")
    assert retrieval_scores(vectors, np.eye(2)[[0, 0, 1, 1]]).p_at_1 == 1.0


def test_labels_of_one_document_or_none_are_left_out_of_the_mean():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    values = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    scores = retrieval_scores(vectors, values)
    assert scores.p_at_1 == 1.0
    assert np.isnan(scores.per_label.p_at_1).tolist() == [False, True, True]
    assert scores.n_queries == 2


@pytest.mark.parametrize(
    ("vectors", "values"),
    [
        (np.zeros((0, 3)), np.zeros((0, 2))),
        (np.zeros((4, 3)), np.ones((4, 2))),
        (np.ones((4, 3)), np.zeros((4, 2))),
        (np.ones((4, 3)), np.zeros((4, 0))),
        (np.ones((4, 0)), np.ones((4, 1))),
    ],
)
def test_without_vectors_or_labels_the_scores_are_none(vectors, values):
    scores = retrieval_scores(vectors, values)
    assert scores[:3] == (None, None, None)
    assert scores.n_queries == 0


def test_shapes_that_do_not_fit_and_vectors_that_are_not_finite_are_errors():
    with pytest.raises(ValueError, match=r"shape \(n, d\)"):
        retrieval_scores(np.ones(3), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"\(3, L\)"):
        retrieval_scores(np.ones((3, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="known has shape"):
        retrieval_scores(np.ones((3, 2)), np.ones((3, 1)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="finite"):
        retrieval_scores(np.array([[1.0, np.nan]]), np.ones((1, 1)))
    with pytest.raises(ValueError, match="block_size"):
        retrieval_scores(np.ones((3, 2)), np.ones((3, 1)), block_size=0)


@pytest.mark.parametrize("nested", [False, True])
def test_memory_stays_bounded_and_far_below_the_full_similarity_matrix(monkeypatch, nested):
    # A 64th of the real budget: 1 MB, where the full matrix alone would take 32 MB.
    monkeypatch.setattr(metrics, "_BLOCK_ENTRIES", 2**14)
    rng = np.random.default_rng(0)
    n = 2000
    vectors = rng.normal(size=(n, 8)).astype("f")
    values = np.eye(2)[rng.integers(0, 2, n)]
    known = (rng.random((n, 2)) < 0.9).astype("f") if nested else None
    tracemalloc.start()
    try:
        retrieval_scores(vectors, values, known)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    inputs = 3 * n * 8 * 8 + 20 * n * 2
    assert peak < inputs + 2**20


def test_documents_known_alike_are_ranked_once_for_all_labels(monkeypatch):
    rng = np.random.default_rng(0)
    calls = []
    first = metrics._first

    def counted(keys, depth):
        calls.append(keys.shape)
        return first(keys, depth)

    monkeypatch.setattr(metrics, "_first", counted)
    retrieval_scores(rng.normal(size=(30, 4)), np.ones((30, 5)), block_size=10)
    assert calls == [(10, 30)] * 3


def make_targets(values, known=None, exclusive=False):
    values = np.asarray(values, dtype="f")
    known = np.ones_like(values) if known is None else np.asarray(known, dtype="f")
    return Targets(values, known, exclusive)


def one_hot(classes, n_labels):
    return make_targets(np.eye(n_labels)[classes], exclusive=True)


def blobs(n, n_labels, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % n_labels
    vectors = np.eye(n_labels)[classes] + spread * rng.normal(size=(n, n_labels))
    return vectors.astype("f"), classes


@given(corpora(), corpora())
def test_knn_equals_the_naive_computation(train, test):
    n_labels = min(train[1].shape[1], test[1].shape[1])
    d = min(train[0].shape[1], test[0].shape[1])
    (x, values, known), (x2, values2, known2) = (
        (v[:, :d], y[:, :n_labels], k[:, :n_labels]) for v, y, k in (train, test)
    )
    accuracies, f1s, documents = [], [], set()
    for label in range(n_labels):
        gallery = [i for i in range(len(x)) if known[i, label] > 0 and any(x[i])]
        tested = [i for i in range(len(x2)) if known2[i, label] > 0 and any(x2[i])]
        if not tested or len({values[i, label] >= 0.5 for i in gallery}) < 2:
            continue
        truth = [values2[i, label] >= 0.5 for i in tested]
        nearest = [min(gallery, key=lambda j: (-cosine_steps(x2[i], x[j]), j)) for i in tested]
        guess = [values[j, label] >= 0.5 for j in nearest]
        documents.update(tested)
        accuracies.append(np.mean([t == g for t, g in zip(truth, guess, strict=True)]))
        if any(truth):
            both = sum(t and g for t, g in zip(truth, guess, strict=True))
            f1s.append(2 * both / (sum(truth) + sum(guess)))
    scores = knn_scores(
        x, make_targets(values, known), x2, make_targets(values2, known2), block_size=3
    )
    assert scores.accuracy == (pytest.approx(np.mean(accuracies)) if accuracies else None)
    assert scores.macro_f1 == (pytest.approx(np.mean(f1s)) if f1s else None)
    assert scores.n_labels == len(accuracies)
    assert scores.n_documents == len(documents)


def test_knn_of_exclusive_labels_is_the_share_of_documents_whose_class_was_found():
    train_x = np.array([[1, 0], [0, 1], [1, 1]])
    # The second has class 1 but lies at class 0; the third's class is in no training document.
    test_x = np.array([[2, 0.1], [5, 0], [1, 0.9], [0, 0]])
    scores = knn_scores(train_x, one_hot([0, 1, 1], 3), test_x, one_hot([0, 1, 2, 0], 3))
    assert scores == (pytest.approx(1 / 3), pytest.approx((2 / 3 + 0 + 0) / 3), 3, 3)


def test_knn_ties_go_to_the_first_training_document():
    x = np.ones((3, 2))
    scores = knn_scores(x, one_hot([1, 0, 0], 2), x, one_hot([1, 1, 1], 2))
    assert scores.accuracy == 1.0


@pytest.mark.parametrize("score", [knn_scores, probe_scores])
def test_documents_without_vector_or_label_take_no_part(score):
    x, classes = blobs(30, 3)
    x2, classes2 = blobs(12, 3, seed=1)
    clean = score(x, one_hot(classes, 3), x2, one_hot(classes2, 3))
    assert clean.accuracy == 1.0
    junk = np.vstack([np.zeros((5, 3)), np.eye(3)])
    values = np.vstack([np.eye(3)[[0, 1, 2, 0, 1]], np.zeros((3, 3))])
    # The last three are known to carry nothing, so that only their missing label keeps them out.
    train = make_targets(np.vstack([values, np.eye(3)[classes]]), exclusive=True)
    test = make_targets(np.vstack([values, np.eye(3)[classes2]]), exclusive=True)
    assert score(np.vstack([junk, x]), train, np.vstack([junk, x2]), test) == clean


@pytest.mark.parametrize("score", [knn_scores, probe_scores])
def test_missing_labels_neither_teach_nor_are_scored(score):
    x, classes = blobs(60, 2)
    x2, classes2 = blobs(20, 2, seed=1)
    values, values2 = np.eye(2)[classes], np.eye(2)[classes2]
    known, known2 = np.ones_like(values), np.ones_like(values2)
    # Wrong values, all marked missing.
    values[:20, 0], known[:20, 0] = 1 - values[:20, 0], 0
    values2[:10, 1], known2[:10, 1] = 1 - values2[:10, 1], 0
    scores = score(x, make_targets(values, known), x2, make_targets(values2, known2))
    assert scores == (1.0, 1.0, 2, 20)
    known2[:5] = 0
    assert score(x, make_targets(values, known), x2, make_targets(values2, known2))[3] == 15


@pytest.mark.parametrize("score", [knn_scores, probe_scores])
def test_labels_that_cannot_be_taught_or_tested_are_left_out(score):
    x, classes = blobs(40, 4)
    values = np.eye(4)[classes]
    known, known2 = np.ones_like(values), np.ones_like(values)
    known[values[:, 0] == 0, 0] = 0  # never known to be absent
    known[values[:, 1] == 1, 1] = 0  # never known to be present
    known2[:, 2] = 0  # never tested
    scores = score(x, make_targets(values, known), x, make_targets(values, known2))
    assert scores == (1.0, 1.0, 1, 40)
    known2[:, 3] = 0
    assert score(x, make_targets(values, known), x, make_targets(values, known2))[:3] == (
        None,
        None,
        0,
    )


@pytest.mark.parametrize("score", [knn_scores, probe_scores])
@pytest.mark.parametrize("exclusive", [False, True])
def test_without_documents_nothing_can_be_predicted(score, exclusive):
    none, some = np.zeros((0, 2)), np.ones((3, 2))
    empty, full = make_targets(none, exclusive=exclusive), make_targets(np.eye(3)[:, :2])
    full = full._replace(exclusive=exclusive)
    for sides in [(none, empty, some, full), (some, full, none, empty), (none, empty, none, empty)]:
        assert score(*sides) == (None, None, 0, 0)


@pytest.mark.parametrize("score", [knn_scores, probe_scores])
def test_targets_of_different_labels_are_an_error(score):
    x = np.ones((2, 2))
    with pytest.raises(ValueError, match="same labels"):
        score(x, make_targets(np.eye(2)), x, make_targets(np.eye(3)[:2]))
    with pytest.raises(ValueError, match="exclusive"):
        score(x, make_targets(np.eye(2)), x, one_hot([0, 1], 2))


def test_macro_f1_shows_what_accuracy_hides_in_rare_labels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    values = np.zeros((200, 1))
    values[:4] = 1
    scores = probe_scores(
        x, make_targets(values), x + rng.normal(size=x.shape), make_targets(values)
    )
    assert scores.accuracy is not None
    assert scores.accuracy > 0.95
    assert scores.macro_f1 is not None
    assert scores.macro_f1 < 0.5


def test_probe_chooses_a_c_that_suits_the_data():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    noise = rng.normal(size=(200, 50)) / 7
    signal = noise.copy()
    signal[:, 0] = y * 2 - 1
    assert metrics._choose_c(noise, y) == 0.01
    assert metrics._choose_c(signal, y) == 100.0


def test_probe_does_not_depend_on_a_shift_scale_or_dead_dimension_of_unit_vectors():
    rng = np.random.default_rng(1)
    x, classes = blobs(90, 3, spread=0.8)
    x2, classes2 = blobs(60, 3, seed=2, spread=0.8)
    plain = probe_scores(x, one_hot(classes, 3), x2, one_hot(classes2, 3))
    dead = np.full((90, 1), 0.0)
    more = probe_scores(
        np.hstack([x, dead]) * rng.uniform(0.1, 10, (90, 1)),
        one_hot(classes, 3),
        np.hstack([x2, dead[:60]]),
        one_hot(classes2, 3),
    )
    assert plain.accuracy == more.accuracy
    assert 0.5 < plain.accuracy < 1.0


@pytest.mark.parametrize(
    "classes",
    [
        [0] * 6,  # one class only
        [0] * 5 + [1],  # a class of one
        [0, 1, 2, 3, 4, 5],  # nothing but classes of one
        [0, 1],
    ],
)
def test_probe_copes_with_rare_classes_without_a_warning(classes):
    x = np.random.default_rng(0).normal(size=(len(classes), 3))
    targets = one_hot(classes, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = probe_scores(x, targets, x, targets)
        assert first == probe_scores(x, targets, x, targets)
    assert first.accuracy is not None
    assert first.n_documents == len(classes)


def test_probe_of_equal_vectors_predicts_the_commoner_class():
    x = np.ones((10, 2))
    targets = one_hot([0] * 7 + [1] * 3, 2)
    assert probe_scores(x, targets, x, targets).accuracy == 0.7
