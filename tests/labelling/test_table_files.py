"""Files of a table for labelling, as the programs read them that open them."""

import json
import re
import zipfile
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from python_calamine import load_workbook

from spacy_embtune.data import read_records
from spacy_embtune.labelling import bulk_table, write_bulk
from spacy_embtune.plots.neighbors import nearest_rows

from .test_bulk import TEXTS, draw, read_csv, read_jsonl

SUFFIXES = [".csv", ".jsonl", ".parquet", ".xlsx"]
FIELDS = [
    {
        "url": f"http://host/{i}",
        "votes": i,
        "price": i / 2,
        "rare": None if i % 2 else "yes",
        "tags": ["a", "b"],
        "where": {"lat": i / 4, "lon": None},
        "key": 2**60 + i,
        "checked": i % 3 == 0,
        "day": date(2026, 1, 1 + i % 28),
    }
    for i in range(40)
]


def with_fields(fields=FIELDS, **options):
    return draw(len(fields), **options)._replace(fields=fields)


def write(documents, path, **options):
    write_bulk(bulk_table(documents, **options), path)
    return path


def test_other_fields_keep_their_types_in_json_and_parquet(tmp_path):
    path = write(with_fields(), tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(path)
    for name in FIELDS[0]:
        assert table[name].to_pylist() == [fields[name] for fields in FIELDS]
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["votes"], types["price"], types["checked"]) == ("int64", "double", "bool")
    assert (types["day"], types["tags"]) == ("date32[day]", "list<element: string>")
    rows = read_jsonl(write(with_fields(), tmp_path / "out.jsonl"))
    for row, fields in zip(rows, FIELDS, strict=True):
        assert {name: row[name] for name in fields} == {**fields, "day": fields["day"].isoformat()}
    assert list(rows[0])[-len(FIELDS[0]) :] == list(FIELDS[0])


def test_other_fields_are_cells_in_csv_and_in_a_spreadsheet(tmp_path):
    row = read_csv(write(with_fields(), tmp_path / "out.csv"))[3]
    assert (row["url"], row["votes"], row["price"], row["rare"]) == (
        "http://host/3",
        "3",
        "1.5",
        "",
    )
    assert json.loads(row["tags"]) == ["a", "b"]
    assert json.loads(row["where"]) == {"lat": 0.75, "lon": None}
    assert (row["key"], row["checked"]) == (str(2**60 + 3), "True")
    header, *rows = read_xlsx(write(with_fields(), tmp_path / "out.xlsx"))
    cells = dict(zip(header, rows[3], strict=True))
    assert (cells["url"], cells["votes"], cells["price"]) == ("http://host/3", 3.0, 1.5)
    # A spreadsheet would round it.
    assert cells["key"] == str(2**60 + 3)
    assert cells["checked"] is True
    assert cells["day"] in (date(2026, 1, 4), datetime(2026, 1, 4))


def read_xlsx(path):
    return load_workbook(path).get_sheet_by_index(0).to_python(skip_empty_area=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_may_have_different_fields_and_fields_that_no_type_holds(tmp_path, suffix):
    fields = [{"a": 1}, {"b": "x"}, {}, {"a": "one", "c": None}]
    path = write(with_fields(fields), tmp_path / f"out{suffix}")
    if suffix == ".jsonl":
        rows = read_jsonl(path)
        assert [{k: row[k] for k in "abc" if k in row} for row in rows] == fields
    elif suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        assert table["a"].to_pylist() == ["1", None, None, '"one"']
        assert table["b"].to_pylist() == [None, "x", None, None]
    elif suffix == ".csv":
        assert [(row["a"], row["b"]) for row in read_csv(path)] == [
            *[("1", ""), ("", "x"), ("", ""), ("one", "")]
        ]
    else:
        header, *rows = read_xlsx(path)
        assert [row[header.index("a")] for row in rows] == [1.0, "", "", "one"]


def test_fields_with_the_name_of_a_column_or_that_bulk_uses_itself_are_renamed():
    fields = [{"margin": "wide", "path": "/etc/passwd", "x": 3, "alpha": 1, "url": "u"}] * 20
    table = bulk_table(with_fields(fields))
    renamed = {name: f"{name}_in_data" for name in ("margin", "path", "x", "alpha")}
    assert dict(table.renamed) == renamed
    for row in table.rows:
        assert {row[new] for new in renamed.values()} == {"wide", "/etc/passwd", 3, 1}
        assert row["url"] == "u"
        assert isinstance(row["x"], float)
        assert not {"path", "alpha"} & row.keys()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_of_a_table_has_the_same_columns(tmp_path, suffix):
    documents = draw(40)
    urls = [{"url": f"=u{i}"} for i in range(40)]
    path = write(documents._replace(fields=urls), tmp_path / f"one{suffix}", n_neighbors=2)
    records = list(read_records(path))
    again = documents._replace(fields=[record.meta for record in records])
    table = bulk_table(again, n_neighbors=2)
    assert not table.renamed
    write_bulk(table, tmp_path / f"two{suffix}")
    assert (tmp_path / f"two{suffix}").read_bytes() == path.read_bytes()


class TestBulk:
    """What koaning/bulk 0.4.2 does with a file, in the version of pandas that is installed."""

    def read(self, path):
        if path.suffix == ".jsonl":
            return pd.read_json(path, orient="records", lines=True)
        return pd.read_csv(path)

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    @pytest.mark.parametrize("n_known", [0, 20, 40])
    def test_it_finds_numbers_to_colour_by(self, tmp_path, suffix, n_known):
        known = np.zeros((40, 4), "f")
        known[:n_known] = 1
        frame = self.read(write(draw(known=known), tmp_path / f"out{suffix}"))
        assert {"text", "x", "y"} <= set(frame)
        # Its test of the type; columns of text are "str" under pandas 3, which it refuses.
        assert str(frame["color"].dtype).startswith(("int", "float"))
        values = frame["color"].dropna()
        assert (values.min(), values.max()) == (0, 3)

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    def test_it_does_not_open_files_that_data_name(self, tmp_path, suffix):
        fields = [{"path": "/etc/passwd"}] * 40
        assert "path" not in self.read(write(with_fields(fields), tmp_path / f"out{suffix}"))

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    def test_what_it_saves_is_read_again(self, tmp_path, suffix):
        documents = with_fields([{"url": f"+u{i}"} for i in range(len(TEXTS))])
        documents = documents._replace(texts=TEXTS)
        frame = self.read(write(documents, tmp_path / f"out{suffix}"))
        columns, saved = frame.columns, tmp_path / f"saved{suffix}"
        subset = frame.assign(alpha=0.5).iloc[[0, 2, 3, 5]][columns]
        if suffix == ".jsonl":
            subset.to_json(saved, orient="records", lines=True)
        else:
            subset.to_csv(saved, index=False)
        records = list(read_records(saved))
        assert [record.text for record in records] == [TEXTS[i] for i in (0, 2, 3, 5)]
        assert [record.meta["url"] for record in records] == ["+u0", "+u2", "+u3", "+u5"]


class TestEmbeddingAtlas:
    """What embedding-atlas 0.26 does with a file: it reads it by pandas, stacks the neighbours, and
    hands the frame to Arrow."""

    def test_it_finds_positions_and_neighbours_by_row(self, tmp_path):
        documents = with_fields()
        frame = pd.read_parquet(write(documents, tmp_path / "out.parquet", n_neighbors=5))
        assert frame["projection_x"].dtype == frame["projection_y"].dtype == np.float64
        assert not {"x", "y", "color"} & set(frame)
        ids = np.stack([np.array(row["ids"]) for row in frame["neighbors"]])
        distances = np.stack([np.array(row["distances"]) for row in frame["neighbors"]])
        np.testing.assert_array_equal(ids, nearest_rows(documents, "tuned", 5))
        unit = documents.tuned / np.linalg.norm(documents.tuned, axis=1, keepdims=True)
        expected = 1 - np.einsum("nd,nkd->nk", unit, unit[ids])
        np.testing.assert_allclose(distances, expected, atol=1e-5)
        assert pyarrow.Table.from_pandas(frame).num_rows == 40

    def test_documents_without_a_vector_have_rows_of_the_same_length(self, tmp_path):
        documents = with_fields()
        documents.base[3], documents.tuned[3] = 0, 0
        frame = pd.read_parquet(write(documents, tmp_path / "out.parquet", n_neighbors=45))
        assert frame["projection_x"].isna().tolist() == [i == 3 for i in range(40)]
        ids = np.stack([np.array(row["ids"]) for row in frame["neighbors"]])
        distances = np.stack([np.array(row["distances"]) for row in frame["neighbors"]])
        assert (ids[3] == -1).all()
        assert (ids == -1).sum(axis=1).tolist() == [45 if i == 3 else 7 for i in range(40)]
        assert (distances[ids == -1] == 2).all()
        assert not (ids == 3).any()

    def test_without_neighbours_there_is_no_column(self, tmp_path):
        assert "neighbors" not in pd.read_parquet(write(draw(), tmp_path / "out.parquet"))


def test_many_labels_are_pairs_in_parquet(tmp_path):
    names = [f"label {j}" for j in range(300)]
    values = np.eye(300)[np.arange(600) % 300]
    known = values.copy()
    known[:, 0] = 1
    documents = draw(600)
    targets = documents.targets._replace(
        values=values.astype("f"), known=known.astype("f"), exclusive=False
    )
    documents = documents._replace(
        labels=names,
        targets=targets,
        predicted_labels=names,
        probabilities=values.astype("f"),
    )
    path = write(documents, tmp_path / "out.parquet")
    assert pyarrow.types.is_map(pyarrow.parquet.read_schema(path).field("cats").type)
    records = list(read_records(path))
    assert records[7].cats == {"label 0": 0.0, "label 7": 1.0}


DANGEROUS = ["=1+1", "+x", "-x", "@x", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "\uff1d1"]


class TestSpreadsheets:
    """Texts, fields and the names of fields come from strangers."""

    def documents(self):
        fields = [{"=name": text, "n": "-5", "tags": ["=1"]} for text in DANGEROUS]
        documents = with_fields(fields, labels=["=A", "+B", "-C", "@D"])
        return documents._replace(texts=DANGEROUS)

    def test_no_cell_of_csv_is_a_formula(self, tmp_path):
        path = write(self.documents(), tmp_path / "out.csv")
        rows = read_csv(path)
        assert "'=name" in rows[0]
        for row in rows:
            for name, cell in row.items():
                is_formula = re.match("[=+\\-@\t\r\n\uff1d]", cell) is not None
                assert not is_formula or name == "n" or float(cell) < 0
                assert not re.match("[=+\\-@]", name)

    def test_reading_csv_gives_the_texts_and_labels_from_before(self, tmp_path):
        documents = self.documents()
        records = list(read_records(write(documents, tmp_path / "out.csv")))
        assert [record.text for record in records] == DANGEROUS
        labels = [documents.labels[row.argmax()] for row in documents.targets.values]
        assert [list(record.cats) for record in records] == [[label] for label in labels]
        assert all("escaped_cells" not in record.meta for record in records)

    def test_a_spreadsheet_has_texts_unchanged_and_no_formulas(self, tmp_path):
        path = write(self.documents(), tmp_path / "out.xlsx")
        with zipfile.ZipFile(path) as file:
            sheet = file.read("xl/worksheets/sheet1.xml").decode()
        assert "<f>" not in sheet
        assert "<f " not in sheet
        header, *rows = read_xlsx(path)
        assert [row[0] for row in rows] == DANGEROUS
        assert "=name" in header
        assert "escaped_cells" not in header

    def test_links_are_texts_too(self, tmp_path):
        path = write(with_fields(), tmp_path / "out.xlsx")
        with zipfile.ZipFile(path) as file:
            assert not [name for name in file.namelist() if "rels/sheet" in name]

    def test_the_same_table_has_the_same_bytes(self, tmp_path):
        documents = with_fields()
        one, two = (write(documents, tmp_path / f"{n}.xlsx") for n in (1, 2))
        assert one.read_bytes() == two.read_bytes()

    def test_a_text_that_is_too_long_is_an_error_and_not_cut(self, tmp_path):
        documents = draw(4)._replace(texts=["a", "\U0001f600" * 16_384, "b", "c"])
        with pytest.raises(ValueError, match=r"'text' of document 2 has 16,384\. Write \.csv"):
            write(documents, tmp_path / "out.xlsx")
        documents = draw(4)._replace(texts=["a", "b" * 32_767, "b", "c"])
        assert read_xlsx(write(documents, tmp_path / "out.xlsx"))[2][0] == "b" * 32_767

    def test_early_dates_and_times_with_a_zone_are_texts(self, tmp_path):
        days = [date(1850, 1, 1), datetime.fromisoformat("2026-01-01T00:00+01:00")]
        fields = [{"day": day} for day in (*days, date(1900, 3, 1), None)]
        header, *rows = read_xlsx(write(with_fields(fields), tmp_path / "out.xlsx"))
        found = [row[header.index("day")] for row in rows]
        assert found[:2] == ["1850-01-01", "2026-01-01T00:00:00+01:00"]
        assert found[2] in (date(1900, 3, 1), datetime(1900, 3, 1))
        assert found[3] == ""
