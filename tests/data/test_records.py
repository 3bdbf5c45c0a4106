import csv
import gzip
import io
import json
import logging
import math
import random
import subprocess
import sys
from itertools import islice

import pyarrow
import pyarrow.parquet
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_embtune.data import Position, Record, _columns, read_records

TEXTS = ["A man eats.", 'He said: "no, thanks".', "Ein Äffchen \U0001f412", ""]
LABELS = ["FOOD", "TALK", "ANIMAL", ""]

# The same bytes in every process, which name the tests.
PACKED = gzip.compress(b'{"text": "a"}\n' * 999, mtime=0)


def write(path, rows):
    """Write rows of id, text and label in the format of the suffix."""
    if ".jsonl" in path.name:
        lines = [json.dumps({"id": i, "text": t, "label": label}) for i, t, label in rows]
        data = "".join(f"{line}\n\n" for line in lines).encode()
    elif ".csv" in path.name:
        file = io.StringIO()
        csv.writer(file).writerows([("id", "text", "label"), *rows])
        data = file.getvalue().encode()
    elif ".tsv" in path.name:
        data = "".join(f"{'	'.join(row)}\n" for row in [("id", "text", "label"), *rows]).encode()
    elif ".parquet" in path.name:
        table = pyarrow.table(list(map(list, zip(*rows, strict=True))), ["id", "text", "label"])
        pyarrow.parquet.write_table(table, path)
        return path
    else:
        nlp, docs = spacy.blank("en"), DocBin(store_user_data=True)
        for i, text, label in rows:
            doc = nlp.make_doc(text)
            doc.user_data["id"] = i
            doc.cats = {label: 1.0} if label else {}
            docs.add(doc)
        data = docs.to_bytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


ROWS = [(f"r{i}", text, label) for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]
SUFFIXES = [".jsonl", ".csv", ".tsv", ".spacy", ".parquet", ".jsonl.gz", ".csv.gz", ".tsv.gz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_every_kind_give_the_same_records(tmp_path, suffix):
    records = list(read_records(write(tmp_path / f"data{suffix}", ROWS)))
    assert [(r.id, r.text) for r in records] == [row[:2] for row in ROWS]
    assert [r.cats for r in records] == [{"FOOD": 1.0}, {"TALK": 1.0}, {"ANIMAL": 1.0}, {}]
    assert all(r.meta == {} for r in records)


def test_plain_lines_are_texts_that_keep_the_number_of_their_line(tmp_path):
    path = tmp_path / "data.txt"
    path.write_bytes("\ufefffirst\r\n\n  \n third \nlast".encode())
    assert list(read_records(path)) == [
        Record("first", {}, "0", {}, 1),
        Record(" third ", {}, "3", {}, 4),
        Record("last", {}, "4", {}, 5),
    ]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".txt"])
def test_lines_are_those_of_the_file(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    if suffix == ".txt":
        path.write_text("a\nb\n\nc\n")
        expected = [1, 2, 4]
    else:
        write(path, ROWS)
        expected = {".jsonl": [1, 3, 5, 7], ".spacy": [1, 2, 3, 4], ".parquet": [1, 2, 3, 4]}.get(
            suffix.removesuffix(".gz"), [2, 3, 4, 5]
        )
    assert [record.line for record in read_records(path)] == expected


def test_records_without_an_id_are_numbered_and_invalid_rows_count(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a"}\n\n[]\n{"text": "b", "id": null}\n{"text": "c", "id": 12}\n')
    records = list(read_records(path, on_error="skip", report=lambda message: None))
    assert [record.id for record in records] == ["0", "2", "12"]


def test_fields_are_named_and_others_are_kept(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"body": "a", "key": 1.5, "kinds": ["X", 3], "url": "u", "cats": {"A": 1}}\n')
    (record,) = read_records(path, text_field="body", id_field="key", label_field="kinds")
    assert record == Record("a", {"X": 1.0, "3": 1.0}, "1.5", {"url": "u", "cats": {"A": 1}}, 1)


@pytest.mark.parametrize(
    ("fields", "cats"),
    [
        ({}, {}),
        ({"cats": {"A": 1, "B": 0}, "label": "C"}, {"A": 1.0, "B": 0.0}),
        ({"cats": None, "label": "C"}, {"C": 1.0}),
        ({"cats": {"A": True, "B": None}}, {"A": 1.0}),
        ({"label": ["A", "B|C"]}, {"A": 1.0, "B|C": 1.0}),
        ({"label": "A|B"}, {"A|B": 1.0}),
        ({"label": 0}, {"0": 1.0}),
        ({"label": {"A": 0.25}}, {"A": 0.25}),
        ({"label": None}, {}),
        ({"label": []}, {}),
    ],
)
def test_labels_are_taken_from_cats_or_label_and_unknown_ones_stay_unknown(tmp_path, fields, cats):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"text": "a", **fields}))
    (record,) = read_records(path)
    assert record.cats == cats


def test_a_cell_of_a_table_names_several_labels(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text,label,kind\na,A | B,X|\nb,,\n")
    assert [r.cats for r in read_records(path)] == [{"A": 1.0, "B": 1.0}, {}]
    assert [r.cats for r in read_records(path, label_field="kind")] == [{"X": 1.0}, {}]
    assert [r.cats for r in read_records(path, label_field="")] == [{}, {}]


def test_fields_of_labels_that_are_not_read_may_hold_anything(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a", "label": 0.5, "cats": 3}\n')
    (record,) = read_records(path, label_field="")
    assert record.cats == {}
    assert record.meta == {"label": 0.5, "cats": 3}


def test_columns_of_parquet_may_be_maps_structs_lists_and_nulls(tmp_path):
    path = tmp_path / "data.parquet"
    cats = pyarrow.array([[("A", 1.0)], None, [("B", 0.5)]], pyarrow.map_("string", "float64"))
    columns = {
        "text": pyarrow.array(["a", None, "c"]).dictionary_encode(),
        "cats": cats,
        "kinds": [["X"], [], ["X", "Y"]],
        "struct": [{"A": 1.0, "B": None}, None, {"A": 0.0, "B": 0.0}],
        "vector": [[1.0], [2.0], [3.0]],
        "n": [1, 2, 3],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    records = list(read_records(path))
    assert [r.text for r in records] == ["a", "", "c"]
    assert [r.cats for r in records] == [{"A": 1.0}, {}, {"B": 0.5}]
    # Vectors are large, and are not read unless they are asked for.
    others = [{key: columns[key][i] for key in ("kinds", "struct", "n")} for i in range(3)]
    assert [r.meta for r in records] == others
    kinds = [r.cats for r in read_records(path, label_field="kinds")]
    assert kinds == [{"X": 1.0}, {}, {"X": 1.0, "Y": 1.0}]
    struct = [r.cats for r in read_records(path, label_field="struct")]
    assert struct == [{"A": 1.0}, {}, {"A": 0.0, "B": 0.0}]


# Invalid rows and files

BAD_LINES = [
    ("[1, 2]", "is [1, 2], a list"),
    ("nope", "is not JSON"),
    ('{"txt": "a"}', "there is no 'text', only 'txt'"),
    ('{"text": 5}', "'text' is 5, a int"),
    ('{"text": "\\ud800"}', "half a character"),
    ('{"text": "a", "id": [1]}', "'id' is [1], a list"),
    ('{"text": "a", "id": "\\udfff"}', "half a character"),
    ('{"text": "a", "cats": {"A": 2}}', "outside 0..1"),
    ('{"text": "a", "cats": {"A": Infinity}}', "not finite"),
    ('{"text": "a", "cats": {"\\ud800": 1}}', "half a character"),
    ('{"text": "a", "cats": "A"}', "a str. Give a mapping"),
    ('{"text": "a", "label": 0.5}', "'label' is 0.5"),
    ('{"text": "a", "label": [[0, 4, "A"]]}', "a part of the text with a label"),
]


@pytest.mark.parametrize(("line", "cause"), BAD_LINES)
def test_a_bad_record_is_an_error_with_its_line(tmp_path, line, cause):
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"text": "good"}}\n\n{line}\n')
    records = read_records(path)
    assert next(records).text == "good"
    with pytest.raises(ValueError) as caught:
        next(records)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert cause in str(caught.value)


def test_bad_records_are_skipped_and_reported(tmp_path, caplog):
    path = tmp_path / "data.jsonl"
    lines = [line for line, _ in BAD_LINES]
    path.write_bytes("\n".join(['{"text": "a"}', *lines, ""]).encode() + b'\xff\n{"text": "b"}')
    messages = []
    records = list(read_records(path, on_error="skip", report=messages.append))
    assert [record.text for record in records] == ["a", "b"]
    causes = [*(cause for _, cause in BAD_LINES), "is not UTF-8"]
    for number, (message, cause) in enumerate(zip(messages, causes, strict=True), start=2):
        assert message.startswith(f"{path}, line {number}: ")
        assert cause in message
    with caplog.at_level(logging.WARNING, "spacy_embtune"):
        list(read_records(path, on_error="skip"))
    *logged, summary = [record.getMessage() for record in caplog.records]
    assert logged == messages
    n = len(messages)
    assert summary.startswith(f"{path}: left out {n} of {n + 2} rows: ")
    assert "'cats' does not hold labels (3)" in summary


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [
        ("data.csv", b'text\n"a"b\nc\n', "line 2: is broken"),
        ("data.csv", b"text,n\na\nc,1\n", "line 2: has 1 field, but the first line 2"),
        ("data.txt", b"a\0b\nc\n", "line 1: holds a NUL"),
        ("data.txt", b"\xe9t\xe9\nc\n", "line 1: is not UTF-8"),
    ],
)
def test_bad_lines_of_other_files(tmp_path, name, data, cause):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=cause):
        list(read_records(path))
    messages = []
    records = list(read_records(path, on_error="skip", report=messages.append))
    assert [record.text for record in records] == ["c"]
    assert len(messages) == 1


def test_bad_rows_of_parquet_and_spacy_are_named_by_their_number(tmp_path):
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [1, 2]}), path)
    with pytest.raises(ValueError, match=r"data.parquet, row 1: 'text' is 1"):
        next(read_records(path))
    docs = DocBin(store_user_data=True)
    doc = spacy.blank("en").make_doc("a")
    doc.cats = {"A": 7}
    docs.add(doc)
    docs.to_disk(tmp_path / "data.spacy")
    with pytest.raises(ValueError, match=r"data.spacy, document 1: cats: the label 'A'"):
        next(read_records(tmp_path / "data.spacy"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_without_the_column_is_an_error_whatever_is_skipped(tmp_path, suffix):
    path = write(tmp_path / f"data{suffix}", ROWS)
    for setting in ({"text_field": "body"}, {"label_field": "body"}):
        with pytest.raises(ValueError, match=f"no column 'body', only .*{next(iter(setting))}"):
            next(read_records(path, on_error="skip", **setting))


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [
        (
            "a.jsonl.gz",
            gzip.compress(b'{"text": "a"}\n' * 999, mtime=0)[:-20],
            "not a whole gzip file",
        ),
        ("a.spacy", b"nonsense", "is not a .spacy file"),
        ("a.spacy", DocBin().to_bytes()[:-3], "is not a .spacy file"),
        ("a.spacy", b"", "is not a .spacy file"),
        ("a.parquet", b"PAR1nonsensePAR1", "is not a whole Parquet file"),
        ("a.parquet", b"", "is not a whole Parquet file"),
        ("a.csv", b"text,text\na,b\n", "two of the columns"),
    ],
)
def test_a_file_of_another_format_than_its_suffix_or_a_damaged_file_is_an_error(
    tmp_path, name, data, cause
):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=cause):
        list(read_records(path, on_error="skip", report=lambda message: None))


def test_wrong_arguments_are_errors_before_anything_is_read(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a"}')
    with pytest.raises(ValueError, match="there is no such file"):
        read_records(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="is a directory"):
        read_records(tmp_path, kind="jsonl")
    (tmp_path / "data.docx.gz").write_text("")
    with pytest.raises(ValueError, match="the name does not say"):
        read_records(tmp_path / "data.docx.gz")
    with pytest.raises(ValueError, match="The kind 'docbin' is not one of"):
        read_records(path, kind="docbin")
    with pytest.raises(ValueError, match="Standard input does not say"):
        read_records("-")
    with pytest.raises(ValueError, match="Parquet cannot be read from standard input"):
        read_records("-", kind="parquet")
    with pytest.raises(ValueError, match='give "fail" or "skip"'):
        read_records(path, on_error="ignore")
    with pytest.raises(ValueError, match="Plain lines have no labels apart from those of fastText"):
        read_records(path, kind="text", label_field="label")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "data.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[parquet\]'"):
        read_records(path)


def test_empty_files_hold_no_records(tmp_path):
    for name, data in [("a.jsonl", b"\n \n"), ("a.csv", b""), ("b.csv", b"text\n"), ("a.txt", b"")]:
        path = tmp_path / name
        path.write_bytes(data)
        assert list(read_records(path)) == []
    DocBin().to_disk(tmp_path / "a.spacy")
    assert list(read_records(tmp_path / "a.spacy")) == []


# Streams

READ_STDIN = """
import sys
from spacy_embtune.data import Position, read_records
position = Position()
for record in read_records("-", kind=sys.argv[1], position=position):
    print(record.id, record.text, position.fraction is None)
"""


@pytest.mark.slow
def test_standard_input_may_be_a_pipe_or_a_file(tmp_path):
    path = write(tmp_path / "data.jsonl.gz", ROWS[:2])
    expected = [f"{record.id} {record.text}" for record in read_records(path)]
    command = [sys.executable, "-c", READ_STDIN, "jsonl"]
    pipe = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    # The size of a pipe is not known.
    assert pipe.stdout.decode().splitlines() == [f"{line} True" for line in expected]
    with path.open("rb") as file:
        redirected = subprocess.run(command, stdin=file, capture_output=True, check=True)
    assert redirected.stdout.decode().splitlines() == [f"{line} False" for line in expected]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv.gz", ".tsv", ".spacy"])
def test_standard_input_is_read_as_a_file_is(tmp_path, monkeypatch, suffix):
    path = write(tmp_path / f"data{suffix}", ROWS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    kind = suffix.split(".")[1]
    assert list(read_records("-", kind=kind)) == list(read_records(path))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".spacy", ".parquet"])
def test_the_position_goes_from_0_to_1(tmp_path, suffix):
    # Text is decoded in advance, in blocks of 8 KB.
    n = 20_000 if suffix in (".jsonl", ".csv") else 1000
    rng = random.Random(0)
    rows = [(str(i), rng.randbytes(50).hex(), "A") for i in range(n)]
    path = write(tmp_path / f"data{suffix}", rows)
    position = Position()
    assert position.fraction is None
    fractions = []
    for _ in read_records(path, position=position):
        fractions.append(position.fraction)
    assert fractions == sorted(fractions)
    assert position.fraction == 1.0
    assert all(0 < fraction <= 1 for fraction in fractions)
    # gzip reads compressed files in advance, in blocks.
    tolerance = 0.25 if suffix == ".jsonl.gz" else 0.01
    assert math.isclose(fractions[n // 2 - 1], 0.5, abs_tol=tolerance)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt", ".parquet"])
def test_a_file_is_read_only_as_far_as_records_are_asked_for(tmp_path, monkeypatch, suffix):
    """The part of the file behind the first ten records is damaged."""
    monkeypatch.setattr(_columns, "BATCH_ROWS", 10)
    path = tmp_path / f"data{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(
            pyarrow.table({"text": [f"text {i}" for i in range(100)]}), path, row_group_size=10
        )
        data = bytearray(path.read_bytes())
        metadata = pyarrow.parquet.read_metadata(path)
        start = metadata.row_group(5).column(0).data_page_offset
        data[start : start + 8] = b"\xff" * 8
        path.write_bytes(data)
    else:
        good = {".jsonl": '{"text": "a"}\n', ".csv": "text\n" + "a\n" * 10, ".txt": "a\n"}[suffix]
        bad = {".jsonl": "[]\n", ".csv": '"a"b\n', ".txt": "\0\n"}[suffix]
        path.write_text(good * (1 if suffix == ".csv" else 10) + bad)
    records = read_records(path)
    assert len(list(islice(records, 10))) == 10
    with pytest.raises(ValueError):
        list(records)


@pytest.mark.slow
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8))
def test_any_texts_survive_json_lines_csv_and_parquet(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("any")
    with (path / "a.jsonl").open("w", encoding="utf8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    assert [r.text for r in read_records(path / "a.jsonl")] == texts
    table = pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())})
    pyarrow.parquet.write_table(table, path / "a.parquet")
    assert [r.text for r in read_records(path / "a.parquet")] == texts
