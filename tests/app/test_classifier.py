"""The classifier of the page: two views, weighed by what predicts best out of fold."""

import numpy as np
import pytest

from spacy_embtune.app._classifier import fit_classifier, fit_to
from spacy_embtune.app._space import Space
from spacy_embtune.training import Propagation


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
    space, values = Space.of(vectors), to_values(topic[rows], 2)
    linear = fit_to(space, rows, values, exclusive=True).probabilities(space.vectors)
    assert np.mean(linear.argmax(axis=1) == topic) < 0.75
    found = fit_classifier(space, rows, values, exclusive=True, labels=["A", "B"])
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > 0.9
    assert np.mean(found.out_of_fold.argmax(axis=1) == topic[rows]) > 0.8


def test_neighbours_that_mislead_do_not_count() -> None:
    # One direction of many tells the labels apart.
    rng = np.random.default_rng(0)
    topic = np.arange(600) % 2
    vectors = rng.normal(size=(600, 24))
    vectors[:, 0] = np.where(topic, 0.5, -0.5)
    rows = np.arange(200)
    space, values = Space.of(vectors), to_values(topic[rows], 2)
    near = Propagation(space.graph, rows, values, exclusive=True).scores()
    assert np.mean(near.argmax(axis=1) == topic) < 0.8
    found = fit_classifier(space, rows, values, exclusive=True, labels=["A", "B"])
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > 0.95


@pytest.mark.parametrize("exclusive", [True, False])
def test_probabilities_out_of_fold_are_those_of_a_classifier_without_the_text(
    exclusive: bool,
) -> None:
    rng = np.random.default_rng(1)
    topic = np.arange(90) % 3
    vectors = np.eye(3, 8)[topic] + 0.4 * rng.normal(size=(90, 8))
    rows, labels = np.arange(8), ["A", "B", "C"]
    values = to_values(topic[rows], 3)
    space = Space.of(vectors)
    found = fit_classifier(space, rows, values, exclusive=exclusive, labels=labels)
    for i in range(8):
        others = np.delete(rows, i)
        alone = fit_classifier(space, others, values[others], exclusive=exclusive, labels=labels)
        # Without it, its label is rarer, and counts a little more.
        np.testing.assert_allclose(alone.probabilities[i], found.out_of_fold[i], atol=0.05)
        np.testing.assert_allclose(found.from_some(others)[i], alone.probabilities[i], atol=1e-3)
