"""A session: actions are saved and seen by all tabs, and what is learned follows."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spacy_embtune.app import ActionError, LabelLog, Session
from spacy_embtune.app._space import Space
from spacy_embtune.app._suggestions import MUCH_ALIKE, find_middles, suggest_uncertain
from spacy_embtune.data import LoggedText, read_records
from spacy_embtune.semi_supervised import fit_classifier

from .conftest import make_pile_of, wait_for_learning

MakeSession = Callable[..., Session]


def test_what_is_learned_follows_the_labels(make_session: MakeSession) -> None:
    session = make_session()
    wait_for_learning(session)
    learned = session.state()["learned"]
    assert not learned["predicts"]
    assert (session.arrays()[2] == -1).all()
    assert learned["quality"] is None
    assert {one["reason"] for one in learned["suggestions"]} == {"Typical of many texts"}
    for topic, label in enumerate("ABC"):
        session.act("give", label, list(range(topic, 30, 3)))
    wait_for_learning(session)
    state = session.state()
    learned = state["learned"]
    expected = np.arange(60) % 3
    _, xy, predicted, confidence = session.arrays()
    assert (predicted == expected).mean() > 0.9
    assert confidence.dtype == np.uint8
    assert confidence.min() > 255 / 3 - 1
    assert state["counts"] == [10, 10, 10]
    assert state["n_labelled"] == 30
    quality = learned["quality"]
    assert quality["n"] == 30
    assert quality["low"] < quality["share"] <= quality["high"] <= 1
    assert quality["share"] > 0.8
    assert xy.shape == (60, 2)
    assert np.isfinite(xy).all()
    for one in learned["suggestions"]:
        assert one["row"] >= 30 or one["reason"].startswith("Labelled ")


@pytest.mark.slow
def test_a_wrong_label_is_suggested_first(make_session: MakeSession) -> None:
    session = make_session()
    for topic, label in enumerate("ABC"):
        session.act("give", label, list(range(topic, 30, 3)))
    session.act("give", "B", [0])
    wait_for_learning(session)
    first = session.state()["learned"]["suggestions"][0]
    assert first["row"] == 0
    assert first["reason"].startswith("Labelled B, but looks like A ")
    # A person who says it once more is believed, until the second action is undone.
    session.act("give", "B", [0])
    wait_for_learning(session)
    assert 0 not in [one["row"] for one in session.state()["learned"]["suggestions"]]
    session.act("undo")
    wait_for_learning(session)
    assert session.state()["learned"]["suggestions"][0]["row"] == 0


def test_what_is_not_carried_changes_predictions(make_session: MakeSession) -> None:
    session = make_session()
    session.act("give", "A", [0, 3])
    session.act("give", "B", [1, 4])
    session.act("deny", "A", [2, 5, 8, 11])
    wait_for_learning(session)
    state = session.state()
    assert [2, [0, 0.0]] in state["cats"]
    assert state["n_labelled"] == 4
    assert session.arrays()[2][14] == 1


def test_several_labels_a_text(make_session: MakeSession) -> None:
    session = make_session(exclusive=False)
    session.act("give", "A", list(range(0, 30, 3)))
    session.act("give", "B", list(range(30)))
    session.act("give", "C", list(range(2, 30, 3)))
    wait_for_learning(session)
    state = session.state()
    assert state["cats"][0] == [0, [0, 1.0, 1, 1.0]]
    assert (session.arrays()[3] > 0).all()


def test_a_change_while_it_learns_is_learned_next(make_session: MakeSession) -> None:
    session = make_session()
    for row in range(20):
        session.act("give", "AB"[row % 2], [row])
    wait_for_learning(session)
    assert session.state()["learned"]["quality"]["n"] == 20


def test_undo_is_shared_and_survives_a_restart(log_path: Path) -> None:
    pile = make_pile_of(["a", "b", "c", "d"])
    with LabelLog(log_path) as log, Session(pile, log) as session:
        session.act("give", "A", [0, 1])
        session.act("give", "B", [1])
        assert session.state()["undo"] == "B for 1 text"
    with LabelLog(log_path) as log, Session(pile, log) as session:
        session.act("undo")
        assert session.state()["cats"] == [[0, [0, 1.0]], [1, [0, 1.0]]]
        assert session.state()["redo"] == "B for 1 text"
        session.act("redo")
        assert session.state()["cats"] == [[0, [0, 1.0]], [1, [1, 1.0]]]


def test_labels_of_texts_that_are_gone_are_kept_and_told_of(log_path: Path) -> None:
    with LabelLog(log_path) as log:
        log.give("A", [LoggedText.of("gone", "7"), LoggedText.of("a", "8")])
    with LabelLog(log_path) as log, Session(make_pile_of(["b", "c", "a"]), log) as session:
        assert session.state()["cats"] == [[2, [0, 1.0]]]
        (note,) = session.notes()
        assert note.startswith("1 labelled text of labels.jsonl is not among the texts any more")
        session.act("give", "B", [0])
    assert {record.text for record in read_records(log_path)} == {"gone", "a", "b"}


@pytest.mark.parametrize(
    ("do", "label", "rows", "message"),
    [
        ("give", "", [0], "a name"),
        ("give", " \t", [0], "a name"),
        ("give", 7, [0], "a name"),
        ("give", "a\nb", [0], "control"),
        ("give", "\ud800", [0], "control"),
        ("give", "x" * 201, [0], "at most 200"),
        ("give", "A", [], "No text"),
        ("give", "A", [60], "no such text"),
        ("give", "A", [-1], "no such text"),
        ("give", "A", ["0"], "no such text"),
        ("give", "A", [True], "no such text"),
        ("give", "A", [0.0], "no such text"),
        ("drop", "A", [0], "no action"),
        (["give"], "A", [0], "no action"),
    ],
)
def test_an_action_that_is_not_possible_is_refused(
    make_session: MakeSession, log_path: Path, do: Any, label: Any, rows: Any, message: str
) -> None:
    session = make_session()
    before = log_path.read_bytes()
    with pytest.raises(ActionError, match=message):
        session.act(do, label, rows)
    assert log_path.read_bytes() == before
    assert session.state()["version"] == 0


def test_the_number_of_labels_is_bounded(make_session: MakeSession) -> None:
    session = make_session()
    for i in range(500):
        session.log.state.labels.append(f"label {i}")
    session.act("give", "label 3", [0])
    with pytest.raises(ActionError, match="500 labels already"):
        session.act("give", "one more", [0])


def test_agreement_is_the_mean_cosine_to_the_others(make_session: MakeSession) -> None:
    session = make_session()
    rows = [0, 3, 6, 9, 1]
    found = session.agreement(rows)
    unit = session.space.vectors[rows].astype("float64")
    cosines = unit @ unit.T
    expected = [(cosines[i].sum() - cosines[i, i]) / 4 for i in range(5)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert int(np.argmin(found)) == 4
    assert session.agreement([3]) == [1.0]


def test_positions_stay_near_the_last_ones(make_session: MakeSession) -> None:
    session = make_session()
    positions = []
    for topic, label in enumerate("ABC"):
        session.act("give", label, list(range(topic, 30, 3)))
        wait_for_learning(session)
        positions.append(session.arrays()[1].astype("float64"))
    before, after = (xy - xy.mean(axis=0) for xy in positions[1:])
    turned = sum(np.linalg.norm(after @ np.diag(s) - before) for s in [(1, -1), (-1, 1), (-1, -1)])
    assert np.linalg.norm(after - before) < turned / 3
    assert math.isfinite(turned)


def test_each_cluster_is_labelled_before_undecided_texts_are_suggested(
    make_session: MakeSession,
) -> None:
    session = make_session()
    space = session.space
    assert len(space.middles) == 12
    sizes = np.bincount(space.part, minlength=12)
    found = sizes[space.part[space.middles]].tolist()
    assert found == sorted(found, reverse=True)
    given: list[int] = []
    while middles := find_middles(space, labelled=given):
        assert not set(space.part[middles]) & set(space.part[given])
        session.act("give", "ABC"[middles[0] % 3], [middles[0]])
        given.append(middles[0])
    assert len(given) == 12
    wait_for_learning(session)
    reasons = {one["reason"][:9] for one in session.state()["learned"]["suggestions"]}
    assert reasons == {"Undecided"}


@pytest.mark.parametrize("n_labels", [2, 5])
def test_undecided_texts_are_those_between_two_labels(n_labels: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_labels, 32))
    shares = rng.dirichlet(np.full(n_labels, 0.3), size=400)
    vectors = (shares @ centres + 0.2 * rng.normal(size=(400, 32))).astype("float32")
    space = Space.of(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    rows = np.arange(150)
    carried = shares[:150].argmax(axis=1)
    values = np.where(carried[:, None] == np.arange(n_labels), 1.0, -1.0)
    labels = list("ABCDE"[:n_labels])
    probabilities = fit_classifier(space, rows, values, exclusive=True, labels=labels).probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert np.mean(probabilities[150:].argmax(axis=1) == shares[150:].argmax(axis=1)) > 0.85
    chosen = suggest_uncertain(space, probabilities, labelled=rows.tolist(), n=12)
    assert len(set(chosen)) == 12
    assert min(chosen) >= 150
    two = np.sort(shares, axis=1)
    margin = two[:, -1] - two[:, -2]
    assert margin[chosen].mean() < 0.5 * margin[150:].mean()
    # Copies of a text come after others.
    vectors = space.vectors.copy()
    vectors[chosen[1:4]] = vectors[chosen[0]]
    copies = Space.of(vectors)
    probabilities[chosen[1:4]] = probabilities[chosen[0]]
    first = suggest_uncertain(copies, probabilities, labelled=rows.tolist(), n=3)
    cosines = copies.vectors[first] @ copies.vectors[first].T
    if n_labels > 2:
        assert (cosines - np.eye(3)).max() < MUCH_ALIKE


def test_a_list_has_texts_of_one_label_that_are_unlike_each_other(
    make_session: MakeSession,
) -> None:
    session = make_session()
    for topic, label in enumerate("ABC"):
        session.act("give", label, list(range(topic, 12 + 3 * topic, 3)))
    wait_for_learning(session)
    lists = session.state()["learned"]["lists"]
    # The label with the fewest texts comes first.
    assert [one["label"] for one in lists] == ["A", "B", "C"]
    _, _, predicted, _ = session.arrays()
    known = {row for row, _ in session.state()["cats"]}
    for j, one in enumerate(lists):
        assert 3 <= len(one["rows"]) <= 20
        assert (predicted[one["rows"]] == j).all()
        assert not known & set(one["rows"])


def test_a_text_without_a_vector_keeps_its_row() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[1] = 0
    space = Space.of(vectors)
    np.testing.assert_array_equal(space.vectors, vectors)
    assert np.isfinite(space.mean).all()
