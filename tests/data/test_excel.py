"""Spreadsheets, written by openpyxl."""

import datetime
import io
import sys

import openpyxl
import pytest

from spacy_embtune.data import Position, read_fields, read_records


def write(path, rows, *, sheets=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, others in sheets:
        sheet = book.create_sheet(title)
        for row in others:
            sheet.append(row)
    book.save(path)
    return path


def test_values_keep_their_types(tmp_path):
    when = datetime.datetime(2024, 1, 2, 3, 4)
    header = ["text", "label", "n", "share", "yes", "when"]
    path = write(tmp_path / "a.xlsx", [header, ["é\nb", "A", 3, 0.5, True, when], [None, "B"]])
    first, second = read_fields(path)
    assert first.fields == dict(zip(header, ["é\nb", "A", 3, 0.5, True, when], strict=True))
    assert isinstance(first.fields["n"], int)
    assert second.fields == dict(zip(header, [None, "B", *[None] * 4], strict=True))
    assert first.where == "row 2"
    assert [(r.text, r.cats) for r in read_records(path)] == [("é\nb", {"A": 1.0}), ("", {"B": 1})]


def test_empty_rows_and_columns_are_left_out_and_rows_keep_their_number(tmp_path):
    rows = [[], [None, "text", "label", None], [], [None, "a", "A", None, None], [], [None, "b"]]
    path = write(tmp_path / "a.xlsx", rows)
    position = Position()
    records = list(read_records(path, position=position))
    assert [(r.text, r.line, r.id, r.meta) for r in records] == [
        ("a", 4, "0", {}),
        ("b", 6, "1", {}),
    ]
    assert position.fraction == 1.0


def test_a_column_without_a_name_is_kept_if_it_is_filled(tmp_path):
    path = write(tmp_path / "a.xlsx", [[None, "text"], [0, "a"], [None, "b"]])
    assert [row.fields for row in read_fields(path)] == [
        {"column 1": 0, "text": "a"},
        {"text": "b"},
    ]


def test_a_number_in_the_column_of_texts_is_a_text(tmp_path):
    path = write(tmp_path / "a.xlsx", [["answer", "id"], [5, 7], [2.5, "x"], [True, None]])
    records = list(read_records(path, text_field="answer"))
    assert [(r.text, r.id) for r in records] == [("5", "7"), ("2.5", "x"), ("True", "2")]


def test_the_first_sheet_that_is_filled_is_read_and_others_are_noticed(tmp_path, caplog):
    sheets = [("data", [["text"], ["a"]]), ("notes", [["x"]])]
    path = write(tmp_path / "a.xlsx", [], sheets=sheets)
    assert [r.text for r in read_records(path)] == ["a"]
    assert "has 2 sheets. Only the first, 'data', is read" in caplog.text


def test_a_workbook_may_come_from_standard_input(tmp_path, monkeypatch):
    data = write(tmp_path / "a.xlsx", [["text"], ["a"]]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [r.text for r in read_records("-", kind="excel")] == ["a"]


def test_an_empty_workbook_holds_no_records(tmp_path):
    assert list(read_records(write(tmp_path / "a.xlsx", []))) == []
    assert list(read_records(write(tmp_path / "a.xlsx", [["text"]]))) == []


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([["txt"], ["a"]], r"has no column 'text', only 'txt'"),
        ([["text", "text"], ["a", "b"]], "row 1: two of the columns have the same name"),
    ],
)
def test_columns_that_are_missing_or_double_are_errors(tmp_path, rows, cause):
    with pytest.raises(ValueError, match=cause):
        list(read_records(write(tmp_path / "a.xlsx", rows)))


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.97])
def test_half_a_workbook_is_an_error(tmp_path, keep):
    path = write(tmp_path / "a.xlsx", [["text"], *([f"text {i}"] for i in range(100))])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match="is not a whole spreadsheet"):
        list(read_records(path))


def test_without_calamine_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.xlsx", [["text"], ["a"]])
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[excel\]'"):
        read_records(path)
