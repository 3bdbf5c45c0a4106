"""Tables that other programs write are read back the same."""

import csv
import gzip
import json
import logging

import openpyxl
import pandas as pd
import polars as pl
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacy_embtune.data import read_records

# Characters that tables are made of are as common as all others together. A table in plain text
# cannot hold half a character.
SPECIAL = st.sampled_from([*"\"',;\t|\\\n\r =#", "\u2028", "\x85", "\ufeff", "\0", "é", "猿"])
CHARACTERS = SPECIAL | st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, max_size=12)
# Labels are stripped, and "|" separates them in cells.
LABELS = st.sampled_from(["A", "B b", "ß"])
TABLES = st.lists(st.tuples(TEXTS, LABELS, TEXTS), max_size=6)
# Without NUL, which not all of these programs write.
PLAIN_TEXTS = st.text(CHARACTERS.filter(lambda c: c != "\0"), max_size=12)
PLAIN_TABLES = st.lists(st.tuples(PLAIN_TEXTS, LABELS, PLAIN_TEXTS), max_size=6)
HEADER = ("text", "label", "note")
MANY = settings(max_examples=200, deadline=None)
SOME = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def read(source, **options):
    records = read_records(source, **options)
    return [(r.text, *r.cats, r.meta["note"]) for r in records]


def assert_reads_tsv(path, rows):
    """The rows are read. A quotation mark in a TSV file may begin a cell with line breaks, or be a
    cell of its own. If both readings fit, a warning names the setting that reads the rows."""
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger = logging.getLogger("spacy_embtune.data")
    logger.addHandler(handler)
    try:
        found = read(path)
    finally:
        logger.removeHandler(handler)
    if found != rows:
        assert any("it is not clear whether quotation marks" in message for message in heard)
        assert read(path, quotes="csv") == rows


def without_returns(text):
    """Leave out a character that the module csv, and so pandas, writes without quotes. They cannot
    read it back themselves."""
    return text.replace("\r", "")


def to_frame(rows):
    return pd.DataFrame(rows, columns=list(HEADER), dtype="string")


@pytest.mark.slow
@MANY
@given(
    TABLES,
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@example([('"', "A", ""), ("x", "A", '"')], "\t", csv.QUOTE_MINIMAL, "\n", "utf-8")
@example([('""', "A", '"a" b')], "\t", csv.QUOTE_MINIMAL, "\n", "utf-8")
def test_the_module_csv(folder, rows, delimiter, quoting, end, encoding):
    if quoting != csv.QUOTE_ALL and end == "\n":
        rows = [tuple(map(without_returns, row)) for row in rows]
    path = folder / "a.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
        writer.writerows([HEADER, *rows])
    assert read(path) == rows


@pytest.mark.slow
@MANY
@given(PLAIN_TABLES, st.sampled_from([",", ";", "\t"]), st.sampled_from(["", ".gz", ".bz2", ".xz"]))
@example([("", "A", "\n\t\t")], "\t", "")
def test_pandas_to_csv(folder, rows, delimiter, compressed):
    rows = [tuple(map(without_returns, row)) for row in rows]
    path = folder / f"a.{'tsv' if delimiter == chr(9) else 'csv'}{compressed}"
    to_frame(rows).to_csv(path, sep=delimiter, index=False)
    if delimiter == "\t":
        assert_reads_tsv(path, rows)
    else:
        assert read(path) == rows


@pytest.mark.slow
@MANY
@given(PLAIN_TABLES, st.sampled_from([",", ";", "\t"]), st.sampled_from(["always", "necessary"]))
@example([("'", "A", "\n\t\t")], "\t", "necessary")
def test_polars_write_csv(folder, rows, delimiter, quotes):
    path = folder / "a.csv"
    frame = pl.DataFrame(rows, schema=dict.fromkeys(HEADER, pl.String), orient="row")
    frame.write_csv(path, separator=delimiter, quote_style=quotes)
    assert read(path) == rows


@pytest.mark.slow
@MANY
@given(TABLES)
def test_a_writer_of_plain_lines_with_tabs(folder, rows):
    """Tabs and line breaks are left out, and nothing else is changed. Quotation marks at the start
    of a cell may be unclear, and are said to be literal."""
    breaks = str.maketrans("", "", "\t\r\n")
    rows = [(a.translate(breaks), b, c.translate(breaks)) for a, b, c in rows]
    path = folder / "a.tsv"
    lines = ["\t".join(row) + "\n" for row in [HEADER, *rows]]
    path.write_text("".join(lines), encoding="utf8", newline="")
    assert read(path, quotes="literal") == rows
    if not any(cell.startswith('"') for row in rows for cell in row):
        assert read(path) == rows


@SOME
@given(TABLES, st.sampled_from(["records", "columns", "split", "table"]), st.booleans())
def test_pandas_to_json(folder, rows, orient, lines):
    path = folder / "a.json"
    orient = "records" if lines else orient
    to_frame(rows).to_json(path, orient=orient, lines=lines, force_ascii=False)
    assert read(path) == rows


@SOME
@given(TABLES, st.sampled_from([None, 0, 2]), st.booleans())
def test_the_module_json(folder, rows, indent, ascii_only):
    path = folder / "a.json"
    objects = [dict(zip(HEADER, row, strict=True)) for row in rows]
    text = json.dumps(objects, indent=indent, ensure_ascii=ascii_only)
    path.write_text(text, encoding="utf8", newline="")
    assert read(path) == rows
    path = folder / "a.jsonl.gz"
    lines = [json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in objects]
    path.write_bytes(gzip.compress("".join(lines).encode()))
    assert read(path) == rows


@pytest.mark.slow
@SOME
@given(TABLES)
def test_columnar_formats_of_three_programs(folder, rows):
    frame = to_frame(rows)
    frame.to_parquet(folder / "a.parquet")
    assert read(folder / "a.parquet") == rows
    frame.to_feather(folder / "a.feather")
    assert read(folder / "a.feather") == rows
    of_polars = pl.DataFrame(rows, schema=dict.fromkeys(HEADER, pl.String), orient="row")
    of_polars.write_parquet(folder / "b.parquet")
    assert read(folder / "b.parquet") == rows
    of_polars.write_ipc(folder / "b.arrow", compression="zstd")
    assert read(folder / "b.arrow") == rows
    of_polars.write_ipc_stream(folder / "c.arrow")
    assert read(folder / "c.arrow") == rows
    of_pyarrow = pyarrow.Table.from_pandas(frame, preserve_index=False)
    assert [read(table) for table in (frame, of_polars, of_pyarrow)] == [rows] * 3


def _stripped(cell):
    """RETURNS (str | None): A cell; None for one of white space only, which spreadsheets drop."""
    return cell if cell and cell.strip() else None


@pytest.mark.slow
@SOME
@given(TABLES)
def test_spreadsheets(folder, rows):
    # A spreadsheet cannot hold control characters, and has no empty text.
    clean = openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE
    rows = [tuple(clean.sub("", cell).replace("\r", "") for cell in row) for row in rows]
    rows = [(a, b, c) for a, b, c in rows if "\ufffe" not in a + c and "\uffff" not in a + c]
    book = openpyxl.Workbook()
    for row in [HEADER, *rows]:
        book.active.append(row)
        for cell in book.active[book.active.max_row]:
            # A text that begins with "=" is not a formula here.
            cell.data_type = "s"
    book.save(folder / "a.xlsx")
    found = [tuple(_stripped(cell) for cell in row) for row in read(folder / "a.xlsx")]
    assert found == [tuple(map(_stripped, row)) for row in rows]
