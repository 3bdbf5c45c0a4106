"""Files at an address."""

import bz2
import gzip
import json
import lzma
import sys

import fsspec
import numpy as np
import pandas as pd
import pytest
import spacy

from spacy_embtune.data import (
    PairsReader,
    Position,
    find_kind,
    make_pairs_reader,
    read_fields,
    read_records,
)
from spacy_embtune.data.records_reader import RecordsReader

TABLE = pd.DataFrame({"text": ["Äpfel, Birnen", "b"], "label": ["X", "Y"]})
ROWS = [("Äpfel, Birnen", "X"), ("b", "Y")]
CSV = TABLE.to_csv(index=False).encode()


@pytest.fixture
def put():
    files = fsspec.filesystem("memory")

    def write(name, data):
        with files.open(f"/{name}", "wb") as file:
            file.write(data)
        return f"memory://{name}"

    yield write
    files.store.clear()


def make(path):
    if path.suffix == ".parquet":
        TABLE.to_parquet(path)
    elif path.suffix == ".feather":
        TABLE.to_feather(path)
    elif path.suffix == ".xlsx":
        TABLE.to_excel(path, index=False)
    elif path.suffix in (".json", ".jsonl"):
        TABLE.to_json(path, orient="records", lines=path.suffix == ".jsonl")
    else:
        TABLE.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path.read_bytes()


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.parquet", "a.feather", "a.xlsx"]
)
def test_every_format_is_read_from_an_address(tmp_path, put, name):
    position = Position()
    records = list(read_records(put(name, make(tmp_path / name)), position=position))
    assert [(r.text, *r.cats) for r in records] == ROWS
    assert position.fraction == 1.0


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files_are_read_from_an_address(put, suffix, compress):
    address = put(f"a.csv.{suffix}", compress(CSV))
    assert [(r.text, *r.cats) for r in read_records(address)] == ROWS


def test_an_address_may_be_local_or_a_chain(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    for address in (path.as_uri(), f"simplecache::{path.as_uri()}"):
        assert [(r.text, *r.cats) for r in read_records(address)] == ROWS


def test_the_name_at_an_address_has_a_format():
    assert find_kind("https://example.org/a.csv?download=1#top") == "csv"
    assert find_kind("s3://bucket/a?b.jsonl.gz") == "jsonl"
    assert find_kind("simplecache::https://example.org/a.tsv?x") == "tsv"
    with pytest.raises(ValueError, match="the name does not say what the file is"):
        read_records("memory://data")


def test_errors_of_a_file_at_an_address_name_it(put):
    with pytest.raises(ValueError, match=r"memory://no\.csv: there is no such file, or its server"):
        list(read_records("memory://no.csv"))
    with pytest.raises(ValueError, match=r"nope://a\.csv: cannot be opened.*nope.*connection"):
        list(read_records("nope://a.csv"))
    with pytest.raises(ValueError, match=r"a\.csv, line 2: is not UTF-8.*--encoding cp1252"):
        list(read_records(put("a.csv", "text\nÄpfel\n".encode("cp1252"))))
    with pytest.raises(ValueError, match="is not a whole gzip file"):
        list(read_records(put("b.csv.gz", gzip.compress(CSV)[:-9])))
    with pytest.raises(ValueError, match="is not a whole Parquet file"):
        list(read_records(put("c.parquet", b"PAR1 no")))


def test_a_package_that_is_missing_is_named(monkeypatch):
    with pytest.raises(ImportError, match=r"abfs://a/b\.csv: needs a package.*adlfs"):
        list(read_records("abfs://a/b.csv"))
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[remote\]'"):
        read_records("s3://bucket/a.csv")


def test_readers_of_configs_take_addresses(put):
    nlp = spacy.blank("en")
    address = put("a.csv", CSV)
    assert [e.reference.cats for e in RecordsReader(address)(nlp)] == [{"X": 1.0}, {"Y": 1.0}]
    pairs = put("p.jsonl", json.dumps({"text1": "a", "text2": "b", "score": 1}).encode())
    for reader in (PairsReader(pairs), make_pairs_reader(pairs)):
        assert len(list(reader(nlp))) == 1


def test_rows_at_an_address_are_read_one_by_one(put):
    rng = np.random.default_rng(0)
    lines = "".join(f"{rng.bytes(100).hex()}\n" for _ in range(20_000))
    position = Position()
    rows = read_fields(put("a.txt", lines.encode()), position=position)
    next(rows)
    assert position.fraction < 0.1
    assert sum(1 for _ in rows) == 19_999
