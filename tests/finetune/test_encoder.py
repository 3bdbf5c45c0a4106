"""Texts to vectors in scikit-learn."""

import pickle

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from spacy_embtune.encoder import EncoderSettings
from spacy_embtune.encoder import TextEncoder as Encoder
from spacy_embtune.finetune import FeedForwardTuner, SentenceEncoder, cached
from spacy_embtune.finetune.encoder import read_texts

from ..conftest import make_texts

TEXTS = ["a ball", "", "bread and soup", "a ball", "song"]


@pytest.fixture
def encoder(tiny_encoder):
    return SentenceEncoder(str(tiny_encoder))


def test_texts_get_the_vectors_of_the_encoder(encoder, tiny_encoder):
    vectors = encoder.transform(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((5, 64), np.float32)
    expected = Encoder.load(EncoderSettings(name=str(tiny_encoder))).encode(TEXTS)
    assert_allclose(vectors, expected, atol=1e-2)
    assert not vectors[1].any()
    assert_array_equal(vectors[0], vectors[3])
    # Each distinct text once, and the empty one not at all.
    assert encoder.encoder.n_encoded == 3
    assert_array_equal(encoder.fit(TEXTS).transform(TEXTS), vectors)
    assert_array_equal(encoder.fit_transform(TEXTS, [1] * 5), vectors)
    assert encoder.partial_fit(TEXTS, [1] * 5) is encoder


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        iter,
        np.array,
        pandas.Series,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts)[:, None],
        lambda texts: pandas.Series(texts, dtype="string", index=range(9, 4, -1)),
        lambda texts: pandas.Series(texts, dtype="category"),
        lambda texts: pandas.DataFrame({"text": texts}),
        lambda texts: dict.fromkeys(range(5)) and dict(enumerate(texts)).values(),
    ],
)
def test_texts_come_in_many_forms(form):
    found = read_texts(form(TEXTS))
    assert found == TEXTS
    assert {type(text) for text in found} == {str}


@pytest.mark.parametrize("missing", [None, np.nan, pandas.NA, float("nan")])
def test_a_missing_text_is_an_empty_one(missing, encoder):
    for form in (list, lambda texts: pandas.Series(texts, dtype="object")):
        assert read_texts(form(["a", missing])) == ["a", ""]
    assert read_texts(pandas.Series(["a", missing], dtype="string")) == ["a", ""]
    assert not encoder.transform(["a", missing])[1].any()


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ("a text", r"X is a single text: give a list of texts, such as \['a text'\]"),
        (None, "X is None, a NoneType: give a list"),
        (3, "X is 3, a int: give a list"),
        (np.array("a"), "X is array.*give a list"),
        (["a", 3], r"X\[1\] is 3, a int, not a text"),
        ([["a"], ["b"]], r"X\[0\] is \['a'\], a list"),
        (np.array([["a", "b"]]), r"X\[0\] is array"),
        (pandas.DataFrame({"a": ["x"], "b": ["y"]}), "DataFrame of one column"),
        ([b"a"], r"X\[0\] is b'a', a bytes"),
    ],
)
def test_what_are_no_texts_is_an_error(X, match, encoder):
    with pytest.raises(ValueError, match=match):
        encoder.transform(X)


def test_no_texts_are_no_vectors(encoder):
    assert encoder.transform([]).shape == (0, 64)


def test_it_is_loaded_when_it_is_needed_and_again_when_settings_change(
    encoder, other_encoder, tmp_path
):
    missing = SentenceEncoder(str(tmp_path / "nothing"))
    assert clone(missing).get_params() == missing.get_params()
    with pytest.raises(ValueError, match="is not a directory"):
        missing.transform(TEXTS)
    vectors = encoder.transform(TEXTS)
    assert encoder.encoder is encoder.encoder
    fingerprint = encoder.fingerprint
    encoder.set_params(name=str(other_encoder))
    assert encoder.fingerprint != fingerprint
    assert (encoder.transform(TEXTS) != vectors).any()


def test_pickles_hold_the_settings_only(encoder):
    vectors = encoder.transform(TEXTS)
    data = pickle.dumps(encoder)
    assert len(data) < 2000
    assert_array_equal(pickle.loads(data).transform(TEXTS), vectors)


def test_quantized_vectors_are_about_the_same(tiny_encoder):
    exact = SentenceEncoder(str(tiny_encoder), precision="float32")
    encoder = SentenceEncoder(str(tiny_encoder), quantize=True)
    one, other = exact.transform(TEXTS)[[0, 2, 4]], encoder.transform(TEXTS)[[0, 2, 4]]
    cosines = (one * other).sum(axis=1)
    cosines /= np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    assert (cosines > 0.98).all()
    assert (one != other).any()
    # `cached` keeps vectors apart by both.
    assert encoder.fingerprint == exact.fingerprint
    assert (encoder.precision_used, exact.precision_used) == ("int8", "float32")


def test_threads_and_device_are_settings(tiny_encoder):
    import torch

    before = torch.get_num_threads()
    try:
        encoder = SentenceEncoder(str(tiny_encoder), device="cpu", num_threads=1)
        encoder.transform(TEXTS)
        assert torch.get_num_threads() == 1
        assert SentenceEncoder(str(tiny_encoder), device=torch.device("cpu")).transform(["a"]).any()
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_it_works_in_pipelines_on_frames(encoder):
    texts, topics = zip(*make_texts(90), strict=True)
    frame = pandas.DataFrame({"text": texts, "topic": topics}, index=range(100, 190))
    columns = ColumnTransformer([("text", encoder, ["text"])])
    pipeline = make_pipeline(columns, FeedForwardTuner(random_state=0), LogisticRegression())
    pipeline.fit(frame[:60], frame["topic"][:60])
    assert pipeline.score(frame[60:], frame["topic"][60:]) > 0.9
    names = encoder.get_feature_names_out()
    assert names[:2].tolist() == ["sentenceencoder0", "sentenceencoder1"]
    found = clone(encoder).set_output(transform="pandas").fit_transform(frame["text"])
    assert found.shape == (90, 64)
    assert list(found.index) == list(frame.index)


def test_a_progress_bar_is_shown_if_asked(tiny_encoder, capsys):
    SentenceEncoder(str(tiny_encoder)).transform(TEXTS)
    assert "Encoding" not in capsys.readouterr().err
    SentenceEncoder(str(tiny_encoder), show_progress=True).transform(TEXTS)
    assert "Encoding texts" in capsys.readouterr().err


def test_a_search_loads_the_model_once(tiny_encoder, tmp_path):
    encoder = SentenceEncoder(str(tiny_encoder)).fit(["bread"])
    assert clone(encoder).encoder is encoder.encoder
    assert clone(cached(encoder, tmp_path / "v")).encoder.encoder is encoder.encoder
    other = clone(encoder).set_params(batch_size=5)
    assert other.encoder is not encoder.encoder
    assert "_loaded" not in vars(clone(SentenceEncoder(str(tiny_encoder))))
