"""ContrastiveLearner on two kinds of vectors, and on pairs without scores."""

import pickle

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from spacy_embtune.finetune import ContrastiveLearner
from spacy_embtune.finetune.pair_estimators import paired_cosines
from spacy_embtune.metrics import answer_scores


def make_sides(n, seed=0, widths=(12, 20)):
    """RETURNS (tuple): Two views of the same hidden vectors, of different widths."""
    mix = np.random.RandomState(99)
    hidden = np.random.RandomState(seed).normal(size=(n, 6))
    sides = [hidden @ mix.normal(size=(6, width)) for width in widths]
    noise = np.random.RandomState(seed + 1)
    return [side + 0.3 * noise.normal(size=side.shape) for side in sides]


def find(learner, X1, X2):
    left, right = learner.transform(X1, side="left"), learner.transform(X2, side="right")
    return answer_scores(left, right).recall[1]


@pytest.fixture(scope="module")
def fitted():
    return ContrastiveLearner(epochs=20, random_state=0).fit(*make_sides(200))


# Pairs without scores


def test_sides_of_different_widths_find_each_other(fitted):
    X1, X2 = make_sides(100, seed=5)
    assert find(fitted, X1, X2) > 0.5
    assert find(ContrastiveLearner(epochs=1, learning_rate=1e-9).fit(X1, X2), X1, X2) < 0.1
    found = fitted.transform(X1), fitted.transform(X2)
    assert [(side.shape, side.dtype) for side in found] == [((100, 12), np.float32)] * 2
    assert_allclose(fitted.predict(X1, X2), paired_cosines(*found))


@pytest.mark.slow
def test_an_asymmetric_relation_needs_towers():
    # The right side is the left one, turned: nothing tells the sides apart.
    rng = np.random.RandomState(0)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    X1 = rng.normal(size=(300, 12))
    X2 = X1 @ turn + 0.1 * rng.normal(size=(300, 12))
    new = X1[200:], X2[200:]
    X1, X2 = X1[:200], X2[:200]
    shared, separate = (
        find(ContrastiveLearner(epochs=20, towers=towers, random_state=0).fit(X1, X2), *new)
        for towers in ("auto", "separate")
    )
    assert separate > shared + 0.2


def test_scores_that_are_all_1_are_no_scores(fitted):
    X1, X2 = make_sides(60)
    with_ones, without = (
        ContrastiveLearner(epochs=2, random_state=0).fit(X1, X2, y).transform(X1)
        for y in (np.ones(60), None)
    )
    assert_array_equal(with_ones, without)


def test_shared_weights_learn_without_scores():
    rng = np.random.RandomState(0)
    hidden, noise = rng.normal(size=(300, 4)), rng.normal(size=(2, 300, 12))
    signal = hidden @ rng.normal(size=(4, 12))
    X1, X2 = signal + 1.5 * noise
    learner = ContrastiveLearner(epochs=20, random_state=0).fit(X1[:200], X2[:200])
    base = answer_scores(X1[200:], X2[200:]).mrr
    tuned = [learner.transform(X[200:]) for X in (X1, X2)]
    assert answer_scores(*tuned).mrr > base + 0.03
    # The side has no effect.
    assert_array_equal(learner.transform(X1, side="right"), learner.transform(X1))


def test_rows_with_several_partners_are_not_pushed_apart():
    # Ten labels with 20 texts each: most batches have several texts of a label.
    rng = np.random.RandomState(0)
    labels, topic = np.eye(10, 15), np.repeat(np.arange(10), 20)
    texts = rng.normal(size=(10, 8))[topic] + 0.5 * rng.normal(size=(200, 8))
    learner = ContrastiveLearner(epochs=20, random_state=0).fit(labels[topic], texts)
    cosine = learner.predict(labels[topic], texts)
    other = learner.predict(labels[(topic + 1) % 10], texts)
    assert cosine.mean() > other.mean() + 0.5
    assert (cosine > other).mean() > 0.95


def test_a_lower_temperature_is_another_fit():
    X1, X2 = make_sides(60)
    first, second = (
        ContrastiveLearner(epochs=2, temperature=t, random_state=0).fit(X1, X2).transform(X1)
        for t in (0.05, 0.5)
    )
    assert np.abs(first - second).max() > 1e-3
    y = np.arange(60) / 60
    first, second = (
        ContrastiveLearner(epochs=2, temperature=t, random_state=0).fit(X1, X2, y).transform(X1)
        for t in (0.05, 0.5)
    )
    assert_array_equal(first, second)


# Pairs with scores


@pytest.mark.slow
def test_towers_learn_scores():
    X1, X2 = make_sides(300)
    turned = np.random.RandomState(0).permutation(300)
    lefts, rights = np.concatenate([X1, X1]), np.concatenate([X2, X2[turned]])
    y = np.repeat([1.0, 0.2], 300)
    learner = ContrastiveLearner(random_state=0).fit(lefts, rights, y)
    X1, X2 = make_sides(100, seed=5)
    assert learner.predict(X1, X2).mean() > learner.predict(X1, X2[::-1]).mean() + 0.3


def test_the_order_of_pairs_has_no_effect():
    X1, X2 = make_sides(40)
    for y in (None, np.arange(40) / 40):
        fits = [
            ContrastiveLearner(epochs=2, random_state=0).fit(
                X1[order], X2[order], None if y is None else y[order]
            )
            for order in (slice(None), slice(None, None, -1))
        ]
        assert_array_equal(fits[0].transform(X1), fits[1].transform(X1))


# The side of vectors


def test_the_width_decides_the_side_if_it_can(fitted):
    X1, X2 = make_sides(10)
    assert_array_equal(fitted.transform(X1), fitted.transform(X1, side="left"))
    assert_array_equal(fitted.transform(X2), fitted.transform(X2, side="right"))


def test_a_side_that_is_needed_is_asked_for():
    X1, X2 = make_sides(20, widths=(9, 9))
    learner = ContrastiveLearner(epochs=1, towers="separate").fit(X1, X2)
    with pytest.raises(ValueError, match=r"both take vectors of 9 columns.*side=\"left\""):
        learner.transform(X1)
    assert not np.allclose(learner.transform(X1, side="left"), learner.transform(X1, side="right"))
    # The sides of pairs are known.
    assert learner.predict(X1, X2).shape == (20,)


@pytest.mark.parametrize(
    ("use", "match"),
    [
        (lambda f, X1, X2: f.transform(X1, side="top"), "side is 'top'"),
        (lambda f, X1, X2: f.transform(X1, side=0), "side is 0"),
        (
            lambda f, X1, X2: f.transform(X2, side="left"),
            "X has 20 columns, but the left",
        ),
        (lambda f, X1, X2: f.transform(X1[:, :5], side="right"), "5 columns, but the right side"),
        (
            lambda f, X1, X2: f.transform(X1[:, :5]),
            "had 12 in fit, and the right side 20",
        ),
        (lambda f, X1, X2: f.predict(X2, X1), "X has 20 columns, but the left side"),
        (lambda f, X1, X2: f.predict(X1, X2[:3]), "inconsistent numbers of samples"),
        (lambda f, X1, X2: f.transform(X1[0]), "(?s)Expected 2D array"),
        (lambda f, X1, X2: f.transform(X2 * np.nan), "NaN"),
        (lambda f, X1, X2: f.transform(["a text"]), "contains texts"),
    ],
)
def test_vectors_of_no_side_are_an_error(fitted, use, match):
    with pytest.raises(ValueError, match=match):
        use(fitted, *make_sides(10))


@pytest.mark.parametrize(
    ("settings", "change", "match"),
    [
        ({}, lambda X1, X2: (X1, X2[:5]), "inconsistent numbers of samples"),
        ({}, lambda X1, X2: (X1 * np.nan, X2), "NaN"),
        ({}, lambda X1, X2: (X1, X2 * np.inf), "infinity"),
        ({}, lambda X1, X2: (X1[:0], X2[:0]), "0 sample"),
        ({}, lambda X1, X2: (X1[:1], X2[:1]), "no row has a negative"),
        ({}, lambda X1, X2: (X1[[0] * 9], X2[:9]), "no row has a negative"),
        ({}, lambda X1, X2: (X1, X2, [2.0] * 30), "y goes from 2 to 2"),
        ({}, lambda X1, X2: (X1, X2, [-1] * 30), "y goes from -1"),
        ({}, lambda X1, X2: (X1, X2, [np.nan] * 30), "NaN"),
        ({}, lambda X1, X2: (X1, ["a text"] * 30), "X2 contains texts"),
        ({}, lambda X1, X2: (X1, X2[0]), "Expected 2D array"),
        ({"batch_size": 1}, lambda X1, X2: (X1, X2), "batch_size is 1, but without scores"),
        ({"towers": "shared"}, lambda X1, X2: (X1, X2), "X1 has 12 columns and X2 has 20"),
        ({}, lambda X1, X2: (X1, X1), "Each row of X1 is equal"),
    ],
)
def test_what_are_no_sides_is_an_error(settings, change, match):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=match):
        ContrastiveLearner(epochs=1, **settings).fit(*change(*make_sides(30)))


def test_rows_without_a_vector_stay_so():
    X1, X2 = make_sides(30)
    X1[3], X2[5] = 0.0, 0.0
    learner = ContrastiveLearner(epochs=2, random_state=0).fit(X1, X2)
    left, right = learner.transform(X1), learner.transform(X2)
    assert not left[3].any()
    assert not right[5].any()
    assert np.isfinite(learner.predict(X1, X2)).all()
    assert left.any(axis=1).sum() == 29


# What scikit-learn expects


def test_it_can_be_saved_copied_and_fitted_again(fitted, tmp_path):
    X1, X2 = make_sides(10)
    fitted.to_disk(tmp_path / "towers")
    copies = [pickle.loads(pickle.dumps(fitted)), ContrastiveLearner.from_disk(tmp_path / "towers")]
    for copy in copies:
        assert_array_equal(copy.transform(X1), fitted.transform(X1))
        assert_array_equal(copy.transform(X2), fitted.transform(X2))
        assert (copy.n_features_in_, copy.n_features_in_right_) == (12, 20)
        assert copy.get_feature_names_out().tolist()[-1] == "contrastivelearner11"
    fresh = clone(fitted)
    with pytest.raises(NotFittedError):
        fresh.transform(X1)
    # Another fit may have one tower only.
    again = copies[0].set_params(epochs=1).fit(X2, X2[::-1])
    assert again.transform(X2).shape == (10, 20)
    assert (again.n_features_in_, again.n_features_in_right_) == (20, 20)


def test_each_side_has_names(tmp_path):
    X1, X2 = (
        pandas.DataFrame(X, columns=[f"{name}{j}" for j in range(X.shape[1])])
        for X, name in zip(make_sides(20), "lr", strict=True)
    )
    learner = ContrastiveLearner(5, epochs=1, random_state=0).fit(X1, X2)
    learner.to_disk(tmp_path)
    for fitted in (learner, ContrastiveLearner.from_disk(tmp_path)):
        assert fitted.transform(X2).shape == (20, 5)
        for X, side in ((X1, "left"), (X2, "right")):
            with pytest.raises(ValueError, match="feature names should match"):
                fitted.transform(X[X.columns[::-1]], side=side)
    frame = learner.set_output(transform="pandas").transform(X2, side="right")
    assert list(frame) == [f"contrastivelearner{i}" for i in range(5)]
    assert learner.predict(X1, X2).shape == (20,)
