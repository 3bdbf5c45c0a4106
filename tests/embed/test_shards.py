"""A directory of shards: complete, resumable, and proved."""

import json
import os
from pathlib import Path

import fsspec
import numpy as np
import polars
import pyarrow
import pyarrow.parquet
import pytest
import spacy

from spacy_embtune.data import shards as data_shards
from spacy_embtune.embed import _lock, embed_corpus, embed_shards, verify_shards
from spacy_embtune.embed import shards as shards_module
from spacy_embtune.embed._lock import locked
from spacy_embtune.embed._storage import open_storage

from ..test_files import files_limited_to
from .pipelines import make_records

RECORDS = make_records(60)


def make_static(width=3, **settings):
    """RETURNS (Language): A pipeline of word vectors, which loads at once."""
    nlp = spacy.blank("en")
    rng = np.random.default_rng(0)
    for word in {word for record in RECORDS for word in record.text.split()}:
        nlp.vocab.set_vector(word, rng.normal(size=width).astype("float32"))
    encoder = {"@architectures": "spacy-embtune.DocVectors.v1", "source": "vectors"}
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    return nlp


@pytest.fixture(scope="module")
def nlp():
    return make_static()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A directory of three files of 20 records; files of any size are divided."""
    monkeypatch.setattr(data_shards, "SMALL_BYTES", 0)
    monkeypatch.setattr(_lock, "SETTLING", 0)
    return write_three(tmp_path / "data")


def write_three(folder):
    """RETURNS (Path): The directory, made with three files of 20 records."""
    folder.mkdir()
    for i in range(3):
        write(folder / f"{i}.jsonl", RECORDS[20 * i : 20 * i + 20])
    return folder


def write(path, records):
    lines = [json.dumps({"id": r.id, "text": r.text, "n": r.line}) + "\n" for r in records]
    path.write_text("".join(lines))


def run(nlp, data, out, **settings):
    return embed_shards(nlp, data, out, **{"what": ["base"], "shard_rows": 8, **settings})


def read(out):
    """RETURNS (Table): All rows, in the order of the names of the shards."""
    paths = sorted(Path(out).glob("*.parquet"))
    return pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in paths])


def vectors(table):
    return np.asarray(table["base"].to_pylist(), dtype="float32")


def manifest(out):
    return json.loads((Path(out) / "_manifest.json").read_text())


@pytest.mark.slow
def test_shards_hold_the_rows_of_one_file_in_order(nlp, data, tmp_path):
    out, one = tmp_path / "out", tmp_path / "one.parquet"
    summary = run(nlp, data, out)
    assert (summary.n, summary.n_shards, summary.n_kept) == (60, 9, 0)
    assert summary.n_empty == sum(not record.text for record in RECORDS)
    embed_corpus(nlp, RECORDS, one, what=["base"])
    expected, table = pyarrow.parquet.read_table(one), read(out)
    assert table["id"].to_pylist() == [record.id for record in RECORDS]
    assert table["n"].to_pylist() == [record.line for record in RECORDS]
    np.testing.assert_array_equal(vectors(table), vectors(expected))
    listed = manifest(out)
    assert [entry["shard"] for entry in listed["shards"]] == sorted(
        path.name for path in out.glob("*.parquet")
    )
    assert (listed["rows"], listed["is_complete"], listed["errors"]) == (60, True, {})
    assert {path.name for path in out.iterdir() if path.name[0] == "_"} == {
        *("_manifest.json", "_settings.json", "_shards")
    }
    assert verify_shards(str(out)) == (60, 9, 0)


@pytest.mark.parametrize("suffix", [".npz", ".jsonl", ".spacy"])
def test_each_format_has_shards(nlp, data, tmp_path, suffix):
    summary = run(nlp, data, tmp_path / "out", suffix=suffix)
    assert (summary.n, summary.n_shards) == (60, 9)
    assert bool(summary.left_out) == (suffix == ".npz")
    assert verify_shards(str(tmp_path / "out")).n == 60
    if suffix == ".npz":
        paths = sorted((tmp_path / "out").glob("*.npz"))
        ids = np.concatenate([np.load(path)["ids"] for path in paths])
        assert ids.tolist() == [record.id for record in RECORDS]


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_half_precision_halves_the_vectors(nlp, data, tmp_path, suffix):
    run(nlp, data, tmp_path / "whole", suffix=suffix, shard_rows=99)
    run(nlp, data, tmp_path / "half", suffix=suffix, shard_rows=99, dtype="float16")
    path, whole = (min((tmp_path / name).glob(f"*{suffix}")) for name in ("half", "whole"))
    if suffix == ".npz":
        half, full = np.load(path)["base"], np.load(whole)["base"]
        assert half.dtype == np.float16
    else:
        table = pyarrow.parquet.read_table(path)
        assert str(table.schema.field("base").type) == "fixed_size_list<element: halffloat>[3]"
        half, full = vectors(table), vectors(pyarrow.parquet.read_table(whole))
        assert polars.read_parquet(path).height == 20
    np.testing.assert_allclose(half, full, rtol=1e-3)
    with pytest.raises(ValueError, match="has no vectors of float16"):
        run(nlp, data, tmp_path / "out", suffix=".jsonl", dtype="float16")


def test_numbers_beyond_half_precision_are_an_error_of_the_shard(data, tmp_path):
    nlp = make_static()
    nlp.vocab.set_vector("w0", np.full(3, 1e6, "float32"))
    summary = run(nlp, data, tmp_path / "out", dtype="float16")
    assert len(summary.errors) == 1
    assert "numbers above 65504" in next(iter(summary.errors.values()))


# What is finished is not made again


def forbid(monkeypatch):
    def fail(*args):
        raise AssertionError("a finished shard is made again")

    monkeypatch.setattr("spacy_embtune.embed._vectors.Embedder.embed", fail)


def test_a_second_run_makes_nothing(nlp, data, tmp_path, monkeypatch):
    run(nlp, data, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    forbid(monkeypatch)
    summary = run(nlp, data, tmp_path / "out")
    assert (summary.n, summary.n_kept) == (60, 60)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_an_interrupted_run_goes_on(nlp, data, tmp_path, monkeypatch):
    out, n = tmp_path / "out", 0

    def interrupt(self, texts, advance, embed=shards_module.Embedder.embed):
        nonlocal n
        n += 1
        if n == 5:
            raise KeyboardInterrupt
        return embed(self, texts, advance)

    with monkeypatch.context() as patch:
        patch.setattr("spacy_embtune.embed._vectors.Embedder.embed", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            run(nlp, data, out)
    assert caught.value.__notes__ == [
        "4 of 9 shards are finished: the same command makes the others."
    ]
    assert not (out / "_manifest.json").exists()
    with pytest.raises(ValueError, match=r"has no _manifest.json"):
        verify_shards(str(out))
    assert run(nlp, data, out).n_kept == 28
    assert verify_shards(str(out)).n == 60
    assert not (out / "_unfinished").exists()


@pytest.mark.parametrize("damage", ["cut", "changed", "removed", "entry", "half an entry"])
def test_a_shard_that_is_not_sound_is_made_again(nlp, data, tmp_path, damage):
    out = tmp_path / "out"
    run(nlp, data, out)
    path = sorted(out.glob("*.parquet"))[4]
    content, entry = path.read_bytes(), out / "_shards" / f"{path.name}.json"
    if damage == "cut":
        path.write_bytes(content[:-10])
    elif damage == "changed":
        path.write_bytes(content[:40] + b"x" + content[41:])
    elif damage == "removed":
        path.unlink()
    elif damage == "entry":
        entry.unlink()
    else:
        entry.write_bytes(entry.read_bytes()[:-10])
    if damage in ("cut", "changed", "removed"):
        word = "missing" if damage == "removed" else "damaged"
        with pytest.raises(ValueError, match=f"{path.name} is {word}"):
            verify_shards(str(out))
    assert run(nlp, data, out).n_kept == 52
    assert path.read_bytes() == content
    assert verify_shards(str(out)).n == 60


def test_a_corpus_that_grows_costs_what_is_new(nlp, data, tmp_path):
    out = tmp_path / "out"
    run(nlp, data, out)
    # One more file, and more lines at the end of another one.
    write(data / "3.jsonl", make_records(75)[60:])
    write(data / "1.jsonl", [*RECORDS[20:40], *make_records(85)[75:]])
    with pytest.raises(ValueError, match="DATA has changed since"):
        verify_shards(str(out))
    summary = run(nlp, data, out)
    assert (summary.n, summary.n_kept) == (85, 56)
    table = read(out)
    assert len(set(table["id"].to_pylist())) == table.num_rows == 85
    assert verify_shards(str(out)).n == 85


def test_the_corpus_may_move(nlp, data, tmp_path):
    out = tmp_path / "out"
    run(nlp, data, out)
    moved = data.rename(tmp_path / "moved")
    assert run(nlp, moved, out).n_kept == 60
    # The proof reads the corpus where it is now.
    assert verify_shards(str(out)).n == 60


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_touched_file_is_kept_and_a_changed_one_of_the_same_size_and_time_is_made_again(
    nlp, tmp_path, suffix
):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for name, text in (("a", "one"), ("b", "two")):
        write_text(data / f"{name}.{suffix}", text)
    run(nlp, data, out)
    path = data / f"b.{suffix}"
    status = path.stat()
    os.utime(path, (1, 1))
    assert run(nlp, data, out).n_kept == 2
    write_text(path, "six")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    with pytest.raises(ValueError, match="DATA has changed since"):
        verify_shards(str(out))
    assert run(nlp, data, out).n_kept == 1
    assert read(out)["text"].to_pylist() == ["one", "six"]
    assert verify_shards(str(out)).n == 2


def write_text(path, text):
    """Write a file of one row, whose size does not depend on the three letters of the text."""
    if path.suffix == ".parquet":
        table = pyarrow.table({"text": [text]})
        pyarrow.parquet.write_table(table, path, compression="none")
    else:
        path.write_text(json.dumps({"text": text}) + "\n")


# Errors


def test_a_poisoned_part_is_named_and_stops_no_other(nlp, data, tmp_path, caplog):
    out = tmp_path / "out"
    with (data / "1.jsonl").open("a") as file:
        file.write("nope\n")
    summary = run(nlp, data, out)
    assert summary.n == 56
    assert [name.partition(", bytes")[0] for name in summary.errors] == [str(data / "1.jsonl")]
    assert "line 21: is not JSON" in next(iter(summary.errors.values()))
    assert "was not embedded" in caplog.text
    assert not manifest(out)["is_complete"]
    with pytest.raises(ValueError, match="line 21: is not JSON"):
        verify_shards(str(out))
    write(data / "1.jsonl", RECORDS[20:40])
    assert run(nlp, data, out).n_kept == 56
    assert verify_shards(str(out)).n == 60


def test_invalid_records_are_left_out_and_counted(nlp, data, tmp_path):
    with (data / "1.jsonl").open("a") as file:
        file.write("nope\n[1]\n")
    summary = run(nlp, data, tmp_path / "out", on_error="skip")
    assert (summary.n, summary.n_skipped, len(summary.skipped)) == (60, 2, 2)
    assert verify_shards(str(tmp_path / "out")) == (60, 9, 2)


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(nlp, data, tmp_path):
    out = tmp_path / "out"
    run(nlp, data, tmp_path / "trial")
    largest = max(path.stat().st_size for path in (tmp_path / "trial").glob("*.parquet"))
    with files_limited_to(largest - 1), pytest.raises(OSError, match="There is no room"):
        run(nlp, data, out)
    assert not list(out.rglob("*unfinished*"))
    assert run(nlp, data, out).n == 60
    assert verify_shards(str(out)).n == 60


def test_a_directory_of_another_model_is_refused(nlp, data, tmp_path):
    out = tmp_path / "out"
    run(nlp, data, out)
    before = sorted(out.rglob("*"))
    other = make_static(width=4)
    with pytest.raises(ValueError, match=r"made with other settings: pipeline was .*--force"):
        run(other, data, out)
    assert sorted(out.rglob("*")) == before
    with pytest.raises(ValueError, match="text_field was text, and is body"):
        run(nlp, data, out, read={"text_field": "body"})
    assert run(other, data, out, force=True).n_kept == 0
    assert vectors(read(out)).shape == (60, 4)
    assert verify_shards(str(out)).n == 60


def test_other_data_and_other_files_in_out_are_refused(nlp, data, tmp_path):
    out = tmp_path / "out"
    run(nlp, data, out)
    with pytest.raises(ValueError, match=r"not part of DATA: '0.jsonl', '1.jsonl'"):
        run(nlp, data / "2.jsonl", out)
    (data / "0.jsonl").unlink()
    with pytest.raises(ValueError, match=r"not part of DATA: '0.jsonl'"):
        run(nlp, data, out)
    assert run(nlp, data, out, force=True).n == 40
    assert verify_shards(str(out)).n == 40
    (out / "other.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match="its rows are too many"):
        verify_shards(str(out))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match=r"no shards of `embed`: 'thesis.txt'"):
        run(nlp, data, mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_settings_that_are_not_valid_leave_nothing(nlp, data, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "file").write_text("x")
    for settings, cause in [
        ({"engine": "spark"}, "give local or ray"),
        ({"suffix": ".csv"}, "is not one of"),
        ({"dtype": "int8"}, "float32 or float16"),
        ({"chunk_size": 0}, "at least 1"),
        ({"shard_rows": 0}, "at least 1"),
        ({"what": ["scores"]}, "is not trained"),
        ({"read": {"colour": "x"}}, "is no argument"),
        ({"out": tmp_path / "file"}, "is a file"),
        ({"out": data / "out"}, "is in DATA"),
        ({"out": tmp_path}, "is in OUT"),
        ({"out": "nope://x/y"}, "no address that fsspec knows"),
        ({"data": tmp_path / "none"}, "there is no such file"),
        ({"unit": "sents", "suffix": ".spacy"}, "lose their document"),
    ]:
        with pytest.raises(ValueError, match=cause):
            run(nlp, **{"data": data, "out": out, **settings})
        assert not out.exists(), settings


def test_shards_without_records_are_no_file(nlp, data, tmp_path):
    (data / "1.jsonl").write_text("")
    summary = run(nlp, data, tmp_path / "out")
    assert (summary.n, summary.n_shards) == (40, 6)
    assert run(nlp, data, tmp_path / "out").n_kept == 40
    assert verify_shards(str(tmp_path / "out")) == (40, 6, 0)
    for path in data.iterdir():
        path.write_text("\n")
    with pytest.raises(ValueError, match="here are no records"):
        run(nlp, data, tmp_path / "other")


def test_two_runs_at_once_are_refused(nlp, data, tmp_path):
    out = tmp_path / "out"
    with (
        locked(open_storage(str(out))),
        pytest.raises(ValueError, match="Another process is writing"),
    ):
        run(nlp, data, out)


# Units, and other places


def test_sentences_are_rows_too(data, tmp_path):
    nlp = make_static()
    nlp.add_pipe("sentencizer", first=True)
    (data / "0.jsonl").write_text('{"text": "One. Two.", "id": "x", "n": 1}\n')
    summary = run(nlp, data, tmp_path / "out", unit="sents")
    assert read(tmp_path / "out")["id"].to_pylist()[:2] == ["x#0-4", "x#5-9"]
    assert verify_shards(str(tmp_path / "out")).n == summary.n


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_shards_at_an_address(nlp, data, tmp_path, protocol):
    files = fsspec.filesystem("memory")
    out = "memory://out/vectors/" if protocol == "memory" else (tmp_path / "out").as_uri() + "/"
    try:
        assert run(nlp, data, out).n == 60
        assert verify_shards(out).n == 60
        write(data / "3.jsonl", make_records(75)[60:])
        assert run(nlp, data, out).n_kept == 60
        assert verify_shards(out).n == 75
        with pytest.raises(ValueError, match="made with other settings"):
            run(make_static(width=4), data, out)
        if protocol == "memory":
            assert not [name for name in files.find("/out") if "marker" in name or "unfin" in name]
    finally:
        files.store.clear()


def test_names_keep_the_order_of_the_input(nlp, data, tmp_path):
    for path in list(data.iterdir()):
        path.unlink()
    names = ["a-b.jsonl", "a_b.jsonl", "a.jsonl", "a/b.jsonl", f"{'x' * 120}1.jsonl", "ä.jsonl"]
    for i, name in enumerate(names):
        (data / name).parent.mkdir(exist_ok=True)
        write(data / name, RECORDS[10 * i : 10 * i + 10])
    run(nlp, data, tmp_path / "out", shard_rows=3)
    names = [entry["shard"] for entry in manifest(tmp_path / "out")["shards"]]
    assert len(set(names)) == 24
    assert verify_shards(str(tmp_path / "out")).n == 60


@pytest.mark.slow
def test_a_trained_pipeline_has_all_kinds_in_its_shards(pipeline, data, tmp_path):
    nlp, what = spacy.load(pipeline), ["base", "tuned", "scores"]
    run(nlp, data, tmp_path / "out", what=what)
    embed_corpus(nlp, RECORDS, tmp_path / "one.parquet", what=what)
    table, one = read(tmp_path / "out"), pyarrow.parquet.read_table(tmp_path / "one.parquet")
    for key in ("base", "tuned"):
        np.testing.assert_allclose(table[key].to_pylist(), one[key].to_pylist(), atol=0.02)
    assert [set(row) for row in table["scores"].to_pylist()] == [
        set(row) for row in one["scores"].to_pylist()
    ]
