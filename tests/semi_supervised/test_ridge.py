"""The classifier: its scores out of fold are those of classifiers without the text."""

import numpy as np
import pytest

from spacy_embtune.semi_supervised.ridge import _decompose, _solve, fit_ridge, to_probabilities


def test_scores_out_of_fold_are_exact() -> None:
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(20, 7)), rng.choice([-1.0, 1.0], size=(20, 3))
    weights, left_out = _solve(rows, targets, 0.3, _decompose(rows))
    eye = 0.3 * np.eye(7)
    np.testing.assert_allclose(weights, np.linalg.solve(rows.T @ rows + eye, rows.T @ targets))
    for i in range(20):
        others = np.delete(rows, i, axis=0)
        fitted = np.linalg.solve(others.T @ others + eye, others.T @ np.delete(targets, i, axis=0))
        np.testing.assert_allclose(left_out[i], rows[i] @ fitted)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("n", [4, 60])
def test_probabilities_follow_the_labels_and_unknown_values_are_left_out(
    n: int, exclusive: bool
) -> None:
    rng = np.random.default_rng(0)
    topic = np.arange(n) % 2
    vectors = np.eye(2, 8)[topic] + 0.2 * rng.normal(size=(n, 8))
    values = np.where(np.arange(2) == topic[:, None], 1.0, -1.0)
    values[-1, 0] = np.nan
    mean = vectors.mean(axis=0)
    ridge = fit_ridge(vectors, values, mean=mean, scale=0.7, exclusive=exclusive)
    found = to_probabilities(ridge.scores(vectors), 0.5, exclusive)
    assert (found.argmax(axis=1) == topic).all()
    assert ((found > 0) & (found < 1)).all()
    if exclusive:
        np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isnan(ridge.out_of_fold[-1, 0])
    assert np.isfinite(ridge.out_of_fold[:-1]).all()


def test_probabilities_of_huge_scores_are_finite() -> None:
    scores = np.array([[1e6, -1e6]])
    for exclusive in (True, False):
        np.testing.assert_allclose(to_probabilities(scores, 0.2, exclusive), [[1, 0]], atol=1e-9)
