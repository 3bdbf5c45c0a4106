"""scikit-learn's meta-estimators, searches and scorers around the tuners give right answers, also
when a class came later and sorts first."""

from pathlib import Path
from typing import Any

import datasets
import joblib
import numpy as np
import pandas
import polars
import pytest
import sklearn
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier, OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner, SentenceEncoder

from ..conftest import make_texts
from .made_up import TOPICS, make_vectors, names

X, Y = make_vectors(150)
LABELS = names(Y)
X_TEST, Y_TEST = make_vectors(300, seed=1)
LABELS_TEST = names(Y_TEST)


def tuner(**settings: Any) -> FeedForwardTuner:
    return FeedForwardTuner(**{"hidden_dim": 32, "n_epochs": 30, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def plain() -> float:
    """The accuracy of a tuner alone."""
    return float(tuner().fit(X, LABELS).score(X_TEST, LABELS_TEST))


@pytest.fixture(scope="module", params=["fit", "a class that comes later and sorts first"])
def fitted(request: pytest.FixtureRequest) -> FeedForwardTuner:
    """A tuner of three topics."""
    if request.param == "fit":
        return tuner().fit(X, LABELS)
    late = tuner()
    known = LABELS != "FOOD"
    for _ in range(10):
        late.partial_fit(X[known], LABELS[known])
    for _ in range(150):
        late.partial_fit(X, LABELS, classes=["FOOD"])
    return late


def test_the_order_of_classes_is_sorted(fitted):
    assert fitted.classes_.tolist() == sorted(TOPICS)
    assert fitted.score(X_TEST, LABELS_TEST) > 0.6


def test_roc_auc_scorers_agree_with_a_computation_by_hand(fitted):
    probabilities = fitted.predict_proba(X_TEST)
    by_hand = np.mean(
        [
            roc_auc_score(label == LABELS_TEST, probabilities[:, j])
            for j, label in enumerate(fitted.classes_)
        ]
    )
    assert by_hand > 0.7
    assert get_scorer("roc_auc_ovr")(fitted, X_TEST, LABELS_TEST) == pytest.approx(by_hand)
    loss = log_loss(LABELS_TEST, probabilities, labels=fitted.classes_)
    assert get_scorer("neg_log_loss")(fitted, X_TEST, LABELS_TEST) == pytest.approx(-loss)
    assert loss < np.log(3)


def test_soft_voting_of_one_voter_is_that_voter(fitted):
    for labels in (LABELS, pandas.Series(LABELS)):
        vote = VotingClassifier([("a", FrozenEstimator(fitted))], voting="soft").fit(X, labels)
        assert_array_equal(vote.predict(X_TEST), fitted.predict(X_TEST))
        assert_allclose(vote.predict_proba(X_TEST), fitted.predict_proba(X_TEST))


def test_calibration_of_a_fitted_tuner_keeps_its_predictions(fitted):
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature")
    calibrated.fit(X_TEST, LABELS_TEST)
    assert calibrated.classes_.tolist() == sorted(TOPICS)
    assert_array_equal(calibrated.predict(X_TEST), fitted.predict(X_TEST))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration_by_cross_validation(method, plain):
    calibrated = CalibratedClassifierCV(tuner(), method=method, cv=3).fit(X, LABELS)
    assert calibrated.score(X_TEST, LABELS_TEST) > plain - 0.05
    assert_allclose(calibrated.predict_proba(X_TEST).sum(axis=1), 1.0)


@pytest.mark.slow
def test_soft_voting_beside_another_classifier(plain):
    vote = VotingClassifier([("a", tuner()), ("b", LogisticRegression())], voting="soft", n_jobs=2)
    assert vote.fit(X, LABELS).score(X_TEST, LABELS_TEST) > plain - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("passthrough", [False, True])
def test_stacking(passthrough, plain):
    stack = StackingClassifier(
        [("tuner", tuner()), ("plain", LogisticRegression())],
        LogisticRegression(max_iter=1000),
        cv=3,
        passthrough=passthrough,
    ).fit(X, LABELS)
    assert stack.score(X_TEST, LABELS_TEST) > plain - 0.07
    on_top = StackingClassifier([("plain", LogisticRegression())], tuner(), cv=3).fit(X, LABELS)
    assert on_top.score(X_TEST, LABELS_TEST) > 0.5


@pytest.mark.slow
def test_one_binary_tuner_a_class(plain):
    rest = OneVsRestClassifier(tuner(), n_jobs=2).fit(X, LABELS)
    assert rest.score(X_TEST, LABELS_TEST) > plain - 0.07
    matrix = np.eye(3, dtype=int)[Y]
    matrix[::5, 0] = 1
    several = OneVsRestClassifier(tuner()).fit(X, matrix)
    assert several.predict(X_TEST).shape == (300, 3)
    for j in range(3):
        assert roc_auc_score(j == Y_TEST, several.predict_proba(X_TEST)[:, j]) > 0.65
    codes = OutputCodeClassifier(tuner(), code_size=3, random_state=0).fit(X, LABELS)
    assert codes.score(X_TEST, LABELS_TEST) > 0.5


@pytest.mark.slow
def test_probabilities_out_of_fold_are_in_sorted_order_and_the_same_with_two_jobs():
    one = cross_val_predict(tuner(), X, LABELS, cv=3, method="predict_proba")
    two = cross_val_predict(tuner(), X, LABELS, cv=3, method="predict_proba", n_jobs=2)
    assert_array_equal(one, two)
    assert (np.asarray(sorted(TOPICS))[one.argmax(axis=1)] == LABELS).mean() > 0.5


@pytest.mark.slow
def test_a_threshold_for_two_classes():
    rare = np.where(Y == 0, "yes", "no")
    rare[::2] = "no"
    found = TunedThresholdClassifierCV(tuner(), scoring="balanced_accuracy", cv=3).fit(X, rare)
    score = get_scorer("balanced_accuracy")
    truth = np.where(Y_TEST == 0, "yes", "no")
    assert score(found, X_TEST, truth) > score(tuner().fit(X, rare), X_TEST, truth)


@pytest.mark.slow
def test_halving_search():
    search = HalvingGridSearchCV(
        tuner(learning_rate=0.005),
        {"hidden_dim": [2, 8, 32]},
        resource="n_epochs",
        max_resources=40,
        min_resources="exhaust",
        cv=3,
        random_state=0,
        n_jobs=2,
        error_score="raise",
    ).fit(X, LABELS)
    assert search.n_resources_ == [13, 39]
    assert search.best_estimator_.n_epochs == 39
    assert search.best_score_ > 0.5
    by_rows = HalvingGridSearchCV(
        tuner(), {"hidden_dim": [4, 8, 32]}, cv=2, random_state=0, error_score="raise"
    ).fit(X, LABELS)
    assert by_rows.n_resources_[-1] > by_rows.n_resources_[0]


@pytest.mark.slow
def test_several_scorers_at_once():
    scorers = ["accuracy", "roc_auc_ovr", "f1_macro", "neg_log_loss", "neg_brier_score"]
    found = cross_validate(tuner(), X, LABELS, scoring=scorers, cv=3, error_score="raise")
    for name in scorers:
        assert np.isfinite(found[f"test_{name}"]).all()
    assert found["test_roc_auc_ovr"].mean() > 0.7


@pytest.mark.parametrize(
    ("form", "kind"), [("pandas", pandas.DataFrame), ("polars", polars.DataFrame)]
)
def test_set_output_of_tuners(form, kind):
    for one in (tuner(), ContrastiveTuner(epochs=2, random_state=0)):
        expected = make_pipeline(StandardScaler(), clone(one)).fit(X, LABELS).transform(X)
        pipeline = make_pipeline(StandardScaler(), one).set_output(transform=form)
        found = pipeline.fit(X, LABELS).transform(X)
        assert isinstance(found, kind)
        assert list(found.columns) == one.get_feature_names_out().tolist()
        assert_array_equal(found.to_numpy(), expected)


@pytest.mark.slow
def test_sample_weights_are_routed():
    weights = np.where(Y == 2, 0.1, 1.0)
    expected = tuner().fit(X, LABELS, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        asks = tuner().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(FunctionTransformer(), asks).fit(X, LABELS, sample_weight=weights)
        search = GridSearchCV(asks, {"n_epochs": [30]}, cv=2, error_score="raise")
        search.fit(X, LABELS, sample_weight=weights)
        params = {"sample_weight": weights}
        found = cross_validate(asks, X, LABELS, params=params, cv=2, error_score="raise")
        calibrated = CalibratedClassifierCV(asks, method="temperature", cv=2)
        calibrated.fit(X, LABELS, sample_weight=weights)
    probabilities = expected.predict_proba(X_TEST)
    assert_array_equal(pipeline.predict_proba(X_TEST), probabilities)
    assert_array_equal(search.predict_proba(X_TEST), probabilities)
    # The light class is less probable than without weights.
    assert probabilities[:, 2].mean() < tuner().fit(X, LABELS).predict_proba(X_TEST)[:, 2].mean()
    assert calibrated.predict_proba(X_TEST)[:, 2].mean() < 0.33
    assert (found["test_score"] > 0.4).all()


def test_joblib_keeps_all_that_a_tuner_learned(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "tuner.joblib")
    loaded = joblib.load(tmp_path / "tuner.joblib")
    assert_array_equal(loaded.predict_proba(X_TEST), fitted.predict_proba(X_TEST))
    known = joblib.load(tmp_path / "tuner.joblib").partial_fit(X, LABELS)
    assert_array_equal(loaded.partial_fit(X, LABELS).transform(X), known.transform(X))


def test_skops_keeps_a_pipeline_and_goes_on(tiny_encoder: Path, tmp_path: Path) -> None:
    texts, topics = zip(*make_texts(60), strict=True)
    pipeline = make_pipeline(SentenceEncoder(str(tiny_encoder)), tuner())
    pipeline.fit(list(texts), list(topics))
    expected = pipeline.predict_proba(list(texts))
    path = tmp_path / "pipeline.skops"
    skops.io.dump(pipeline, path)
    # The encoder is its name, not its weights.
    weights = sum(file.stat().st_size for file in tiny_encoder.rglob("*") if file.is_file())
    assert path.stat().st_size < weights + 100_000
    types = skops.io.get_untrusted_types(file=path)
    assert all(name.startswith(("spacy_embtune.", "numpy.")) for name in types), types
    loaded = skops.io.load(path, trusted=types)
    assert_allclose(loaded.predict_proba(list(texts)), expected, atol=1e-6)
    base = loaded[0].transform(list(texts))
    goes_on, original = loaded[1], pipeline[1]
    goes_on.partial_fit(base, list(topics)), original.partial_fit(base, list(topics))
    assert goes_on.n_steps_ == original.n_steps_
    assert_allclose(goes_on.transform(base), original.transform(base), atol=1e-5)


# columns of data sets, and other things that are no lists


class IntegersOnly:
    """A sequence that takes whole numbers only, like the columns of some data sets."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> Any:
        if not isinstance(i, int):
            raise TypeError(f"{i!r} is no int")
        return self.values[i]


FORMS = {
    "tuple": tuple,
    "generator": iter,
    "datasets": lambda values: datasets.Dataset.from_dict({"a": values})["a"],
    "int only": IntegersOnly,
    "numpy": np.asarray,
    "object": lambda values: np.asarray(values, dtype=object),
    "pandas": pandas.Series,
    "pyarrow": lambda values: pandas.Series(values, dtype="string[pyarrow]"),
    "category": pandas.Categorical,
    "series of categories": lambda values: pandas.Series(pandas.Categorical(values)),
    "polars": polars.Series,
    "polars categories": lambda values: polars.Series(values, dtype=polars.Categorical),
}
each_form = pytest.mark.parametrize("form", list(FORMS))


@each_form
def test_texts_in_any_form(form, tiny_encoder):
    texts = [text for text, _ in make_texts(8)]
    expected = SentenceEncoder(str(tiny_encoder)).fit_transform(texts)
    found = SentenceEncoder(str(tiny_encoder)).fit_transform(FORMS[form](texts))
    assert_array_equal(found, expected)


@each_form
def test_labels_in_any_form(form):
    expected = tuner(n_epochs=3).fit(X, LABELS.tolist())
    found = tuner(n_epochs=3).fit(X, FORMS[form](LABELS.tolist()))
    assert found.classes_.tolist() == expected.classes_.tolist()
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


@each_form
def test_missing_labels_in_any_form(form):
    some: list[str | None] = LABELS.tolist()
    some[::7] = [None] * len(some[::7])
    expected = tuner(n_epochs=3).fit(X, some)
    found = tuner(n_epochs=3).fit(X, FORMS[form](some))
    assert found.classes_.tolist() == expected.classes_.tolist() == sorted(TOPICS)
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
