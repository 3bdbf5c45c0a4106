"""Records of what is in memory: frames, datasets, mappings, texts."""

import io
import sys
from itertools import islice

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest

from spacy_embtune.data import Position, Record, read_fields, read_records

ROWS = [
    {"text": "a", "label": "X", "n": 1, "tags": ["t"]},
    {"text": "b", "label": None, "n": None, "tags": []},
]
EXPECTED = [
    Record("a", {"X": 1.0}, "0", {"n": 1, "tags": ["t"]}, 1),
    Record("b", {}, "1", {"n": None, "tags": []}, 2),
]


def make_pandas():
    return pd.DataFrame(ROWS).astype({"n": "Int64"})


SOURCES = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "generator": lambda: (dict(row) for row in ROWS),
    "pandas": make_pandas,
    "pandas with an index": lambda: make_pandas().set_index(pd.Index(["x", "y"])),
    "polars": lambda: pl.DataFrame(ROWS),
    "lazy polars": lambda: pl.DataFrame(ROWS).lazy(),
    "pyarrow": lambda: pyarrow.Table.from_pylist(ROWS),
    "datasets": lambda: datasets.Dataset.from_list(ROWS),
    "datasets of numpy": lambda: datasets.Dataset.from_list(ROWS).with_format("numpy"),
    "streamed datasets": lambda: datasets.Dataset.from_list(ROWS).to_iterable_dataset(),
    "mapping of columns": lambda: {key: [row[key] for row in ROWS] for key in ROWS[0]},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_collections_of_every_kind_give_the_same_records(kind):
    assert list(read_records(SOURCES[kind]())) == EXPECTED


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_missing_values_of_every_kind_are_none_and_an_empty_text(missing):
    (row,) = read_fields([{"text": missing, "x": missing}])
    assert row.fields == {"text": None, "x": None}
    (record,) = read_records([{"text": missing, "label": missing, "id": missing}])
    assert record == Record("", {}, "0", {}, 1)
    assert [r.text for r in read_records(["a", missing])] == ["a", ""]


def test_missing_values_of_frames():
    frame = pd.DataFrame({"text": ["a", None], "when": pd.to_datetime(["2024-01-01", None])})
    _, missing = read_records(frame)
    assert (missing.text, missing.meta) == ("", {"when": None})
    _, missing = read_records(pl.DataFrame({"text": ["a", None], "n": [1.5, None]}))
    assert (missing.text, missing.meta) == ("", {"n": None})


def test_scalars_and_arrays_of_numpy_are_those_of_python():
    row = {"text": np.str_("a"), "i": np.int8(1), "f": np.float32(0.5), "b": np.bool_(True)}
    (found,) = read_fields([row | {"v": np.ones(2)}])
    assert found.fields == {"text": "a", "i": 1, "f": 0.5, "b": True, "v": [1.0, 1.0]}
    assert [type(value) for value in found.fields.values()] == [str, int, float, bool, list]


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b"],
        np.array(["a", "b"]),
        pd.Series(["a", "b"]),
        pl.Series(["a", "b"]),
        iter("ab"),
        datasets.Dataset.from_dict({"x": ["a", "b"]})["x"],
    ],
)
def test_texts_alone_are_records(texts):
    assert [(r.text, r.id) for r in read_records(texts)] == [("a", "0"), ("b", "1")]
    assert [row.fields for row in read_fields(["a"])] == [{"text": "a"}]


def test_classes_of_datasets_come_with_their_names():
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["NO", "YES"])}
    )
    rows = {"text": ["a", "b", "c"], "label": [0, 1, -1]}
    for dataset in (
        datasets.Dataset.from_dict(rows, features=features),
        datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset(),
    ):
        assert [r.cats for r in read_records(dataset)] == [{"NO": 1.0}, {"YES": 1.0}, {}]


def test_several_splits_are_an_error():
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
    with pytest.raises(ValueError, match=r"holds the splits 'train'. Give one of them"):
        read_records(splits)
    assert list(read_records(splits["train"])) == EXPECTED


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "datasets", "mapping of columns"])
def test_a_missing_column_is_an_error(kind):
    with pytest.raises(ValueError, match=r"has no column 'body', only 'text'.*\(text_field\)"):
        read_records(SOURCES[kind](), text_field="body")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (5, "int: 5 holds no records"),
        (io.StringIO("text\na\n"), "StringIO: .*Give the path of a file"),
        ({"text": "a"}, "the column 'text' is 'a', a str. Give a list of values"),
        ({"text": ["a"], "label": []}, "different lengths"),
        ([["a", "X"]], r"list, row 1: is \['a', 'X'\], a list. Give a mapping"),
        ([{"txt": "a"}], "list, row 1: there is no 'text', only 'txt'"),
        ([{"text": 5}], "list, row 1: 'text' is 5, a int"),
    ],
)
def test_other_things_are_errors(source, cause):
    with pytest.raises(ValueError, match=cause):
        list(read_records(source))


def test_invalid_records_are_skipped_and_counted(caplog):
    records = [{"text": "a"}, 5, {"text": "b"}, 6]
    assert [r.id for r in read_records(records, on_error="skip")] == ["0", "2"]
    assert "list: left out 2 of 4 rows: it is not a record (2)." in caplog.text


def test_many_invalid_records_are_not_listed_each(caplog):
    assert list(read_records(range(1000), on_error="skip")) == []
    assert len(caplog.records) == 21
    assert "left out 1000 of 1000 rows" in caplog.messages[-1]


def test_a_collection_has_no_file_format():
    with pytest.raises(ValueError, match="kind is 'csv', but a list has no file format"):
        read_records([], kind="csv")


def test_an_endless_collection_is_read_as_far_as_records_are_asked_for():
    def endless():
        while True:
            yield {"text": "a"}

    assert len(list(islice(read_records(endless()), 5))) == 5


def test_the_position_goes_to_1_if_the_length_is_known():
    position = Position()
    fractions = [position.fraction for _ in read_records(ROWS * 2, position=position)]
    assert fractions == [0.25, 0.5, 0.75, 1.0]


def test_without_narwhals_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[frames\]'"):
        read_records(make_pandas())
