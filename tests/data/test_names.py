"""Names of fields that differ from the wanted ones in white space and case."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import spacy

from spacy_embtune.data import PairsReader, find_groups, read_records

# The columns as a file names them.
COLUMNS = ["\ufeffText ", "LABEL", "Id", "Other "]
EXPECTED = [("a", {"X": 1.0}, "i1", {"Other ": "o"})]


def write(path, data):
    path.write_text(data, encoding="utf8")
    return path


def write_table(path, columns=COLUMNS, row=("a", "X", "i1", "o")):
    frame = pd.DataFrame([row], columns=columns)
    if path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".json":
        frame.to_json(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ";")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "feather", "jsonl", "json"])
def test_fields_are_found_in_other_case_and_white_space(tmp_path, suffix):
    records = list(read_records(write_table(tmp_path / f"a.{suffix}")))
    found = [(r.text, r.cats, r.id, {k.strip(): v for k, v in r.meta.items()}) for r in records]
    assert found == [("a", {"X": 1.0}, "i1", {"Other": "o"})]


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        dict,
        lambda data: [
            dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)
        ],
    ],
)
def test_fields_are_found_in_memory(make):
    data = {column: [value] for column, value in zip(COLUMNS, ("a", "X", "i1", "o"), strict=True)}
    records = list(read_records(make(data)))
    assert [(r.text, r.cats, r.id, r.meta) for r in records] == EXPECTED


def test_fields_that_the_caller_names_are_found(tmp_path):
    path = write_table(tmp_path / "a.csv", ["BODY", "topic ", "Key", "x"])
    (record,) = read_records(path, text_field="Body", label_field="Topic", id_field="key")
    assert record[:3] == ("a", {"X": 1.0}, "i1")
    path = write_table(tmp_path / "b.csv", ["text", "sport ", "Food", "x"], ["a", 1, 0, 5])
    (record,) = read_records(path, label_fields=["Sport", "food"])
    assert record.cats == {"Sport": 1.0, "food": 0.0}
    path = write_table(tmp_path / "c.csv", ["Text1", " text2", "SCORE", "x"], ["a", "b", 1, 5])
    assert len(list(PairsReader(path)(spacy.blank("en")))) == 1
    records = list(read_records(write_table(tmp_path / "d.csv", ["text", "Author "], ["a", "n"])))
    assert find_groups(records, "author", where="d.csv") == ["n"]


def test_vectors_that_the_caller_names_are_read_in_other_case(tmp_path):
    frame = pd.DataFrame({"Text": ["a"], "Labels ": [[np.nan]], "v": [[0.5, 1.0]]})
    frame.to_parquet(tmp_path / "a.parquet")
    (record,) = read_records(tmp_path / "a.parquet")
    assert (record.text, record.cats, record.meta) == ("a", {}, {})


def test_a_name_as_it_is_goes_before_one_in_other_case(tmp_path):
    path = write_table(tmp_path / "a.csv", ["text", "Text", "label", "Label"], list("abcd"))
    (record,) = read_records(path)
    assert record[:5] == ("a", {"c": 1.0}, "0", {"Text": "b", "Label": "d"}, 2)
    path = write_table(tmp_path / "b.csv", ["text", "labels", "Label", "CATS"], list("abcd"))
    (record,) = read_records(path)
    assert record[1:4:2] == ({"b": 1.0}, {"Label": "c", "CATS": "d"})


def test_two_names_for_one_field_are_not_guessed(tmp_path, caplog):
    path = write_table(tmp_path / "a.csv", ["TEXT", "Text", "n"], list("abc"))
    with pytest.raises(ValueError, match=r"no column 'text'.*Perhaps it is 'TEXT' or 'Text'\."):
        list(read_records(path))
    path = write_table(tmp_path / "b.csv", ["text", "LABEL", "Label"], list("abc"))
    assert [(r.cats, r.meta) for r in read_records(path)] == [({}, {"LABEL": "b", "Label": "c"})]
    assert "'LABEL' and 'Label' differ in case and white space only" in caplog.text


def test_an_error_names_the_closest_fields(tmp_path):
    path = write_table(tmp_path / "a.csv", ["txt", "labl", "n"], list("abc"))
    with pytest.raises(ValueError, match=r"only 'txt', 'labl', 'n'\. Perhaps it is 'txt'\. Name"):
        list(read_records(path))
    path = write_table(tmp_path / "a.jsonl", ["txt", "labl", "n"], list("abc"))
    with pytest.raises(ValueError, match=r"there is no 'text'.*Perhaps it is 'txt'\. Name"):
        list(read_records(path))
    with pytest.raises(ValueError, match=r"no column 'label'.*Perhaps it is 'labl'\. Name"):
        list(read_records(path.with_suffix(".csv"), text_field="txt", label_field="label"))


def test_a_field_of_labels_that_no_record_has_is_an_error(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        "".join(json.dumps({"text": "a", "topics": "X"}) + "\n" for _ in range(3)),
    )
    with pytest.raises(ValueError, match=r"No record has a field 'topic'.*'topics'.*label_field"):
        list(read_records(path, label_field="topic"))
    write(path, '{"text": "a"}\n{"text": "b", "topic": "X"}\n')
    assert [r.cats for r in read_records(path, label_field="topic")] == [{}, {"X": 1.0}]


def test_rows_with_different_names_are_renamed_each(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"Text": "a"}\n{"text": "b"}\n{" TEXT": "c", "x": 1}\n')
    assert [(r.text, r.meta) for r in read_records(path)] == [("a", {}), ("b", {}), ("c", {"x": 1})]
