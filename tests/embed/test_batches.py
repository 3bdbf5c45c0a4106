"""A function for batches of columns, which knows nothing of Ray, Spark or Daft."""

import pickle

import numpy as np
import pandas as pd
import polars
import pytest
import spacy

from spacy_embtune.embed import EmbedBatch

from .test_shards import RECORDS, make_static

TEXTS = [record.text for record in RECORDS[:8]]


@pytest.fixture(scope="module")
def nlp():
    return make_static()


def test_a_batch_gets_a_column_for_each_kind(nlp):
    embed = EmbedBatch(nlp, what=["base"])
    batch = {"text": np.asarray(TEXTS), "n": np.arange(8)}
    found = embed(batch)
    assert list(found) == ["text", "n", "base"]
    assert (found["base"].shape, found["base"].dtype) == ((8, 3), np.float32)
    expected = [nlp(text).vector if text else np.zeros(3) for text in TEXTS]
    np.testing.assert_allclose(found["base"], np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize("make", [list, np.asarray, pd.Series, polars.Series])
def test_texts_come_in_any_column(nlp, make):
    expected = EmbedBatch(nlp, what=["base"]).vectors(TEXTS)["base"]
    found = EmbedBatch(nlp, what=["base"]).vectors(make(TEXTS))["base"]
    np.testing.assert_array_equal(found, expected)


def test_missing_texts_and_batches_without_rows(nlp):
    embed = EmbedBatch(nlp, what=["base"], dtype="float16")
    found = embed.vectors([None, float("nan"), "", RECORDS[0].text])["base"]
    assert found.dtype == np.float16
    assert not found[:3].any()
    assert found[3].any()
    assert embed({"text": []})["base"].shape == (0, 3)
    with pytest.raises(ValueError, match="no column 'text', only 'body'"):
        embed({"body": ["a"]})


@pytest.mark.slow
def test_it_travels_without_its_pipeline_loaded(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    expected = EmbedBatch(nlp, what=["base"]).vectors(TEXTS)["base"]
    for model in (nlp, str(tmp_path / "model"), tmp_path / "model"):
        embed = EmbedBatch(model, what=["base"])
        for _ in range(2):
            embed = pickle.loads(pickle.dumps(embed))
            np.testing.assert_array_equal(embed.vectors(TEXTS)["base"], expected)


@pytest.mark.slow
def test_the_scores_have_labels(pipeline):
    embed = EmbedBatch(pipeline, what=["tuned", "scores"], n_threads=1)
    found = embed.vectors(TEXTS)
    assert list(found) == ["tuned", "scores"]
    assert found["scores"].shape == (8, len(embed.labels))
    assert embed.labels == spacy.load(pipeline).get_pipe("embtune").labels


@pytest.mark.slow
def test_a_pipeline_that_stores_no_encoder_travels_with_it(make_nlp):
    nlp = make_nlp(encoder={"save_weights": False})
    shim = nlp.get_pipe("embtune").encoder
    embed = EmbedBatch(nlp, what=["base"])
    expected = embed.vectors(TEXTS)["base"]
    packed = pickle.dumps(embed)
    assert not shim.save_weights
    assert len(packed) > 100_000
    np.testing.assert_allclose(pickle.loads(packed).vectors(TEXTS)["base"], expected, atol=0.02)
