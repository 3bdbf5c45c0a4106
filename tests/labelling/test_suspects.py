import numpy as np
import pytest

from spacy_embtune.labelling._suspects import find_suspects, predict_out_of_fold

from ..reports.cases import make_documents


def blobs(n, n_labels=4, *, spread=0.5, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % n_labels
    return np.eye(n_labels, 12)[classes] + spread * rng.normal(size=(n, 12)), classes


def mislabel(classes, n_labels, rate, seed=1):
    """RETURNS (tuple): The classes with some replaced by others, and which."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(classes.size) < rate
    return np.where(
        wrong, (classes + rng.integers(1, n_labels, classes.size)) % n_labels, classes
    ), wrong


@pytest.mark.parametrize("exclusive", [True, False])
def test_wrong_labels_are_found_far_more_often_than_by_chance(exclusive):
    base, classes = blobs(300)
    given, wrong = mislabel(classes, 4, 0.1)
    values = np.eye(4)[given]
    documents = make_documents(base, base, values, exclusive=exclusive)
    suspects = find_suspects(documents)
    precision = wrong[suspects.is_suspect].mean()
    recall = suspects.is_suspect[wrong].mean()
    assert precision > 0.4  # by chance: 0.1
    assert recall > 0.5
    # The least probable are wrong more often still.
    least = np.argsort(suspects.probability)[: wrong.sum()]
    assert wrong[least].mean() > 0.4


def test_what_a_head_was_trained_on_shows_no_contradiction_any_more():
    base, classes = blobs(200)
    given, wrong = mislabel(classes, 4, 0.1)
    # A head that has learned every given label by heart.
    tuned = 5 * np.eye(4, 12)[given] + base
    documents = make_documents(base, tuned, np.eye(4)[given])
    assert find_suspects(documents, space="base").is_suspect[wrong].mean() > 0.5
    assert find_suspects(documents, space="tuned").is_suspect.sum() == 0


def test_it_says_what_it_would_expect_and_how_probable_the_given_label_is():
    base, classes = blobs(80, spread=0.05)
    given = classes.copy()
    given[0] = 2
    suspects = find_suspects(make_documents(base, base, np.eye(4)[given]))
    assert np.flatnonzero(suspects.is_suspect).tolist() == [0]
    assert suspects.expected[0] == ["A"]
    assert suspects.expected[1] == ["B"]
    assert suspects.probability.argmin() == 0
    values = np.eye(4)[given]
    several = find_suspects(make_documents(base, base, values, exclusive=False))
    assert np.flatnonzero(several.is_suspect).tolist() == [0]
    assert several.expected[:2] == [["A"], ["B"]]
    assert several.probability.argmin() == 0


def test_no_label_is_predicted_by_a_model_that_saw_it():
    # Vectors of noise: whoever has seen the labels knows them by heart, and nobody else.
    rng = np.random.default_rng(0)
    base, classes = rng.normal(size=(60, 200)), np.arange(60) % 2
    for exclusive, values in ((True, np.eye(2)[classes]), (False, classes[:, None])):
        documents = make_documents(base, base, values, exclusive=exclusive)
        predicted = predict_out_of_fold(documents)[:, -1] > 0.5
        assert abs((predicted == classes).mean() - 0.5) < 0.2


def test_copies_of_a_text_do_not_vouch_for_each_other():
    base, classes = blobs(60, spread=0.3)
    given = classes.copy()
    # Ten copies of one text, all with the same wrong label.
    base[:40:4], given[:40:4] = base[0], 3
    texts = ["copy" if i < 40 and i % 4 == 0 else f"text {i}" for i in range(60)]
    apart = make_documents(base, base, np.eye(4)[given])
    together = apart._replace(texts=texts)
    assert not find_suspects(apart).is_suspect[:40:4].any()
    assert find_suspects(together).is_suspect[:40:4].all()


def test_unknown_labels_are_predicted_from_all_that_is_known_and_never_suspect():
    base, classes = blobs(120, spread=0.2)
    known = np.ones((120, 4))
    known[::3] = 0
    values = np.where(known > 0, np.eye(4)[classes], np.nan)
    for exclusive in (True, False):
        documents = make_documents(base, base, values, known, exclusive=exclusive)
        probabilities = predict_out_of_fold(documents)
        assert (probabilities.argmax(axis=1) == classes).all()
        suspects = find_suspects(documents)
        assert not suspects.is_suspect[::3].any()
        assert np.isnan(suspects.probability[::3]).all()
        assert suspects.expected[0] == []


def test_probabilities_of_exclusive_labels_sum_to_1():
    base, classes = blobs(50)
    known = np.repeat(np.arange(50) % 5 > 0, 4).reshape(50, 4)
    documents = make_documents(base, base, np.eye(4)[classes], known)
    np.testing.assert_allclose(predict_out_of_fold(documents).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("values", "exclusive"),
    [
        (np.zeros((6, 0)), False),
        (np.ones((6, 1)), False),
        (np.zeros((6, 1)), False),
        (np.eye(2)[[0] * 6], True),
        (np.eye(6), True),
        (np.eye(6), False),
        (np.eye(2)[[0, 1, 1, 1, 1, 1]], True),
    ],
)
def test_too_few_documents_to_learn_a_label_from_suspect_nobody(values, exclusive):
    base = np.random.default_rng(0).normal(size=(6, 3))
    documents = make_documents(base, base, values, exclusive=exclusive)
    suspects = find_suspects(documents)
    # Where each document has a label of its own nobody else could tell of it.
    if values.shape[1] != 2 or values[:, 1].sum() != 5:
        assert not suspects.is_suspect.any()
    assert not suspects.is_suspect[0]


def test_documents_without_a_vector_and_equal_vectors_do_no_harm():
    base, classes = blobs(40)
    base[::5] = 0
    suspects = find_suspects(make_documents(base, base, np.eye(4)[classes]))
    assert np.isnan(suspects.probability[::5]).all()
    assert not suspects.is_suspect[::5].any()
    alike = np.ones((40, 3))
    suspects = find_suspects(make_documents(alike, alike, np.eye(4)[classes]))
    np.testing.assert_allclose(suspects.probability, 0.25, atol=0.05)
    nothing = np.zeros((40, 3))
    assert np.isnan(predict_out_of_fold(make_documents(nothing, nothing, np.eye(4)[classes]))).all()
    empty = make_documents(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)))
    assert find_suspects(empty).is_suspect.shape == (0,)
