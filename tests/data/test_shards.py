"""A corpus of many files, divided into parts that are read on their own."""

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import fsspec
import pyarrow
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.data import InputPart, check_part, find_parts, read_records, shards

TEXTS = [f"text {i} ä" for i in range(50)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of any size are divided."""
    monkeypatch.setattr(shards, "SMALL_BYTES", 0)


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


def whole(path, **settings):
    return [(r.id, r.text, r.line, r.meta) for r in read_records(path, **settings)]


def divided(path, rows, **settings):
    """The records of all parts, and the number of parts."""
    parts = find_parts(path, rows=rows, **settings)
    found = [
        (r.id, r.text, r.line, r.meta) for part in parts for r in read_records(part, **settings)
    ]
    return found, len(parts)


def write_lines(path, texts=TEXTS):
    path.write_text("".join(json.dumps({"text": t, "n": i}) + "\n" for i, t in enumerate(texts)))
    return path


@pytest.mark.parametrize("rows", [1, 7, 50, 99])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "txt", "parquet"])
def test_the_parts_of_a_file_have_the_records_of_the_file(tmp_path, kind, rows):
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        # Blank lines, line ends of Windows, no line end at the end.
        lines = [json.dumps({"text": text}) + "\r\n" for text in TEXTS]
        path.write_bytes(("\n\n".join(["", *lines])).rstrip().encode())
    elif kind == "txt":
        path.write_text("\n\n".join(TEXTS))
    elif kind == "parquet":
        table = pyarrow.table({"text": TEXTS})
        pyarrow.parquet.write_table(table, path, row_group_size=15)
    else:
        delimiter = "\t" if kind == "tsv" else ";"
        lines = [f"id{i}{delimiter}{text}" for i, text in enumerate(TEXTS)]
        path.write_text("\n".join([f"id{delimiter}text", *lines]))
    found, n_parts = divided(path, rows)
    assert found == whole(path)
    # Row groups of 15, 15, 15 and 5 are not put together beyond the limit.
    expected = {1: 50, 7: 10, 50: 1, 99: 1} if kind == "parquet" else {}
    assert n_parts == expected.get(rows, -(-50 // rows))


@given(
    st.lists(st.text(st.sampled_from('a,;"\n\r\t é'), max_size=8), min_size=1), st.integers(1, 5)
)
def test_line_breaks_in_cells_end_no_row(texts, rows):
    file = io.StringIO()
    csv.writer(file).writerows([["key", "text"], *([str(i), t] for i, t in enumerate(texts))])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(file.getvalue().encode())
        assert divided(path, rows)[0] == whole(path)


def test_a_table_with_quotes_is_divided_where_rows_end(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,n\n" + "".join(f'"a ""b""\n, {i}",{i}\n' for i in range(9)))
    found, n_parts = divided(path, 2)
    assert n_parts == 5
    assert found == whole(path)
    assert found[4][1] == 'a "b"\n, 4'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", b'text\tn\n"a\nb"\t1\nc\t2\n'),
        ("a.csv", b'text,n\n"a \\"b\\"",1\nc,2\n'),
        ("a.jsonl", b'[{"text": "a"},\n{"text": "b"}]'),
        ("a.txt", "a\nb\n".encode("utf-16")),
        ("a.txt", b"a\rb\rc"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n{"text": "b"}\n', mtime=0)),
        ("a.json", b'[{"text": "a"}, {"text": "b"}]'),
    ],
)
def test_a_file_whose_rows_cannot_be_found_is_one_part(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    found, n_parts = divided(path, 1)
    assert n_parts == 1
    assert found == whole(path)


def test_small_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SMALL_BYTES", 2**20)
    assert [part.end for part in find_parts(write_lines(tmp_path / "a.jsonl"), rows=1)] == [None]


def test_files_that_grow_keep_their_parts(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", TEXTS[:20])
    before = find_parts(path, rows=8)
    write_lines(path, TEXTS[:30])
    after = find_parts(path, rows=8)
    assert after[:2] == before[:2]
    assert after[2] != before[2]


def test_a_part_that_changed_is_an_error(tmp_path):
    path = write_lines(tmp_path / "a.jsonl")
    part = find_parts(path, rows=8)[2]
    path.write_bytes(path.read_bytes().replace(b"text 17", b"text 71"))
    with pytest.raises(ValueError, match="has changed since the run began"):
        list(read_records(part))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="has changed since the run began"):
        list(read_records(part))
    table = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), table)
    (part,) = find_parts(table)
    check_part(part)
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS[1:]}), table)
    with pytest.raises(ValueError, match="has changed since the run began"):
        check_part(part)


# Whole files are known by their contents


def write_whole(path, n=3):
    """Write a file whose parts are no ranges of bytes. Files of each kind have one size for one n
    of digits."""
    if path.suffix == ".parquet":
        table = pyarrow.table({"text": TEXTS, "n": list(range(n, n + 50))})
        pyarrow.parquet.write_table(table, path, compression="none", write_statistics=False)
    else:
        path.write_text(json.dumps([{"text": text, "n": n} for text in TEXTS]))
    return path


def known(path, **settings):
    return [part.without_place() for part in find_parts(path, **settings)]


@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_a_whole_file_is_known_by_its_contents(tmp_path, suffix):
    path = write_whole(tmp_path / f"a.{suffix}")
    before, status = known(path, rows=20), path.stat()
    assert len(before) == (3 if suffix == "parquet" else 1)
    os.utime(path, (1, 1))
    assert known(path, rows=20) == before
    (tmp_path / "copy").mkdir()
    assert known(shutil.copy(path, tmp_path / "copy"), rows=20) == before
    write_whole(path, n=4)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert not set(known(path, rows=20)) & set(before)


def test_a_file_that_is_only_touched_while_it_is_embedded_is_no_error(tmp_path):
    path = write_whole(tmp_path / "a.json")
    (part,) = find_parts(path)
    os.utime(path, (1, 1))
    check_part(part)
    write_whole(path, n=4)
    with pytest.raises(ValueError, match="has changed since the run began"):
        check_part(part)


def test_a_file_at_an_address_is_known_by_its_contents(memory):
    content = json.dumps([{"text": "a"}]).encode()
    memory.pipe_file("/in/a.json", content)
    before = known("memory://in/a.json")
    memory.pipe_file("/in/a.json", content)
    memory.pipe_file("/other/a.json", content)
    assert known("memory://in/a.json") == known("memory://other/a.json") == before
    memory.pipe_file("/in/a.json", content.replace(b"a", b"b"))
    assert known("memory://in/a.json") != before


class TaggedFileSystem(MemoryFileSystem):
    """A store that gives a tag of the contents of each file, as S3 does."""

    protocol = "tagged"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("tagged://"))

    def info(self, path, **kwargs):
        found = super().info(path, **kwargs)
        if found["type"] == "file":
            content = self.store[self._strip_protocol(path)].getvalue()
            found["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'
        return found

    def _open(self, path, mode="rb", **kwargs):
        assert mode != "rb", "a file with a tag is read"
        return super()._open(path, mode, **kwargs)


def test_a_file_with_a_tag_of_its_store_is_not_read_for_a_digest():
    fsspec.register_implementation("tagged", TaggedFileSystem, clobber=True)
    files = fsspec.filesystem("tagged")
    files.pipe_file("/in/a.json", b'[{"text": "a"}]')
    (before,) = find_parts("tagged://in/a.json")
    assert '"' in before.fingerprint
    files.pipe_file("/copy/a.json", b'[{"text": "a"}]')
    assert known("tagged://copy/a.json") == [before.without_place()]
    files.pipe_file("/in/a.json", b'[{"text": "b"}]')
    assert known("tagged://in/a.json") != [before.without_place()]
    with pytest.raises(ValueError, match="has changed since the run began"):
        check_part(before)


# Tables with different columns


def write_tables(folder, *tables):
    for i, columns in enumerate(tables):
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"{i}.parquet")
    return folder


@pytest.mark.parametrize(
    ("first", "second", "settings", "cause"),
    [
        (
            {"id": [7]},
            {"id": ["a7"]},
            {},
            "1.parquet: the column 'id' is string, but in .*0.parque",
        ),
        ({"id": [7]}, {"id": [7.0]}, {}, "the column 'id' is double, but in .* it is int64"),
        ({}, {"text": None, "body": ["a"]}, {}, "1.parquet: has no column 'text', only 'body'"),
        (
            *({"label": ["A"]}, {"label": [1]}, {"label_field": "label"}),
            "1.parquet: the column 'label' is int64, but in .*0.parquet it is string",
        ),
        (
            *({"label": ["A"]}, {"topic": ["A"]}, {"label_field": "label"}),
            "1.parquet: has no column 'label', only 'text', 'topic'",
        ),
        ({"label": ["A"]}, {"label": [["A"]]}, {}, "is list<.*, but in .*0.parquet it is string"),
        ({"n": [1]}, {}, {}, "1.parquet: the column 'n' is missing, but in .* it is int64"),
        ({}, {"n": [1]}, {}, "1.parquet: the column 'n' is int64, but in .* it is missing"),
    ],
)
def test_tables_whose_columns_differ_are_refused_before_any_is_read(
    tmp_path, first, second, settings, cause
):
    tables = [
        {name: values for name, values in {"text": ["a"], **columns}.items() if values}
        for columns in (first, second)
    ]
    with pytest.raises(ValueError, match=cause):
        find_parts(write_tables(tmp_path, *tables), **settings)


def test_types_whose_values_are_alike_are_no_difference(tmp_path):
    text = pyarrow.array(["a"])
    folder = write_tables(
        tmp_path,
        {"text": text, "n": pyarrow.nulls(1), "x": pyarrow.array([1.0])},
        {"text": text.cast("large_string"), "n": pyarrow.array([1]), "x": pyarrow.array([1.0])},
        {
            "text": text.dictionary_encode(),
            "n": pyarrow.array([1], "int16"),
            "x": pyarrow.array([1.0], "float32"),
        },
    )
    parts = find_parts(folder)
    records = [record for part in parts for record in read_records(part)]
    assert [(r.text, r.meta) for r in records] == [("a", {"n": n, "x": 1.0}) for n in (None, 1, 1)]
    write_tables(folder, {"text": text, "n": pyarrow.nulls(1), "x": pyarrow.nulls(1)})
    pyarrow.parquet.write_table(
        pyarrow.table({"text": text, "n": ["1"], "x": [1.0]}), folder / "3.parquet"
    )
    with pytest.raises(ValueError, match=r"3.parquet: the column 'n' is string, but .*1.parquet"):
        find_parts(folder)


# Directories, patterns and addresses


def test_a_directory_has_its_files_in_order_with_ids_of_their_own(tmp_path):
    for name in ("b/c.jsonl", "a-1.jsonl", "a.jsonl", "_hidden.jsonl", ".git/x.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_lines(tmp_path / name, [name, "x"])
    (tmp_path / "notes.md").write_text("x")
    ids = [r.id for part in find_parts(tmp_path) for r in read_records(part)]
    names = ["a.jsonl", "a-1.jsonl", "b/c.jsonl"]
    assert ids == [f"{name}:{i}" for name in names for i in range(2)]
    pattern = str(tmp_path / "**" / "[bc]*.jsonl")
    assert [part.name for part in find_parts(pattern)] == ["b/c.jsonl"]


def test_ids_of_the_data_stay(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x", "id": 7}\n')
    (part,) = find_parts(tmp_path)
    assert [r.id for r in read_records(part)] == ["7"]


@pytest.mark.parametrize("data", ["memory://in", "memory://in/*.jsonl", "memory://in/"])
def test_addresses_of_directories_and_patterns(memory, data):
    for name in ("a", "b"):
        memory.pipe_file(f"/in/{name}.jsonl", b'{"text": "%s"}\n' % name.encode() * 3)
    parts = find_parts(data, rows=2)
    assert [(p.name, p.n_rows) for p in parts] == [
        *[("a.jsonl", 2), ("a.jsonl", 1), ("b.jsonl", 2), ("b.jsonl", 1)]
    ]
    assert [r.text for part in parts for r in read_records(part)] == ["a"] * 3 + ["b"] * 3


def test_bad_input_is_told_in_words(tmp_path, memory):
    write_lines(tmp_path / "a.jsonl")
    (tmp_path / "b.csv").write_text("text\nx\n")
    (tmp_path / "empty").mkdir()
    table = tmp_path / "tables"
    table.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "n": [1]}), table / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "n": ["1"]}), table / "b.parquet")
    for data, settings, cause in [
        (tmp_path, {}, "holds files of several formats"),
        (tmp_path / "empty", {}, "there is no file of records"),
        (tmp_path / "*.xyz", {}, "no file matches"),
        (tmp_path / "none.jsonl", {}, "there is no such file"),
        ("-", {}, "Standard input cannot be divided"),
        ("memory://nowhere/*", {}, "there is no such file"),
        (tmp_path, {"kind": "docx"}, "is not one of"),
        (tmp_path, {"kind": "excel"}, "none of its files is excel"),
        (tmp_path / "a.jsonl", {"rows": 0}, "at least 1"),
        (table, {}, "the column 'n' is string, but in .*a.parquet it is int64"),
        (table / "a.parquet", {"text_field": "body"}, "has no column 'body'"),
    ]:
        with pytest.raises(ValueError, match=cause):
            find_parts(str(data), **settings)


def test_a_damaged_parquet_file_does_not_stop_the_division(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "b.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    parts = find_parts(tmp_path)
    assert [(part.name, part.n_rows) for part in parts] == [("a.parquet", None), ("b.parquet", 1)]
    with pytest.raises(ValueError, match="is not a whole Parquet file"):
        list(read_records(parts[0]))


def test_a_part_survives_json():
    part = InputPart("a", "a", "jsonl", "x", 1, 2, id_prefix="a:")
    assert InputPart(**json.loads(json.dumps(part._asdict()))) == part
