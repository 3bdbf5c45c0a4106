"""How a person chooses texts, and who teaches first: names of labels, and labels of DATA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spacy_embtune.app import ActionError, LabelLog, Pile, Session, label, make_pile
from spacy_embtune.app._clusters import find_clusters
from spacy_embtune.app._space import Space
from spacy_embtune.data import LoggedText, Record, read_records
from spacy_embtune.semi_supervised import predict_by_names, weigh_names

from .conftest import make_pile_of, wait_for_learning, wait_until

TOPICS = {"sport": "ball team goal", "food": "soup oven bread", "music": "song drum choir"}
WORDS = {word: j for j, words in enumerate(TOPICS.values()) for word in words.split()} | {
    name: j for j, name in enumerate(TOPICS)
}


class TopicEncoder:
    """Gives each text the share of its words of each topic, and a constant."""

    def transform(self, texts: list[str]) -> NDArray[Any]:
        rows = np.zeros((len(texts), 8), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[7] = 0.2
            for word in text.lower().split():
                if word in WORDS:
                    row[WORDS[word]] += 1.0
        return rows


def make_topic_pile(n: int = 60) -> Pile:
    rng = np.random.default_rng(0)
    topics = [words.split() for words in TOPICS.values()]
    texts = [" ".join([*rng.choice(topics[i % 3], 2), f"text{i}"]) for i in range(n)]
    records = [Record(text, {}, str(i), {}, i) for i, text in enumerate(texts)]
    return make_pile(records, TopicEncoder(), title="Topics", store=None)


@pytest.mark.slow
def test_names_predict_before_any_text_is_labelled(log_path: Path) -> None:
    pile = make_topic_pile()
    with LabelLog(log_path) as log:
        log.name(["sport", "food", "music"])
        with Session(pile, log) as session:
            wait_for_learning(session)
            learned = session.state()["learned"]
            assert learned["by_names"]
            assert learned["predicts"]
            assert (session.arrays()[2] == np.arange(60) % 3).all()
            # Many texts of one label do not outweigh the names of the others.
            session.act("give", "sport", list(range(0, 39, 3)))
            wait_for_learning(session)
            assert session.state()["learned"]["by_names"]
            assert (session.arrays()[2] == np.arange(60) % 3).all()
            session.act("undo")
            # Two labels change who teaches, and the names still know the third.
            session.act("give", "sport", [0])
            session.act("give", "food", [1])
            wait_for_learning(session)
            assert not session.state()["learned"]["by_names"]
            assert (session.arrays()[2] == np.arange(60) % 3).mean() > 0.9


def test_without_names_that_mean_something_there_are_no_predictions() -> None:
    space = Space.of(make_topic_pile().base)
    same = {"a": np.ones((1, 8)), "b": np.ones((1, 8))}
    assert predict_by_names(space, ["a", "b"], same) is None
    assert predict_by_names(space, ["a", "b"], {"a": np.ones((1, 8))}) is None


def test_names_count_less_as_labels_grow_and_not_at_all_when_they_are_wrong() -> None:
    pile = make_topic_pile(600)
    space = Space.of(pile.base)
    labels = list(TOPICS)
    names = {name: TopicEncoder().transform([name]) for name in labels}
    topic = np.arange(600) % 3
    weights = []
    for n in (3, 60, 600):
        values = np.where(topic[:n, None] == np.arange(3), 1.0, -1.0)
        extra = weigh_names(space, labels, names, rows=np.arange(n), values=values)
        weights.append(0.0 if extra is None else float(extra.weights[0]))
    assert weights == [2.0, 8.0 / 20, 0.0]
    wrong = np.where((topic[:60, None] + 1) % 3 == np.arange(3), 1.0, -1.0)
    assert weigh_names(space, labels, names, rows=np.arange(60), values=wrong) is None


def test_a_sentence_finds_what_it_means(log_path: Path) -> None:
    with LabelLog(log_path) as log, Session(make_topic_pile(), log) as session:
        rows, cosines = session.find_meaning("oven", n=10)
        assert {row % 3 for row in rows} == {1}
        assert cosines == sorted(cosines, reverse=True)
        for query in ("", "  ", 7, "x" * 3000):
            with pytest.raises(ActionError):
                session.find_meaning(query)  # type: ignore[arg-type]
        assert session.find_words("OVEN") == [
            row for row, text in enumerate(session.pile.texts) if "oven" in text.text
        ]


def test_without_an_encoder_search_by_meaning_is_refused(
    make_session: Callable[..., Session],
) -> None:
    with pytest.raises(ActionError, match="no encoder"):
        make_session().find_meaning("soup")


def test_neighbours_have_no_label_and_are_the_nearest(make_session: Callable[..., Session]) -> None:
    session = make_session()
    session.act("give", "A", [3, 6])
    rows, cosines = session.find_neighbors([0, 9], n=10)
    assert len(rows) == 10
    assert not {0, 9, 3, 6} & set(rows)
    vectors = session.space.vectors
    middle = vectors[[0, 9]].mean(axis=0)
    free = [row for row in range(60) if row not in (0, 9, 3, 6)]
    found = vectors[free] @ (middle / np.linalg.norm(middle))
    assert rows == [free[at] for at in np.argsort(-found)[:10]]
    np.testing.assert_allclose(cosines, np.sort(found)[::-1][:10], atol=1e-6)


def test_clusters_are_named_by_words_that_set_them_apart(log_path: Path) -> None:
    pile = make_topic_pile(300)
    with LabelLog(log_path) as log, Session(pile, log) as session:
        wait_until(lambda: session.clusters is not None)
        clusters = session.clusters
    assert clusters is not None
    for cluster, name in enumerate(clusters.names):
        topics = {row % 3 for row in np.flatnonzero(clusters.of == cluster)}
        assert len(topics) == 1 or name == ""
        if name == "":
            continue
        assert {WORDS[word] for word in name.split(", ")} == topics
    assert find_clusters(["a"] * 5, np.ones((5, 2), dtype=np.float32)).names == []
    assert sum(name != "" for name in clusters.names) >= 3
    nothing = find_clusters(["1 2"] * 40, np.random.default_rng(0).normal(size=(40, 4)))
    assert set(nothing.names) == {""}


def test_near_duplicates_come_with_a_suggestion(log_path: Path) -> None:
    texts = [f"text {i}" for i in range(40)]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 30)).astype(np.float32)
    vectors[:6] = vectors[0] + 0.01 * rng.normal(size=(6, 30))
    pile = Pile([LoggedText.of(text, text) for text in texts], vectors, vectors, "t", [])
    with LabelLog(log_path) as log, Session(pile, log) as session:
        wait_for_learning(session)
        first = session.state()["learned"]["suggestions"][0]
    assert first["row"] < 6
    assert set(first["others"][:5]) == set(range(6)) - {first["row"]}
    assert first["n_copies"] == 5
    assert "5 near duplicates" in first["reason"]
    assert len(first["others"]) == 19


def test_labels_of_data_are_recorded_once_and_the_log_wins(log_path: Path) -> None:
    given: dict[int, dict[str, float]] = {0: {"A": 1.0, "B": 0.0}, 1: {"B": 1.0}, 2: {"A": 0.0}}
    pile = make_pile_of(["a", "b", "c", "d"])._replace(given=given)
    with LabelLog(log_path) as log:
        log.give("C", [pile.texts[1]])
        with Session(pile, log) as session:
            assert session.n_read == 2
            assert session.state()["labels"] == ["C", "A"]
            assert session.state()["counts"] == [1, 1]
            assert session.state()["undo"] == "C for 1 text"
            session.act("undo")
    size = log_path.stat().st_size
    with LabelLog(log_path) as log, Session(pile, log) as session:
        # What a person has done on a text counts, also if it was undone.
        assert session.n_read == 0
        assert [record["text"] for record in session.records()] == ["a", "c"]
    assert log_path.stat().st_size == size
    found = {record.text: record.cats for record in read_records(log_path)}
    assert found == {"a": {"A": 1.0}, "c": {"A": 0.0}}


def test_several_labels_of_data_need_a_log_for_several(log_path: Path, tmp_path: Path) -> None:
    pile = make_pile_of(["a", "b", "c"])._replace(given={0: {"A": 1.0, "B": 1.0}})
    with LabelLog(log_path) as log, pytest.raises(ValueError, match="--several"):
        Session(pile, log)
    path = tmp_path / "several.jsonl"
    with LabelLog(path, exclusive=False) as log, Session(pile, log) as session:
        assert session.records() == [{"id": "id-0", "text": "a", "cats": {"A": 1.0, "B": 1.0}}]


@pytest.mark.slow
def test_quality_grows_with_labels_and_says_when_more_hardly_pay(
    make_session: Callable[..., Session],
) -> None:
    session = make_session([f"text {i}" for i in range(240)])
    for topic, name in enumerate("ABC"):
        session.act("give", name, list(range(topic, 240, 3)))
    wait_for_learning(session)
    quality = session.state()["learned"]["quality"]
    sizes = [point["n"] for point in quality["curve"]]
    assert sizes == [15, 30, 60, 120, 240]
    map_at_r = quality["map_at_r"]
    assert map_at_r["low"] <= map_at_r["share"] <= map_at_r["high"]
    assert map_at_r["share"] > 0.9
    assert quality["is_enough"] == (quality["gain"] <= quality["error"])
    assert quality["is_enough"]


def test_a_notebook_gets_a_frame_and_records(tmp_path: Path) -> None:
    pile = ["a ball", "soup", {"text": "a song", "label": "music", "id": "7"}]
    path = tmp_path / "labels.jsonl"
    with label(pile, ["sport"], encoder=TopicEncoder(), path=path) as labelling:
        assert f'src="{labelling.address}"' in labelling._repr_html_()
        assert [(r["id"], r["cats"]) for r in labelling.records()] == [("7", {"music": 1.0})]
        with pytest.raises(ValueError, match="used by another"):
            label(pile, encoder=TopicEncoder(), path=path)
    assert [record.text for record in read_records(path)] == ["a song"]
    with (
        label(["soup"], encoder=TopicEncoder(), path=path) as labelling,
        pytest.raises(ValueError, match="at least 3 texts"),
    ):
        labelling.records()
    with pytest.raises(ValueError, match="exclude each other"):
        label(pile, model="m", encoder="e", path=path)
