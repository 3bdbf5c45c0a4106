import threading
import time
import warnings

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner
from spacy_embtune.finetune._distinct_rows import merge_equal_rows
from spacy_embtune.finetune._parameters import DEFAULT_STEPS, MIN_EPOCHS, count_epochs
from spacy_embtune.labels import make_targets
from spacy_embtune.training import shuffled_batches

from .made_up import TOPICS, make_vectors, names, nearest_accuracy

NAN = float("nan")
each_tuner = pytest.mark.parametrize("Tuner", [FeedForwardTuner, ContrastiveTuner])


def short(Tuner, n=3, **settings):
    epochs = "epochs" if Tuner is ContrastiveTuner else "n_epochs"
    return Tuner(**{epochs: n, "random_state": 0, **settings})


def one_hot(y):
    return np.eye(3)[y]


# what is learned


@pytest.mark.slow
@each_tuner
def test_neighbours_come_to_share_classes(Tuner):
    X, y = make_vectors(150)
    X_test, y_test = make_vectors(600, seed=1)
    tuner = Tuner(random_state=0).fit(X, y)
    base = nearest_accuracy(X, y, X_test, y_test)
    tuned = nearest_accuracy(tuner.transform(X), y, tuner.transform(X_test), y_test)
    assert tuned > base + 0.05


@pytest.mark.parametrize("loss", ["mixed", "supervised_contrastive", "cosine_pairs"])
@pytest.mark.parametrize("width", [None, 8, 40])
def test_each_loss_on_pairs_teaches(loss, width):
    X, y = make_vectors(150)
    X_test, y_test = make_vectors(600, seed=1)
    tuner = ContrastiveTuner(width, loss=loss, preserve=0.0, random_state=0).fit(X, y)
    assert tuner.transform(X).shape == (150, width or X.shape[1])
    base = nearest_accuracy(X, y, X_test, y_test)
    assert nearest_accuracy(tuner.transform(X), y, tuner.transform(X_test), y_test) > base + 0.03


@pytest.mark.slow
def test_classes_are_predicted():
    X, y = make_vectors(150)
    X_test, y_test = make_vectors(300, seed=1)
    tuner = FeedForwardTuner(random_state=0).fit(X, names(y))
    assert tuner.classes_.tolist() == list(TOPICS)
    probabilities = tuner.predict_proba(X_test)
    assert probabilities.shape == (300, 3)
    assert_allclose(probabilities.sum(axis=1), 1.0)
    assert_array_equal(tuner.predict(X_test), tuner.classes_[probabilities.argmax(axis=1)])
    assert tuner.score(X_test, names(y_test)) > 0.75
    assert tuner.score(X_test, names(y_test)) == np.mean(tuner.predict(X_test) == names(y_test))


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([1, 0, 2], [0, 1, 2]),
        ([True, False, True], [False, True]),
        (["b", "a", "c"], ["a", "b", "c"]),
        ([1.0, 0.0, 2.0], [0.0, 1.0, 2.0]),
        (pandas.Series(["b", None, "a"]), ["a", "b"]),
    ],
)
def test_what_is_predicted_is_of_the_type_of_the_classes(y, classes):
    X, _ = make_vectors(3)
    tuner = short(FeedForwardTuner, 40).fit(X, y)
    assert tuner.classes_.tolist() == classes
    predicted = tuner.predict(X)
    assert (predicted.shape, predicted.dtype) == ((3,), tuner.classes_.dtype)
    assert isinstance(predicted.tolist()[0], type(classes[0]))


@pytest.mark.parametrize("form", ["array", "frame", "cats"])
def test_several_labels_at_once_are_learned(form):
    X, y = make_vectors(200, n_classes=4)
    # Two labels that say together which of the four classes it is.
    matrix = np.stack([y // 2, y % 2], axis=1)
    if form == "frame":
        given = pandas.DataFrame(matrix, columns=["HIGH", "ODD"])
    elif form == "cats":
        given = [{"HIGH": float(a), "ODD": float(b)} for a, b in matrix]
    else:
        given = matrix
    tuner = FeedForwardTuner(random_state=0).fit(X, given)
    assert not tuner.exclusive_classes_
    assert tuner.classes_.tolist() == ([0, 1] if form == "array" else ["HIGH", "ODD"])
    X_test, y_test = make_vectors(200, n_classes=4, seed=1)
    truth = np.stack([y_test // 2, y_test % 2], axis=1)
    predicted = tuner.predict(X_test)
    assert predicted.dtype.kind == "i"
    assert set(predicted.ravel()) == {0, 1}
    assert (predicted == truth).mean() > 0.75
    assert ((tuner.predict_proba(X_test) >= 0.5) == predicted).all()
    assert tuner.score(X_test, truth) == (predicted == truth).all(axis=1).mean()
    assert_array_equal(tuner.label_counts_, [matrix.sum(axis=0), 200 - matrix.sum(axis=0)])


def test_one_label_is_learned_against_its_absence():
    X, y = make_vectors(100, n_classes=2)
    tuner = FeedForwardTuner(random_state=0).fit(X, [{"A": float(label)} for label in y])
    assert (tuner.classes_.tolist(), tuner.exclusive_classes_) == (["A"], False)
    assert (tuner.predict(X)[:, 0] == y).mean() > 0.9


def test_the_form_of_y_decides_what_is_predicted_not_what_is_learned():
    X, y = make_vectors(60)
    tuners = {
        "classes": short(FeedForwardTuner).fit(X, y),
        "matrix": short(FeedForwardTuner).fit(X, one_hot(y)),
        "cats": short(FeedForwardTuner).fit(
            X, [{str(i): float(i == label) for i in range(3)} for label in y]
        ),
    }
    for tuner in tuners.values():
        assert tuner.exclusive_classes_
        assert_array_equal(tuner.transform(X), tuners["classes"].transform(X))
    classes = tuners["classes"].predict(X)
    assert_array_equal(tuners["cats"].predict(X), classes.astype(str))
    assert_array_equal(tuners["matrix"].predict(X), one_hot(classes))


# what is not known


@each_tuner
def test_what_stands_where_nothing_is_known_does_not_matter(Tuner):
    X, y = make_vectors(60)
    labels = names(y).astype(object)
    labels[::5] = None
    kept = np.arange(60) % 5 != 0
    expected = short(Tuner).fit(X, labels).transform(X)
    cats = [{str(label): 1.0} if label else {} for label in labels]
    assert_array_equal(short(Tuner).fit(X, cats).transform(X), expected)
    matrix = np.where(kept[:, None], one_hot(y), NAN)
    assert_array_equal(short(Tuner).fit(X, matrix).transform(X), expected)
    # The rows without a label are in the mean, and in `preserve`.
    assert (short(Tuner).fit(X[kept], labels[kept]).transform(X) != expected).any()


@pytest.mark.slow
def test_absent_labels_teach_where_classes_are_exclusive():
    X, y = make_vectors(150)
    cats = [{name: 0.0 for name in TOPICS if name != TOPICS[label]} for label in y]
    tuner = FeedForwardTuner(exclusive_classes=True, random_state=0).fit(X, cats)
    assert (tuner.predict(X) == names(y)).mean() > 0.8


def test_known_absences_of_partial_labels_are_learned():
    X, y = make_vectors(200, n_classes=2)
    matrix = np.stack([y, 1.0 - y], axis=1)
    matrix[:100, 0] = matrix[100:, 1] = NAN
    tuner = FeedForwardTuner(exclusive_classes=False, random_state=0).fit(X, matrix)
    truth = np.stack([y, 1 - y], axis=1)
    assert (tuner.predict(X) == truth).mean() > 0.8
    known = ~np.isnan(matrix)
    right = ((tuner.predict(X) == matrix) | ~known).all(axis=1)
    assert tuner.score(X, matrix) == right.mean()


@pytest.mark.slow
def test_a_score_leaves_out_what_is_not_known():
    X, y = make_vectors(90)
    tuner = FeedForwardTuner(random_state=0).fit(X, names(y))
    right = tuner.predict(X) == names(y)
    labels = names(y).astype(object)
    labels[:30] = None
    assert tuner.score(X, labels) == right[30:].mean()
    assert tuner.score(
        X, [{str(label): 1.0} if label else {} for label in labels]
    ) == pytest.approx(right[30:].mean())
    weights = np.arange(90.0)
    assert tuner.score(X, labels, weights) == pytest.approx(
        np.average(right[30:], weights=weights[30:])
    )
    labels[30:60] = "NEVER SEEN"
    assert tuner.score(X, labels) == right[60:].sum() / 60
    with pytest.raises(ValueError, match="no known label"):
        tuner.score(X, [None] * 90)
    with pytest.raises(ValueError, match="mixes strings"):
        tuner.score(X, y)


# parameters


@pytest.mark.slow
def test_balanced_classes_are_found_more_often():
    X, y = make_vectors(300, n_classes=2)
    kept = (y == 0) | (np.arange(300) % 20 == 1)
    found = {}
    for class_weight in (None, "balanced", {1: 10.0}):
        tuner = FeedForwardTuner(class_weight=class_weight, random_state=0)
        tuner.fit(X[kept], y[kept])
        found[str(class_weight)] = tuner.predict_proba(make_vectors(300, seed=1)[0])[:, 1].mean()
    assert found["balanced"] > found["None"]
    assert found["{1: 10.0}"] > found["None"]


@pytest.mark.slow
def test_a_dict_of_class_weights_is_weights_of_rows():
    X, y = make_vectors(60)
    weighted = FeedForwardTuner(class_weight={0: 2.0, 2: 0.0}, random_state=0).fit(X, y)
    of_rows = short(FeedForwardTuner).partial_fit(
        X, y, classes=[0, 1, 2], sample_weight=np.asarray([2.0, 1.0, 0.0])[y]
    )
    other = short(FeedForwardTuner, class_weight={0: 2.0, 2: 0.0}).partial_fit(X, y)
    assert_array_equal(other.transform(X), of_rows.transform(X))
    assert (weighted.predict(X) != 2).all()
    before = other.transform(X)
    assert_array_equal(other.partial_fit(X[2:3], [2]).transform(X), before)
    # In a stream, a class may come later.
    short(FeedForwardTuner, class_weight={"LATER": 2.0}).partial_fit(X, names(y))
    with pytest.raises(ValueError, match=r"several labels.*balanced"):
        short(FeedForwardTuner, class_weight={0: 2.0}).fit(X, [[1, 1]] * 30 + [[0, 0]] * 30)


@pytest.mark.slow
def test_label_smoothing_makes_predictions_less_sure():
    X, y = make_vectors(60)
    # Calibration would undo it.
    settings = {"calibrate": False, "random_state": 0}
    sure = FeedForwardTuner(**settings).fit(X, y).predict_proba(X).max(axis=1)
    less = FeedForwardTuner(label_smoothing=0.3, **settings).fit(X, y).predict_proba(X)
    assert less.max(axis=1).mean() < sure.mean() - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mixed", "supervised_contrastive", "cosine_pairs"])
def test_preserve_keeps_the_similarities_of_before(loss):
    X, y = make_vectors(60)

    def change(preserve):
        tuner = ContrastiveTuner(loss=loss, preserve=preserve, random_state=0)
        tuned = tuner.fit(X, y).transform(X)
        cosines = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, tuned)]
        one, other = (rows @ rows.T for rows in cosines)
        return abs(one - other).mean()

    assert change(100.0) < change(10.0) < change(0.0)


@pytest.mark.slow
def test_the_length_of_a_fit_is_counted_in_steps_unless_it_is_given():
    assert count_epochs(200, 64, None) * 4 >= DEFAULT_STEPS
    assert count_epochs(1, 64, None) == DEFAULT_STEPS
    assert count_epochs(10**6, 64, None) == MIN_EPOCHS
    assert count_epochs(200, 64, None, default_steps=100) == 25
    assert count_epochs(10**6, 64, None, default_steps=100, min_epochs=5) == 5
    X, y = make_vectors(130)
    assert FeedForwardTuner().fit(X, y).n_steps_ == 84 * 3
    assert ContrastiveTuner().fit(X, y).n_steps_ == 34 * 3
    assert FeedForwardTuner(n_epochs=2, batch_size=50).fit(X, y).n_steps_ == 6
    assert ContrastiveTuner(epochs=2, batch_size=200).fit(X, y).n_steps_ == 2


@given(st.integers(1, 300), st.integers(1, 70), st.integers(0, 9))
def test_batches_are_of_about_one_size_and_hold_each_row_once(n, batch_size, seed):
    batches = list(shuffled_batches(n, batch_size, np.random.RandomState(seed)))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate(batches)) == list(range(n))


# weights


@st.composite
def repeated_rows(draw):
    """Rows with whole numbers as weights, and without them, but each row so often."""
    n = draw(st.integers(1, 6))
    X = draw(arrays("float32", (n, 2), elements=st.sampled_from([0.0, 1.0, 2.0])))
    values = draw(arrays("float32", (n, 2), elements=st.sampled_from([0.0, 1.0])))
    known = draw(arrays("float32", (n, 2), elements=st.sampled_from([0.0, 1.0])))
    counts = draw(arrays("int64", n, elements=st.integers(0, 3)))
    order = np.asarray(draw(st.permutations(range(int(counts.sum())))), dtype=int)
    made = make_targets([{}] * n, ["A", "B"], exclusive=False)
    made = made._replace(values=values * known, known=known, weights=counts.astype("float32"))
    rows = np.repeat(np.arange(n), counts)[order]
    plain = made._replace(values=made.values[rows], known=known[rows], weights=None)
    return X, made, X[rows], plain


@pytest.mark.slow
@given(repeated_rows())
def test_a_weight_is_so_many_rows_in_whatever_order(case):
    X, weighted, rows, plain = case
    for one, other in zip(
        merge_equal_rows(X, weighted), merge_equal_rows(rows, plain), strict=True
    ):
        if isinstance(one, np.ndarray):
            assert_array_equal(one, other)
            assert len(np.unique(one, axis=0)) <= len(one)
        else:
            assert_array_equal(one.values, other.values)
            assert_array_equal(one.known, other.known)
            assert (one.weights is None) == (other.weights is None)
            if one.weights is not None:
                assert_array_equal(one.weights, other.weights)


@pytest.mark.slow
@each_tuner
@settings(max_examples=8, deadline=None)
@given(counts=arrays("int64", 12, elements=st.integers(0, 3)))
def test_sample_weights_are_repetitions(Tuner, counts):
    X, y = make_vectors(12)
    counts = counts + np.isin(np.arange(12), [0, 1])
    weighted = short(Tuner).fit(X, y, sample_weight=counts)
    rows = np.repeat(np.arange(12), counts)[::-1]
    repeated = short(Tuner).fit(X[rows], y[rows])
    if len(weighted.classes_) == len(repeated.classes_):
        assert_array_equal(weighted.transform(X), repeated.transform(X))
    scaled = short(Tuner).fit(X, y, sample_weight=0.25 * counts)
    assert_allclose(scaled.transform(X), weighted.transform(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1.0] * 5, "sample_weight.shape"),
        ([-1.0] * 6, "[Nn]egative values in data passed to `?sample_weight"),
        ([NAN] * 6, "sample_weight contains NaN"),
        ([0.0] * 6, "All sample weights are 0|at least one non-zero"),
        ([1.0, 0.0, 0.0] * 2, "one class only, 0"),
    ],
)
@each_tuner
def test_weights_that_are_none_are_an_error(Tuner, weights, match):
    X, y = make_vectors(6)
    with pytest.raises(ValueError, match=match):
        short(Tuner).fit(X, y, sample_weight=weights)


# random numbers


@each_tuner
def test_a_random_state_gives_the_same_result_and_leaves_the_global_one_alone(Tuner):
    X, y = make_vectors(30)
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.uniform(size=3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    one, other = short(Tuner).fit(X, y), short(Tuner).fit(X, y)
    one.partial_fit(X, y).transform(X)
    assert_array_equal(np.random.uniform(size=3), expected)  # noqa: NPY002
    assert (one.transform(X) != other.transform(X)).any()
    assert_array_equal(other.fit(X, y).transform(X), short(Tuner).fit(X, y).transform(X))
    different = short(Tuner, random_state=1).fit(X, y)
    assert (different.transform(X) != other.transform(X)).any()
    shared = np.random.RandomState(0)
    first = short(Tuner, random_state=shared).fit(X, y).transform(X)
    assert_array_equal(first, other.transform(X))
    assert (short(Tuner, random_state=shared).fit(X, y).transform(X) != first).any()


@each_tuner
def test_without_a_random_state_each_fit_is_another(Tuner):
    X, y = make_vectors(30)
    tuner = short(Tuner, random_state=None)
    first = tuner.fit(X, y).transform(X)
    assert (tuner.fit(X, y).transform(X) != first).any()
    results = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002
        results.append(short(Tuner, random_state=None).fit(X, y).transform(X))
    assert_array_equal(*results)


# starting afresh, and stopping


@each_tuner
def test_fit_starts_afresh_whatever_was_before(Tuner):
    X, y = make_vectors(30)
    expected = short(Tuner).fit(X, y)
    tuner = short(Tuner).fit(X[:, :10], [{"OTHER": float(label > 0)} for label in y])
    tuner.partial_fit(X[:, :10], [{"OTHER": float(label > 0)} for label in y])
    tuner.fit(X, y)
    assert_array_equal(tuner.transform(X), expected.transform(X))
    for attribute in ("classes_", "exclusive_classes_", "n_steps_", "n_features_in_"):
        assert_array_equal(getattr(tuner, attribute), getattr(expected, attribute))
    assert_array_equal(tuner.label_counts_, expected.label_counts_)
    fewer = tuner.set_params(hidden_dim=4).fit(X[y < 2], names(y[y < 2]))
    assert fewer.transform(X).shape == (30, 4)
    assert fewer.classes_.tolist() == list(TOPICS[:2])


class _Interrupt:
    """Presses Ctrl-C in a moment, and again each 10 seconds: Python loses one that comes within a
    callback of the garbage collector."""

    def __init__(self, after):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._press, args=(after,), daemon=True)

    def _press(self, after):
        import _thread

        while not self.ended.wait(after):
            _thread.interrupt_main()
            after = 10.0

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        # One that came after the end would hit somebody else.
        self.thread.join()


@pytest.mark.slow
@each_tuner
def test_ctrl_c_ends_a_fit_and_keeps_what_was_learned(Tuner):
    X, y = make_vectors(90)
    tuner = short(Tuner, 10**6)
    start = time.perf_counter()
    with _Interrupt(1.0), pytest.warns(UserWarning, match=r"Interrupted after \d+ of 2000000"):
        tuner.fit(X, y)
    assert time.perf_counter() - start < 60
    assert 0 < tuner.n_steps_ < 10**6
    assert np.isfinite(tuner.transform(X)).all()
    for node in tuner.head_.walk():
        for name in node.grad_names:
            assert not node.get_grad(name).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tuner.partial_fit(X, y)
