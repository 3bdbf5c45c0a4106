"""JSON as programs write it: lines, arrays, objects behind each other, tables of pandas."""

import gzip
import io
import json
import math
import sys
from itertools import islice

import pandas as pd
import pytest

from spacy_embtune.data import Position, _json, read_fields, read_records

ROWS = [{"text": f'"text" [{i}], {{é}}\n', "n": i, "tags": ["a", {"b": None}]} for i in range(7)]


def write(path, data):
    path.write_text(data, encoding="utf8")
    return path


def fields_of(path, **settings):
    return [row.fields for row in read_fields(path, **settings)]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".json.gz"])
@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"ensure_ascii": False}])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_an_array_is_read_in_whatever_way_it_is_laid_out(
    tmp_path, monkeypatch, suffix, options, chunk
):
    monkeypatch.setattr(_json, "CHUNK_SIZE", chunk)
    path = write(tmp_path / f"a{suffix}", f"\n {json.dumps(ROWS, **options)}\n\n")
    assert fields_of(path) == ROWS


def test_rows_of_an_array_know_their_lines(tmp_path):
    path = write(tmp_path / "a.json", '[\n\n{"text": "a"},\n{"text":\n"b"}\n, {"text": "c"}]')
    assert [(r.text, r.line) for r in read_records(path)] == [("a", 3), ("b", 4), ("c", 6)]


def test_a_file_of_lines_may_be_called_json(tmp_path):
    path = write(tmp_path / "a.json", "\n" + "".join(json.dumps(row) + "\n\n" for row in ROWS))
    rows = list(read_fields(path))
    assert [row.fields for row in rows] == ROWS
    assert [row.line for row in rows] == [2, 4, 6, 8, 10, 12, 14]
    assert [row.number for row in rows] == list(range(7))


def test_objects_that_span_lines_may_be_behind_each_other(tmp_path):
    """jq writes them so."""
    path = write(tmp_path / "a.json", "\n".join(json.dumps(row, indent=2) for row in ROWS))
    assert fields_of(path) == ROWS
    with pytest.raises(ValueError, match=r"line 1: is not JSON.*--format json"):
        list(read_records(path, kind="jsonl"))


def test_byte_order_marks_between_lines_are_ignored(tmp_path):
    path = write(tmp_path / "a.jsonl", '\ufeff{"text": "a"}\n\ufeff{"text": "b"}\n')
    assert [r.text for r in read_records(path)] == ["a", "b"]


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_tables_of_pandas_are_read_in_its_forms(tmp_path, orient):
    frame = pd.DataFrame({"text": ["a", None, "c"], "n": [1, 2, 3]}, index=["x", "y", "z"])
    path = tmp_path / "a.json"
    frame.to_json(path, orient=orient)
    records = list(read_records(path))
    assert [r.text for r in records] == ["a", "", "c"]
    assert [r.meta["n"] for r in records] == [1, 2, 3]


@pytest.mark.parametrize(
    ("suffix", "indent"), [("json", None), ("json", 1), ("jsonl", None), ("json.gz", 1)]
)
@pytest.mark.parametrize("text", ["text", "Text "])
@pytest.mark.parametrize("orient", ["list", "columns"])
def test_a_mapping_from_column_to_values_is_a_table(tmp_path, suffix, text, orient, indent):
    frame = pd.DataFrame({text: ["a", "b"], "label": ["X", None], "tags": [["p"], []]})
    if orient == "list":
        data = json.dumps(json.loads(json.dumps(frame.to_dict("list"))), indent=indent)
    else:
        data = frame.to_json(indent=indent)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(gzip.compress(data.encode()) if suffix.endswith("gz") else data.encode())
    records = [(r.text, r.cats, r.meta["tags"], r.line) for r in read_records(path)]
    assert records == [("a", {"X": 1.0}, ["p"], 1), ("b", {}, [], 2)]


def test_columns_of_different_lengths_are_an_error(tmp_path):
    path = write(tmp_path / "a.json", '{"text": ["a", "b"], "label": ["X"], "n": 1}')
    with pytest.raises(ValueError, match=r"lengths \('text': 2, 'label': 1, 'n': no list\)\. Give"):
        fields_of(path)


def test_an_object_may_hold_the_list_of_records_or_be_one(tmp_path):
    path = write(tmp_path / "a.json", json.dumps({"version": "1", "data": ROWS}, indent=1))
    assert fields_of(path) == ROWS
    path = write(tmp_path / "a.json", json.dumps(ROWS[0]))
    assert fields_of(path) == ROWS[:1]
    path = write(tmp_path / "a.json", json.dumps({"a": ROWS, "b": ROWS}))
    with pytest.raises(ValueError, match="is one object with 'a', 'b', which is neither"):
        fields_of(path)


@pytest.mark.parametrize("data", ["", "\n \n", "[]", "[ \n ]\n"])
def test_a_file_without_records_is_empty(tmp_path, data):
    assert fields_of(write(tmp_path / "a.json", data)) == []


def test_entries_that_are_no_objects_are_invalid_rows(tmp_path):
    path = write(tmp_path / "a.json", '[{"text": "a"},\n 5, ["b"], null,\n{"text": "c"}]')
    messages = []
    records = list(read_records(path, on_error="skip", report=messages.append))
    assert [(r.text, r.id) for r in records] == [("a", "0"), ("c", "4")]
    assert [m.split(": ", 1)[1].split(",")[0] for m in messages] == ["is 5", 'is ["b"]', "is null"]
    assert all("line 2" in message for message in messages)


@pytest.mark.parametrize(
    ("data", "line", "cause"),
    [
        ('[{"text": "a"},\n{"text": "b', 2, "the file ends within the object"),
        ('[{"text": "a"},\n{"text": tr', 2, "the file ends within the object"),
        ('[{"text": "a"},\n{"text": ', 2, "the file ends within the object"),
        ('[{"text": "a"}\n', 2, "the file ends within the array"),
        ('[{"text": "a"},\n', 2, "the file ends within the array"),
        ("[", 1, "the file ends within the array"),
        ('[{"text": "a"}\n{"text": "b"}]', 2, "in place of a comma"),
        ('[{"text": "a"},\n]', 2, "comma before the end"),
        ('[{"text": "a"}]\n\n{"text": "b"}', 3, "behind the end of the array"),
        ('[{"text": "a"},\n{text: "b"},\n{"text": "long enough to go on"}]', 2, "is not JSON"),
        ('[{"text": "a"},\n{"text": 1' + "0" * 5000 + "}]", 2, "cannot be read"),
        ('[{"text": "a"},\n' + "[" * 100_000, 2, "cannot be read"),
    ],
)
def test_a_damaged_array_is_an_error_with_its_line(tmp_path, data, line, cause):
    path = write(tmp_path / "a.json", data)
    with pytest.raises(ValueError) as caught:
        list(read_records(path, on_error="skip", report=lambda message: None))
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert cause in str(caught.value)


@pytest.mark.slow
def test_an_array_is_read_only_as_far_as_records_are_asked_for(tmp_path):
    rows = ", ".join(json.dumps({"text": f"{i} {'x' * 500}"}) for i in range(1000))
    path = write(tmp_path / "a.json", f"[{rows}, broken and long enough to see that it is]")
    records = read_records(path)
    assert len(list(islice(records, 800))) == 800
    with pytest.raises(ValueError, match="is not JSON"):
        list(records)


def test_an_array_in_one_line_is_not_in_memory_as_a_whole(tmp_path):
    path = write(tmp_path / "a.json", json.dumps([{"text": "x" * 1000}] * 2000))
    position = Position()
    records = read_records(path, position=position)
    next(records)
    assert position.fraction < 0.1
    assert len(list(records)) == 1999


def test_an_array_from_standard_input(tmp_path, monkeypatch):
    data = json.dumps(ROWS).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [r.text for r in read_records("-", kind="json")] == [row["text"] for row in ROWS]


@pytest.mark.parametrize(
    "record",
    [
        '{"text": "a", "label": "A", "label": "B"}',
        '{"text": "a", "cats": {"label": 1, "label": 0}}',
        '{"text": "a", "x": [{"label": 1, "label": 1}]}',
    ],
)
def test_a_key_that_is_there_twice_is_an_error_with_line_and_key(tmp_path, record):
    whole = '{"text": "b", "x": {"text": 1}}'
    lines = f"{whole}\n{record}\n{whole}\n"
    array = f"[{whole},\n{record},\n{whole}]"
    objects = "\n".join(part.replace(",", ",\n  ") for part in (whole, record, whole))
    for name, data, line in (
        ("a.jsonl", lines, 2),
        ("a.json", lines, 2),
        ("b.json", array, 2),
        ("c.json", objects, 3),
    ):
        path = write(tmp_path / name, data)
        with pytest.raises(ValueError, match=rf"line {line}: has the key 'label' twice"):
            list(read_records(path))
        left = list(read_records(path, on_error="skip", report=lambda message: None))
        assert [r.text for r in left] == ["b", "b"]


def test_nan_is_an_empty_text_and_no_id(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": NaN, "id": NaN, "x": NaN}\n{"text": null}\n')
    first, second = read_records(path)
    assert (first.text, first.id, second.text, second.id) == ("", "0", "", "1")
    assert math.isnan(first.meta["x"])
