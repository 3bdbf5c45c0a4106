"""Shards of Parquet have the same columns, whatever their parts of the input have."""

import json

import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

from spacy_embtune.embed import _same_columns, embed_shards, verify_shards
from spacy_embtune.embed._schemas import Columns
from spacy_embtune.embed._storage import open_storage

from .test_shards import make_static, manifest


@pytest.fixture(scope="module")
def nlp():
    return make_static()


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def run(nlp, data, out, **settings):
    return embed_shards(nlp, data, out, **{"what": ["base"], **settings})


def write(folder, *files):
    for i, rows in enumerate(files):
        lines = [json.dumps({"text": f"w{i}", **row}) + "\n" for row in rows]
        (folder / f"{i}.jsonl").write_text("".join(lines))


def schemas(out):
    return [pyarrow.parquet.read_schema(path) for path in sorted(out.glob("*.parquet"))]


def read(out):
    """RETURNS (Table): All rows, as a reader gives them that takes the types of the first shard."""
    paths = sorted(map(str, out.glob("*.parquet")))
    return pyarrow.dataset.dataset(paths, format="parquet").to_table()


@pytest.mark.parametrize(
    ("files", "type_", "values"),
    [
        # Texts and numbers, also within one shard.
        ([[{"n": 7}], [{"n": "a7"}]], "string", ["7", '"a7"']),
        ([[{"n": "b"}], [{"n": 7}, {"n": "a7"}]], "string", ['"b"', "7", '"a7"']),
        ([[{"n": "b"}], [{"n": [1]}]], "string", ['"b"', "[1]"]),
        # A type that holds both.
        ([[{"n": 1}], [{"n": 0.5}]], "double", [1.0, 0.5]),
        ([[{"n": 2**60 + 1}], [{"n": 0.5}]], "string", [str(2**60 + 1), "0.5"]),
        ([[{"n": [1]}], [{"n": [0.5]}]], "list<element: double>", [[1.0], [0.5]]),
        # No value, or no column.
        ([[{"n": None}], [{"n": 1}]], "int64", [None, 1]),
        ([[{}], [{"n": 1}], [{"n": 2}]], "int64", [None, 1, 2]),
        # Another order of columns.
        ([[{"n": 1, "k": 1}], [{"k": 2, "n": 2}]], "int64", [1, 2]),
    ],
)
def test_shards_have_one_type_for_each_column(nlp, data, tmp_path, files, type_, values):
    out = tmp_path / "out"
    write(data, *files)
    run(nlp, data, out)
    first, *others = schemas(out)
    assert all(schema == first for schema in others)
    assert str(first.field("n").type) == type_
    assert read(out)["n"].to_pylist() == values
    assert polars.read_parquet(out / "*.parquet")["n"].to_list() == values
    assert verify_shards(str(out)).n == len(values)
    assert run(nlp, data, out).n_kept == len(values)


def test_the_columns_that_differed_are_named(nlp, data, tmp_path):
    write(data, [{"n": 1}], [{"n": "one", "k": 1}])
    summary = run(nlp, data, tmp_path / "out")
    one, other = (entry["shard"] for entry in manifest(tmp_path / "out")["shards"])
    assert summary.differences == [
        f"The column 'n' was int64 in {one}, string in {other}. It is JSON in all shards now.",
        f"The column 'k' was missing in {one}, int64 in {other}. It is int64 in all shards now.",
    ]


def test_ids_are_texts_whatever_their_types(nlp, data, tmp_path):
    write(data, [{"id": 7}], [{"id": "a7"}])
    assert run(nlp, data, tmp_path / "out").differences == []
    assert read(tmp_path / "out")["id"].to_pylist() == ["7", "a7"]


def test_tables_of_text_with_other_columns(nlp, data, tmp_path):
    (data / "0.csv").write_text("id,text,n\n7,w0,1\n")
    (data / "1.csv").write_text("text,n,id\nw1,x,a7\n")
    (data / "2.csv").write_text("text,k\nw2,2\n")
    summary = run(nlp, data, tmp_path / "out")
    assert read(tmp_path / "out")["id"].to_pylist() == ["7", "a7", "2.csv:0"]
    assert read(tmp_path / "out")["n"].to_pylist() == ["1", "x", None]
    assert [sentence[:15] for sentence in summary.differences] == [
        "The column 'n' ",
        "The column 'k' ",
    ]
    (data / "3.csv").write_text("body\nw3\n")
    errors = run(nlp, data, tmp_path / "out").errors
    assert list(errors) == [str(data / "3.csv")]
    assert "has no column 'text', only 'body'" in errors[str(data / "3.csv")]


def test_a_corpus_that_grows_by_another_type_makes_no_vector_again(nlp, data, tmp_path):
    out = tmp_path / "out"
    write(data, [{"n": 1}], [{"n": 2}])
    run(nlp, data, out)
    write(data, [{"n": 1}], [{"n": 2}], [{"n": "three"}])
    assert run(nlp, data, out).n_kept == 2
    assert read(out)["n"].to_pylist() == ["1", "2", '"three"']
    write(data, [{"n": 1}], [{"n": 2}], [{"n": "three"}], [{"n": 4}])
    assert run(nlp, data, out).n_kept == 3
    assert read(out)["n"].to_pylist() == ["1", "2", '"three"', "4"]
    assert verify_shards(str(out)).n == 4


def test_a_run_that_ends_between_a_shard_and_its_entry_is_repaired(
    nlp, data, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    write(data, [{"n": 1}], [{"n": 2}], [{"n": "three"}])

    def interrupt(shard):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_same_columns, "entry_name", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(nlp, data, out)
    assert not (out / "_manifest.json").exists()
    # To do it once more with the entry that was there would turn "1" into JSON twice.
    first = min(out.glob("*.parquet")).name
    entry = json.loads((out / "_shards" / f"{first}.json").read_text())
    columns = Columns(pyarrow.parquet.read_schema(out / first), frozenset(["n"]))
    with pytest.raises(ValueError, match="has changed while its columns were written"):
        _same_columns.rewrite(open_storage(str(out)), entry, columns)
    assert run(nlp, data, out).n_kept == 2
    assert read(out)["n"].to_pylist() == ["1", "2", '"three"']
    assert verify_shards(str(out)).n == 3


def test_vectors_scores_and_row_groups_stay(nlp, data, tmp_path, monkeypatch):
    rows = [{"text": f"w{i}"} for i in range(50)]
    write(data, rows, [{**row, "n": 1} for row in rows])
    out, alone = tmp_path / "out", tmp_path / "alone"
    monkeypatch.setattr("spacy_embtune.embed._formats.ROWS_PER_GROUP", 20)
    run(nlp, data, out, dtype="float16", chunk_size=10)
    (data / "1.jsonl").unlink()
    run(nlp, data, alone, dtype="float16", chunk_size=10)
    (path,), (rewritten, _) = alone.glob("*.parquet"), sorted(out.glob("*.parquet"))
    one, other = pyarrow.parquet.ParquetFile(path), pyarrow.parquet.ParquetFile(rewritten)
    assert other.metadata.num_row_groups == one.metadata.num_row_groups == 3
    assert other.read().drop(["n"]) == one.read()
    assert other.metadata.row_group(0).column(0).compression == "ZSTD"
