"""Cells of tables that stand for nothing, or for a list."""

import json
import logging

import pandas as pd
import pytest
import spacy

from spacy_embtune.data import PairsReader, read_records


def write(path, text):
    path.write_text(text, encoding="utf8")
    return path


@pytest.mark.parametrize("cell", ["nan", "NaN", "<NA>", "NaT", ""])
def test_nan_is_unknown_in_every_form_of_a_table(tmp_path, cell):
    path = write(tmp_path / "a.csv", f"text,label,A,stars\na,{cell},{cell},{cell}\nb,X,1,3\n")
    for settings, second in (
        ({}, {"X": 1.0}),
        ({"label_fields": ["A"]}, {"A": 1.0}),
        ({"label_field": "stars", "label_bins": [2]}, {">=2": 1.0}),
    ):
        assert [record.cats for record in read_records(path, **settings)] == [{}, second]


def test_a_list_in_a_cell_of_prodigy_is_a_list(tmp_path):
    path = write(
        tmp_path / "p.csv",
        "text,options,accept,answer\n"
        "a,\"[{'id': 'X'}, {'id': 'Y'}]\",['X'],accept\n"
        'b,"[{""id"": ""X""}, {""id"": ""Y""}]","[""Y""]",accept\n',
    )
    found = [record.cats for record in read_records(path)]
    assert found == [{"X": 1.0, "Y": 0.0}, {"X": 0.0, "Y": 1.0}]
    broken = write(tmp_path / "q.csv", "text,options,accept,answer\na,{no,X,accept\n")
    with pytest.raises(ValueError, match=r"'options' is '\{no'\. Give a list"):
        list(read_records(broken))


def test_spans_without_a_label_are_told_of(tmp_path, caplog):
    line = '{"text": "a", "spans": [{"start": 0, "end": 1, "label": "X"}], "answer": "accept"}'
    with caplog.at_level(logging.INFO):
        assert [r.cats for r in read_records(write(tmp_path / "s.jsonl", line))] == [{}]
    assert "'spans' are labels of parts of texts" in caplog.text


def test_cats_that_hold_nothing_leave_the_label_its_place(tmp_path):
    line = '{"text": "a", "label": ["X"], "cats": {}}'
    assert [r.cats for r in read_records(write(tmp_path / "e.jsonl", line))] == [{"X": 1.0}]


# Lists and mappings that programs write as text

CONTAINERS = [
    ('{"X": 1.0, "Y": 0}', {"X": 1.0, "Y": 0.0}),
    ("{'X': 1.0, 'Y': 0.0, 'Z': nan}", {"X": 1.0, "Y": 0.0}),
    ("{'X': np.float64(0.5)}", {"X": 0.5}),
    ('["A","B"]', {"A": 1.0, "B": 1.0}),
    ("['A', \"it's\", None, nan]", {"A": 1.0, "it's": 1.0}),
    ("[1, 2]", {"1": 1.0, "2": 1.0}),
    ("[1.0, nan]", {"1": 1.0}),
    ("[np.int64(3), np.str_('B')]", {"3": 1.0, "B": 1.0}),
    ("['nan', 'NA']", {"nan": 1.0, "NA": 1.0}),
    ("('A', 'B')", {"A": 1.0, "B": 1.0}),
    ("{'A'}", {"A": 1.0}),
    ("array(['A', 'B'], dtype=object)", {"A": 1.0, "B": 1.0}),
    ('[{"label": "A", "score": 0.25}]', {"A": 0.25}),
    ('{"choices": ["A", "B"]}', {"A": 1.0, "B": 1.0}),
    ("[]", {}),
    ("{}", {}),
    ("set()", {}),
]
BROKEN = [
    "['a' 'b']",
    "['a'\n 'b']",
    "[1 2 3]",
    "[0. 1.]",
    "[ True False]",
    "{X: 1}",
    "['a', 'b",
    '{"X": 1, "X": 0}',
    "[f('a'), 1]",
    "array(['a' 'b'], dtype=object)",
]


def write_table(path, column, cells):
    frame = pd.DataFrame({"text": "a", column: cells})
    if path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "jsonl"])
def test_a_list_or_a_mapping_in_a_cell_is_read_as_one(tmp_path, suffix):
    path = write_table(tmp_path / f"a.{suffix}", "label", [cell for cell, _ in CONTAINERS])
    for record, (cell, cats) in zip(read_records(path), CONTAINERS, strict=True):
        assert record.cats == cats, cell


@pytest.mark.parametrize("cell", BROKEN)
@pytest.mark.parametrize("suffix", ["csv", "xlsx", "jsonl"])
def test_what_is_neither_list_nor_mapping_is_an_error_with_a_cure(tmp_path, cell, suffix):
    path = write_table(tmp_path / f"a.{suffix}", "label", [cell])
    with pytest.raises(ValueError, match=r"neither a list nor a mapping.*json\.dumps.*tolist"):
        list(read_records(path))


@pytest.mark.parametrize("name", ["[SEP]", "(other)", "{name}", "setting", "(1) sport", "array"])
def test_names_in_brackets_are_labels(tmp_path, name):
    for suffix in ("csv", "xlsx", "jsonl"):
        path = write_table(tmp_path / f"a.{suffix}", "label", [name])
        assert [r.cats for r in read_records(path)] == [{name: 1.0}]


def test_a_list_of_one_string_names_a_label_whatever_it_looks_like(tmp_path):
    names = ["[1 2]", "nan", "{X: 1}", "1.0", "A|B"]
    path = write_table(tmp_path / "a.csv", "label", [json.dumps([name]) for name in names])
    assert [list(r.cats) for r in read_records(path)] == [[name] for name in names]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "jsonl"])
@pytest.mark.parametrize("to_text", [json.dumps, str])
def test_a_column_of_cats_written_as_text_is_read(tmp_path, suffix, to_text):
    cats = [{"X": 1.0, "Y": 0.0}, {"X": 0.0}, {}]
    path = write_table(tmp_path / f"a.{suffix}", "cats", [to_text(one) for one in cats])
    assert [r.cats for r in read_records(path)] == cats


def test_a_column_cats_without_mappings_is_an_error_unless_there_is_a_column_of_labels(tmp_path):
    path = write(tmp_path / "a.csv", "text,cats\na,X\n")
    with pytest.raises(ValueError, match=r"line 2: cats: .*Give a mapping"):
        list(read_records(path))
    path = write(tmp_path / "b.csv", "text,cats,label\na,3,Y\nb,,\nc,4,\n")
    assert [(r.cats, r.meta.get("cats")) for r in read_records(path)] == [
        ({"Y": 1.0}, "3"),
        ({}, None),
        ({}, "4"),
    ]


def test_responses_of_argilla_in_a_cell_are_lists(tmp_path):
    path = write_table(tmp_path / "a.csv", "topic.responses", ["['A', 'B']", '["A"]', ""])
    assert [r.cats for r in read_records(path)] == [{"A": 0.5, "B": 0.5}, {"A": 1.0}, {}]


def test_a_list_of_0_and_1_names_no_labels(tmp_path):
    for name, data in (
        ("a.jsonl", '{"text": "a", "label": [0, 1, 1]}'),
        ("a.csv", 'text,label\na,"[0, 1, 0]"\n'),
    ):
        with pytest.raises(ValueError, match=r"does not say which labels these are.*label_fields"):
            list(read_records(write(tmp_path / name, data)))


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a", "label": " x "}',
        '{"text": "a", "label": ["x ", "\\tx"]}',
        '{"text": "a", "cats": {" x": 1}}',
        '{"text": "a", "label": "x ", "answer": "accept"}',
    ],
)
def test_white_space_around_labels_is_no_part_of_them(tmp_path, line):
    assert [r.cats for r in read_records(write(tmp_path / "a.jsonl", line))] == [{"x": 1.0}]


def test_two_labels_that_differ_in_white_space_only_are_an_error(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a", "cats": {" x": 1, "x": 0}}')
    with pytest.raises(ValueError, match=r"'cats' is .*same name up to white space"):
        list(read_records(path))


# Words for nothing


@pytest.mark.parametrize("word", ["None", "NA", "NULL", "null", "N/A", "none"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "jsonl"])
def test_words_for_nothing_are_labels_and_told_of(tmp_path, caplog, word, suffix):
    path = write_table(tmp_path / f"a.{suffix}", "label", [word, word])
    assert [r.cats for r in read_records(path)] == [{word: 1.0}] * 2
    assert caplog.text.count("is read as the name of a label") == (word != "none")


@pytest.mark.parametrize("cell", ["nan", "NaN", "<NA>", "NaT", "\\N", "#N/A", ""])
def test_marks_of_missing_values_are_unknown_in_plain_tables_and_kept_elsewhere(tmp_path, cell):
    path = write(tmp_path / "a.csv", f"text,label\na,{cell}\n")
    assert [r.cats for r in read_records(path)] == [{}]
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "a", "label": cell}))
    assert [r.cats for r in read_records(path)] == [{cell: 1.0} if cell else {}]


# Decimal commas


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_numbers_with_a_decimal_comma_are_numbers(tmp_path, delimiter):
    def table(*rows):
        cells = ([f'"{cell}"' for cell in row] for row in rows)
        return write(tmp_path / "a.csv", "".join(delimiter.join(row) + "\n" for row in cells))

    path = table(("text", "A", "B"), ("a", "0,85", "1,0"), ("b", ",5", "0,000"))
    assert [r.cats for r in read_records(path, label_fields=["A", "B"])] == [
        {"A": 0.85, "B": 1.0},
        {"A": 0.5, "B": 0.0},
    ]
    path = table(("text", "label"), ("a", "3,5"), ("b", "1.234,5"), ("c", "-1,25"))
    found = [r.cats for r in read_records(path, label_bins=[0, 4])]
    assert found == [{"0..4": 1.0}, {">=4": 1.0}, {"<0": 1.0}]
    path = table(("text1", "text2", "score"), ("a", "b", "2,5"))
    (example,) = PairsReader(path, score_range=[0, 5])(spacy.blank("en"))
    assert example.reference.user_data["embtune_partners"] == [["b", 0.5]]


def test_a_number_that_may_be_thousands_is_an_error(tmp_path):
    path = write(tmp_path / "a.csv", "text;label\na;1,234\n")
    with pytest.raises(ValueError, match=r"'1,234', which cannot be divided.*1234 or 1\.234"):
        list(read_records(path, label_bins=[2]))


def test_labels_that_are_numbers_with_a_decimal_comma_are_told_of(tmp_path, caplog):
    rows = "".join(f"text {i};{i % 50},{i}\n" for i in range(150))
    with pytest.raises(ValueError, match=r"These are numbers, not labels.*label_bins"):
        list(read_records(write(tmp_path / "a.csv", f"text;label\n{rows}")))
    caplog.clear()
    path = write(tmp_path / "b.csv", "text;label\na;1,0\nb;2,0\n")
    assert [r.cats for r in read_records(path)] == [{"1,0": 1.0}, {"2,0": 1.0}]
    assert caplog.text.count("decimal comma") == 1


def test_unquoted_decimal_commas_between_commas_have_a_fitting_cure(tmp_path):
    path = write(tmp_path / "a.csv", "text,A\na,0,85\n")
    with pytest.raises(ValueError, match=r"has 3 fields.*in double quotes.*decimal comma"):
        list(read_records(path, label_fields=["A"]))
