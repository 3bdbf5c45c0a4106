"""Vectors of the sentences and spans of a corpus."""

import json

import numpy as np
import pyarrow.parquet
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.data import Record
from spacy_embtune.embed import embed_corpus

from ..conftest import make_examples
from ..pipeline.test_spans import make_static, train

SPANS = [{"start": 0, "end": 9, "label": "SPORT"}, {"start": 10, "end": 15, "label": "FOOD"}]
RECORDS = [
    Record(f"ball goal. soup salt{' bread' * (i % 3)}.", {"A": 1.0}, str(i), {"spans": SPANS}, i)
    for i in range(30)
]


@pytest.fixture
def nlp():
    nlp = make_static()
    return train(nlp, make_examples(nlp, 30), n_steps=2)


@pytest.mark.parametrize(("unit", "text"), [("sents", "ball goal."), ("spans:sc", "ball goal")])
def test_a_row_is_a_unit_in_each_format(nlp, tmp_path, unit, text):
    for suffix in ("jsonl", "parquet", "npz"):
        out = tmp_path / f"{unit[:5]}.{suffix}"
        summary = embed_corpus(nlp, iter(RECORDS), out, what=["tuned"], unit=unit, chunk_size=7)
        assert summary.n == 60
    lines = (tmp_path / f"{unit[:5]}.jsonl").read_text("utf8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[2]["text"] == text
    assert (rows[2]["id"], rows[2]["document"]) == (f"1#0-{len(text)}", "1")
    assert (rows[2]["start"], rows[2]["end"]) == (0, len(text))
    assert rows[2]["cats"] == ({"A": 1.0} if unit == "sents" else {"SPORT": 1.0})
    assert "spans" not in rows[2]
    table = pyarrow.parquet.read_table(tmp_path / f"{unit[:5]}.parquet").to_pydict()
    arrays = np.load(tmp_path / f"{unit[:5]}.npz")
    for name in ("id", "document", "start", "end", "text"):
        assert table[name] == [row[name] for row in rows]
    assert arrays["ids"].tolist() == table["id"]
    assert_array_equal(arrays["tuned"], np.asarray(table["tuned"], dtype="float32"))
    assert_allclose(arrays["tuned"][2], nlp(text)._.embtune, atol=1e-5)


def test_an_interrupted_run_of_units_goes_on(nlp, tmp_path):
    def cut():
        yield from RECORDS[:20]
        raise KeyboardInterrupt

    out = tmp_path / "out.jsonl"
    settings = {"what": ["tuned"], "unit": "sents", "chunk_size": 7}
    with pytest.raises(KeyboardInterrupt):
        embed_corpus(nlp, cut(), out, **settings)
    # The corpus is read in larger batches than a chunk, so that nothing was finished.
    summary = embed_corpus(nlp, RECORDS, out, **settings)
    assert summary.n == 60
    embed_corpus(nlp, RECORDS, tmp_path / "whole.jsonl", **settings)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_other_units_are_other_data(nlp, tmp_path):
    def cut():
        yield from RECORDS
        raise KeyboardInterrupt

    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        embed_corpus(nlp, cut(), out, what=["tuned"], unit="spans:sc", chunk_size=7)
    with pytest.raises(ValueError, match="other"):
        embed_corpus(nlp, RECORDS, out, what=["tuned"], unit="sents", chunk_size=7)


def test_a_spacy_file_has_no_units(nlp, tmp_path):
    with pytest.raises(ValueError, match=r"has a Doc for each document.*store_user_data=True"):
        embed_corpus(nlp, RECORDS, tmp_path / "out.spacy", unit="sents")
    assert not list(tmp_path.iterdir())


def test_an_unknown_unit_is_an_error(nlp, tmp_path):
    with pytest.raises(ValueError, match="give doc, sents"):
        embed_corpus(nlp, RECORDS, tmp_path / "out.jsonl", unit="word")
