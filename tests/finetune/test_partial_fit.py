"""partial_fit goes on where the last one stopped."""

import copy

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Model

from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner, batched
from spacy_embtune.finetune.labels import read_labels
from spacy_embtune.heads._output_layer import NEW_LABEL_BIAS
from spacy_embtune.training import build_section
from spacy_embtune.types import Output

from .made_up import TOPICS, make_vectors, names, nearest_accuracy

each_tuner = pytest.mark.parametrize("Tuner", [FeedForwardTuner, ContrastiveTuner])
NAN = float("nan")


def stream(X, y, size=15):
    for rows in batched(range(len(X)), size):
        yield X[list(rows)], y[list(rows)]


def state(tuner):
    """RETURNS (dict): All that the next step depends on."""
    params = {
        f"{i}.{name}": node.get_param(name).copy()
        for i, node in enumerate(tuner.head_.walk())
        for name in node.param_names
        if node.has_param(name)
    }
    ids = {node.id: i for i, node in enumerate(tuner.head_.walk())}
    optimizer = tuner._optimizer
    for kind in ("mom1", "mom2", "nr_update"):
        for (node, name), value in getattr(optimizer, kind).items():
            params[f"{kind}.{ids[node]}.{name}"] = np.array(value)
    return params


def assert_same_state(one, other):
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert_array_equal(array, second[name], err_msg=name)


@each_tuner
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_stream_is_what_steps_of_one_optimizer_by_hand_are(Tuner, dropout):
    X, y = make_vectors(90)
    tuner = Tuner(dropout=dropout, random_state=0)
    for batch, labels in stream(X, y):
        tuner.partial_fit(batch, labels, classes=[0, 1, 2])

    rng = np.random.RandomState(0)
    head, loss = build_section(tuner.head_config()), build_section(tuner.loss_config())
    optimizer = Adam(tuner.learning_rate, L2=tuner.weight_decay, grad_clip=1.0, use_averages=False)
    seen = 0
    for batch, labels in stream(X, y):
        targets = read_labels(labels, classes=[0, 1, 2]).targets
        if not seen:
            np.random.seed(rng.randint(2**31 - 1))  # noqa: NPY002
            head.initialize(X=batch[:1] * 0.0, Y=targets.values)
        mean = head.get_ref("standardize").get_param("mean") * seen
        seen += len(batch)
        head.get_ref("standardize").set_param("mean", (mean + batch.sum(axis=0)) / seen)
        np.random.seed(rng.randint(2**31 - 1))  # noqa: NPY002
        # The order of the batch's rows is drawn as well, and matters to dropout only.
        order = rng.permutation(len(batch))
        from spacy_embtune.finetune._distinct_rows import merge_equal_rows

        rows, known = merge_equal_rows(batch, targets)
        rows = rows[order]
        known = known._replace(values=known.values[order], known=known.known[order])
        output, backprop = head.begin_update(rows)
        _, gradient = loss(Output(rows, *output), known)
        backprop(gradient)
        head.finish_update(optimizer)
    expected = head.predict(X).tuned
    assert tuner.n_steps_ == 6
    assert_allclose(tuner.transform(X), expected, rtol=1e-3, atol=1e-4)
    assert all(count == 6 for count in tuner._optimizer.nr_update.values())


@each_tuner
def test_the_mean_of_a_stream_is_that_of_all_its_rows(Tuner):
    X, y = make_vectors(90)
    X[5] = 0.0
    weights = np.random.RandomState(0).uniform(0.5, 2.0, 90)
    tuner = Tuner(random_state=0)
    for rows in batched(range(90), 15):
        at = list(rows)
        tuner.partial_fit(X[at], y[at], sample_weight=weights[at])
    expected = np.average(np.delete(X, 5, axis=0), weights=np.delete(weights, 5), axis=0)
    mean = tuner.head_.get_ref("standardize").get_param("mean")
    assert_allclose(mean, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@each_tuner
def test_a_stream_gets_about_as_far_as_a_fit(Tuner):
    X, y = make_vectors(150)
    X_test, y_test = make_vectors(600, seed=1)

    def quality(tuner):
        return nearest_accuracy(tuner.transform(X), y, tuner.transform(X_test), y_test)

    fitted = quality(Tuner(random_state=0).fit(X, y))
    tuner = Tuner(random_state=0)
    for _ in range(25):
        for batch, labels in stream(X, y):
            tuner.partial_fit(batch, labels, classes=[0, 1, 2])
    assert quality(tuner) > fitted - 0.03 > nearest_accuracy(X, y, X_test, y_test)


@each_tuner
def test_it_goes_on_after_a_fit_with_the_full_learning_rate(Tuner):
    X, y = make_vectors(60)
    tuner = Tuner(random_state=0).fit(X, y)
    before = state(tuner)
    steps = tuner.n_steps_
    tuner.partial_fit(X, y)
    after = state(tuner)
    assert tuner._optimizer.learn_rate == tuner.learning_rate
    assert tuner.n_steps_ == steps + 1
    assert before["nr_update.2.W"] + 1 == after["nr_update.2.W"]
    # The last steps of a fit are a few thousandths as large.
    change = abs(after["2.W"] - before["2.W"]).max()
    assert 1e-4 < change < 5 * tuner.learning_rate
    tuner.set_params(learning_rate=0.01).partial_fit(X, y)
    assert tuner._optimizer.learn_rate == 0.01


@each_tuner
def test_a_copy_goes_on_as_the_original_does(Tuner):
    X, y = make_vectors(60)
    tuner = Tuner(random_state=0).partial_fit(X, y)
    copied = copy.deepcopy(tuner)
    for one in (tuner, copied):
        one.partial_fit(X[:20], y[:20]).partial_fit(X[20:], y[20:])
    assert_same_state(tuner, copied)
    shallow = copy.copy(tuner).partial_fit(X, y)
    assert shallow.n_steps_ == tuner.n_steps_ + 1
    assert (shallow.transform(X) != tuner.transform(X)).any()


# classes that come later


@pytest.mark.slow
def test_classes_come_later():
    X, y = make_vectors(150)
    tuner = FeedForwardTuner(random_state=0)
    first = y < 2
    for _ in range(20):
        for batch, labels in stream(X[first], names(y[first])):
            tuner.partial_fit(batch, labels, classes=TOPICS[:2])
    before = tuner.predict_proba(X)
    tuner.partial_fit(X[:1], [None], classes=[TOPICS[2]])
    assert tuner.classes_.tolist() == list(TOPICS)
    assert tuner.label_counts_.shape == (2, 3)
    after = tuner.predict_proba(X)
    assert after.shape == (150, 3)
    # Improbable at first, and nothing else has changed.
    assert after[:, 2].mean() < 0.2
    assert_allclose(after[:, 0] / after[:, 1], before[:, 0] / before[:, 1], rtol=0.05)
    for _ in range(20):
        for batch, labels in stream(X, names(y)):
            tuner.partial_fit(batch, labels, classes=TOPICS)
    assert (tuner.predict(X) == names(y)).mean() > 0.8


def test_resizing_keeps_the_state_of_the_optimizer():
    X, y = make_vectors(30)
    tuner = FeedForwardTuner(8, dropout=0.0, random_state=0)
    for _ in range(3):
        tuner.partial_fit(X, y)
    before = state(tuner)
    tuner.partial_fit(X, [None] * 30, classes=[7, 0])
    after = state(tuner)
    assert tuner.classes_.tolist() == [0, 1, 2, 7]
    # The mean is shared by more rows now, and nothing was learned.
    position = max(int(name.split(".")[0]) for name in before if name[0].isdigit())
    assert after[f"nr_update.{position}.W"] == 3
    for kind in ("", "mom1.", "mom2."):
        W, old = after[f"{kind}{position}.W"].reshape(4, 8), before[f"{kind}{position}.W"]
        b = after[f"{kind}{position}.b"]
        assert_array_equal(W[:3], old.reshape(3, 8))
        assert_array_equal(b[:3], before[f"{kind}{position}.b"])
        assert not W[3].any()
        assert b[3] == (NEW_LABEL_BIAS if kind == "" else 0.0)
    for name in before:
        if f"{position}." not in name and name != "1.mean":
            assert_array_equal(before[name], after[name], err_msg=name)
    tuner.partial_fit(X, y)
    assert state(tuner)[f"nr_update.{position}.W"] == 4


@pytest.mark.slow
def test_resizing_keeps_the_state_also_in_a_pickle_of_another_process(tmp_path):
    """There, a new layer may get the number that one of the pickle's layers had."""
    import pickle
    import subprocess
    import sys

    X, y = make_vectors(30)
    tuner = FeedForwardTuner(8, random_state=0).partial_fit(X, y)
    (tmp_path / "tuner").write_bytes(pickle.dumps(tuner))
    expected = tuner.partial_fit(X, y, classes=[3]).partial_fit(X, y).transform(X)
    code = f"""
import pickle, sys
from pathlib import Path
import numpy
tuner = pickle.loads(Path({str(tmp_path / "tuner")!r}).read_bytes())
X, y = tuner.transform, None
from tests.finetune.made_up import make_vectors
X, y = make_vectors(30)
found = tuner.partial_fit(X, y, classes=[3]).partial_fit(X, y).transform(X)
assert len(set(tuner._optimizer.nr_update)) == 4, tuner._optimizer.nr_update
assert set(tuner._optimizer.nr_update.values()) == {{3}}, tuner._optimizer.nr_update
numpy.save({str(tmp_path / "found.npy")!r}, found)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=1e-4, atol=1e-5)


def test_new_classes_have_to_be_named():
    X, y = make_vectors(30)
    tuner = FeedForwardTuner(random_state=0).partial_fit(X[:2], [0, 1])
    with pytest.raises(ValueError, match=r"not known: 2. Known are 0, 1.*classes=\[\.\.\.\]"):
        tuner.partial_fit(X, y)
    with pytest.raises(ValueError, match="mixes strings"):
        tuner.partial_fit(X, y, classes=["b"])
    assert tuner.partial_fit(X, y, classes=[2]).classes_.tolist() == [0, 1, 2]


@each_tuner
def test_classes_may_be_given_in_any_order(Tuner):
    X, y = make_vectors(30)
    tuner = Tuner(random_state=0).partial_fit(X, names(y), classes=["SPORT", "FOOD", "MUSIC"])
    assert tuner.classes_.tolist() == ["FOOD", "MUSIC", "SPORT"]
    assert_array_equal(
        tuner.transform(X), Tuner(random_state=0).partial_fit(X, names(y)).transform(X)
    )
    tuner.partial_fit(X, names(y), classes=["MUSIC", "FOOD", "SPORT", "A LONGER ONE"])
    assert tuner.classes_.tolist() == ["A LONGER ONE", "FOOD", "MUSIC", "SPORT"]
    if Tuner is FeedForwardTuner:
        for _ in range(100):
            tuner.partial_fit(X, names(y))
        assert (tuner.predict(X) == names(y)).mean() > 0.9


@each_tuner
def test_a_class_that_comes_later_takes_its_sorted_place_with_all_that_was_learned(Tuner):
    """A tuner whose new class sorts first learns the same as one whose new class sorts last."""
    X, y = make_vectors(90)
    late = y == 2
    results = []
    for new in ("A", "Z"):
        labels = np.asarray(["K", "M", new])[y]
        tuner = Tuner(random_state=0, dropout=0.0)
        tuner.partial_fit(X[~late], labels[~late]).partial_fit(X[~late], labels[~late])
        tuner.partial_fit(X, labels, classes=[new])
        assert tuner.classes_.tolist() == sorted(set(labels))
        assert (
            tuner.label_counts_[0]
            == [(labels == c).sum() + 60 * (c != new) for c in tuner.classes_]
        ).all()
        results.append(tuner.partial_fit(X, labels))
    first, last = results
    order = [1, 2, 0]
    assert_allclose(first.transform(X), last.transform(X), rtol=1e-4, atol=1e-5)
    of_first, of_last = state(first), state(last)
    position = list(first.head_.walk()).index(first.head_.layers[-1])
    for kind in ("", "mom1.", "mom2."):
        for name in ("W", "b"):
            key = f"{kind}{position}.{name}"
            if key in of_last:
                there = of_last[key].reshape(3, -1)
                assert_allclose(of_first[key].reshape(3, -1)[order], there, rtol=1e-3, atol=1e-5)
    assert_allclose(first.label_counts_[:, order], last.label_counts_)


def test_a_matrix_keeps_the_order_of_its_columns():
    X, y = make_vectors(30)
    matrix = np.eye(3)[y]
    tuner = FeedForwardTuner(n_epochs=5, random_state=0)
    tuner.partial_fit(X, matrix[:, [2, 0, 1]], classes=["SPORT", "FOOD", "MUSIC"])
    assert tuner.classes_.tolist() == ["SPORT", "FOOD", "MUSIC"]
    expected = copy.deepcopy(tuner).partial_fit(X, matrix[:, [2, 0, 1]])
    # The columns are those of `classes` when all are named.
    tuner.partial_fit(X, matrix, classes=TOPICS)
    assert_array_equal(tuner.transform(X), expected.transform(X))
    tuner.partial_fit(X, np.c_[matrix[:, [2, 0, 1]], np.zeros(30)], classes=["A"])
    assert tuner.classes_.tolist() == ["SPORT", "FOOD", "MUSIC", "A"]


@pytest.mark.parametrize("store", ["pickle", "directory"])
def test_files_with_classes_out_of_order_load_in_order(store, tmp_path):
    """Earlier versions appended new classes."""
    import pickle

    from spacy_embtune.finetune._class_order import order_output

    X, y = make_vectors(90)
    tuner = FeedForwardTuner(random_state=0).partial_fit(X, names(y))
    expected = tuner.predict_proba(X)
    old, order = copy.deepcopy(tuner), np.asarray([2, 0, 1])
    order_output(old.head_, old._optimizer, order)
    old.classes_, old.label_counts_ = old.classes_[order], old.label_counts_[:, order]
    if store == "pickle":
        loaded = pickle.loads(pickle.dumps(old))
    else:
        old.to_disk(tmp_path)
        loaded = FeedForwardTuner.from_disk(tmp_path)
    assert loaded.classes_.tolist() == list(TOPICS)
    assert_allclose(loaded.predict_proba(X), expected, atol=1e-6)
    assert_same_state(loaded.partial_fit(X, names(y)), tuner.partial_fit(X, names(y)))


def test_the_first_call_learns_the_classes_if_they_are_not_given():
    X, y = make_vectors(30)
    assert FeedForwardTuner().partial_fit(X, names(y)).classes_.tolist() == list(TOPICS)


# forms of y


def test_each_batch_may_come_in_another_form():
    X, y = make_vectors(60)
    labels = names(y)
    cats = [{str(label): 1.0} for label in labels]
    frame = pandas.DataFrame(np.eye(3)[y][:, ::-1], columns=list(TOPICS[::-1]))
    results = []
    for forms in ((labels, labels, labels), (labels, cats, frame), (cats, frame, labels)):
        tuner = FeedForwardTuner(random_state=0)
        for form in forms:
            tuner.partial_fit(X, form, classes=TOPICS)
        results.append(tuner.transform(X))
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


def test_columns_are_found_by_their_names_in_each_batch():
    X, y = make_vectors(60)
    matrix = pandas.DataFrame({"a": y > 0, "b": y == 0, "c": y > 1}).astype(float)
    one = FeedForwardTuner(random_state=0).partial_fit(X, matrix).partial_fit(X, matrix)
    other = FeedForwardTuner(random_state=0).partial_fit(X, matrix)
    other.partial_fit(X, matrix[["c", "a", "b"]])
    assert_array_equal(one.transform(X), other.transform(X))
    # Two of three columns: nothing is known of the third.
    one.partial_fit(X, matrix[["a", "b"]])
    other.partial_fit(X, matrix.assign(c=NAN))
    assert_array_equal(one.transform(X), other.transform(X))
    with pytest.raises(ValueError, match="not known: 'd'"):
        one.partial_fit(X, matrix.rename(columns={"a": "d"}))


def test_exclusive_classes_stay_exclusive():
    X, y = make_vectors(30)
    tuner = FeedForwardTuner().partial_fit(X, np.eye(3)[y])
    with pytest.raises(ValueError, match=r"Row 0 of y.*exclusive_classes = False"):
        tuner.partial_fit(X, np.ones((30, 3)))
    open_ended = FeedForwardTuner(exclusive_classes=False).partial_fit(X, np.eye(3)[y])
    open_ended.partial_fit(X, np.ones((30, 3)))
    with pytest.raises(ValueError, match="one class for each document"):
        open_ended.partial_fit(X, y)


@each_tuner
def test_a_batch_that_teaches_nothing_changes_nothing(Tuner):
    X, y = make_vectors(60)
    preserve = {"preserve": 0.0} if Tuner is ContrastiveTuner else {}
    tuner = Tuner(random_state=0, **preserve).partial_fit(X, y).partial_fit(X, y)
    before = state(tuner)
    for nothing in ([None] * 60, np.full((60, 3), NAN)):
        tuner.partial_fit(X, nothing)
        for name, array in state(tuner).items():
            if name != "1.mean":
                assert_array_equal(array, before[name], err_msg=name)
    assert tuner.n_steps_ == 2


@each_tuner
def test_batches_of_one_row_and_of_one_class_are_fine(Tuner):
    X, y = make_vectors(60)
    tuner = Tuner(random_state=0)
    for row, label in zip(X, y, strict=True):
        tuner.partial_fit(row[None], [label], classes=[0, 1, 2])
    tuner.partial_fit(X[y == 1], y[y == 1])
    assert np.isfinite(tuner.transform(X)).all()
    assert tuner.label_counts_[0].tolist() == [20, 40, 20]


@each_tuner
def test_rows_that_are_none_leave_the_tuner_as_it_was(Tuner):
    X, y = make_vectors(60)
    tuner = Tuner(random_state=0).partial_fit(X, y)
    before = state(tuner)
    for wrong, labels in ((X * NAN, y), (X, y[:5]), (X, ["a"] * 60), (X[:, :3], y), (X, None)):
        with pytest.raises(ValueError):
            tuner.partial_fit(wrong, labels)
    assert_array_equal(list(before), list(state(tuner)))
    for name, array in state(tuner).items():
        assert_array_equal(array, before[name])
    assert tuner.label_counts_.sum() == 180


@each_tuner
def test_ctrl_c_ends_the_callers_loop_and_leaves_a_tuner_that_can_go_on(Tuner, monkeypatch):
    X, y = make_vectors(60)
    tuner = Tuner(random_state=0, batch_size=20).partial_fit(X, y)
    finish = Model.finish_update
    calls = []

    def interrupted(model, optimizer):
        calls.append(model)
        if len(calls) == 2:
            # Between the backward pass and the step.
            raise KeyboardInterrupt
        finish(model, optimizer)

    monkeypatch.setattr(Model, "finish_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuner.partial_fit(X, y)
    for node in tuner.head_.walk():
        for name in node.grad_names:
            assert not node.get_grad(name).any()
    monkeypatch.undo()
    assert np.isfinite(tuner.partial_fit(X, y).transform(X)).all()


@pytest.mark.parametrize("repeat", ["weights", "rows"])
def test_even_weights_and_repeated_rows_count_in_the_mean_of_a_stream(repeat):
    """Three times the first row, once the second: the mean is theirs, however that is said."""
    X, _ = make_vectors(2)
    tuner = FeedForwardTuner(random_state=0)
    if repeat == "weights":
        tuner.partial_fit(X[:1], ["a"], classes=["a", "b"], sample_weight=[3.0])
    else:
        tuner.partial_fit(X[[0, 0, 0]], ["a"] * 3, classes=["a", "b"])
    tuner.partial_fit(X[1:], ["b"])
    mean = tuner.head_.get_ref("standardize").get_param("mean")
    assert_allclose(mean, (3 * X[0] + X[1]) / 4, rtol=1e-5, atol=1e-6)
    assert tuner.label_counts_.tolist() == [[3.0, 1.0], [1.0, 3.0]]


def test_parameters_that_change_on_the_way_take_effect(tmp_path):
    X, y = make_vectors(60)
    tuner = FeedForwardTuner(dropout=0.0, random_state=0).partial_fit(X, y)
    tuner.set_params(label_smoothing=0.4, weight_decay=0.9)
    tuner.to_disk(tmp_path)
    other = FeedForwardTuner.from_disk(tmp_path)
    plain = FeedForwardTuner(dropout=0.0, random_state=0).partial_fit(X, y)
    for _ in range(20):
        for one in (tuner, other, plain):
            one.partial_fit(X, y)
    found = tuner.predict_proba(X)
    assert_allclose(found, other.predict_proba(X), atol=1e-6)
    assert abs(found - plain.predict_proba(X)).max() > 0.05
