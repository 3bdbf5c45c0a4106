import csv
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacy_embtune.data import read_records, unescape_cells
from spacy_embtune.labelling import bulk_table, write_bulk
from spacy_embtune.plots import project
from spacy_embtune.plots.neighbors import nearest_rows

from ..reports.cases import HOSTILE, a_gain, make_documents

COLUMNS = [
    *("text", "x", "y", "color", "id", "label", "predicted", "probability", "margin"),
    *("suspect", "label_probability", "expected"),
]
# Texts that a spreadsheet, or a reader of CSV, might take for something else.
TEXTS = [
    "=1+1",
    '"quoted", and so on',
    "two\nlines",
    "+x",
    "-1",
    "@x",
    "",
    " ",
    "ünï|cödé",
    HOSTILE,
]


def draw(n=40, *, known=None, exclusive=True, labels=None, seed=0):
    base, tuned, values = a_gain(np.random.default_rng(seed), n)
    documents = make_documents(base, tuned, values, known, exclusive=exclusive, labels=labels)
    # As an output layer that is right nine times in ten.
    probabilities = 0.9 * values[np.roll(np.arange(n), np.arange(n) % 10 == 9)] + 0.025
    if not exclusive:
        probabilities[:, 0] = 0.6
    return documents._replace(probabilities=probabilities.astype("f"))


def read_csv(path):
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text("utf8").splitlines()]


def test_the_table_has_what_bulk_needs_and_what_is_known_of_the_labels(tmp_path):
    documents = draw()
    table = bulk_table(documents, n_neighbors=2)
    assert table.source == "component"
    xy, neighbors = project(documents).tuned.xy, nearest_rows(documents, "tuned", 2)
    for i, row in enumerate(table.rows):
        assert list(row) == [*COLUMNS, "neighbors", "cats"]
        label = "ABCD"[documents.targets.values[i].argmax()]
        assert (row["text"], row["id"], row["label"]) == (documents.texts[i], str(i), label)
        assert table.colors[row["color"]] == label
        assert (row["x"], row["y"]) == pytest.approx(tuple(xy[i]), abs=1e-6)
        assert row["predicted"] == "ABCD"[documents.probabilities[i].argmax()]
        assert row["probability"] == pytest.approx(0.925, abs=1e-5)
        assert row["margin"] == pytest.approx(0.9, abs=1e-5)
        assert row["suspect"] in (True, False)
        assert 0 < row["label_probability"] < 1
        assert row["expected"] in "ABCD"
        assert row["neighbors"] == [str(j) for j in neighbors[i]]
        assert row["cats"] == {name: float(name == label) for name in "ABCD"}
    assert table.n_suspects == sum(row["suspect"] for row in table.rows)


def test_suspects_of_wrong_labels_are_more_often_right_than_chance():
    rng = np.random.default_rng(0)
    documents = draw(300)
    classes = documents.targets.values.argmax(axis=1)
    wrong = rng.random(300) < 0.1
    given = np.where(wrong, (classes + rng.integers(1, 4, 300)) % 4, classes)
    documents = documents._replace(
        targets=documents.targets._replace(values=np.eye(4, dtype="f")[given])
    )
    for space in ("base", "tuned"):
        rows = bulk_table(documents, suspects_from=space).rows
        suspect = np.array([row["suspect"] for row in rows])
        assert wrong[suspect].mean() > 0.3
        assert suspect[wrong].mean() > 0.4


def test_labels_that_may_come_together_are_lists_and_unknown_ones_stay_unknown(tmp_path):
    known = np.ones((40, 4))
    known[:10] = 0
    known[10:20, :2] = 0
    documents = draw(exclusive=False, known=known)
    rows = bulk_table(documents).rows
    assert rows[0]["label"] == []
    assert rows[0]["suspect"] is None
    assert rows[0]["label_probability"] is None
    assert rows[0]["cats"] == {}
    assert rows[0]["color"] is None
    assert set(rows[12]["cats"]) == {"C", "D"}
    assert set(rows[30]["cats"]) == set("ABCD")
    assert all(row["predicted"][0] in "ABCD" and "A" in row["predicted"] for row in rows)
    assert rows[30]["margin"] == pytest.approx(0.2, abs=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_file_can_be_read_again_and_trained_on(tmp_path, suffix, exclusive):
    documents = draw(len(TEXTS), exclusive=exclusive)._replace(texts=TEXTS)
    documents = documents._replace(ids=[f"id {i}" for i in range(len(TEXTS))])
    path = tmp_path / f"out{suffix}"
    write_bulk(bulk_table(documents, n_neighbors=3), path)
    records = list(read_records(path))
    assert [record.text for record in records] == TEXTS
    assert [record.id for record in records] == documents.ids
    for record, values in zip(records, documents.targets.values, strict=True):
        carried = {label for label, value in record.cats.items() if value}
        assert carried == {"ABCD"[values.argmax()]}
        assert len(record.cats) == (1 if suffix == ".csv" else 4)


def test_csv_has_a_cell_for_each_list_and_none_for_what_is_not_there(tmp_path):
    known = np.ones((40, 4))
    known[0] = 0
    documents = draw(exclusive=False, known=known)
    documents.targets.values[1] = 1
    write_bulk(bulk_table(documents, n_neighbors=2), tmp_path / "out.csv")
    rows = read_csv(tmp_path / "out.csv")
    assert list(rows[0]) == [*COLUMNS, "neighbors"]
    assert rows[0]["label"] == rows[0]["suspect"] == rows[0]["label_probability"] == ""
    assert rows[1]["label"] == "A|B|C|D"
    assert rows[1]["suspect"] in ("True", "False")
    assert len(rows[1]["neighbors"].split("|")) == 2


def test_what_csv_could_not_tell_apart_is_an_error_and_fine_as_json(tmp_path):
    documents = draw(labels=["A|B", "C", "D", "E"])
    table = bulk_table(documents)
    with pytest.raises(ValueError, match=r"'A\|B' in the column '\w+' contains '\|'"):
        write_bulk(table, tmp_path / "out.csv")
    write_bulk(table, tmp_path / "out.jsonl")
    assert {row["label"] for row in read_jsonl(tmp_path / "out.jsonl")} == {"A|B", "C", "D", "E"}
    ids = [f"{i}|" for i in range(40)]
    table = bulk_table(draw()._replace(ids=ids), n_neighbors=1)
    with pytest.raises(ValueError, match="in the column 'neighbors'"):
        write_bulk(table, tmp_path / "out.csv")
    write_bulk(bulk_table(draw()._replace(ids=ids)), tmp_path / "out.csv")
    with pytest.raises(ValueError, match=r"ends in \.csv, \.jsonl, \.xlsx or \.parquet"):
        write_bulk(table, tmp_path / "out.txt")


@pytest.mark.slow
@example(["a\rb", "\r", "\n", "=\r\n"], ".csv")
@example(["\x85", "\u2028", "\x00", "\ufeff"], ".jsonl")
@given(st.lists(st.text(), min_size=4, max_size=8), st.sampled_from([".csv", ".jsonl"]))
@settings(deadline=None, max_examples=25)
def test_any_text_comes_back(tmp_path_factory, texts, suffix):
    path = tmp_path_factory.mktemp("bulk") / f"out{suffix}"
    write_bulk(bulk_table(draw(len(texts))._replace(texts=texts)), path)
    rows = read_csv(path) if suffix == ".csv" else read_jsonl(path)
    assert [unescape_cells(row)["text"] for row in rows] == texts


def test_half_a_character_does_not_stop_the_writing(tmp_path):
    documents = draw(4)._replace(texts=["a\ud800b", "c", "d", "e"])
    for name in ("out.csv", "out.jsonl"):
        write_bulk(bulk_table(documents), tmp_path / name)
        assert "a?b" in (tmp_path / name).read_text("utf8")


class TestColors:
    """There are few colours, but never one. bulk takes them as numbers; what is None is grey."""

    def colors(self, values, known=None, labels=None, exclusive=True, **options):
        n = len(values)
        base = np.random.default_rng(0).normal(size=(n, 4))
        documents = make_documents(base, base, values, known, labels=labels, exclusive=exclusive)
        table = bulk_table(documents, **options)
        if "color" not in table.rows[0]:
            return None
        numbers = [row["color"] for row in table.rows]
        assert {number for number in numbers if number is not None} == set(range(len(table.colors)))
        return [None if number is None else table.colors[number] for number in numbers]

    @pytest.mark.slow
    def test_there_are_at_most_ten(self):
        values = np.eye(30)[np.arange(90) % 30]
        values[60:] = np.eye(30)[[0] * 30]
        known = np.ones((90, 30))
        known[50:60] = 0
        values[40:50] = 0
        labels = [f"label {j}" for j in range(30)]
        colors = self.colors(values, known, labels, exclusive=False)
        names = {color for color in colors if color is not None}
        assert len(names) == 10
        assert {"22 other labels", "none of them", "label 0"} <= names
        assert colors[50:60] == [None] * 10

    def test_there_are_at_least_two_or_none(self):
        assert self.colors(np.eye(2)[[0] * 4]) is None
        known = np.ones((4, 2))
        known[0] = 0
        assert self.colors(np.eye(2)[[0] * 4], known) == ["unlabelled", "A", "A", "A"]
        assert self.colors(np.zeros((4, 2)), exclusive=False) is None
        assert self.colors(np.zeros((4, 0)), exclusive=False) is None

    def test_predictions_colour_what_nobody_labelled(self):
        documents = draw()
        unlabelled = documents._replace(
            targets=documents.targets._replace(known=np.zeros((40, 4), "f"))
        )
        predicted = ["ABCD"[row.argmax()] for row in documents.probabilities]
        for table in (bulk_table(unlabelled), bulk_table(documents, color="predicted")):
            assert [table.colors[row["color"]] for row in table.rows] == predicted
        assert all(row["label"] is None for row in bulk_table(unlabelled).rows)
        with pytest.raises(ValueError, match="color is 'blue': give one of label, predicted"):
            bulk_table(documents, color="blue")


def test_documents_without_a_vector_stay_in_the_table():
    documents = draw()
    documents.base[3], documents.tuned[3] = 0, 0
    rows = bulk_table(documents, n_neighbors=1).rows
    assert len(rows) == 40
    for column in ("x", "y", "predicted", "probability", "margin", "label_probability"):
        assert rows[3][column] is None
    assert rows[3]["neighbors"] == []
    assert rows[3]["suspect"] is None


def test_numbers_out_of_range_are_an_error():
    with pytest.raises(ValueError, match="n_neighbors is -1"):
        bulk_table(draw(), n_neighbors=-1)
    with pytest.raises(ValueError, match="a projection needs at least 3"):
        bulk_table(draw(2))
    assert bulk_table(draw(3), n_neighbors=9).rows[0]["neighbors"] != []
