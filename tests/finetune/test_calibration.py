"""What tuners predict: the temperature that fit learns, and the threshold."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner
from spacy_embtune.metrics import calibration_scores
from spacy_embtune.types import Targets

from .made_up import make_vectors, names

# So a tuner becomes too certain.
LONG = {"n_epochs": 30, "learning_rate": 0.01}


def short(**settings):
    return FeedForwardTuner(**{"n_epochs": 20, "random_state": 0, **settings})


def scores_of(tuner, X, y):
    values = (y[:, None] == tuner.classes_).astype(float)
    return calibration_scores(tuner.predict_proba(X), Targets(values, np.ones_like(values), True))


@pytest.fixture(scope="module")
def fitted():
    X, y = make_vectors(120)
    return X, y, short(**LONG).fit(X, y)


@pytest.mark.slow
def test_probabilities_are_calibrated_and_nothing_else_changes(fitted):
    X, y, tuner = fitted
    plain = short(**LONG, calibrate=False).fit(X, y)
    assert plain.temperature_ == 1.0 < tuner.temperature_
    new, truth = make_vectors(600, seed=1)
    before, after = scores_of(plain, new, truth), scores_of(tuner, new, truth)
    assert after.log_loss < before.log_loss
    assert after.error < before.error
    assert_array_equal(tuner.predict(new), plain.predict(new))
    assert_array_equal(tuner.transform(new), plain.transform(new))


def test_labels_that_may_come_together_are_calibrated_on_demand():
    X, y = make_vectors(90)
    matrix = np.eye(3, dtype=int)[y]
    settings = {"exclusive_classes": False}
    plain = short(**settings).fit(X, matrix)
    assert plain.temperature_ == 1.0
    tuner = short(calibrate=True, **settings).fit(X, matrix)
    assert tuner.temperature_ != 1.0
    assert_array_equal(tuner.predict(X), plain.predict(X))


def test_the_temperature_does_not_depend_on_order_or_copies(fitted):
    X, y, tuner = fitted
    order = np.random.RandomState(1).permutation(len(X))
    assert short(**LONG).fit(X[order], y[order]).temperature_ == pytest.approx(tuner.temperature_)


def test_it_is_kept_by_every_way_to_save(fitted, tmp_path):
    X, _, tuner = fitted
    tuner.to_disk(tmp_path / "t")
    for again in (FeedForwardTuner.from_disk(tmp_path / "t"), pickle.loads(pickle.dumps(tuner))):
        assert again.temperature_ == tuner.temperature_
        assert_array_equal(again.predict_proba(X), tuner.predict_proba(X))


def test_partial_fit_forgets_it(fitted):
    X, y, tuner = fitted
    again = pickle.loads(pickle.dumps(tuner)).partial_fit(X, y)
    assert again.temperature_ == 1.0


@pytest.mark.parametrize("rows", [6, 19])
def test_too_few_rows_are_not_calibrated(rows):
    X, y = make_vectors(rows)
    assert short(calibrate=True).fit(X, y).temperature_ == 1.0


def test_a_class_of_one_document_does_no_harm():
    X, y = make_vectors(60)
    y = names(y).astype(object)
    y[0] = "RARE"
    tuner = short().fit(X, y)
    assert tuner.temperature_ < 10
    assert_allclose(tuner.predict_proba(X).sum(axis=1), 1.0)


@pytest.mark.slow
def test_unknown_labels_do_not_count(fitted):
    X, y, tuner = fitted
    more, _ = make_vectors(30, seed=3)
    X, y = np.concatenate([X, more]), [*names(y), *[None] * 30]
    assert short(**LONG).fit(X, y).temperature_ < 2 * tuner.temperature_


def test_the_threshold_decides_which_labels_are_predicted():
    X, y = make_vectors(60)
    matrix = np.eye(3, dtype=int)[y]
    tuner = short(exclusive_classes=False).fit(X, matrix)
    p = tuner.predict_proba(X)
    for threshold in (0.0, 0.3, 0.9):
        tuner.set_params(threshold=threshold)
        assert_array_equal(tuner.predict(X), p >= threshold)
        right = ((p >= threshold) == matrix).all(axis=1).mean()
        assert tuner.score(X, matrix) == pytest.approx(right)


def test_exclusive_classes_have_no_threshold(fitted):
    X, _, tuner = fitted
    other = pickle.loads(pickle.dumps(tuner)).set_params(threshold=0.99)
    assert_array_equal(other.predict(X), tuner.predict(X))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), None, True, "0.5"])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    X, y = make_vectors(12)
    with pytest.raises(ValueError, match=r"threshold is .*give a probability"):
        short(threshold=threshold).fit(X, y)


@pytest.mark.slow
def test_a_component_gets_temperature_and_threshold_and_gives_them_back(tiny_encoder):
    from spacy_embtune.finetune import SentenceEncoder
    from spacy_embtune.pipeline import EmbTune

    from ..conftest import make_texts

    texts, y = zip(*make_texts(60), strict=True)
    encoder = SentenceEncoder(str(tiny_encoder))
    X = encoder.fit_transform(list(texts))
    tuner = short(threshold=0.3).fit(X, y)
    pipe = EmbTune.from_estimator(tuner, spacy.blank("en"), encoder=encoder)
    assert pipe.threshold == 0.3
    assert pipe.temperature == pytest.approx(tuner.temperature_, abs=1e-6)
    assert pipe.predicts_labels
    docs = [spacy.blank("en")(text) for text in texts]
    assert_allclose(pipe.predict(docs).cats, tuner.predict_proba(X), atol=1e-5)
    again = pipe.to_estimator()
    assert (again.threshold, again.temperature_) == (0.3, pipe.temperature)
    assert_allclose(again.predict_proba(X), tuner.predict_proba(X), atol=1e-5)
    other = ContrastiveTuner(epochs=2, random_state=0).fit(X, y)
    assert not EmbTune.from_estimator(other, spacy.blank("en"), encoder=encoder).predicts_labels


def test_many_threads_get_one_temperature():
    X, y = make_vectors(60)
    tuner = short().fit(X, y)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: tuner.temperature_, range(8)))
    assert found == {short().fit(X, y).temperature_}


def test_ctrl_c_while_a_probability_is_asked_for_is_not_kept(monkeypatch):
    X, y = make_vectors(60)
    tuner = short().fit(X, y)
    expected = short().fit(X, y).temperature_
    with monkeypatch.context() as patched:
        patched.setattr(FeedForwardTuner, "_train", lambda *args, **settings: False)
        with pytest.raises(KeyboardInterrupt):
            tuner.predict_proba(X)
    assert tuner.temperature_ == expected != 1.0
