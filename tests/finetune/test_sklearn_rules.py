"""scikit-learn's own checks, and its tools around the tuners."""

import warnings

import numpy as np
import pandas
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

from spacy_embtune.finetune import (
    ContrastiveLearner,
    ContrastiveTuner,
    DifferenceClassifier,
    FeedForwardTuner,
    ForwardFinetuner,
    SbertLearner,
    SentenceEncoder,
)

from .made_up import make_vectors, names, nearest_accuracy

# A hundred fits and more.
pytestmark = pytest.mark.slow

TUNERS = [FeedForwardTuner, ContrastiveTuner]
each_tuner = pytest.mark.parametrize("Tuner", TUNERS)

# Need an environment variable, and a method that a tuner has not.
NOT_APPLICABLE = {
    "check_array_api_input",
    "check_classifiers_multilabel_output_format_decision_function",
}


def checks():
    with warnings.catch_warnings():
        # The generator says which checks it leaves out for what the tags say.
        warnings.simplefilter("ignore")
        for Tuner in TUNERS:
            for estimator, check in estimator_checks_generator(Tuner(random_state=0)):
                name = getattr(check, "func", check).__name__
                if name not in NOT_APPLICABLE:
                    yield pytest.param(estimator, check, id=f"{Tuner.__name__}-{name}")


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_there_are_many_checks():
    found = [param.id for param in checks()]
    assert len(found) > 120
    assert "FeedForwardTuner-check_sample_weight_equivalence_on_dense_data" in found
    assert "ContrastiveTuner-check_transformer_general" in found


# parameters


@pytest.mark.parametrize(
    "estimator",
    [
        FeedForwardTuner(13, random_state=3, class_weight={"a": 2.0}),
        ContrastiveTuner(13, loss="cosine_pairs", temperature=0.3),
        ContrastiveLearner(7),
        SbertLearner("a name", epochs=2),
        SentenceEncoder("a name", quantize=True),
        DifferenceClassifier(SentenceEncoder("a name"), LogisticRegression(C=3.0)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_parameters_are_those_of_the_constructor(estimator):
    parameters = estimator.get_params(deep=False)
    assert clone(estimator).get_params().keys() == estimator.get_params().keys()
    copied = type(estimator)(**parameters)
    for name, value in parameters.items():
        assert getattr(copied, name) is value
    assert repr(clone(estimator)) == repr(estimator)


def test_parameters_can_be_set():
    tuner = FeedForwardTuner().set_params(hidden_dim=7, n_epochs=1)
    assert tuner.fit_transform(*make_vectors(20)).shape == (20, 7)
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        tuner.set_params(depth=3)


@pytest.mark.parametrize(
    ("Estimator", "settings", "match"),
    [
        (FeedForwardTuner, {"hidden_dim": 0}, "hidden_dim is 0: give an integer above 0"),
        (FeedForwardTuner, {"hidden_dim": 2.0}, "hidden_dim is 2.0"),
        (FeedForwardTuner, {"n_epochs": -1}, "n_epochs is -1"),
        (FeedForwardTuner, {"n_epochs": True}, "n_epochs is True"),
        (FeedForwardTuner, {"batch_size": None}, "batch_size is None"),
        (FeedForwardTuner, {"learning_rate": 0.0}, "learning_rate is 0.0: give a number above 0"),
        (FeedForwardTuner, {"learning_rate": "a"}, "learning_rate is 'a'"),
        (FeedForwardTuner, {"learning_rate": np.nan}, "learning_rate is nan"),
        (FeedForwardTuner, {"weight_decay": -1}, "weight_decay is -1"),
        (FeedForwardTuner, {"dropout": 1.0}, "dropout is 1.0"),
        (FeedForwardTuner, {"activation": "sine"}, "activation is 'sine'"),
        (FeedForwardTuner, {"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        (FeedForwardTuner, {"class_weight": "rare"}, "class_weight is 'rare'"),
        (FeedForwardTuner, {"class_weight": {7: 2.0}}, "class_weight names 7.*classes: 0, 1, 2"),
        (FeedForwardTuner, {"class_weight": {0: -1.0}}, "negative or not finite"),
        (FeedForwardTuner, {"exclusive_classes": "no"}, "exclusive_classes is 'no'"),
        (FeedForwardTuner, {"random_state": "a"}, "'a' cannot be used to seed"),
        (ContrastiveTuner, {"hidden_dim": 0}, "hidden_dim is 0"),
        (ContrastiveTuner, {"epochs": 0}, "epochs is 0"),
        (ContrastiveTuner, {"hidden_width": None}, "hidden_width is None"),
        (ContrastiveTuner, {"loss": "mse"}, "loss is 'mse': give one of mixed"),
        (ContrastiveTuner, {"temperature": 0.0}, "temperature is 0.0"),
        (ContrastiveTuner, {"temperature": "x"}, "temperature is 'x': give a number"),
        (ContrastiveTuner, {"preserve": "x"}, "preserve is 'x': give a number"),
        (FeedForwardTuner, {"dropout": "x"}, "dropout is 'x': give a number"),
        (ContrastiveTuner, {"preserve": -1.0}, "preserve.*-1.0"),
        (ContrastiveTuner, {"negatives": "all"}, "negatives is 'all'"),
    ],
)
def test_a_parameter_out_of_range_is_an_error_of_fit_that_names_it(Estimator, settings, match):
    X, y = make_vectors(20)
    for teach in ("fit", "partial_fit"):
        if "class_weight names" in match and teach == "partial_fit":
            continue
        tuner = Estimator(**settings)
        with pytest.raises(ValueError, match=match):
            getattr(tuner, teach)(X, y)
        with pytest.raises(NotFittedError):
            tuner.transform(X)


@each_tuner
def test_numbers_of_numpy_are_numbers(Tuner, tmp_path):
    X, y = make_vectors(20)
    epochs = "epochs" if Tuner is ContrastiveTuner else "n_epochs"
    settings = {
        "hidden_dim": 6,
        "batch_size": 8,
        epochs: 2,
        "learning_rate": 0.5,
        "random_state": 1,
    }
    numbers = {k: np.asarray(v)[()] for k, v in settings.items()}
    numbers["learning_rate"] = np.float32(0.5)
    one, other = Tuner(**settings).fit(X, y), Tuner(**numbers).fit(X, y)
    assert_array_equal(one.transform(X), other.transform(X))
    other.to_disk(tmp_path)
    assert_array_equal(Tuner.from_disk(tmp_path).transform(X), one.transform(X))


def test_the_older_name_is_the_same_class():
    assert ForwardFinetuner is FeedForwardTuner


# not fitted


@pytest.mark.parametrize(
    ("estimator", "calls"),
    [
        (FeedForwardTuner(), ["transform", "predict", "predict_proba", "score", "to_disk"]),
        (ContrastiveTuner(), ["transform", "to_disk"]),
        (ContrastiveLearner(), ["transform", "predict", "to_disk"]),
        (SbertLearner("a name"), ["transform", "predict", "to_disk"]),
        (DifferenceClassifier(None), ["predict", "predict_proba"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_estimator_that_is_not_fitted_says_so(estimator, calls, tmp_path):
    X, y = make_vectors(6)
    arguments = {"score": (X, y), "to_disk": (tmp_path,)}
    pairs = isinstance(estimator, ContrastiveLearner | SbertLearner | DifferenceClassifier)
    for name in calls:
        given = arguments.get(name, (X, X) if pairs and name.startswith("predict") else (X,))
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(estimator, name)(*given)
    if hasattr(estimator, "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            estimator.get_feature_names_out()


@each_tuner
def test_a_failed_fit_leaves_it_not_fitted(Tuner):
    X, _ = make_vectors(6)
    tuner = Tuner()
    with pytest.raises(ValueError, match="one class only"):
        tuner.fit(X, [1] * 6)
    with pytest.raises(NotFittedError):
        tuner.transform(X)


# what X may be


@each_tuner
def test_all_forms_of_vectors_give_the_same(Tuner):
    X, y = make_vectors(30)
    expected = Tuner(random_state=0).fit(X, y).transform(X)
    assert expected.dtype == np.float32
    for form in (X.tolist(), X.astype("float64"), np.asfortranarray(X), list(X)):
        assert_array_equal(Tuner(random_state=0).fit(form, y).transform(form), expected)
    frame = pandas.DataFrame(X, columns=[f"v{j}" for j in range(X.shape[1])])
    tuner = Tuner(random_state=0).fit(frame, y)
    assert_array_equal(tuner.transform(frame), expected)
    assert tuner.feature_names_in_.tolist() == list(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        tuner.transform(frame[frame.columns[::-1]])


@each_tuner
def test_vectors_of_another_width_are_an_error(Tuner):
    X, y = make_vectors(12)
    tuner = Tuner(random_state=0).fit(X, y)
    for use in (tuner.transform, lambda wrong: tuner.partial_fit(wrong, y)):
        with pytest.raises(ValueError, match=r"X has 5 features.*expecting 24"):
            use(X[:, :5])


@pytest.mark.parametrize(
    "texts", [["a text"] * 6, ("a text",) * 6, np.array(["a text"] * 6), "a text"]
)
def test_texts_in_place_of_vectors_are_an_error_that_says_what_to_do(texts):
    X, y = make_vectors(6)
    match = r"contains texts: 'a text'.*SentenceEncoder\(\)\.transform"
    series = pandas.Series(texts)
    for given in (texts, series, series.astype(object)):
        for Tuner in TUNERS:
            with pytest.raises(ValueError, match=match):
                Tuner().fit(given, y)
            with pytest.raises(ValueError, match=match):
                Tuner(batch_size=6).partial_fit(X, y).transform(given)
        learner = ContrastiveLearner(epochs=1)
        with pytest.raises(ValueError, match=f"X2 {match}"):
            learner.fit(X, given, y > 0)
        with pytest.raises(ValueError, match=match):
            learner.fit(X, X[::-1], y > 0).predict(X, given)


@each_tuner
def test_vectors_may_have_names(Tuner):
    X, y = make_vectors(20)
    tuner = Tuner(5, random_state=0).fit(X, y)
    expected = [f"{Tuner.__name__.lower()}{i}" for i in range(5)]
    assert tuner.get_feature_names_out().tolist() == expected
    frame = pandas.DataFrame(X, index=range(100, 120))
    frame.columns = [f"v{j}" for j in range(X.shape[1])]
    found = Tuner(5, random_state=0).set_output(transform="pandas").fit(frame, y).transform(frame)
    assert isinstance(found, pandas.DataFrame)
    assert (list(found), list(found.index)) == (expected, list(frame.index))
    assert_array_equal(found.to_numpy(), tuner.transform(X))


@each_tuner
def test_a_row_without_a_vector_stays_one(Tuner):
    X, y = make_vectors(30)
    X[3] = 0.0
    tuner = Tuner(random_state=0).fit(X, y)
    assert not tuner.transform(X)[3].any()
    assert tuner.transform(X)[4].any()
    without = np.delete(X, 3, axis=0)
    mean = tuner.head_.get_ref("standardize").get_param("mean")
    np.testing.assert_allclose(mean, without.mean(axis=0), rtol=1e-4, atol=1e-6)
    if Tuner is FeedForwardTuner:
        assert tuner.predict_proba(X)[3] == pytest.approx([1 / 3] * 3)


@each_tuner
def test_a_row_does_not_depend_on_its_neighbours(Tuner):
    X, y = make_vectors(300)
    tuner = Tuner(random_state=0, batch_size=100).fit(X, y)
    whole = tuner.transform(X)
    assert_array_equal(tuner.transform(X[7:8]), whole[7:8])
    assert_array_equal(tuner.transform(X[255:259]), whole[255:259])


# tools


def test_tuners_work_in_pipelines():
    X, y = make_vectors(150)
    X_test, y_test = make_vectors(300, seed=1)
    base = nearest_accuracy(X, y, X_test, y_test)
    for Tuner in TUNERS:
        pipeline = make_pipeline(Tuner(random_state=0), LogisticRegression(max_iter=1000))
        pipeline.fit(X, names(y))
        assert pipeline.score(X_test, names(y_test)) > base
        assert set(pipeline.predict(X_test)) <= set(names(y))
    last = make_pipeline(FunctionTransformer(), FeedForwardTuner(random_state=0)).fit(X, y)
    assert last.score(X_test, y_test) > base
    assert last.predict_proba(X_test).shape == (300, 3)


def test_parameters_can_be_searched():
    X, y = make_vectors(60)
    search = GridSearchCV(
        FeedForwardTuner(n_epochs=2, random_state=0),
        {"hidden_dim": np.arange(4, 12, 4), "class_weight": [None, "balanced"]},
        cv=2,
        error_score="raise",
    ).fit(X, names(y))
    assert search.best_estimator_.transform(X).shape == (60, search.best_params_["hidden_dim"])
    assert (search.cv_results_["mean_test_score"] > 0).all()
    pipeline = make_pipeline(ContrastiveTuner(random_state=0), LogisticRegression())
    grid = {"contrastivetuner__preserve": [0.0, 10.0], "contrastivetuner__epochs": [1, 3]}
    found = RandomizedSearchCV(pipeline, grid, n_iter=3, cv=2, random_state=0, n_jobs=2)
    found.fit(X, y)
    assert (found.cv_results_["mean_test_score"] > 0).all()


def test_scores_of_cross_validation_are_repeatable():
    X, y = make_vectors(60)
    tuner = FeedForwardTuner(n_epochs=5, random_state=0)
    scores = cross_val_score(tuner, X, y, cv=3)
    assert_array_equal(scores, cross_val_score(tuner, X, y, cv=3))
    assert cross_val_predict(tuner, X, names(y), method="predict_proba").shape == (60, 3)


def test_labels_with_gaps_can_be_searched():
    X, y = make_vectors(150)
    some = names(y).astype(object)
    some[::7] = None
    cats = [{} if label is None else {str(label): 1.0} for label in some]
    matrix = np.asarray(
        [[label == name if label else None for name in sorted(set(names(y)))] for label in some],
        dtype=float,
    )
    # A matrix with NaN is nothing that scikit-learn knows how to stratify.
    for target, cv in ((some, 3), (cats, 3), (matrix, KFold(3))):
        search = GridSearchCV(
            FeedForwardTuner(random_state=0), {"n_epochs": [1, 40]}, cv=cv, error_score="raise"
        )
        search.fit(X, target)
        assert search.best_score_ > 0.5


def test_kinds_of_estimators():
    assert is_classifier(FeedForwardTuner())
    assert not is_classifier(ContrastiveTuner())
