"""Parquet, Arrow and Feather."""

import gzip
import io
import sys

import pandas as pd
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from spacy_embtune.data import Position, read_fields, read_records
from spacy_embtune.data.fields import ReadSettings

TABLE = pyarrow.table(
    {
        "text": pyarrow.array(["a", None, "é"], pyarrow.large_string()),
        "label": pyarrow.array(["X", None, "X"]).dictionary_encode(),
        "n": pyarrow.array([1, None, 3], pyarrow.int64()),
        "tags": [["x"], [], None],
        "info": [{"u": "v"}, None, {"u": None}],
        "vector": pyarrow.array([[1.0, 2.0]] * 3, pyarrow.list_(pyarrow.float32(), 2)),
    }
)
EXPECTED = TABLE.drop_columns(["vector"]).to_pylist()


def write_file(table, path):
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_stream(table, path):
    with pyarrow.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


WRITERS = {
    "a.parquet": pyarrow.parquet.write_table,
    "a.feather": pyarrow.feather.write_feather,
    "lz4.feather": lambda table, path: pyarrow.feather.write_feather(table, path, "lz4"),
    "file.arrow": write_file,
    "stream.arrow": write_stream,
}


@pytest.mark.parametrize("name", WRITERS)
def test_columnar_files_are_read_with_nulls_nested_and_dictionary_columns(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](TABLE, path)
    position = Position()
    rows = list(read_fields(path, position=position))
    assert [row.fields for row in rows] == EXPECTED
    assert [row.where for row in rows] == ["row 1", "row 2", "row 3"]
    assert position.fraction == 1.0
    assert [(r.text, r.cats) for r in read_records(path)] == [
        ("a", {"X": 1.0}),
        ("", {}),
        ("é", {"X": 1.0}),
    ]


@pytest.mark.parametrize("name", ["a.feather", "file.arrow", "stream.arrow"])
def test_arrow_is_read_from_standard_input_and_compressed(tmp_path, monkeypatch, name):
    path = tmp_path / name
    WRITERS[name](TABLE, path)
    data = path.read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [row.fields for row in read_fields("-", "arrow")] == EXPECTED
    path.write_bytes(gzip.compress(data))
    assert [row.fields for row in read_fields(path)] == EXPECTED


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.9])
def test_half_a_file_is_an_error(tmp_path, name, keep):
    path = tmp_path / name
    WRITERS[name](TABLE, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"is not a whole (Parquet|Arrow) file"):
        list(read_fields(path))


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_column_is_an_error(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](TABLE, path)
    with pytest.raises(ValueError, match=r"has no column 'body', only 'text'.*\(text_field\)"):
        list(read_records(path, text_field="body"))


def test_large_batches_are_read_in_parts(tmp_path):
    table = pyarrow.table({"text": [str(i) for i in range(5000)]})
    pyarrow.feather.write_feather(table, tmp_path / "a.feather", chunksize=5000)
    assert [r.text for r in read_records(tmp_path / "a.feather")] == [str(i) for i in range(5000)]


def test_vectors_are_read_if_they_are_asked_for(tmp_path):
    pyarrow.parquet.write_table(TABLE, tmp_path / "a.parquet")
    (record, *_) = read_records(tmp_path / "a.parquet", label_field="")
    assert "vector" not in record.meta
    (row, *_) = read_fields(tmp_path / "a.parquet", settings=ReadSettings(nested=["vector"]))
    assert row.fields["vector"] == [1.0, 2.0]


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_classes_of_datasets_come_with_their_names(tmp_path, name):
    """`datasets` stores classes as numbers, and their names in the metadata."""
    import datasets

    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["NO", "YES"]),
            "many": datasets.Sequence(datasets.ClassLabel(names=["A", "B"])),
        }
    )
    rows = {"text": ["a", "b", "c"], "label": [0, 1, -1], "many": [[0, 1], [], [1]]}
    table = datasets.Dataset.from_dict(rows, features=features).data.table
    table = table.replace_schema_metadata(features.arrow_schema.metadata)
    WRITERS[name](table, tmp_path / name)
    assert [r.cats for r in read_records(tmp_path / name)] == [{"NO": 1.0}, {"YES": 1.0}, {}]
    many = [r.cats for r in read_records(tmp_path / name, label_field="many")]
    assert many == [{"A": 1.0, "B": 1.0}, {}, {"B": 1.0}]


def test_what_pandas_writes_for_missing_values(tmp_path):
    frame = pd.DataFrame(
        {
            "text": pd.Series(["a", None], dtype="string"),
            "n": pd.array([1, None], "Int64"),
            "when": pd.to_datetime(["2024-01-01", None]),
            "kind": pd.Categorical(["x", None]),
        }
    )
    for name, write in (("a.parquet", frame.to_parquet), ("a.feather", frame.to_feather)):
        write(tmp_path / name)
        _, missing = read_fields(tmp_path / name)
        assert missing.fields == {"text": None, "n": None, "when": None, "kind": None}
        assert [r.text for r in read_records(tmp_path / name)] == ["a", ""]


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    pyarrow.feather.write_feather(TABLE, tmp_path / "a.feather")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[parquet\]'"):
        read_records(tmp_path / "a.feather")
