"""Texts of labels as documents: nearness, meaning and weight."""

import numpy as np
import pytest

from spacy_embtune.training import (
    ODDS_OF_CODES,
    ODDS_OF_WORDS,
    find_nearest_labels,
    label_text_weights,
    move_to_documents,
    texts_mean_something,
)


def test_the_weight_falls_as_labels_grow_and_ends():
    weights = label_text_weights(np.arange(0, 300), np.arange(300))
    assert weights[0] == weights[4] == 2.0
    assert (np.diff(weights) <= 0).all()
    assert weights[8] == 1.0
    assert weights[99] > 0.0
    assert not weights[100:].any()


def test_the_texts_of_a_label_share_its_weight():
    weights = label_text_weights(np.asarray([1, 1]), np.asarray([0, 0, 0, 1]))
    assert weights.sum() == pytest.approx(4.0)
    assert weights[:3].sum() == pytest.approx(2.0)


def test_nearness_does_not_depend_on_the_common_part_of_names_or_documents():
    rng = np.random.RandomState(0)
    base, texts = rng.normal(size=(20, 8)), rng.normal(size=(3, 8))
    first = find_nearest_labels(base, texts, [0, 1, 2])
    moved = find_nearest_labels(base + 5.0, texts - 3.0, [0, 1, 2])
    np.testing.assert_allclose(moved.cosines, first.cosines, atol=1e-6)
    assert np.abs(first.cosines).max() <= 1.0


def test_documents_without_a_vector_have_no_nearest_label():
    base = np.asarray([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    found = find_nearest_labels(base, np.eye(2), [0, 1])
    assert found.nearest.tolist() == [0, -1, 1]
    assert not found.cosines[1].any()
    nothing = find_nearest_labels(np.zeros((2, 2)), np.eye(2), [0, 1])
    assert nothing.nearest.tolist() == [-1, -1]


def test_several_texts_of_a_label_count_like_one():
    texts = np.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = find_nearest_labels(np.eye(3), texts, [0, 0, 1])
    assert found.cosines.shape == (3, 2)
    assert found.nearest.tolist() == [0, 0, 1]


def drawn(n, right, n_labels=4, seed=0):
    """RETURNS (tuple): The nearest labels of n documents, a share of them right, and the cats."""
    rng = np.random.RandomState(seed)
    labels = np.arange(n) % n_labels
    wrong = (labels + 1 + rng.randint(n_labels - 1, size=n)) % n_labels
    nearest = np.where(np.arange(n) < right * n, labels, wrong)
    return nearest, np.eye(n_labels)[labels], np.ones((n, n_labels))


def test_many_documents_decide_whatever_was_thought_before():
    assert texts_mean_something(*drawn(200, 0.6), odds=ODDS_OF_CODES)
    assert not texts_mean_something(*drawn(200, 0.25), odds=ODDS_OF_WORDS)
    assert not texts_mean_something(*drawn(200, 0.0), odds=ODDS_OF_WORDS)


def test_few_documents_decide_little():
    assert texts_mean_something(*drawn(4, 0.25), odds=ODDS_OF_WORDS)
    assert not texts_mean_something(*drawn(4, 0.5), odds=ODDS_OF_CODES)
    assert texts_mean_something(*drawn(0, 0.0), odds=ODDS_OF_WORDS)
    assert not texts_mean_something(*drawn(0, 0.0), odds=ODDS_OF_CODES)


def test_the_most_frequent_label_is_no_evidence():
    values = np.eye(2)[[0] * 95 + [1] * 5]
    nearest = np.zeros(100, dtype=int)
    assert not texts_mean_something(nearest, values, np.ones((100, 2)), odds=1.0)


def test_texts_move_to_the_documents_and_a_single_label_stays():
    texts = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    mean = np.asarray([4.0, 2.0])
    moved = move_to_documents(texts, np.asarray([0, 1]), mean)
    np.testing.assert_allclose(moved.mean(axis=0), mean)
    assert move_to_documents(texts, np.asarray([0, 0]), mean).tolist() == texts.tolist()
