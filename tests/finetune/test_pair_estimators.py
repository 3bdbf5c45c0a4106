"""Learning from pairs of vectors, and classifying them."""

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from spacy_embtune.finetune import ContrastiveLearner, DifferenceClassifier, SentenceEncoder
from spacy_embtune.finetune._distinct_rows import distinct_pairs
from spacy_embtune.finetune.pair_estimators import paired_cosines

from ..conftest import make_texts
from .made_up import make_vectors


def make_pairs(n, seed=0):
    """RETURNS (tuple): Pairs of vectors, and whether they are of the same class."""
    X, y = make_vectors(2 * n, seed=seed)
    order = np.random.RandomState(seed).permutation(2 * n)
    first, second = order[:n], order[n:]
    return X[first], X[second], (y[first] == y[second]).astype(float)


def separation(cosines, same):
    """RETURNS (float): How often a pair of the same class is closer than one of two classes."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(same, cosines))


# ContrastiveLearner


@pytest.mark.slow
@pytest.mark.parametrize("shape_out", [None, 8, 40])
def test_pairs_are_learned(shape_out):
    X1, X2, y = make_pairs(400)
    learner = ContrastiveLearner(shape_out, random_state=0).fit(X1, X2, y)
    assert learner.transform(X1).shape == (400, shape_out or X1.shape[1])
    assert learner.transform(X1).dtype == np.float32
    X1, X2, y = make_pairs(400, seed=1)
    cosines = learner.predict(X1, X2)
    assert (cosines.shape, cosines.dtype) == ((400,), np.float32)
    assert_allclose(cosines, paired_cosines(learner.transform(X1), learner.transform(X2)))
    assert separation(cosines, y) > separation(paired_cosines(X1, X2), y) + 0.05


@pytest.mark.slow
def test_graded_scores_are_learned():
    X1, X2, y = make_pairs(400)
    learner = ContrastiveLearner(random_state=0).fit(X1, X2, 0.3 + 0.4 * y)
    cosines = learner.predict(X1, X2)
    assert cosines[y == 1].mean() == pytest.approx(0.7, abs=0.1)
    assert cosines[y == 0].mean() == pytest.approx(0.3, abs=0.1)


def test_all_forms_of_pairs_give_the_same():
    X1, X2, y = make_pairs(30)
    expected = ContrastiveLearner(epochs=2, random_state=0).fit(X1, X2, y).transform(X1)
    forms = [list, tuple, lambda rows: rows.tolist(), pandas.DataFrame]
    for form in forms:
        learner = ContrastiveLearner(epochs=2, random_state=0)
        learner.fit(form(X1), form(X2), pandas.Series(y == 1))
        assert_array_equal(learner.transform(form(X1)), expected)
    # The order of the pairs is drawn anyway.
    turned = ContrastiveLearner(epochs=2, random_state=0).fit(X1[::-1], X2[::-1], y[::-1])
    assert_array_equal(turned.transform(X1), expected)
    again = turned.fit(X1, X2, y)
    assert_array_equal(again.transform(X1), expected)


def test_pairs_of_a_row_with_itself_teach_nothing():
    X1, X2, y = make_pairs(30)
    expected = ContrastiveLearner(epochs=2, random_state=0).fit(X1, X2, y).transform(X1)
    rows, others = np.concatenate([X1, X1[:5]]), np.concatenate([X2, X1[:5]])
    scores = np.concatenate([y, np.zeros(5)])
    found = ContrastiveLearner(epochs=2, random_state=0).fit(rows, others, scores)
    assert_array_equal(found.transform(X1), expected)
    with pytest.raises(ValueError, match=r"Each row of X1 is equal.*nothing to learn"):
        ContrastiveLearner().fit(X1, X1, y)


def test_distinct_pairs_name_each_row_once():
    rows = np.eye(3, dtype="float32")
    pairs = distinct_pairs(rows[[0, 1, 0, 2]], rows[[1, 0, 2, 2]], np.array([0.1, 0.2, 0.3, 1]))
    assert_array_equal(np.sort(pairs.base, axis=0), np.sort(rows, axis=0))
    found = {
        (tuple(pairs.base[i]), tuple(pairs.base[j]), score)
        for i, j, score in zip(pairs.first, pairs.second, pairs.scores, strict=True)
    }
    a, b, c = (tuple(row) for row in rows)
    assert found == {(a, b, 0.1), (b, a, 0.2), (a, c, 0.3)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X1, X2, y: (X1, X2, y * 5.0), r"y goes from 0 to 5: give scores.*y\.max\(\)"),
        (lambda X1, X2, y: (X1, X2, y - 1.0), "y goes from -1 to 0"),
        (lambda X1, X2, y: (X1, X2, y * np.nan), "Input y contains NaN"),
        (lambda X1, X2, y: (X1, X2, ["a"] * 30), "could not convert string to float"),
        (lambda X1, X2, y: (X1, X2, y[:5]), "inconsistent numbers of samples"),
        (lambda X1, X2, y: (X1, X2[:5], y), "inconsistent numbers of samples"),
        (lambda X1, X2, y: (X1, X2[:, :5], y), "X1 has 24 columns and X2 has 5"),
        (lambda X1, X2, y: (X1, X2 * np.inf, y), "Input X contains NaN|infinity"),
    ],
)
def test_what_are_no_pairs_is_an_error(change, match):
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ValueError, match=f"(?s){match}"),
    ):
        ContrastiveLearner(towers="shared").fit(*change(*make_pairs(30)))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"shape_out": 0}, "shape_out is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"dropout": 2.0}, "dropout is 2.0"),
        ({"towers": "two"}, "towers is 'two': give one of 'auto'"),
        ({"towers": None}, "towers is None"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": "x"}, "temperature is 'x': give a number"),
    ],
)
def test_a_parameter_out_of_range_is_an_error(settings, match):
    with pytest.raises(ValueError, match=match):
        ContrastiveLearner(**settings).fit(*make_pairs(5))


def test_cosines_of_pairs():
    rows = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    others = np.array([[6.0, 8.0], [0.0, 2.0], [1.0, 1.0]])
    assert_allclose(paired_cosines(rows, others), [1.0, 0.0, 0.0], atol=1e-7)


# DifferenceClassifier


def test_pairs_of_texts_are_classified(tiny_encoder):
    texts, topics = zip(*make_texts(240), strict=True)
    sides = np.random.RandomState(0).permutation(240).reshape(2, 120)
    first, second = ([texts[i] for i in side] for side in sides)
    same = np.asarray([topics[i] == topics[j] for i, j in sides.T])
    model = DifferenceClassifier(enc=SentenceEncoder(str(tiny_encoder)))
    model.fit(X1=first, X2=second, y=same)
    predicted = model.predict(X1=first, X2=second)
    assert predicted.dtype == bool
    assert (predicted == same).mean() > 0.7
    probabilities = model.predict_proba(X1=first, X2=second)
    assert_allclose(probabilities.sum(axis=1), 1.0)
    assert model.classes_.tolist() == [False, True]
    assert isinstance(model.clf_head_, LogisticRegression)
    assert model.clf_head_.class_weight == "balanced"
    assert model.clf_head is None
    # Which side is which does not matter.
    assert_array_equal(model.predict(second, first), predicted)


def test_the_head_and_the_encoder_are_the_callers():
    X1, X2, y = make_pairs(100)
    head, encoder = LinearSVC(), PCA(5).fit(np.concatenate([X1, X2]))
    components = encoder.components_.copy()
    model = DifferenceClassifier(encoder, head).fit(X1, X2, y)
    assert not hasattr(head, "coef_")
    assert model.clf_head_.coef_.shape == (1, 5)
    assert_array_equal(encoder.components_, components)
    with pytest.raises(AttributeError, match="predict_proba"):
        model.predict_proba(X1, X2)


def test_vectors_may_be_sparse_or_a_frame():
    texts = [text for text, _ in make_texts(40)]
    same = [0, 1] * 10
    encoder = TfidfVectorizer().fit(texts)
    sparse = DifferenceClassifier(encoder).fit(texts[:20], texts[20:], same)

    def dense(values):
        return pandas.DataFrame(encoder.transform(values).toarray())

    other = DifferenceClassifier(FunctionTransformer(dense)).fit(texts[:20], texts[20:], same)
    assert_allclose(
        sparse.predict_proba(texts[:20], texts[20:]), other.predict_proba(texts[:20], texts[20:])
    )


def test_sides_of_different_lengths_are_an_error():
    X1, X2, y = make_pairs(10)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DifferenceClassifier(FunctionTransformer()).fit(X1, X2[:1], y)


def test_scores_have_to_be_one_a_pair():
    X, _ = make_vectors(20)
    learner = ContrastiveLearner(epochs=1)
    with pytest.raises(ValueError, match="1d array"):
        learner.fit(X[:10], X[10:], np.zeros((5, 2)))
    learner.fit(X[:10], X[10:], np.ones(10))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        learner.predict(X[:3], X[3:4])
