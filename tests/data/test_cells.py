"""Cells of tables that stand for nothing, or for a list."""

import logging

import pytest

from spacy_embtune.data import read_records


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
    assert "'spans' label are not read" in caplog.text


def test_cats_that_hold_nothing_leave_the_label_its_place(tmp_path):
    line = '{"text": "a", "label": ["X"], "cats": {}}'
    assert [r.cats for r in read_records(write(tmp_path / "e.jsonl", line))] == [{"X": 1.0}]
