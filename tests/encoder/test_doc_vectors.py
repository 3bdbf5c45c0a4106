"""The encoder that pools what the pipeline already has."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.tokens import Doc
from thinc.types import Ragged

from spacy_embtune.encoder import DocVectors

from ..conftest import COMMON, TOPICS, make_examples

WORDS = sorted({word for topic in (*TOPICS.values(), COMMON) for word in topic.split()})


def make_nlp(vectors: bool = True, **encoder: Any) -> Language:
    nlp = spacy.blank("en")
    if vectors:
        rng = np.random.default_rng(0)
        for word in WORDS:
            nlp.vocab.set_vector(word, rng.normal(size=64).astype("float32"))
    nlp.add_pipe(
        "embtune",
        config={
            "model": {
                "@architectures": "spacy-embtune.EmbTune.v1",
                "encoder": {"@architectures": "spacy-embtune.DocVectors.v1", **encoder},
                "head": {"@architectures": "spacy-embtune.FeedForward.v1"},
            }
        },
    )
    return nlp


@pytest.mark.parametrize(("pooling", "reduce"), [("mean", np.mean), ("max", np.max)])
def test_static_vectors_are_pooled_over_the_tokens_that_have_one(pooling: Any, reduce: Any) -> None:
    nlp = make_nlp(pooling=pooling)
    doc = nlp("bread  and nosuchword\n soup")
    expected = reduce([nlp.vocab[word].vector for word in ("bread", "and", "soup")], axis=0)
    assert_allclose(doc._.embedding, expected, rtol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "nosuchword"])
def test_a_document_without_any_vector_gets_zeros(text: str) -> None:
    assert_array_equal(make_nlp()(text)._.embedding, np.zeros(64))


@pytest.mark.slow
def test_it_trains_and_is_stored_with_the_pipeline(tmp_path: Any) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 60)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    scores = nlp.evaluate(make_examples(nlp, 60, seed=4))
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"] + 0.1
    nlp.to_disk(tmp_path)
    assert not (tmp_path / "embtune" / "encoder").exists()
    loaded = spacy.load(tmp_path)
    assert_array_equal(loaded("bread")._.embtune, nlp("bread")._.embtune)
    expected = nlp("bread")._.embtune
    (doc,) = nlp.pipe(["bread"], n_process=2)
    assert_allclose(doc._.embtune, expected, atol=1e-6)


@pytest.mark.slow
def test_tok2vec_output_is_pooled_and_trained_on() -> None:
    nlp = make_nlp(vectors=False, source="tensor")
    nlp.add_pipe("tok2vec", before="embtune")
    examples = make_examples(nlp, 30)
    optimizer = nlp.initialize(lambda: examples)
    assert all(len(eg.predicted.tensor) == 0 for eg in examples)
    for _ in range(30):
        nlp.update(examples, sgd=optimizer, exclude=["tok2vec"], annotates=["tok2vec"])
    doc = nlp("bread and soup")
    assert_allclose(doc._.embedding, doc.tensor.mean(axis=0), rtol=1e-5)
    assert doc._.embtune.any()


def test_no_source_of_vectors_says_what_to_do() -> None:
    nlp = make_nlp(vectors=False)
    with pytest.raises(ValueError, match=r"no token vectors.*annotating_components"):
        nlp("bread")
    with pytest.raises(ValueError, match="no token vectors"):
        nlp.initialize(lambda: make_examples(nlp))


def test_vectors_of_another_width_say_so() -> None:
    nlp = make_nlp()
    layer = DocVectors()
    layer.initialize(X=[nlp.make_doc("bread")])
    other = spacy.blank("en")
    other.vocab.set_vector("bread", np.ones(5, dtype="float32"))
    with pytest.raises(ValueError, match=r"width 5, expected 64"):
        layer.predict([other.make_doc("bread")])


@pytest.mark.parametrize("setting", [{"source": "magic"}, {"pooling": "sum"}])
def test_unknown_settings_name_the_known_ones(setting: Any) -> None:
    with pytest.raises(ValueError, match="Choose one of"):
        DocVectors(**setting)


def test_no_documents() -> None:
    layer = DocVectors()
    layer.initialize(X=[make_nlp().make_doc("bread")])
    docs: list[Doc] = []
    assert layer.predict(docs).shape == (0, 64)


@pytest.fixture
def trf_data() -> Iterator[None]:
    """The attribute that a transformer component sets."""
    Doc.set_extension("trf_data", default=None, force=True)
    yield
    Doc.remove_extension("trf_data")


@pytest.mark.usefixtures("trf_data")
def test_the_pieces_of_a_curated_transformer_are_pooled() -> None:
    """The form in which spacy-curated-transformers keeps its output: word pieces, and how many of
    them each token has. White space has none."""
    nlp = spacy.blank("en")
    doc = nlp("the guitar  bread")
    pieces = np.arange(16, dtype="float32").reshape(4, 4)
    ragged = Ragged(pieces, np.array([1, 2, 0, 1], dtype="int32"))
    doc._.trf_data = SimpleNamespace(last_hidden_layer_state=ragged)
    for source in ("auto", "transformer"):
        (mean, empty) = DocVectors(source).predict([doc, nlp("")])
        assert_allclose(mean, pieces.mean(axis=0))
        assert not empty.any()
    (most,) = DocVectors("transformer", "max").predict([doc])
    assert_allclose(most, pieces[-1])


@pytest.mark.usefixtures("trf_data")
def test_word_pieces_that_are_aligned_with_tokens_are_pooled() -> None:
    """The form in which spacy-transformers keeps its output: spans of word pieces, and for each
    token the places of its pieces."""
    nlp = spacy.blank("en")
    doc = nlp("bread guitar")
    hidden = np.arange(24, dtype="float32").reshape(2, 3, 4)
    align = Ragged(np.array([[1], [2], [4]], dtype="int32"), np.array([1, 2], dtype="int32"))
    data = SimpleNamespace(model_output=SimpleNamespace(last_hidden_state=hidden), align=align)
    doc._.trf_data = data
    (row,) = DocVectors("transformer").predict([doc])
    assert_allclose(row, hidden.reshape(-1, 4)[[1, 2, 4]].mean(axis=0))


def test_a_transformer_that_did_not_run_is_named() -> None:
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match="transformer or curated_transformer before embtune"):
        DocVectors("transformer").predict([nlp("bread")])
