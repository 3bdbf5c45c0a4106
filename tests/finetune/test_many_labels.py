"""Estimators with more labels than arrays of documents times labels can hold."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix

from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner, labels, tuners
from spacy_embtune.labels import SparseTargets

rng = np.random.RandomState(0)
X = rng.normal(size=(60, 8)).astype("float32")
TAGS = [f"tag {i}" for i in range(12)]
CATS = [{TAGS[j]: float(k < 3) for k, j in enumerate(rng.permutation(12)[:6])} for _ in range(60)]
MATRIX = (rng.rand(60, 12) < 0.2).astype(float)
FORMS = {
    "cats": CATS,
    "classes": [TAGS[i % 12] if i % 5 else None for i in range(60)],
    "sparse matrix": csr_matrix(MATRIX),
    "sparse matrix, exclusive": csr_matrix(np.eye(12)[rng.randint(12, size=60)]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weights", [None, np.arange(60) / 30])
@pytest.mark.parametrize("Tuner", [FeedForwardTuner, ContrastiveTuner])
def test_what_is_learned_does_not_depend_on_how_targets_are_held(monkeypatch, form, weights, Tuner):
    y, fitted = FORMS[form], []
    epochs = {"n_epochs": 2} if Tuner is FeedForwardTuner else {"epochs": 2}
    for most in (labels.MOST_DENSE, 0):
        monkeypatch.setattr(labels, "MOST_DENSE", most)
        assert isinstance(labels.read_labels(y).targets, SparseTargets) == (most == 0)
        tuner = Tuner(random_state=0, **epochs).fit(X, y, sample_weight=weights)
        tuner.partial_fit(X[:20], y[:20])
        fitted.append(tuner)
    dense, sparse = fitted
    assert sparse.classes_.tolist() == dense.classes_.tolist()
    assert sparse.exclusive_classes_ == dense.exclusive_classes_
    assert_allclose(sparse.label_counts_, dense.label_counts_, rtol=1e-6)
    assert_array_equal(sparse.transform(X), dense.transform(X))
    if Tuner is FeedForwardTuner:
        assert_array_equal(sparse.predict_proba(X), dense.predict_proba(X))
        assert sparse.score(X, y) == dense.score(X, y)


def test_weights_of_classes_and_copies_of_rows_count_alike(monkeypatch):
    y = FORMS["classes"]
    both = np.concatenate([X, X[:9]]), [*y, *y[:9]]
    of_class = {TAGS[1]: 3.0, TAGS[2]: 0.0}
    made = []
    for most in (labels.MOST_DENSE, 0):
        monkeypatch.setattr(labels, "MOST_DENSE", most)
        tuner = FeedForwardTuner(n_epochs=2, class_weight=of_class, random_state=0).fit(*both)
        made.append(tuner.transform(X))
    assert_array_equal(*made)


@pytest.mark.parametrize("form", FORMS)
def test_temperatures_and_predictions_do_not_depend_on_how_targets_are_held(monkeypatch, form):
    y, found = FORMS[form], []
    for most in (labels.MOST_DENSE, 0):
        monkeypatch.setattr(labels, "MOST_DENSE", most)
        tuner = FeedForwardTuner(n_epochs=30, learning_rate=0.01, calibrate=True, random_state=0)
        tuner.fit(X, y)
        found.append([tuner.temperature_, tuner.predict(X), tuner.score(X, y)])
    dense, sparse = found
    assert dense[0] != 1.0
    assert sparse[0] == pytest.approx(dense[0], rel=1e-5)
    assert_array_equal(sparse[1], dense[1])
    assert sparse[2] == dense[2]


@pytest.mark.parametrize("form", FORMS)
def test_predictions_are_the_same_in_blocks_of_any_size(monkeypatch, form):
    many, y = np.tile(X, (9, 1)) + 0.01 * rng.normal(size=(540, 8)), FORMS[form]
    tuner = FeedForwardTuner(n_epochs=2, random_state=0).fit(X, y)
    expected = tuner.predict_proba(many), tuner.predict(many), tuner.score(X, y)
    monkeypatch.setattr(tuners, "MOST_DENSE", 1)
    assert len(list(tuner._probability_blocks(many.astype("float32")))) == 3
    assert_array_equal(tuner.predict_proba(many), expected[0])
    assert_array_equal(tuner.predict(many), expected[1])
    assert tuner.score(X, y) == expected[2]


def test_pickles_of_earlier_versions_load_with_their_temperature():
    tuner = FeedForwardTuner(n_epochs=2, random_state=0).fit(X, FORMS["classes"])
    for kept, expected in (({"temperature_": 2.5}, 2.5), ({}, 1.0)):
        state = tuner.__getstate__()
        del state["_temperature"]
        old = FeedForwardTuner.__new__(FeedForwardTuner)
        old.__setstate__({**state, **kept})
        assert old.temperature_ == expected
        assert "temperature_" not in vars(old)
        scores = np.log(old.predict_proba(X)) * expected
        tuner.temperature_ = 1.0
        plain = np.log(tuner.predict_proba(X))
        assert_allclose(scores - scores[:, :1], plain - plain[:, :1], atol=1e-5)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([{"A": 1.0}, {"A": 1.0}], "one class only"),
        ([{}, {}], "no class"),
        (["A", "A"], "one class only, 'A'"),
        (csr_matrix([[1.0, 2.0], [0.0, 1.0]]), "value 2 for the label 1"),
    ],
)
def test_errors_are_those_of_few_labels(monkeypatch, y, match):
    monkeypatch.setattr(labels, "MOST_DENSE", 0)
    with pytest.raises(ValueError, match=match):
        FeedForwardTuner().fit(X[:2], y)
