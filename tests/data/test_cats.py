"""Labels in every form that people and programs write them."""

import csv
import datetime
import io
import json
import logging
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.data import CatsReader, LabelSettings, bin_name, find_label_fields, read_records
from spacy_embtune.labels import cell_name

EXPORTS = Path(__file__).parents[1] / "fixtures" / "exports"
NAN = float("nan")


def read(*rows, string_cells=False, **settings):
    """RETURNS (list[dict[str, float]]): The cats of rows of fields."""
    reader = CatsReader(LabelSettings(**settings), has_string_cells=string_cells)
    cats = [reader.read(reader.unwrap(row)).cats for row in rows]
    reader.conclude()
    return cats


def read_file(tmp_path, name, data, **settings):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [record.cats for record in read_records(path, **settings)]


# One label


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("SPORT", "SPORT"),
        ("007", "007"),
        ("1.0", "1.0"),
        (1, "1"),
        (-3, "-3"),
        (0, "0"),
        (1.0, "1"),
        (-0.0, "0"),
        (1e6, "1000000"),
        (Decimal("2.0"), "2"),
        (np.int64(4), "4"),
        (np.float32(4.0), "4"),
        (True, "true"),
        (False, "false"),
        (np.True_, "true"),
        ("True", "true"),
        ("FALSE", "false"),
        ("Truth", "Truth"),
    ],
)
def test_a_value_names_the_same_label_whatever_its_type(value, name):
    assert read({"label": value}) == [{name: 1.0}]
    assert read({"label": [value, None]}) == [{name: 1.0}]


@pytest.mark.parametrize("value", [None, NAN, pandas.NA, pandas.NaT, "", [], [None, NAN], {}])
def test_a_missing_label_is_unknown(value):
    assert read({"label": value}) == [{}]
    assert read({"kind": value}, label_field="kind") == [{}]


@pytest.mark.parametrize(
    ("cell", "cats"),
    [
        ("SPORT", ["SPORT"]),
        ("1.0", ["1"]),
        ("-2.00", ["-2"]),
        ("-0.0", ["0"]),
        ("1.5", ["1.5"]),
        ("01.0", ["01.0"]),
        ("True", ["true"]),
        ("FALSE", ["false"]),
        (" A | B |", ["A", "B"]),
        ("['A', 'B']", ["A", "B"]),
        ('["A, B"]', ["A, B"]),
        ("[]", []),
        ("[SEP]", ["[SEP]"]),
        ("", []),
        ("  ", []),
    ],
)
def test_a_cell_of_a_table_names_labels(cell, cats):
    assert read({"label": cell}, string_cells=True) == [dict.fromkeys(cats, 1.0)]


FORMS = {
    "integers with gaps": (pandas.array([1, 2, None], "Int64"), ["1", "2", None]),
    "floats with gaps": ([1.0, 2.0, NAN], ["1", "2", None]),
    "integers": ([1, 2, 2], ["1", "2", "2"]),
    "truth values": ([True, False, True], ["true", "false", "true"]),
    "truth values with gaps": (
        pandas.array([True, None, False], "boolean"),
        ["true", None, "false"],
    ),
    "strings with gaps": (["A", None, "B"], ["A", None, "B"]),
    "categories": (pandas.Categorical(["A", None, "B"]), ["A", None, "B"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_column_of_pandas_has_the_same_labels_in_every_format(tmp_path, form):
    column, names = FORMS[form]
    frame = pandas.DataFrame({"text": ["a", "b", "c"], "label": column})
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    expected = [{name: 1.0} if name else {} for name in names]
    for suffix in ("jsonl", "csv", "tsv", "parquet"):
        assert [r.cats for r in read_records(tmp_path / f"a.{suffix}")] == expected, suffix


def test_nan_in_json_is_unknown_and_an_empty_text(tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text('{"text": "soup", "label": NaN}\n{"text": NaN, "label": 1, "id": NaN}\n')
    assert [r[:3] for r in read_records(path)] == [("soup", {}, "0"), ("", {"1": 1.0}, "1")]


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (0.5, r"'label' is 0\.5, a number with a fraction.*label_bins.*cats"),
        (float("inf"), "Give a label"),
        ([0.5], "number with a fraction"),
        (datetime.date(2024, 1, 1), "Give a label"),
        (b"A", "Give a label"),
        ([["A"]], "Give a label"),
        ([[0, 2, "ORG"]], "part of the text.*sequence labelling"),
        ({"A": 2.0}, r"outside 0\.\.1"),
        ({"A": "yes"}, "a str"),
        ({0.5: 1.0}, "non-empty string"),
    ],
)
def test_what_is_no_label_is_an_error_with_a_cure(value, cause):
    with pytest.raises(ValueError, match=cause):
        read({"label": value})


# Values and scores


@pytest.mark.parametrize("field", ["cats", "label"])
def test_a_mapping_gives_values_and_missing_ones_are_unknown(field):
    value = {"A": 1, "B": 0.25, "C": False, "D": None, "E": NAN, 3: np.float32(1)}
    assert read({field: value}) == [{"A": 1.0, "B": 0.25, "C": 0.0, "3": 1.0}]


def test_scores_of_a_classifier_are_values():
    scores = [
        {"label": "A", "score": 0.75},
        {"label": 2, "score": 0.25},
        {"label": "C", "score": None},
    ]
    assert read({"label": scores}) == [{"A": 0.75, "2": 0.25}]


def test_the_first_field_with_labels_is_read_and_the_others_are_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "cats": null, "label": "", "labels": ["A", "B"], "url": "u"}\n')
    (record,) = read_records(path)
    assert (record.cats, record.meta) == ({"A": 1.0, "B": 1.0}, {"url": "u"})


# One field a label


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0, 0.0),
        (True, 1.0),
        (0.25, 0.25),
        ("1", 1.0),
        ("0.0", 0.0),
        ("True", 1.0),
        ("false", 0.0),
        (" .5 ", 0.5),
        ("", None),
        (None, None),
        (NAN, None),
        (pandas.NA, None),
    ],
)
def test_a_field_is_a_label(value, number):
    expected = {} if number is None else {"A": number}
    assert read({"A": value, "label": "X"}, label_fields=["A"]) == [expected]


def test_fields_are_found_by_patterns():
    assert find_label_fields(["text", "is_a", "is_b", "b", "[x]1"], ["is_?", "b"]) == [
        "is_a",
        "is_b",
        "b",
    ]
    assert find_label_fields(["[x]1", "x1"], ["[x]*"]) == ["[x]1"]
    row = {"text": "a", "id": 1, "a": 1, "b": 0}
    assert read(row, label_fields=["*"]) == [{"a": 1.0, "b": 0.0}]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_fields_of_labels_in_files(tmp_path, suffix):
    frame = pandas.DataFrame(
        {"text": ["goal", "band"], "SPORT": [1, 0], "MUSIC": [None, 1], "n": 5}
    )
    path = tmp_path / f"h.{suffix}"
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    records = list(read_records(path, label_fields=["SPORT", "MUS*"]))
    assert [r.cats for r in records] == [{"SPORT": 1.0}, {"SPORT": 0.0, "MUSIC": 1.0}]
    assert [int(r.meta["n"]) for r in records] == [5, 5]
    with pytest.raises(ValueError, match=r"h\.\w+.*'SPROT'.*--label-fields"):
        list(read_records(path, label_fields=["SPROT"], on_error="skip"))


@pytest.mark.parametrize("value", ["x", 2, -1, "yes", [1], "2"])
def test_a_field_that_is_no_label_is_an_error(value):
    with pytest.raises(ValueError, match=r"'A' is .*Give 1 where.*nothing where that is not known"):
        read({"A": value}, label_fields=["A"])


# Separators and classes of numbers


def test_a_separator_is_used_in_every_format(tmp_path):
    assert read({"label": "A; B;"}, label_separator=";") == [{"A": 1.0, "B": 1.0}]
    assert read({"label": "A|B; C"}, label_separator=";", string_cells=True) == [
        {"A|B": 1.0, "C": 1.0}
    ]
    assert read({"label": "A|B"}, label_separator="", string_cells=True) == [{"A|B": 1.0}]
    assert read({"label": "A|B"}) == [{"A|B": 1.0}]


@pytest.mark.parametrize("string_cells", [False, True])
def test_numbers_are_divided_into_classes(string_cells):
    rows = [{"stars": n} for n in (1, 2.5, 3, 5, None)]
    if string_cells:
        rows = [{"stars": "" if row["stars"] is None else str(row["stars"])} for row in rows]
    settings = {"label_field": "stars", "label_bins": [2.5, 4]}
    assert read(*rows, string_cells=string_cells, **settings) == [
        {"<2.5": 1.0},
        {"2.5..4": 1.0},
        {"2.5..4": 1.0},
        {">=4": 1.0},
        {},
    ]
    for bad in ("good", True, float("inf"), [1]):
        with pytest.raises(ValueError, match="cannot be divided into classes"):
            read({"stars": bad}, **settings)
    with pytest.raises(ValueError, match="has labels already"):
        read({"cats": {"A": 1}}, label_bins=[2])


@given(st.lists(st.integers(-99, 99), min_size=1, unique=True).map(sorted), st.integers(-120, 120))
def test_each_number_belongs_to_the_class_that_its_name_says(limits, number):
    name = bin_name(number, limits)
    low, high = -np.inf, np.inf
    if name.startswith("<"):
        high = float(name[1:])
    elif name.startswith(">="):
        low = float(name[2:])
    else:
        low, high = map(float, name.split(".."))
    assert low <= number < high


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"label_field": "a", "label_fields": ["b"]}, "label_field and label_fields exclude"),
        ({"label_fields": ["b"], "label_separator": ";"}, "label_fields and label_separator"),
        ({"label_fields": ["b"], "label_bins": [1]}, "label_fields and label_bins"),
        ({"label_separator": ";", "label_bins": [1]}, "label_separator and label_bins"),
        ({"label_field": "", "label_bins": [1]}, "no labels are read"),
        ({"label_field": "", "label_separator": ";"}, "no labels are read"),
        ({"label_bins": [2, 1]}, "ascending order"),
        ({"label_bins": [1, 1]}, "ascending order"),
        ({"label_bins": [NAN]}, "finite"),
        ({"label_bins": ["a"]}, "list of numbers"),
        ({"label_fields": "abc"}, "list of names"),
        ({"label_fields": [""]}, "list of names"),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(tmp_path, settings, cause):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    with pytest.raises(ValueError, match=cause):
        read_records(path, **settings)


# What is no column of labels


def sentences(n):
    return [f"The customer number {i} says that the parcel has not arrived yet." for i in range(n)]


@pytest.mark.parametrize("n", [20, 99, 100, 500])
def test_free_text_is_no_label(tmp_path, n):
    rows = "".join(json.dumps({"text": "a", "label": s}) + "\n" for s in sentences(n))
    with pytest.raises(ValueError, match=r"a\.jsonl.*'label' does not hold labels.*--label-field"):
        read_file(tmp_path, "a.jsonl", rows, on_error="skip")
    assert len(read_file(tmp_path, "a.jsonl", rows, label_field="")) == n


def test_keys_and_measurements_are_no_labels():
    keys = [{"label": f"user-{i}"} for i in range(1000)]
    with pytest.raises(ValueError, match="free text or a key"):
        read(*keys)
    numbers = [{"label": f"{i / 97:.3f}"} for i in range(100)]
    with pytest.raises(ValueError, match=r"numbers, not labels.*--label-bins"):
        read(*numbers, string_cells=True)


def test_many_labels_are_labels():
    assert len(read(*({"label": f"class {i % 400}"} for i in range(2000)))) == 2000
    long = [f"Complaint about the delivery of damaged goods of the kind {i}" for i in range(60)]
    assert len(read(*({"label": long[i % 60]} for i in range(300)))) == 300
    assert len(read(*({"label": f"{(i % 9) / 2}"} for i in range(300)), string_cells=True)) == 300
    # Tags: a list for each document.
    assert len(read(*({"label": [f"tag {i}", f"tag {i + 1}"]} for i in range(2000)))) == 2000


# Annotation tools: files as these programs write them


def export(tmp_path, name, **settings):
    """RETURNS (list[Record]): The records of an export. An array of objects is written as one
    object a line, because this test is about labels."""
    path = EXPORTS / name
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        path = tmp_path / f"{path.stem}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return list(read_records(path, **settings))


@pytest.mark.parametrize(
    ("name", "settings", "cats"),
    [
        ("prodigy_binary.jsonl", {}, [{"SPORT": 1.0}, {"SPORT": 0.0}, {}]),
        (
            "prodigy_choice.jsonl",
            {},
            [
                {"MUSIC": 1.0, "FOOD": 0.0},
                {"MUSIC": 0.0, "FOOD": 0.0},
                {},
                {"1": 0.0, "-1": 1.0},
                {},
            ],
        ),
        ("doccano.jsonl", {}, [{"negative": 1.0}, {"delivery": 1.0, "price": 1.0}, {}]),
        (
            "doccano.csv",
            {"label_separator": "#"},
            [{"negative": 1.0}, {"delivery": 1.0, "price": 1.0}, {}],
        ),
        ("doccano_intents.jsonl", {}, [{"flight": 1.0}]),
        (
            "label_studio.json",
            {},
            [{"Positive": 1.0}, {}, {"Positive": 1.0, "Negative": 0.5}, {}],
        ),
        (
            "label_studio_min.json",
            {"label_field": "sentiment"},
            [{"Positive": 1.0}, {"Positive": 1.0, "Negative": 1.0}, {}],
        ),
        ("label_studio_min.json", {}, [{"Positive": 1.0}, {"Positive": 1.0, "Negative": 1.0}, {}]),
        (
            "label_studio.csv",
            {"label_field": "sentiment"},
            [{"Positive": 1.0}, {"Positive": 1.0, "Negative": 1.0}],
        ),
        ("argilla.json", {}, [{"sport": 1.0}, {"music": 1.0, "sport": 0.5}, {}]),
        ("argilla.json", {"label_field": "label.suggestion"}, [{"music": 1.0}, {}, {"food": 1.0}]),
        ("argilla_flat.jsonl", {}, [{"sport": 1.0}, {"music": 1.0}, {}]),
        (
            "argilla_flat.jsonl",
            {"label_field": "label.suggestion"},
            [{"music": 1.0}, {}, {"food": 1.0}],
        ),
        ("argilla_1.jsonl", {}, [{"sport": 1.0}, {"music": 1.0, "sport": 1.0}, {}, {}]),
        ("argilla_1_feedback.jsonl", {}, [{"sport": 1.0}, {"music": 1.0}, {}]),
    ],
)
def test_exports_of_annotation_tools(tmp_path, name, settings, cats):
    records = export(tmp_path, name, **settings)
    assert [record.cats for record in records] == cats
    assert all(record.text for record in records)
    assert not any("source" in record.meta for record in records) or all(
        record.meta["source"].endswith(".txt") for record in records if "source" in record.meta
    )


def test_texts_and_other_fields_of_nested_records_are_found(tmp_path):
    first = export(tmp_path, "label_studio.json")[0]
    assert (first.text, first.id, first.meta["source"]) == ("goal team", "1", "a.txt")
    first = export(tmp_path, "argilla.json")[0]
    assert (first.text, first.id, first.meta["source"]) == ("goal team", "r1", "a.txt")


def test_what_is_not_read_is_said_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "spacy_embtune"):
        export(tmp_path, "prodigy_binary.jsonl")
        export(tmp_path, "prodigy_choice.jsonl")
        export(tmp_path, "label_studio.json")
        export(tmp_path, "argilla.json")
    starts = [record.getMessage() for record in caplog.records]
    assert [message.split("'")[0] for message in starts] == [
        "The labels of Prodigy",
        "Records of Prodigy whose choice was rejected have no known label, because the answer does "
        "not say which label is wrong.",
        "Predictions in the export of Label Studio are not read as labels.",
        "Results of the type ",
        "Suggestions and predictions in the export of Argilla are not read as labels. To read them "
        "nevertheless, name them: label_field = ",
    ]


def test_a_field_named_answer_is_a_label_if_the_user_says_so():
    rows = [{"answer": "accept", "kind": "X"}, {"answer": "reject", "kind": "Y"}]
    assert read(*rows, label_field="answer") == [{"accept": 1.0}, {"reject": 1.0}]
    assert read(*rows, label_field="kind") == [{"X": 1.0}, {"Y": 1.0}]
    assert read({"answer": "accept", "cats": {"A": 1, "B": 0}}) == [{"A": 1.0, "B": 0.0}]
    assert read({"answer": "perhaps", "label": "A"}) == [{"A": 1.0}]


def result(question, choice):
    return {"from_name": question, "type": "choices", "value": {"choices": [choice]}}


def test_labels_of_several_questions_are_an_error_unless_one_is_named():
    both = {
        "data": {"text": "a"},
        "predictions": [],
        "annotations": [{"result": [result("topic", "SPORT"), result("tone", "calm")]}],
    }
    with pytest.raises(ValueError, match=r"'tone' and 'topic'.*Name the question"):
        read(both)
    assert read(both, label_field="topic") == [{"SPORT": 1.0}]
    one = {**both, "annotations": [{"result": [result("topic", "SPORT")]}]}
    other = {**both, "annotations": [{"result": [result("tone", "calm")]}]}
    with pytest.raises(ValueError, match="'tone', but earlier records of 'topic'"):
        read(one, other)


def test_ratings_and_taxonomies_of_label_studio_are_labels():
    row = {"data": {"text": "a"}, "predictions": []}
    stars = {"result": [{"from_name": "stars", "type": "rating", "value": {"rating": 4}}]}
    assert read({**row, "annotations": [stars]}) == [{"4": 1.0}]
    assert read({**row, "annotations": [stars]}, label_bins=[3]) == [{">=3": 1.0}]
    paths = {"taxonomy": [["Food", "Soup"], ["Food"]]}
    tree = {"result": [{"from_name": "t", "type": "taxonomy", "value": paths}]}
    assert read({**row, "annotations": [tree]}) == [{"Food/Soup": 1.0, "Food": 1.0}]


def test_a_checked_annotation_goes_before_others():
    annotations = [
        {"result": [result("q", "A")], "ground_truth": False},
        {"result": [result("q", "B")], "ground_truth": True},
    ]
    row = {"data": {"text": "a"}, "annotations": annotations, "predictions": []}
    assert read(row) == [{"B": 1.0}]


# Whatever a writer makes of a label, the reader gets the same


@pytest.mark.slow
@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf8", exclude_characters="|\0"), min_size=1, max_size=8)
            .map(str.strip)
            .filter(lambda label: label and not label.startswith(("[", "{"))),
            max_size=3,
        ),
        min_size=1,
        max_size=10,
    )
)
def test_labels_in_cells_and_in_lists_are_the_same(rows):
    cells = io.StringIO()
    csv.writer(cells).writerows([[" | ".join(labels)] for labels in rows])
    table = list(csv.reader(io.StringIO(cells.getvalue(), newline="")))
    as_cells = read(*({"label": row[0] if row else ""} for row in table), string_cells=True)
    as_lists = read(*({"label": labels} for labels in rows))
    for from_cell, from_list, labels in zip(as_cells, as_lists, rows, strict=True):
        # A cell has no type: "1.0", "TRUE" and "<NA>" are a number, a truth value, and nothing.
        if all(cell_name(label) == label for label in labels):
            assert from_cell == from_list
