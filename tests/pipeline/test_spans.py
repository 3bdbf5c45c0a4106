"""Vectors of sentences and spans: where they are, how they are stored, and training on spans."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_config
from spacy.util import load_config, load_model_from_config
from thinc.api import Config, fix_random_seed

from spacy_embtune.pipeline import MissingVectorError, get_span_vector, units
from spacy_embtune.pipeline.units import make_span_units, predict_with_spans

from ..conftest import TOPICS, make_examples, make_texts

ROOT = Path(__file__).parent.parent.parent
WORDS = [word for topic in TOPICS.values() for word in topic.split()]
TEXT = "ball goal team. bread soup salt. guitar drum melody."
STATIC = {"@architectures": "spacy-embtune.DocVectors.v1"}

MakeNlp = Callable[..., Language]


def make_static(
    *, sentences: bool = True, encoder: dict[str, Any] = STATIC, **config: Any
) -> Language:
    """RETURNS (Language): A pipeline on word vectors, all of them different."""
    nlp = spacy.blank("en")
    rng = np.random.default_rng(0)
    for word in WORDS:
        nlp.vocab.set_vector(word, rng.normal(size=8).astype("float32"))
    if sentences:
        nlp.add_pipe("sentencizer")
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}, **config})
    return nlp


def make_span_docs(
    nlp: Language, n: int = 30, *, key: str = "sc", labelled: bool = True
) -> list[Doc]:
    """RETURNS (list[Doc]): Docs of two spans each, of three words of one topic each."""
    docs = []
    texts = make_texts(2 * n, seed=3)
    for i in range(n):
        words, spans = [], []
        for text, topic in texts[2 * i : 2 * i + 2]:
            part = [word for word in text.split() if word in TOPICS[topic].split()]
            spans.append((len(words), len(words) + len(part), topic))
            words += [*part, "and"]
        doc = Doc(nlp.vocab, words=words)
        doc.spans[key] = [Span(doc, a, b, label=topic * labelled) for a, b, topic in spans]
        docs.append(doc)
    return docs


def as_examples(docs: Sequence[Doc]) -> list[Example]:
    """RETURNS (list[Example]): Examples whose predicted Docs have no annotations."""
    return [
        Example(Doc(doc.vocab, words=[t.text for t in doc], spaces=[True] * len(doc)), doc)
        for doc in docs
    ]


def train(nlp: Language, examples: list[Example], *, n_steps: int = 40) -> Language:
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


# Annotation


@pytest.mark.slow
def test_a_sentence_has_the_vector_that_its_text_has_as_a_document(train_: MakeNlp) -> None:
    nlp = train_(spans="sents")
    doc = nlp(TEXT)
    assert len(list(doc.sents)) == 3
    for sentence in doc.sents:
        alone = nlp(sentence.text)
        for name in ("embedding", "embtune"):
            assert_allclose(sentence._.get(name), alone._.get(name), atol=2e-2)
            assert sentence._.get(name).dtype == np.float32


@pytest.fixture
def train_(train: Callable[..., Language]) -> MakeNlp:
    """Makes a trained pipeline on the tiny encoder, with a sentencizer."""

    def make(**config: Any) -> Language:
        nlp = train(n_steps=5, n_examples=30, **config)
        nlp.add_pipe("sentencizer", first=True)
        return nlp

    return make


@pytest.mark.slow
def test_documents_and_sentences_go_through_the_encoder_together_and_once(
    train_: MakeNlp,
) -> None:
    nlp = train_(spans="sents")
    shim = nlp.get_pipe("embtune").encoder
    shim.caching = False
    asked = []
    encode = shim.vectors
    shim.vectors = lambda X: asked.append(list(X)) or encode(X)
    # The second text is one sentence, and the third repeats sentences of the first.
    list(nlp.pipe([TEXT, "bread soup salt.", "ball goal team. bread soup salt."]))
    (texts,) = asked
    assert len(texts) == len(set(texts)) == 5


def test_many_sentences_go_through_the_model_in_bounded_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(units, "MOST_UNITS", 100)
    nlp = make_static(spans="sents", vector_hooks=True)
    train(nlp, make_examples(nlp, 30), n_steps=2)
    pipe = nlp.get_pipe("embtune")
    sizes = []
    predict = pipe._predict
    monkeypatch.setattr(pipe, "_predict", lambda X: sizes.append(len(X)) or predict(X))
    docs = list(nlp.pipe(["ball goal. " * 1000, "soup.", ""]))
    assert max(sizes) <= 100
    assert sum(sizes) == 3 + 1000 + 1
    assert all(sentence.has_vector for sentence in docs[0].sents)
    assert_allclose(docs[1]._.embtune, nlp("soup.")._.embtune, atol=1e-6)
    assert_allclose(list(docs[0].sents)[999]._.embtune, nlp("ball goal.")._.embtune, atol=1e-6)
    assert not docs[2]._.embtune.any()


def test_the_vectors_of_a_document_share_one_array_and_not_those_of_the_batch() -> None:
    nlp = make_static(spans="sents")
    owners = []
    for doc in nlp.pipe([TEXT, f"{TEXT} {TEXT}"]):
        owner = next(doc.sents)._.embedding
        while owner.base is not None:
            owner = owner.base
        owners.append(owner)
    assert [len(owner) for owner in owners] == [3, 6]


def test_spans_of_a_key_may_overlap_be_empty_and_cross_sentences() -> None:
    nlp = make_static(spans="sc")
    doc = nlp.make_doc(TEXT)
    # Overlapping, over the end of a sentence, twice with other labels, empty.
    offsets = [(0, 3), (1, 6), (1, 6), (4, 4)]
    doc.spans["sc"] = [Span(doc, a, b, label=f"L{i}") for i, (a, b) in enumerate(offsets)]
    doc = nlp(doc)
    first, crossing, same, empty = doc.spans["sc"]
    assert first._.embedding.any()
    assert crossing._.embedding.any()
    assert_array_equal(crossing._.embedding, same._.embedding)
    assert not empty._.embedding.any()


def test_a_document_without_the_key_has_a_vector_and_no_spans() -> None:
    nlp = make_static(spans="sc", vector_hooks=True)
    with_spans, without = make_span_docs(nlp, 2)
    del without.spans["sc"]
    found = list(nlp.pipe([with_spans, without]))
    assert all(doc._.embedding.any() for doc in found)
    assert [key for key in found[1].user_data if key[2] is not None] == []


def test_missing_sentence_boundaries_name_the_component_to_add() -> None:
    nlp = make_static(spans="sents", sentences=False)
    with pytest.raises(ValueError, match=r'add_pipe\("sentencizer", before="embtune"\)'):
        nlp(TEXT)
    # Without words, or with one, there is nothing to separate.
    nlp("")
    assert next(iter(nlp("ball").sents))._.embedding.any()


def test_a_span_that_was_not_embedded_says_why() -> None:
    nlp = make_static(spans="sents")
    doc = nlp(TEXT)
    with pytest.raises(MissingVectorError, match="characters 0 to 4: no embtune component has"):
        _ = doc[:1]._.embedding
    with pytest.raises(MissingVectorError, match="not trained yet gives base vectors only"):
        _ = next(iter(doc.sents))._.embtune
    assert getattr(doc[:1]._, "embedding", None) is None
    assert get_span_vector(doc[:1], "embedding") is None


def test_without_the_setting_spans_have_no_attribute() -> None:
    nlp = make_static()
    Span.set_extension("embtune", getter=lambda span: 1)
    assert nlp(TEXT)[:2]._.embtune == 1


@pytest.mark.slow
def test_a_name_that_is_taken_on_spans_is_an_error() -> None:
    Span.set_extension("embtune", getter=lambda span: 1)
    with pytest.raises(ValueError, match=r"span\._\.embtune cannot hold.*with a getter.*Span\.rem"):
        make_static(spans="sents")
    Span.set_extension("other", method=lambda span: 1)
    with pytest.raises(ValueError, match=r"span\._\.other cannot hold.*with a method"):
        make_static(spans="sents", base_extension="other")


def test_an_attribute_with_a_default_is_used() -> None:
    Span.set_extension("embedding", default=None)
    doc = make_static(spans="sents")(TEXT)
    assert list(doc.sents)[1]._.embedding.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spans": ""}, "spans is an empty text"),
        ({"learn_spans": True}, "spans is null, which names none with labels"),
        ({"learn_spans": True, "spans": "sents"}, 'spans is "sents"'),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_static(**settings)


# Hooks


def test_hooks_of_spans() -> None:
    nlp = make_static(spans="sents", vector_hooks=True)
    train(nlp, make_examples(nlp, 30))
    doc = nlp(TEXT + " team match player. um oh.")
    sport, food, _, sport_too, unknown = doc.sents
    assert_array_equal(sport.vector, sport._.embtune)
    assert sport.vector_norm == pytest.approx(np.linalg.norm(sport._.embtune))
    assert sport.has_vector
    assert not unknown.has_vector
    assert sport.similarity(sport_too) > sport.similarity(food)
    assert sport.similarity(sport) == pytest.approx(1.0)
    assert sport.similarity(unknown) == 0.0
    assert doc.similarity(sport) == pytest.approx(sport.similarity(doc))


def test_spans_without_a_vector_keep_that_of_spacy_but_cannot_be_compared() -> None:
    nlp = make_static(spans="sents", vector_hooks=True)
    train(nlp, make_examples(nlp, 30), n_steps=2)
    doc = nlp(TEXT)
    expected = nlp.vocab.get_vector("ball")
    assert_allclose(doc[:1].vector, expected)
    assert doc[:1].has_vector
    assert doc[:0].vector.shape == (8,)
    # Components such as the entity linker make Docs of any spans.
    assert_allclose(doc[:1].as_doc().vocab.get_vector("ball"), expected)
    sentence = next(doc.sents)
    for compare in (
        lambda: doc[:1].similarity(sentence),
        lambda: sentence.similarity(doc[:1]),
        lambda: doc.similarity(doc[:1]),
    ):
        with pytest.raises(MissingVectorError, match="characters 0 to 4"):
            compare()
    assert_allclose(doc[:1].vector, expected)


# Storage


def test_vectors_of_spans_are_stored() -> None:
    nlp = make_static(spans="sents")
    train(nlp, make_examples(nlp, 30), n_steps=2)
    doc = nlp(TEXT)
    stored = DocBin(store_user_data=True, docs=[doc], attrs=["SENT_START"]).to_bytes()
    (from_docbin,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    from_bytes = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    for other in (from_docbin, from_bytes, doc.copy()):
        # JSON is written before a span is read, as srsly cannot write plain arrays.
        written = other.to_json(underscore=["embtune", "embedding"])
        from_json = Doc(nlp.vocab).from_json(written)
        for one in (other, from_json):
            for mine, yours in zip(doc.sents, one.sents, strict=True):
                assert_array_equal(mine._.embtune, yours._.embtune)
                assert_array_equal(mine._.embedding, yours._.embedding)


@pytest.mark.slow
def test_vectors_of_spans_come_back_from_other_processes() -> None:
    nlp = make_static(spans="sents")
    train(nlp, make_examples(nlp, 30), n_steps=2)
    texts = [
        f"{a}. {b}." for (a, _), (b, _) in zip(make_texts(8), make_texts(8, seed=2), strict=False)
    ]
    here = list(nlp.pipe(texts))
    there = list(nlp.pipe(texts, n_process=2, batch_size=3))
    for one, other in zip(here, there, strict=True):
        for mine, yours in zip(one.sents, other.sents, strict=True):
            assert_allclose(mine._.embtune, yours._.embtune, atol=1e-5)


@pytest.mark.slow
def test_the_settings_are_saved(tmp_path: Any) -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    train(nlp, as_examples(make_span_docs(nlp)), n_steps=2)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path).get_pipe("embtune")
    assert (loaded.spans, loaded.learn_spans) == ("sc", True)


# Encoders that read Docs


@pytest.mark.parametrize("source", ["vectors", "tensor"])
def test_the_rows_of_a_span_are_those_that_its_tokens_have_in_the_document(source: str) -> None:
    nlp = make_static(spans="sents", encoder={**STATIC, "source": source})
    doc = nlp.make_doc(TEXT)
    doc.tensor = np.random.default_rng(1).normal(size=(len(doc), 5)).astype("float32")
    doc = nlp(doc)
    for sentence in doc.sents:
        rows = sentence.doc.tensor[sentence.start : sentence.end]
        if source == "vectors":
            rows = np.stack([token.vector for token in sentence if token.has_vector])
        assert_allclose(sentence._.embedding, rows.mean(axis=0), rtol=1e-5)


def test_a_transformer_s_rows_of_a_span() -> None:
    class Pieces:
        """As curated_transformer keeps its output: two pieces for each token."""

        def __init__(self, rows: Any) -> None:
            self.dataXd, self.lengths = rows, [2] * (len(rows) // 2)

    class Output:
        def __init__(self, rows: Any) -> None:
            self.last_hidden_layer_state = Pieces(rows)

    Doc.set_extension("trf_data", default=None)
    nlp = make_static(spans="sents", encoder={**STATIC, "source": "transformer"})
    doc = nlp.make_doc("ball goal. soup salt.")
    rows = np.random.default_rng(1).normal(size=(12, 5)).astype("float32")
    doc._.trf_data = Output(rows)
    doc = nlp(doc)
    first, second = doc.sents
    assert_allclose(first._.embedding, rows[:6].mean(axis=0), rtol=1e-5)
    assert_allclose(second._.embedding, rows[6:].mean(axis=0), rtol=1e-5)


def test_an_encoder_that_reads_docs_only_gets_a_doc_of_each_span() -> None:
    from thinc.api import Model

    read: list[Any] = []

    def forward(model: Any, X: Any, is_train: bool) -> Any:
        read.extend(X)
        return np.ones((len(X), 3), dtype="float32"), lambda dY: []

    nlp = make_static(spans="sents")
    nlp.get_pipe("embtune").model.set_ref("encoder", None)
    layer = Model("docs_only", forward)
    doc = nlp.get_pipe("sentencizer")(nlp.make_doc(TEXT))
    pipe = nlp.get_pipe("embtune")

    def predict(X: Any) -> Any:
        from spacy_embtune.pipeline import Prediction

        return Prediction(layer.predict(X), None, None)

    prediction = predict_with_spans(predict, layer, [doc], [list(doc.sents)])
    pipe.set_annotations([doc], prediction)
    assert all(isinstance(x, Doc) for x in read)
    assert [x.text.strip() for x in read[1:]] == [sent.text for sent in doc.sents]
    assert all(sent._.embedding.all() for sent in doc.sents)


# Training


@pytest.mark.slow
def test_training_on_labelled_spans_brings_spans_of_a_label_together() -> None:
    nlp = make_static(spans="sc", learn_spans=True, sentences=False)
    examples = as_examples(make_span_docs(nlp, 30))
    train(nlp, examples)
    pipe = nlp.get_pipe("embtune")
    assert set(pipe.labels) == set(TOPICS)
    assert pipe.cfg["exclusive_classes"] is True
    assert pipe.is_trained
    scores = nlp.evaluate(examples)
    assert scores["embtune_p1"] >= 0.9
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"]
    assert scores["embtune_per_type"]["FOOD"]["f"] > 0.9
    # 60 spans, not 30 documents.
    assert sum(row["n"] for row in scores["embtune_per_type"].values()) == 60
    assert pipe.seen.recognize([span.text for span in examples[0].reference.spans["sc"]]).all()
    # The documents are not new either.
    assert pipe.seen.recognize([example.reference.text for example in examples]).all()
    doc = nlp(make_span_docs(nlp, 1)[0])
    assert all(span._.embtune.any() for span in doc.spans["sc"])


@pytest.mark.slow
def test_training_on_spans_reads_texts_too(make_nlp: MakeNlp) -> None:
    nlp = make_nlp(spans="sc", learn_spans=True)
    examples = as_examples(make_span_docs(nlp, 20))
    train(nlp, examples, n_steps=20)
    scores = nlp.evaluate(examples)
    assert scores["embtune_p1"] > 0.8
    assert nlp.get_pipe("embtune").encoder.n_encoded < 200


@pytest.mark.slow
def test_training_by_spacy_s_commands_with_a_contrastive_loss() -> None:
    loss = {"@losses": "spacy-embtune.supervised_contrastive.v1"}
    nlp = make_static(spans="sc", learn_spans=True, loss=loss)
    examples = as_examples(make_span_docs(nlp, 30))
    losses: dict[str, float] = {}
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer, losses=losses)
    assert losses["embtune"] > 0.0
    assert nlp.evaluate(examples)["embtune_p1"] > 0.8


def test_spans_with_the_same_offsets_are_one_unit_of_several_labels() -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    docs = make_span_docs(nlp, 20)
    for doc in docs:
        first = doc.spans["sc"][0]
        doc.spans["sc"] = [*doc.spans["sc"], Span(doc, first.start, first.end, label="FIRST")]
    train(nlp, as_examples(docs), n_steps=2)
    pipe = nlp.get_pipe("embtune")
    assert pipe.cfg["exclusive_classes"] is False
    # In a span with labels, those that it does not carry are absent.
    present, absent = np.asarray(pipe.cfg["label_counts"])
    assert_array_equal(present + absent, np.full(4, 40))
    (unit, _) = pipe._make_units(as_examples(docs[:1]))
    assert unit.example.reference.cats["FIRST"] == 1.0
    assert sum(unit.example.reference.cats.values()) == 2.0


def test_thousands_of_spans_are_learned_in_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from spacy_embtune.pipeline import component

    monkeypatch.setattr(component, "MOST_LEARNED", 10)
    nlp = make_static(spans="sc", learn_spans=True)
    examples = as_examples(make_span_docs(nlp, 30))
    optimizer = nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("embtune")
    sizes = []
    learn = pipe._learn
    monkeypatch.setattr(pipe, "_learn", lambda batch: sizes.append(len(batch.docs)) or learn(batch))
    nlp.update(examples, sgd=optimizer)
    assert sizes == [10] * 6
    assert pipe.is_trained


def test_documents_of_spans_that_come_later_are_remembered() -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    examples = as_examples(make_span_docs(nlp, 40))
    first, later = examples[:30], examples[30:]
    optimizer = nlp.initialize(lambda: first)
    nlp.update(later, sgd=optimizer)
    seen = nlp.get_pipe("embtune").seen
    assert seen.recognize([example.reference.text for example in later]).all()


def test_documents_without_spans_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    docs = make_span_docs(nlp, 20)
    del docs[3].spans["sc"]
    docs[4].spans["sc"] = []
    with caplog.at_level(logging.WARNING, logger="spacy_embtune"):
        nlp.initialize(lambda: as_examples(docs))
    assert "2 of 20 training documents have no spans in doc.spans['sc']" in caplog.text
    assert nlp.update(as_examples(docs[3:5]))["embtune"] == 0.0


def test_a_key_that_no_document_has_is_an_error_that_names_the_others() -> None:
    nlp = make_static(spans="topics", learn_spans=True)
    docs = make_span_docs(nlp, 5)
    with pytest.raises(
        ValueError, match=r"none of the 5 training documents.*under 'sc': set spans"
    ):
        nlp.initialize(lambda: as_examples(docs))
    for doc in docs:
        doc.spans.clear()
    with pytest.raises(ValueError, match=r"Set doc\.spans\[KEY\] in the training data"):
        nlp.initialize(lambda: as_examples(docs))


def test_spans_without_labels_are_an_error() -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    docs = make_span_docs(nlp, 5, labelled=False)
    with pytest.raises(ValueError, match=r"none of the 10 spans in.*has a label"):
        nlp.initialize(lambda: as_examples(docs))


def test_a_dev_corpus_without_spans_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    nlp = make_static(spans="sc", learn_spans=True, set_cats=True)
    train(nlp, as_examples(make_span_docs(nlp, 10)), n_steps=2)
    with caplog.at_level(logging.WARNING, logger="spacy_embtune"):
        scores = nlp.evaluate(as_examples(make_span_docs(nlp, 3, key="other")))
    assert scores["embtune_p1"] is None
    assert "no document that is scored has a span there" in caplog.text


def test_empty_spans_teach_nothing(caplog: pytest.LogCaptureFixture) -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    docs = make_span_docs(nlp, 20)
    docs[0].spans["sc"] = [Span(docs[0], 2, 2, label="FOOD")]
    with caplog.at_level(logging.WARNING, logger="spacy_embtune"):
        train(nlp, as_examples(docs), n_steps=2)
    assert "1 of 39 training spans have no text" in caplog.text


def test_other_tokens_in_the_predicted_document() -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    reference = Doc(nlp.vocab, words=["ball", "-goal", "soup"], spaces=[False, True, False])
    reference.spans["sc"] = [Span(reference, 1, 3, label="SPORT")]
    predicted = Doc(nlp.vocab, words=["ball-", "goal", "soup"], spaces=[False, True, False])
    encoder = nlp.get_pipe("embtune").model.get_ref("encoder")
    (unit,) = make_span_units([Example(predicted, reference)], "sc", encoder)
    assert unit.example.reference.text == "-goal soup"
    assert unit.input.doc is predicted
    assert unit.input.text.endswith("goal soup")


@pytest.mark.slow
def test_calibration_on_spans() -> None:
    nlp = make_static(spans="sc", learn_spans=True)
    train(nlp, as_examples(make_span_docs(nlp, 20)))
    pipe = nlp.get_pipe("embtune")
    pipe.seen = None
    assert pipe.calibrate(as_examples(make_span_docs(nlp, 20))) != 1.0


@pytest.mark.slow
def test_spacy_train_learns_spans_of_a_file_of_prodigy(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = []
    for text, topic in make_texts(200, seed=1):
        span = {"start": 0, "end": len(text), "token_start": 0, "label": topic}
        rows.append({"text": f"{text} and so on", "spans": [span], "answer": "accept"})
    srsly.write_jsonl(tmp_path / "data.jsonl", rows)
    config = load_config(
        ROOT / "configs" / "feedforward.cfg",
        overrides={
            "paths.train": str(tmp_path / "data.jsonl"),
            "components.embtune.model.encoder.name": str(tiny_encoder),
            "components.embtune.spans": "sc",
            "components.embtune.learn_spans": True,
            "corpora.train.label_field": "",
            "corpora.dev.label_field": "",
            "training.max_steps": 20,
            "training.eval_frequency": 10,
        },
    )
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING, logger="spacy_embtune"):
        train_config(init_nlp(config), tmp_path / "out")
    assert caplog.text == ""
    loaded = spacy.load(tmp_path / "out" / "model-best")
    pipe = loaded.get_pipe("embtune")
    assert pipe.learn_spans
    assert set(pipe.labels) == set(TOPICS)
    # It was calibrated on the spans of the dev corpus.
    assert pipe.temperature != 1.0
    assert loaded.meta["performance"]["embtune_p1"] > 0.5


@pytest.mark.slow
def test_a_config_with_spans_is_read() -> None:
    nlp = make_static(spans="sents", vector_hooks=True)
    config = Config().from_str(nlp.config.to_str())
    assert config["components"]["embtune"]["spans"] == "sents"
    loaded = load_model_from_config(config, auto_fill=True)
    assert loaded.get_pipe("embtune").spans == "sents"
