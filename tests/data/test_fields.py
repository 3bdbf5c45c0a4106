import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest
import spacy
from spacy.tokens import DocBin

from spacy_embtune.data import (
    FORMATS,
    InvalidRowError,
    PairsReader,
    Position,
    Row,
    find_kind,
    read_fields,
    read_records,
)
from spacy_embtune.data.fields import Format, ReadSettings, resolve_kind


def test_rows_have_fields_number_and_line(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1}\n\n[]\n{"b": [2]}\n')
    first, invalid, last = read_fields(path)
    assert first == Row({"a": 1}, 0, 1, "line")
    assert last == Row({"b": [2]}, 2, 4, "line")
    assert isinstance(invalid.fields, InvalidRowError)
    assert invalid.where == "line 3"
    assert invalid.fields.fault == "the line is not an object"
    assert invalid.fields.detail.startswith("is [], a list")


def test_a_row_of_a_table_starts_in_the_line_of_its_first_cell(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('text,n\n"two\nlines",1\n\nlast,2\n')
    assert list(read_fields(path)) == [
        Row({"text": "two\nlines", "n": "1"}, 0, 2, "line"),
        Row({"text": "last", "n": "2"}, 1, 5, "line"),
    ]


def test_formats_without_field_names_return_the_text_under_the_name_that_is_asked_for(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("a\n")
    (row,) = read_fields(path, settings=ReadSettings(text_field="body"))
    assert row.fields == {"body": "a"}


def test_nested_columns_of_parquet_are_read_only_if_they_are_asked_for(tmp_path):
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "vector": [[1.0, 2.0]]}), path)
    (row,) = read_fields(path)
    assert row.fields == {"text": "a"}
    (row,) = read_fields(path, settings=ReadSettings(nested=["vector"]))
    assert row == Row({"text": "a", "vector": [1.0, 2.0]}, 0, 1, "row")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_required_column_must_exist_even_in_a_table_without_rows(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"txt": pyarrow.array([], "string")}), path)
    else:
        path.write_text("txt\n")
    assert list(read_fields(path)) == []
    settings = ReadSettings(required={"text_field": "text"})
    with pytest.raises(ValueError, match=r"has no column 'text', only 'txt'.*\(text_field\)"):
        list(read_fields(path, settings=settings))


def test_contents_and_not_names_say_whether_a_file_is_compressed(tmp_path):
    line = b'{"text": "a", "text1": "a", "text2": "b", "score": 1}\n'
    for name, data in [("plain.jsonl.gz", line), ("compressed.jsonl", gzip.compress(line))]:
        path = tmp_path / name
        path.write_bytes(data)
        assert [row.fields for row in read_fields(path)] == [json.loads(line)]
        assert [record.text for record in read_records(path)] == ["a"]
        assert len(list(PairsReader(path)(spacy.blank("en")))) == 1


def test_the_suffix_names_the_format():
    for kind, format in FORMATS.items():
        for suffix in format.suffixes:
            for name in (f"a{suffix}", f"a{suffix.upper()}", f"a.b{suffix}.gz", f"a{suffix}.GZ"):
                assert find_kind(name) == kind
    assert [find_kind(name) for name in ("a", ".csv", "a.gz", "a.csv.zip", "-")] == [None] * 5


def test_no_suffix_names_two_formats():
    suffixes = [suffix for format in FORMATS.values() for suffix in format.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_a_format_is_one_reader_and_one_line_of_the_table(tmp_path, monkeypatch):
    def read_words(source, settings):
        with source.open() as file:
            for number, word in enumerate(file.read().decode().split()):
                yield Row({settings.text_field: word, "label": "W"}, number, number + 1, "word")

    monkeypatch.setitem(FORMATS, "words", Format((".words",), read_words))
    path = tmp_path / "data.words.gz"
    path.write_bytes(gzip.compress(b"one two"))
    position = Position()
    assert [record.text for record in read_records(path, position=position)] == ["one", "two"]
    assert position.fraction == 1.0
    assert resolve_kind(path) == "words"
    (tmp_path / "data.other").write_text("")
    with pytest.raises(ValueError, match=r"ends in .*\.words"):
        read_records(tmp_path / "data.other")
    with pytest.raises(
        ValueError, match=r"data\.words\.gz, word 1: there is no 'text1', only 'text'"
    ):
        list(PairsReader(path)(None))


def test_errors_of_the_call_are_raised_before_the_file_is_opened(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_fields(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="is a directory"):
        read_fields(tmp_path)
    with pytest.raises(ValueError, match="Standard input does not say what it holds"):
        read_fields("-")
    with pytest.raises(ValueError, match="Parquet cannot be read from standard input"):
        read_fields("-", "parquet")
    DocBin().to_disk(tmp_path / "data.spacy")
    with pytest.raises(ValueError, match="The kind 'docbin' is not one of jsonl, csv, tsv, text"):
        read_fields(tmp_path / "data.spacy", "docbin")
