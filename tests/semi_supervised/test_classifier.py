"""The classifier of the page: two views, weighed by what predicts best out of fold."""

import numpy as np
import pytest

from spacy_embtune.semi_supervised import (
    Propagation,
    VectorSpace,
    find_single,
    fit_classifier,
    fit_to,
)
from spacy_embtune.semi_supervised.classifier import USUAL_SHARE


def make_quarters(n: int) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple): Directions in four quarters, of which those that are opposite carry the same
    label, so that no line divides them."""
    rng = np.random.default_rng(0)
    quarter = np.arange(n) % 4
    angle = np.pi / 2 * (quarter + 0.15 + 0.7 * rng.random(n))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), quarter % 2


def to_values(topic: np.ndarray, n_labels: int) -> np.ndarray:
    return np.where(topic[:, None] == np.arange(n_labels), 1.0, -1.0)


def test_neighbours_predict_what_no_line_divides() -> None:
    vectors, topic = make_quarters(600)
    rows = np.arange(40)
    space, values = VectorSpace.of(vectors), to_values(topic[rows], 2)
    linear = fit_to(space, rows, values, exclusive=True).scores(space.vectors)
    assert np.mean(linear.argmax(axis=1) == topic) < 0.75
    found = fit_classifier(space, rows, values, exclusive=True, labels=["A", "B"])
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > 0.9
    assert np.mean(found.out_of_fold.argmax(axis=1) == topic[rows]) > 0.8


def test_neighbours_that_mislead_count_little() -> None:
    # One direction of many tells the labels apart, and hardly moves a text.
    rng = np.random.default_rng(0)
    topic = np.arange(1_000) % 2
    vectors = rng.normal(size=(1_000, 40))
    vectors[:, 0] = np.where(topic, 0.25, -0.25) + 0.25 * rng.normal(size=1_000)
    rows = np.arange(200)
    space, values = VectorSpace.of(vectors), to_values(topic[rows], 2)
    near = Propagation(space.graph, rows, values, exclusive=True).scores()
    assert np.mean(near.argmax(axis=1) == topic) < 0.75
    found = fit_classifier(space, rows, values, exclusive=True, labels=["A", "B"])
    linear = fit_to(space, rows, values, exclusive=True).scores(space.vectors)
    assert found.share < USUAL_SHARE
    right = np.mean(linear.argmax(axis=1) == topic)
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > right - 0.02


def test_names_count_beside_few_labels_and_not_beside_many() -> None:
    rng = np.random.default_rng(2)
    topic = np.arange(400) % 2
    vectors = np.eye(2, 8)[topic] + 0.3 * rng.normal(size=(400, 8))
    space, labels = VectorSpace.of(vectors), ["sport", "food"]
    names = {"sport": np.eye(2, 8)[:1], "food": np.eye(2, 8)[1:]}
    few = np.array([0, 1])
    wrong = to_values(1 - topic[few], 2)
    found = fit_classifier(space, few, wrong, exclusive=True, labels=labels, names=names)
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > 0.8
    many = np.arange(300)
    wrong = to_values(1 - topic[many], 2)
    found = fit_classifier(space, many, wrong, exclusive=True, labels=labels, names=names)
    assert np.mean(found.probabilities.argmax(axis=1) == topic) < 0.1


@pytest.mark.parametrize("exclusive", [True, False])
def test_what_is_not_known_of_a_text_teaches_nothing(exclusive: bool) -> None:
    rng = np.random.default_rng(3)
    topic = np.arange(90) % 3
    vectors = np.eye(3, 8)[topic] + 0.3 * rng.normal(size=(90, 8))
    values = to_values(topic[:30], 3)
    # Of some texts it is only known that they do not carry one label.
    values[20:] = np.nan
    values[20:, 0] = np.where(topic[20:30] == 0, np.nan, -1.0)
    found = fit_classifier(
        VectorSpace.of(vectors), np.arange(30), values, exclusive=exclusive, labels=["A", "B", "C"]
    )
    assert np.isfinite(found.probabilities).all()
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > 0.9


def test_the_only_text_of_a_label_is_found() -> None:
    values = np.array([[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [np.nan, -1.0]])
    assert find_single(values).tolist() == [False, False, True, False]


@pytest.mark.parametrize("exclusive", [True, False])
def test_probabilities_out_of_fold_are_those_of_a_classifier_without_the_text(
    exclusive: bool,
) -> None:
    rng = np.random.default_rng(1)
    topic = np.arange(90) % 3
    vectors = np.eye(3, 8)[topic] + 0.4 * rng.normal(size=(90, 8))
    rows, labels = np.arange(8), ["A", "B", "C"]
    values = to_values(topic[rows], 3)
    space = VectorSpace.of(vectors)
    found = fit_classifier(space, rows, values, exclusive=exclusive, labels=labels)
    for i in range(8):
        others = np.delete(rows, i)
        alone = fit_classifier(space, others, values[others], exclusive=exclusive, labels=labels)
        # Without it, its label is rarer, and counts a little more.
        np.testing.assert_allclose(alone.probabilities[i], found.out_of_fold[i], atol=0.05)
        np.testing.assert_allclose(found.from_some(others)[i], alone.probabilities[i], atol=1e-3)
