import warnings

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from spacy_embtune.metrics import (
    _classification,
    auc_score,
    knn_scores,
    predict_by_neighbour,
    predict_by_probe,
    probe_scores,
    score_predictions,
)
from spacy_embtune.types import Targets

from .made_up import corpora, cosine_steps


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


@pytest.mark.slow
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
    with pytest.raises(ValueError, match="same list of labels"):
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
    assert _classification._choose_c(noise, y) == 0.01
    assert _classification._choose_c(signal, y) == 100.0


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


@pytest.mark.parametrize("predict", [predict_by_neighbour, predict_by_probe])
def test_predictions_of_exclusive_labels_are_scored_as_by_sklearn(predict):
    x, classes = blobs(60, 3, spread=0.8)
    x2, classes2 = blobs(45, 3, seed=1, spread=0.8)
    # A class that training never shows, and one that the test does not have.
    classes2[:4] = 4
    found = predict(x, one_hot(classes, 5), x2, one_hot(classes2, 5))
    assert found.tested.all()
    np.testing.assert_array_equal(found.carries.argmax(axis=1), classes2)
    guess = found.predicted.argmax(axis=1)
    scores = score_predictions(found)
    assert 0.3 < scores.accuracy < 1.0
    assert scores.accuracy == pytest.approx(accuracy_score(classes2, guess))
    labels = np.unique(classes2)
    f1 = f1_score(classes2, guess, labels=labels, average="macro", zero_division=0)
    assert scores.macro_f1 == pytest.approx(f1)
    if predict is predict_by_probe:
        np.testing.assert_array_equal(found.decision.argmax(axis=1), guess)
        assert (found.decision[:, [3, 4]] < found.decision[:, :3].min(axis=1, keepdims=True)).all()


@pytest.mark.parametrize("predict", [predict_by_neighbour, predict_by_probe])
def test_predictions_of_other_labels_are_scored_as_by_sklearn_where_they_are_known(predict):
    rng = np.random.default_rng(2)
    x, x2 = rng.normal(size=(80, 4)), rng.normal(size=(50, 4))
    values, values2 = (v[:, :3] + 0.5 * rng.normal(size=(len(v), 3)) > 0.3 for v in (x, x2))
    known, known2 = rng.random((80, 3)) < 0.8, rng.random((50, 3)) < 0.7
    x2[:3] = 0
    found = predict(x, make_targets(values, known), x2, make_targets(values2, known2))
    has_vector = x2.any(axis=1, keepdims=True)
    np.testing.assert_array_equal(found.tested, known2 & has_vector)
    accuracies, f1s, areas = [], [], []
    for label in range(3):
        rows = found.tested[:, label]
        truth, guess = values2[rows, label], found.predicted[rows, label]
        accuracies.append(accuracy_score(truth, guess))
        f1s.append(f1_score(truth, guess))
        if found.decision is not None:
            areas.append(roc_auc_score(truth, found.decision[rows, label]))
            np.testing.assert_array_equal(found.decision[rows, label] > 0, guess)
    scores = score_predictions(found)
    assert scores.accuracy == pytest.approx(np.mean(accuracies))
    assert scores.macro_f1 == pytest.approx(np.mean(f1s))
    assert auc_score(found) == (pytest.approx(np.mean(areas)) if areas else None)


def test_auc_of_two_exclusive_labels_is_that_of_one_of_them():
    x, classes = blobs(60, 2, spread=1.0)
    x2, classes2 = blobs(50, 2, seed=1, spread=1.0)
    found = predict_by_probe(x, one_hot(classes, 2), x2, one_hot(classes2, 2))
    area = roc_auc_score(classes2, found.decision[:, 1])
    assert 0.6 < area < 1.0
    assert auc_score(found) == pytest.approx(area)


def test_auc_needs_documents_that_carry_the_label_and_some_that_do_not():
    x, classes = blobs(40, 2)
    values = np.eye(2)[classes]
    for test_values in (np.ones((40, 2)), np.zeros((40, 2))):
        found = predict_by_probe(x, make_targets(values), x, make_targets(test_values))
        assert auc_score(found) is None
