"""The tuners with vectors of the names of labels."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner, encode_labels

LABELS = np.asarray(["ART", "FOOD", "SPORT"])


class Words:
    """Encodes a text as the mean of random vectors of its words."""

    def transform(self, texts):
        rows = [
            np.mean([np.random.RandomState(hash_of(word)).normal(size=32) for word in words], 0)
            for words in (text.split() for text in texts)
        ]
        return np.asarray(rows, dtype="float32")


def hash_of(word):
    return sum(ord(character) * 31**i for i, character in enumerate(word)) % 2**31


def drawn(n, seed=0, noise=1.0):
    """RETURNS (tuple): Vectors around those of the names, with a common part, and their labels."""
    rng = np.random.RandomState(seed)
    y = LABELS[np.arange(n) % 3]
    names = encode_labels(LABELS, Words())
    X = np.concatenate([names[label] for label in y]) + noise * rng.normal(size=(n, 32)) + 2.0
    return X.astype("float32"), y


@pytest.fixture(scope="module")
def vectors():
    return encode_labels(LABELS, Words())


def test_encoding_gives_a_row_for_each_text():
    texts = {"FOOD": ["soup", "bread and butter"], "SPORT": "a match"}
    found = encode_labels([], Words(), texts)
    assert {label: rows.shape for label, rows in found.items()} == {
        "FOOD": (2, 32),
        "SPORT": (1, 32),
    }
    np.testing.assert_array_equal(found["SPORT"], Words().transform(["a match"]))


def test_codes_are_left_out_with_one_warning():
    with pytest.warns(UserWarning, match=r"'0', '1' look like codes") as caught:
        assert encode_labels([0, 1, None], Words()) == {}
    assert len(caught) == 1
    assert set(encode_labels([0, 1, None], Words(), keep_codes=True)) == {0, 1}


def test_numbers_as_classes_may_have_texts():
    found = encode_labels(np.asarray([0, 1]), Words(), {0: "soup", 1: "a match"})
    assert set(found) == {0, 1}


@pytest.mark.slow
def test_few_rows_gain_by_names(vectors):
    X, y = drawn(300, seed=1, noise=1.5)
    gains = []
    for seed in range(3):
        X_few, y_few = drawn(3, seed=10 + seed, noise=1.5)
        plain = FeedForwardTuner(random_state=seed).fit(X_few, y_few)
        named = FeedForwardTuner(random_state=seed, label_vectors=vectors).fit(X_few, y_few)
        gains.append(named.score(X, y) - plain.score(X, y))
    assert np.mean(gains) > 0.05


@pytest.mark.slow
def test_names_are_enough_without_any_labelled_row(vectors):
    X, y = drawn(300, seed=1)
    tuner = FeedForwardTuner(random_state=0, label_vectors=vectors).fit(X, [None] * 300)
    assert tuner.score(X, y) > 0.8
    assert tuner.classes_.tolist() == LABELS.tolist()


def test_names_are_no_documents(vectors):
    X, y = drawn(30)
    plain = FeedForwardTuner(n_epochs=2, random_state=0).fit(X, y)
    named = FeedForwardTuner(n_epochs=2, random_state=0, label_vectors=vectors).fit(X, y)
    np.testing.assert_array_equal(named.label_counts_, plain.label_counts_)
    means = [t.head_.get_ref("standardize").get_param("mean") for t in (plain, named)]
    np.testing.assert_array_equal(*means)
    assert named._n_seen == plain._n_seen


def test_many_rows_leave_no_trace_of_names(vectors):
    X, y = drawn(330)
    plain = FeedForwardTuner(n_epochs=2, random_state=0).fit(X, y)
    named = FeedForwardTuner(n_epochs=2, random_state=0, label_vectors=vectors).fit(X, y)
    np.testing.assert_array_equal(named.transform(X), plain.transform(X))


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_only_proportions_of_weights_matter(vectors, scale):
    X, y = drawn(12)
    settings = {"n_epochs": 3, "random_state": 0, "label_vectors": vectors}
    one = FeedForwardTuner(**settings).fit(X, y)
    other = FeedForwardTuner(**settings).fit(X, y, sample_weight=np.full(12, scale))
    np.testing.assert_allclose(one.transform(X), other.transform(X), atol=1e-5)


def test_wrong_names_are_left_out_with_one_warning(vectors):
    X, y = drawn(60)
    wrong = {"ART": vectors["FOOD"], "FOOD": vectors["SPORT"], "SPORT": vectors["ART"]}
    tuner = FeedForwardTuner(n_epochs=2, random_state=0, label_vectors=wrong)
    with pytest.warns(UserWarning, match="label_vectors are left out") as caught:
        tuner.fit(X, y)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tuner.temperature_ > 0
    plain = FeedForwardTuner(n_epochs=2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(tuner.transform(X), plain.transform(X))


@pytest.mark.slow
def test_a_class_may_have_a_name_only(vectors):
    X, y = drawn(60)
    kept = y != "SPORT"
    tuner = FeedForwardTuner(random_state=0, label_vectors=vectors).fit(X[kept], y[kept])
    assert tuner.classes_.tolist() == LABELS.tolist()
    assert (tuner.predict(X[~kept]) == "SPORT").mean() > 0.5


@pytest.mark.parametrize("make", [FeedForwardTuner, ContrastiveTuner])
def test_one_text_a_class_has_something_to_be_close_to(make, vectors):
    X, y = drawn(3)
    tuner = make(random_state=0, label_vectors=vectors).fit(X, y)
    assert tuner.n_steps_ > 0
    assert np.isfinite(tuner.transform(X)).all()


def test_labels_as_cats_and_as_a_matrix(vectors):
    X, y = drawn(12)
    cats = [{label: 1.0, "LATE": 0.0} for label in y]
    several = FeedForwardTuner(n_epochs=2, random_state=0, label_vectors=vectors)
    assert several.fit(X, cats).classes_.tolist() == ["ART", "FOOD", "LATE", "SPORT"]
    matrix = (y[:, None] == LABELS).astype(float)
    by_number = {i: vectors[label] for i, label in enumerate(LABELS)}
    tuner = FeedForwardTuner(n_epochs=2, random_state=0, label_vectors=by_number).fit(X, matrix)
    assert tuner.predict_proba(X).shape == (12, 3)
    with pytest.raises(ValueError, match="no column of y"):
        clone(tuner).set_params(label_vectors={7: X[0]}).fit(X, matrix)


def test_sparse_targets_take_names(vectors, monkeypatch):
    monkeypatch.setattr("spacy_embtune.finetune.labels.MOST_DENSE", 10)
    X, y = drawn(12)
    cats = [{label: 1.0} for label in y]
    settings = {"n_epochs": 3, "random_state": 0, "exclusive_classes": True}
    sparse = FeedForwardTuner(**settings, label_vectors=vectors).fit(X, cats)
    monkeypatch.undo()
    dense = FeedForwardTuner(**settings, label_vectors=vectors).fit(X, cats)
    assert sparse.transform(X).shape == dense.transform(X).shape
    np.testing.assert_array_equal(sparse.label_counts_, dense.label_counts_)


def test_partial_fit_uses_names_until_there_are_many_rows(vectors):
    X, y = drawn(6)
    tuner = FeedForwardTuner(random_state=0, label_vectors=vectors).partial_fit(X, y)
    plain = FeedForwardTuner(random_state=0).partial_fit(X, y)
    assert (tuner.transform(X) != plain.transform(X)).any()
    np.testing.assert_array_equal(tuner.label_counts_, plain.label_counts_)


def test_it_is_cloned_cross_validated_and_saved(vectors, tmp_path):
    X, y = drawn(30)
    tuner = FeedForwardTuner(n_epochs=5, random_state=0, label_vectors=vectors, calibrate=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(cross_val_score(clone(tuner), X, y, cv=3)).all()
    tuner.fit(X, y).to_disk(tmp_path / "tuner")
    loaded = FeedForwardTuner.from_disk(tmp_path / "tuner")
    np.testing.assert_array_equal(loaded.transform(X), tuner.transform(X))
    np.testing.assert_array_equal(loaded.fit(X, y).transform(X), tuner.transform(X))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "mapping from class to vector"),
        ({"FOOD": np.ones(5)}, "vectors of width 32"),
        ({"FOOD": np.full(32, np.nan)}, "not finite"),
        ({"FOOD": "soup"}, "vectors of width 32"),
        ({1: np.ones(32)}, "strings"),
    ],
)
def test_bad_vectors_are_an_error(given, message):
    X, y = drawn(6)
    with pytest.raises(ValueError, match=message):
        FeedForwardTuner(label_vectors=given).fit(X, y)
