"""Fitted estimators in files: safetensors and JSON, pickle, joblib."""

import copy
import json
import pickle

import joblib
import numpy as np
import pandas
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from spacy_embtune.finetune import ContrastiveLearner, ContrastiveTuner, FeedForwardTuner
from spacy_embtune.pipeline import StorageError

from .made_up import TOPICS, make_vectors, names

X, y = make_vectors(60)


def fitted(kind, **settings):
    if kind is ContrastiveLearner:
        learner = ContrastiveLearner(**{"epochs": 3, "random_state": 0, **settings})
        return learner.fit(X[:30], X[30:], y[:30] == y[30:])
    epochs = "epochs" if kind is ContrastiveTuner else "n_epochs"
    return kind(**{epochs: 3, "random_state": 0, **settings}).fit(X, names(y))


each_kind = pytest.mark.parametrize(
    "kind", [FeedForwardTuner, ContrastiveTuner, ContrastiveLearner]
)
each_tuner = pytest.mark.parametrize("kind", [FeedForwardTuner, ContrastiveTuner])


def through_disk(estimator, path):
    estimator.to_disk(path)
    return type(estimator).from_disk(path)


def through_pickle(estimator, path):
    return pickle.loads(pickle.dumps(estimator))


def through_joblib(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path)


def through_deepcopy(estimator, path):
    return copy.deepcopy(estimator)


each_way = pytest.mark.parametrize(
    "way", [through_disk, through_pickle, through_joblib, through_deepcopy]
)


@each_kind
@each_way
def test_an_estimator_comes_back_as_it_was(kind, way, tmp_path):
    width = {"shape_out": 11} if kind is ContrastiveLearner else {"hidden_dim": 11}
    estimator = fitted(kind, **width)
    loaded = way(estimator, tmp_path / "estimator")
    assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert loaded.get_params() == estimator.get_params()
    assert loaded.get_feature_names_out().tolist() == estimator.get_feature_names_out().tolist()
    if kind is FeedForwardTuner:
        assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
        assert_array_equal(loaded.predict(X), estimator.predict(X))
    if kind is ContrastiveLearner:
        assert_array_equal(loaded.predict(X[:30], X[30:]), estimator.predict(X[:30], X[30:]))
    else:
        assert loaded.n_steps_ == estimator.n_steps_
        assert loaded.exclusive_classes_ is estimator.exclusive_classes_
        assert_array_equal(loaded.label_counts_, estimator.label_counts_)


@each_tuner
@each_way
@pytest.mark.parametrize("learned", ["fit", "partial_fit", "both"])
def test_what_comes_back_goes_on_as_if_nothing_had_been_saved(kind, way, learned, tmp_path):
    estimator = kind(
        random_state=3, **({"n_epochs": 3} if kind is FeedForwardTuner else {"epochs": 3})
    )
    if learned != "partial_fit":
        estimator.fit(X, names(y))
    if learned != "fit":
        estimator.partial_fit(X[:20], names(y[:20]))
    loaded = way(estimator, tmp_path / "estimator")
    for one in (estimator, loaded):
        one.partial_fit(X[:20], names(y[:20])).partial_fit(X[20:], names(y[20:]))
        one.partial_fit(X, names(y), classes=["NEW"]).partial_fit(X, names(y))
    assert loaded.n_steps_ == estimator.n_steps_
    assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert loaded.classes_.tolist() == sorted([*TOPICS, "NEW"])


@each_way
def test_a_copy_shares_nothing(way, tmp_path):
    estimator = fitted(FeedForwardTuner)
    before = estimator.transform(X)
    loaded = way(estimator, tmp_path / "estimator")
    loaded.partial_fit(X, names(y))
    assert_array_equal(estimator.transform(X), before)
    assert (loaded.transform(X) != before).any()


@pytest.mark.parametrize(
    "labels",
    [
        y,
        y.astype("uint8"),
        y == 1,
        y.astype(float),
        names(y),
        pandas.Series(names(y)),
        np.eye(3)[y],
        np.stack([y > 0, y > 1], axis=1),
        pandas.DataFrame({"a": y > 0, "b": y > 1}),
        [{"ä ö": 1.0, "b": 0.25} if label else {"b": 0.5} for label in y],
    ],
    ids=lambda labels: f"{type(labels).__name__}-{getattr(labels, 'dtype', '')}",
)
def test_classes_of_all_types_come_back(labels, tmp_path):
    estimator = FeedForwardTuner(n_epochs=2, random_state=0).fit(X, labels)
    loaded = through_disk(estimator, tmp_path)
    assert loaded.classes_.tolist() == estimator.classes_.tolist()
    assert loaded.classes_.dtype == estimator.classes_.dtype
    found, expected = loaded.predict(X), estimator.predict(X)
    assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


@each_way
def test_keys_of_class_weights_stay_numbers(way, tmp_path):
    estimator = FeedForwardTuner(n_epochs=2, class_weight={0: 5.0, np.int64(2): 0.5})
    loaded = way(estimator.fit(X, y), tmp_path / "estimator")
    assert loaded.class_weight == {0: 5.0, 2: 0.5}
    loaded.fit(X, y)


@pytest.mark.slow
@each_kind
@each_way
def test_names_of_features_come_back(kind, way, tmp_path):
    frame = pandas.DataFrame(X, columns=[f"v{j}" for j in range(X.shape[1])])
    if kind is ContrastiveLearner:
        estimator = kind(epochs=1).fit(frame[:30], frame[30:], y[:30] == y[30:])
    else:
        estimator = kind().set_params(batch_size=60).fit(frame, y)
    loaded = way(estimator, tmp_path / "estimator")
    assert loaded.feature_names_in_.tolist() == list(frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(frame[frame.columns[::-1]])


@each_way
def test_an_estimator_whose_parameters_were_changed_comes_back(way, tmp_path):
    estimator = fitted(ContrastiveTuner, hidden_dim=7)
    estimator.set_params(hidden_dim=9, hidden_width=5)
    loaded = way(estimator, tmp_path / "estimator")
    assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert loaded.fit(X, y).transform(X).shape == (60, 9)


def test_an_unfitted_estimator_can_be_pickled():
    for kind in (FeedForwardTuner, ContrastiveTuner, ContrastiveLearner):
        loaded = pickle.loads(pickle.dumps(kind(11)))
        assert loaded.get_params() == kind(11).get_params()
        assert not hasattr(loaded, "head_")


def test_pipelines_can_be_pickled(tmp_path):
    pipeline = make_pipeline(ContrastiveTuner(random_state=0), LogisticRegression()).fit(X, y)
    assert_array_equal(through_joblib(pipeline, tmp_path / "p").predict(X), pipeline.predict(X))


# on disk


@each_kind
def test_the_files_are_json_and_safetensors(kind, tmp_path):
    from safetensors.numpy import load_file

    path = tmp_path / "a" / "directory"
    fitted(kind).to_disk(str(path))
    assert sorted(file.name for file in path.iterdir()) == ["arrays.safetensors", "estimator.json"]
    description = json.loads((path / "estimator.json").read_text(encoding="utf8"))
    assert (description["class"], description["format"]) == (kind.__name__, 1)
    arrays = load_file(path / "arrays.safetensors")
    # No object arrays: nothing that would have to be executed.
    assert {array.dtype.kind for array in arrays.values()} <= {"f", "i", "u"}
    kind.from_disk(str(path))


@each_kind
def test_saving_again_replaces_what_was_there(kind, tmp_path):
    fitted(kind).to_disk(tmp_path)
    other = fitted(kind, dropout=0.0)
    other.to_disk(tmp_path)
    assert_array_equal(kind.from_disk(tmp_path).transform(X), other.transform(X))


def damage_weights(path):
    data = bytearray((path / "arrays.safetensors").read_bytes())
    data[-10] ^= 1
    (path / "arrays.safetensors").write_bytes(data)


def cut_weights(path):
    data = (path / "arrays.safetensors").read_bytes()
    (path / "arrays.safetensors").write_bytes(data[: len(data) // 2])


def change(path, **changes):
    description = json.loads((path / "estimator.json").read_text(encoding="utf8"))
    for key, value in changes.items():
        if value is None:
            del description[key]
        else:
            description[key] = value
    (path / "estimator.json").write_text(json.dumps(description), encoding="utf8")


@each_kind
@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (damage_weights, "damaged: arrays.safetensors is missing, or its contents have"),
        (cut_weights, "damaged: arrays.safetensors"),
        (lambda path: (path / "arrays.safetensors").unlink(), "damaged: arrays.safetensors"),
        (
            lambda path: (path / "estimator.json").unlink(),
            "no complete estimator.*Saving was interrupted",
        ),
        (lambda path: (path / "estimator.json").write_text('{"class"'), "no complete estimator"),
        (lambda path: (path / "estimator.json").write_text("[]"), "no complete estimator"),
        (lambda path: change(path, sha256=None), "no complete estimator"),
        (lambda path: change(path, format=2), r"newer spacy-embtune \(format 2.*up to 1.*Upgrade"),
        (lambda path: change(path, params=None), "does not describe one"),
        (lambda path: change(path, params={"depth": 3}), "does not describe one.*depth"),
        (lambda path: change(path, n_features_in=5), "not those of this head"),
        (
            lambda path: change(path, **{"class": "LogisticRegression"}),
            "a LogisticRegression",
        ),
    ],
)
def test_what_is_not_whole_does_not_load(kind, damage, match, tmp_path):
    fitted(kind).to_disk(tmp_path)
    damage(tmp_path)
    with pytest.raises(StorageError, match=f"(?s){match}"):
        kind.from_disk(tmp_path)


def test_another_class_does_not_load(tmp_path):
    fitted(FeedForwardTuner).to_disk(tmp_path)
    match = "holds a FeedForwardTuner, not a ContrastiveTuner: call FeedForwardTuner.from_disk"
    with pytest.raises(StorageError, match=match):
        ContrastiveTuner.from_disk(tmp_path)


@pytest.mark.parametrize("file", ["arrays.safetensors", "estimator.json"])
def test_what_is_interrupted_does_not_load(file, tmp_path, monkeypatch):
    import os

    estimator = fitted(FeedForwardTuner)
    estimator.to_disk(tmp_path)
    replace = os.replace

    def interrupted(source, target):
        if str(target).endswith(file):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(FeedForwardTuner, dropout=0.0).to_disk(tmp_path)
    monkeypatch.undo()
    with pytest.raises(StorageError, match="Saving was interrupted"):
        FeedForwardTuner.from_disk(tmp_path)
    estimator.to_disk(tmp_path)
    assert_array_equal(FeedForwardTuner.from_disk(tmp_path).transform(X), estimator.transform(X))


@each_kind
def test_a_file_in_the_way_and_a_place_with_nothing_are_errors(kind, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"file is a file\. Give a directory"):
        fitted(kind).to_disk(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    for place in ("file", "nothing"):
        with pytest.raises(ValueError, match=r"no complete estimator.*path is wrong"):
            kind.from_disk(tmp_path / place)


@each_kind
def test_parameters_that_are_no_json_are_an_error_before_anything_is_written(kind, tmp_path):
    settings = {"random_state": np.random.RandomState(0)}
    with pytest.raises(ValueError, match=r"cannot be written as JSON.*joblib"):
        fitted(kind, **settings).to_disk(tmp_path / "estimator")
    assert not (tmp_path / "estimator").exists()


def test_without_a_random_state_no_state_is_saved(tmp_path):
    estimator = FeedForwardTuner(n_epochs=1).fit(X, y)
    loaded = through_disk(estimator, tmp_path)
    np.random.seed(0)  # noqa: NPY002
    one = loaded.partial_fit(X, y).transform(X)
    np.random.seed(0)  # noqa: NPY002
    assert_array_equal(through_disk(estimator, tmp_path).partial_fit(X, y).transform(X), one)
