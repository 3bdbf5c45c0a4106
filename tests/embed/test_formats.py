import json
import zipfile

import numpy as np
import pyarrow.parquet
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from spacy.tokens import DocBin

from spacy_embtune.data import Record
from spacy_embtune.embed import _docbin as docbin
from spacy_embtune.embed import _formats as formats
from spacy_embtune.embed._docbin import SpacyDocs
from spacy_embtune.embed._formats import Chunk, JsonLines, Npz, Parquet
from spacy_embtune.embed._parts import Part

from .pipelines import make_records

LABELS = ("A", 'odd "label".', "Ü")


def make_vectors(n, seed=0):
    rng = np.random.default_rng(seed)
    widths = {"base": 5, "tuned": 3, "scores": len(LABELS)}
    vectors = {key: rng.normal(size=(n, k)).astype("float32") for key, k in widths.items()}
    vectors["base"][:2] = [[0, 1e-30, -1e30, 0.1, 1 / 3], [1, -1, 16777217, 1e-45, 3.4e38]]
    return vectors


def join(form, folder, records, vectors, sizes):
    """Write records in chunks of these sizes, put them together, and return the result's path."""
    parts, start = [], 0
    for number, size in enumerate(sizes):
        rows = slice(start, start + size)
        chunk = Chunk(records[rows], {key: v[rows] for key, v in vectors.items()})
        path = folder / f"{number}{form.suffix}"
        part = Part(path, size, json.loads(json.dumps(form.write_part(chunk, path))))
        form.admit(part)
        parts.append(part)
        start += size
    form.join(parts, folder / "out")
    return folder / "out"


RECORDS = make_records(20)
VECTORS = make_vectors(20)
SIZES = [7, 1, 12]


def test_json_lines_hold_each_record_with_the_exact_vectors(tmp_path):
    path = join(JsonLines(LABELS), tmp_path, RECORDS, VECTORS, SIZES)
    rows = [json.loads(line) for line in path.read_text("utf8").splitlines()]
    assert [row["id"] for row in rows] == [record.id for record in RECORDS]
    assert [row["text"] for row in rows] == [record.text for record in RECORDS]
    assert [row.get("cats", {}) for row in rows] == [record.cats for record in RECORDS]
    for key in ("base", "tuned"):
        assert_array_equal(np.asarray([row[key] for row in rows], "float32"), VECTORS[key])
    scores = [[row["scores"][label] for label in LABELS] for row in rows]
    assert_array_equal(np.asarray(scores, "float32"), VECTORS["scores"])
    assert list(rows[0]) == ["id", "text", "cats", "base", "tuned", "scores"]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(width=32, allow_nan=False))
def test_any_text_and_any_number_survive_json_lines(tmp_path_factory, text, number):
    if np.isinf(number):
        number = 0.0
    folder = tmp_path_factory.mktemp("any")
    vectors = {"tuned": np.asarray([[number]], "float32")}
    path = join(JsonLines(()), folder, [Record(text, {}, text, {}, 1)], vectors, [1])
    (line,) = path.read_bytes().removesuffix(b"\n").split(b"\n")
    row = json.loads(line)
    assert (row["text"], row["id"]) == (text, text)
    assert np.float32(row["tuned"][0]) == vectors["tuned"][0, 0]


def test_npz_holds_arrays(tmp_path):
    records = [record._replace(id="x" * (i + 1)) for i, record in enumerate(RECORDS)]
    path = join(Npz(LABELS), tmp_path, records, VECTORS, SIZES)
    with np.load(path) as arrays:
        assert set(arrays) == {"ids", "base", "tuned", "scores", "labels"}
        assert arrays["ids"].tolist() == [record.id for record in records]
        assert arrays["labels"].tolist() == list(LABELS)
        for key, rows in VECTORS.items():
            assert_array_equal(arrays[key], rows)
            assert arrays[key].dtype == np.float32
            assert arrays[key].flags.c_contiguous
    without = {"tuned": VECTORS["tuned"]}
    with np.load(join(Npz(LABELS), tmp_path, RECORDS, without, SIZES)) as arrays:
        assert set(arrays) == {"ids", "tuned"}
    with zipfile.ZipFile(path) as file:
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_ids_that_are_too_long_for_an_array_are_an_error(tmp_path):
    records = [record._replace(id="x" * 300) for record in RECORDS]
    with pytest.raises(ValueError, match=r"The id x+\.\.\. has 300 characters, but .npz takes"):
        join(Npz(LABELS), tmp_path, records, VECTORS, SIZES)


def test_parquet_holds_columns(tmp_path):
    path = join(Parquet(LABELS), tmp_path, RECORDS, VECTORS, SIZES)
    table = pyarrow.parquet.read_table(path)
    assert table["id"].to_pylist() == [record.id for record in RECORDS]
    assert table["text"].to_pylist() == [record.text for record in RECORDS]
    for key in ("base", "tuned"):
        assert_array_equal(np.asarray(table[key].to_pylist(), "float32"), VECTORS[key])
        assert str(table.schema.field(key).type.value_type) == "float"
    scores = [[row[label] for label in LABELS] for row in table["scores"].to_pylist()]
    assert_array_equal(np.asarray(scores, "float32"), VECTORS["scores"])


@pytest.mark.parametrize(
    ("rows", "n_bytes", "groups"),
    [(8, 2**26, [8, 12]), (100, 2**26, [20]), (1, 2**26, [7, 1, 12]), (100, 1, [7, 1, 12])],
)
def test_small_chunks_share_a_row_group(tmp_path, monkeypatch, rows, n_bytes, groups):
    monkeypatch.setattr(formats, "ROWS_PER_GROUP", rows)
    monkeypatch.setattr(formats, "BYTES_PER_GROUP", n_bytes)
    path = join(Parquet(LABELS), tmp_path, RECORDS, VECTORS, SIZES)
    metadata = pyarrow.parquet.read_metadata(path)
    found = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert found == groups


@pytest.fixture
def spacy_docs(nlp):
    return lambda: SpacyDocs(nlp, nlp.get_pipe("embtune"))


def read_docs(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_a_spacy_file_holds_docs_with_vectors(tmp_path, spacy_docs, nlp):
    vectors = {key: VECTORS[key] for key in ("base", "tuned")}
    docs = read_docs(join(spacy_docs(), tmp_path, RECORDS, vectors, SIZES))
    assert [doc.text for doc in docs] == [record.text for record in RECORDS]
    assert [doc.cats for doc in docs] == [record.cats for record in RECORDS]
    assert [doc.user_data["id"] for doc in docs] == [record.id for record in RECORDS]
    assert_array_equal([doc._.embedding for doc in docs], VECTORS["base"])
    assert_array_equal([doc._.embtune for doc in docs], VECTORS["tuned"])
    expected = nlp.make_doc(RECORDS[1].text)
    assert [token.norm_ for token in docs[1]] == [token.norm_ for token in expected]


def test_scores_take_the_place_of_cats_in_a_spacy_file(tmp_path, spacy_docs, nlp):
    labels = nlp.get_pipe("embtune").labels
    vectors = {"scores": VECTORS["scores"]}
    docs = read_docs(join(spacy_docs(), tmp_path, RECORDS, vectors, SIZES))
    scores = [[doc.cats[label] for label in labels] for doc in docs]
    assert_array_equal(np.asarray(scores, "float32"), VECTORS["scores"])


@pytest.mark.parametrize("sizes", [[20], [1] * 20, SIZES])
def test_a_spacy_file_is_what_spacy_writes_of_all_documents(tmp_path, spacy_docs, nlp, sizes):
    path = join(spacy_docs(), tmp_path, RECORDS, {"tuned": VECTORS["tuned"]}, sizes)
    expected = DocBin(attrs=["ORTH"], store_user_data=True)
    for record, row in zip(RECORDS, VECTORS["tuned"], strict=True):
        doc = nlp.make_doc(record.text)
        doc.cats = record.cats
        doc.user_data["id"] = record.id
        doc._.embtune = row
        expected.add(doc)
    assert path.read_bytes() == expected.to_bytes()


def test_texts_longer_than_a_parser_takes_become_docs(tmp_path, spacy_docs, nlp):
    nlp.max_length = 10
    record = Record("a " * 20, {}, "0", {}, 1)
    (doc,) = read_docs(join(spacy_docs(), tmp_path, [record], {"tuned": VECTORS["tuned"]}, [1]))
    assert doc.text == record.text


def test_more_tokens_than_a_spacy_file_takes_are_an_error_at_once(
    tmp_path, spacy_docs, monkeypatch
):
    monkeypatch.setattr(docbin, "MOST_BYTES", 300)
    form = spacy_docs()
    with pytest.raises(ValueError, match=r"too many tokens for one .spacy file"):
        join(form, tmp_path, RECORDS, {"tuned": VECTORS["tuned"]}, [4, 4, 12])
    assert (tmp_path / "1.zip").exists()
    assert not (tmp_path / "2.zip").exists()


FIELDS = [
    {
        "url": f"=http://host/{i}",
        "votes": i,
        # Whole numbers in the first chunk, fractions in the others.
        "price": i if i < 7 else i / 2,
        "rare": None if i < 12 else True,
        "late": ["a", f"b{i}"] if i > 8 else [],
        "where": {"lat": i / 4, "lon": None if i % 2 else 1.5},
        "mixed": i if i < 7 else f"text {i}",
        "key": 2**60 + i if i < 7 else 0.5,
        "huge": 2**70,
        "text": "another",
        **({"only": "x"} if i == 15 else {}),
    }
    for i in range(20)
]
WITH_FIELDS = [record._replace(meta=meta) for record, meta in zip(RECORDS, FIELDS, strict=True)]
RENAMED = [
    {("text_in_data" if name == "text" else name): value for name, value in fields.items()}
    for fields in FIELDS
]


def test_json_lines_keep_other_fields(tmp_path):
    path = join(JsonLines(LABELS), tmp_path, WITH_FIELDS, VECTORS, SIZES)
    rows = [json.loads(line) for line in path.read_text("utf8").splitlines()]
    own = {"id", "text", "cats", "base", "tuned", "scores"}
    assert [{k: v for k, v in row.items() if k not in own} for row in rows] == RENAMED
    assert [row["text"] for row in rows] == [record.text for record in RECORDS]


@pytest.mark.parametrize("sizes", [[20], [1] * 20, SIZES])
def test_parquet_keeps_other_fields_with_the_types_that_hold_all_values(tmp_path, sizes):
    path = join(Parquet(LABELS), tmp_path, WITH_FIELDS, VECTORS, sizes)
    table = pyarrow.parquet.read_table(path)
    for name in ("url", "votes", "price", "rare", "late", "where", "only", "text_in_data"):
        assert table[name].to_pylist() == [fields.get(name) for fields in RENAMED]
    types = {field.name: field.type for field in table.schema}
    assert (str(types["votes"]), str(types["price"]), str(types["rare"])) == (
        *("int64", "double", "bool"),
    )
    assert pyarrow.types.is_list(types["late"])
    # No type holds these.
    for name in ("mixed", "key", "huge"):
        assert [json.loads(v) for v in table[name].to_pylist()] == [f[name] for f in FIELDS]
    assert table["text"].to_pylist() == [record.text for record in RECORDS]


def test_a_spacy_file_keeps_other_fields_in_user_data(tmp_path, spacy_docs):
    from spacy_embtune.data import read_records

    docs = read_docs(join(spacy_docs(), tmp_path, WITH_FIELDS, {"tuned": VECTORS["tuned"]}, SIZES))
    for doc, fields in zip(docs, RENAMED, strict=True):
        found = {key: value for key, value in doc.user_data.items() if isinstance(key, str)}
        found.pop("id")
        # msgpack has neither tuples nor whole numbers of more than 64 bits.
        assert json.loads(json.dumps(found)) == {**fields, "huge": str(2**70)}
    (tmp_path / "out").rename(tmp_path / "out.spacy")
    records = list(read_records(tmp_path / "out.spacy"))
    assert [record.id for record in records] == [record.id for record in RECORDS]
    assert [record.meta["url"] for record in records] == [fields["url"] for fields in FIELDS]


@pytest.mark.parametrize("make", [JsonLines, Parquet])
def test_vectors_of_an_earlier_result_are_replaced_and_other_fields_of_that_name_kept(
    tmp_path, make
):
    meta = [{"tuned": [0.5], "scores": {"A": 1.0}}, {"tuned": "by hand", "base": [1.0]}]
    records = [record._replace(meta=m) for record, m in zip(RECORDS, meta, strict=False)]
    path = join(make(LABELS), tmp_path, records, {"tuned": VECTORS["tuned"][:2]}, [2])
    rows = (
        pyarrow.parquet.read_table(path).to_pylist()
        if make is Parquet
        else [json.loads(line) for line in path.read_text().splitlines()]
    )
    assert_array_equal(np.asarray([row["tuned"] for row in rows], "float32"), VECTORS["tuned"][:2])
    assert rows[1]["tuned_in_data"] == "by hand"
    assert rows[1]["base_in_data"] == [1.0]
    assert rows[0]["scores_in_data"] == {"A": 1.0}


@pytest.mark.parametrize("make", [JsonLines, Npz, Parquet])
@pytest.mark.parametrize("sizes", [[20], [1] * 20])
@pytest.mark.parametrize("records", [RECORDS, WITH_FIELDS])
def test_results_do_not_depend_on_the_chunks(tmp_path, make, sizes, records):
    (tmp_path / "other").mkdir()
    one = join(make(LABELS), tmp_path, records, VECTORS, SIZES)
    other = join(make(LABELS), tmp_path / "other", records, VECTORS, sizes)
    assert one.read_bytes() == other.read_bytes()
