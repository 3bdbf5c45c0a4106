"""Expected calibration error, log loss, and the temperature that lowers them."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from spacy_embtune.metrics import calibration_scores, fit_temperature
from spacy_embtune.types import Targets

RNG = np.random.default_rng(0)


def draw(n: int, *, exclusive: bool, temperature: float):
    """RETURNS (tuple): Scores of 4 labels, and labels that are drawn by the probabilities that the
    scores have at this temperature."""
    scores = RNG.normal(size=(n, 4)) * 3
    if exclusive:
        p = softmax(scores / temperature, axis=1)
        classes = (RNG.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
        values = np.eye(4)[np.minimum(classes, 3)]
    else:
        values = (RNG.random((n, 4)) < expit(scores / temperature)).astype(float)
    return scores, Targets(values, np.ones_like(values), exclusive)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(exclusive: bool, temperature: float) -> None:
    scores, targets = draw(4000, exclusive=exclusive, temperature=temperature)
    found = fit_temperature(scores, targets)
    assert found == pytest.approx(temperature, rel=0.1)
    to_p = (lambda z: softmax(z, axis=1)) if exclusive else expit
    new, truth = draw(4000, exclusive=exclusive, temperature=temperature)
    after = calibration_scores(to_p(new / found), truth)
    assert after.error < 0.03
    if temperature != 1.0:
        before = calibration_scores(to_p(new), truth)
        assert after.error < before.error
        assert after.log_loss < before.log_loss


def test_unknown_labels_count_nowhere() -> None:
    for exclusive in (True, False):
        scores, targets = draw(200, exclusive=exclusive, temperature=2.0)
        known = np.ones_like(targets.values)
        known[100:] = 0
        wrong = targets._replace(known=known, values=np.where(known, targets.values, 0.7))
        half = Targets(targets.values[:100], targets.known[:100], exclusive)
        assert fit_temperature(scores, wrong) == pytest.approx(fit_temperature(scores[:100], half))
        p = softmax(scores, axis=1)
        assert calibration_scores(p, wrong) == pytest.approx(calibration_scores(p[:100], half))


def test_a_weight_of_two_is_two_copies() -> None:
    scores, targets = draw(300, exclusive=True, temperature=2.0)
    copies = np.repeat(np.arange(300), np.where(np.arange(300) < 100, 2, 1))
    doubled = Targets(targets.values[copies], targets.known[copies], True)
    weights = np.where(np.arange(300) < 100, 2.0, 1.0)
    assert fit_temperature(scores, targets._replace(weights=weights)) == pytest.approx(
        fit_temperature(scores[copies], doubled)
    )


def test_predictions_that_are_all_right_give_no_extreme() -> None:
    targets = Targets(np.eye(2)[[0, 1] * 10], np.ones((20, 2)), True)
    found = fit_temperature(10.0 * np.asarray(targets.values), targets)
    assert found is not None
    p = softmax(10.0 * np.eye(2)[0] / found)
    assert 0.9 < p[0] < 0.999


@pytest.mark.parametrize("exclusive", [True, False])
def test_without_scores_or_labels_there_is_no_temperature(exclusive: bool) -> None:
    _, targets = draw(20, exclusive=exclusive, temperature=1.0)
    assert fit_temperature(np.zeros((20, 4)), targets) is None
    nothing = targets._replace(known=np.zeros((20, 4)))
    assert fit_temperature(RNG.normal(size=(20, 4)), nothing) is None
    assert calibration_scores(np.full((20, 4), 0.25), nothing) == (None, None, 0)


def test_the_log_loss_is_that_of_scikit_learn() -> None:
    scores, targets = draw(100, exclusive=True, temperature=1.0)
    p = softmax(scores, axis=1)
    classes = np.asarray(targets.values).argmax(axis=1)
    assert calibration_scores(p, targets).log_loss == pytest.approx(log_loss(classes, p))


def test_the_error_by_hand() -> None:
    targets = Targets(np.asarray([[1.0], [1.0], [0.0], [0.0]]), np.ones((4, 1)), False)
    # One bin from 0.9, with a right and a wrong answer; one from 0.1, with the same.
    found = calibration_scores([[0.91], [0.11], [0.91], [0.11]], targets, n_bins=10)
    assert found.error == pytest.approx((0.41 + 0.39) / 2)
    assert found.n == 4
