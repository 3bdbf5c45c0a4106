"""Texts of labels that a component learns as documents."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.training import Example
from thinc.api import fix_random_seed

from spacy_embtune.data import set_group
from spacy_embtune.pipeline import pipeline_from_names

from ..conftest import TOPICS, make_examples, make_texts

MakeNlp = Callable[..., Language]
# The first words of each topic.
TEXTS = {label: " ".join(words.split()[:5]) for label, words in TOPICS.items()}


def initialize(nlp: Language, examples: list[Example], label_texts: Any, **settings: Any) -> Any:
    fix_random_seed(0)
    pipe: Any = nlp.get_pipe("embtune")
    pipe.initialize(lambda: examples, nlp=nlp, label_texts=label_texts, **settings)
    return pipe


def fit(nlp: Language, examples: list[Example], label_texts: Any, n_steps: int = 30) -> Any:
    pipe = initialize(nlp, examples, label_texts)
    optimizer = nlp.create_optimizer()
    for _ in range(n_steps):
        pipe.update(examples, sgd=optimizer)
    return pipe


def share_right(nlp: Language) -> float:
    texts, topics = zip(*make_texts(150, seed=5), strict=True)
    pipe: Any = nlp.get_pipe("embtune")
    docs = [nlp.make_doc(text) for text in texts]
    best = pipe.predict(docs).cats.argmax(axis=1)
    return float(np.mean([pipe.labels[j] == topic for j, topic in zip(best, topics, strict=True)]))


@pytest.mark.slow
def test_few_labelled_documents_gain_by_texts(make_nlp: MakeNlp) -> None:
    plain, described = make_nlp(), make_nlp()
    fit(plain, make_examples(plain, 3), None)
    fit(described, make_examples(described, 3), TEXTS)
    assert share_right(described) > share_right(plain) + 0.05


@pytest.mark.slow
def test_texts_are_enough_without_any_labelled_document(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    pipe = fit(nlp, make_examples(nlp, 60, cats=lambda topic: {}), TEXTS)
    assert pipe.labels == tuple(TEXTS)
    assert pipe.cfg["exclusive_classes"]
    assert pipe.is_trained
    assert share_right(nlp) > 0.6


@pytest.mark.slow
def test_texts_are_no_documents(make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture) -> None:
    plain, described = make_nlp(), make_nlp()
    one = fit(plain, make_examples(plain, 12), None, n_steps=2)
    with caplog.at_level(logging.INFO, "spacy_embtune"):
        two = fit(described, make_examples(described, 12), TEXTS, n_steps=2)
    assert "3 labels, 12 documents" in caplog.text
    assert "3 texts of 3 labels are learned as documents" in caplog.text
    assert two.cfg["label_counts"] == one.cfg["label_counts"]
    assert len(two.seen) == len(one.seen)
    assert not two.seen.recognize(TEXTS.values()).any()
    means = [
        pipe.model.get_ref("head").get_ref("standardize").get_param("mean") for pipe in (one, two)
    ]
    assert_array_equal(*means)
    weights = [pipe.model.get_ref("output_layer").get_param("W") for pipe in (one, two)]
    assert (weights[0] != weights[1]).any()


@pytest.mark.slow
def test_many_documents_leave_no_trace_of_texts(make_nlp: MakeNlp) -> None:
    plain, described = make_nlp(), make_nlp()
    one = fit(plain, make_examples(plain, 330), None, n_steps=2)
    two = fit(described, make_examples(described, 330), TEXTS, n_steps=2)
    assert_array_equal(*(pipe.model.get_ref("output_layer").get_param("W") for pipe in (one, two)))


@pytest.mark.slow
def test_each_text_is_used_about_once_an_epoch(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    pipe = initialize(nlp, make_examples(nlp, 24), TEXTS)
    documents = pipe._get_label_documents()
    used = [documents.select(4) for _ in range(6)]
    weights = np.bincount(
        np.concatenate([added.targets.columns for added in used]),
        np.concatenate([added.targets.weights for added in used]),
    )
    # 8 documents a label: one document.
    assert_allclose(weights, 1.0)
    assert documents.select(0) is None


@pytest.mark.slow
def test_names_that_mean_nothing_are_left_out_with_one_notice(
    make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp()
    codes = {"SPORT": "LABEL_0", "FOOD": "LABEL_1", "MUSIC": "LABEL_2"}
    ways: tuple[Callable[[str], dict[str, float]], ...] = (
        lambda topic: {},
        lambda topic: {codes[t]: float(t == topic) for t in codes},
    )
    for cats in ways:
        examples = make_examples(nlp, 30, cats=cats)
        caplog.clear()
        pipe = initialize(nlp, examples, "names", labels=list(codes.values()))
        notices = [r.getMessage() for r in caplog.records if "are left out" in r.getMessage()]
        assert len(notices) == 1
        assert "'LABEL_0'" in notices[0]
        assert "label_texts = {LABEL: TEXT}" in notices[0]
        assert "label_texts" not in pipe.cfg
        assert pipe._get_label_documents() is None


def test_contradictory_texts_are_left_out(
    make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp()
    wrong = {"SPORT": TEXTS["FOOD"], "FOOD": TEXTS["MUSIC"], "MUSIC": TEXTS["SPORT"]}
    pipe = initialize(nlp, make_examples(nlp, 60), wrong)
    assert "right no more often than by chance" in caplog.text
    assert pipe._get_label_documents() is None


def test_a_label_may_have_a_text_only(make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 30, cats=lambda t: {} if t == "MUSIC" else {t: 1.0})
    pipe = initialize(nlp, examples, TEXTS)
    assert set(pipe.labels) == set(TEXTS)
    assert "cannot be learned" not in caplog.text
    assert pipe._get_label_documents().select(20).targets.weights.max() == 2.0


@pytest.mark.parametrize(
    ("label_texts", "settings", "message"),
    [
        ("name", {}, 'Give "names", or a mapping'),
        ({"SPORT": 3}, {}, 'Give "names", or a mapping'),
        ({"ART": "paint"}, {"labels": ["SPORT", "FOOD"]}, "not among the labels"),
    ],
)
def test_bad_texts_are_an_error(
    make_nlp: MakeNlp, label_texts: Any, settings: dict[str, Any], message: str
) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match=message):
        initialize(nlp, make_examples(nlp, 12), label_texts, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["bank", "several labels", "groups", "encoder learns"])
def test_texts_are_learned_beside(way: str, tiny_encoder: Path) -> None:
    encoder = {"name": str(tiny_encoder), "trainable_layers": int(way == "encoder learns")}
    config: dict[str, Any] = {"model": {"encoder": encoder}}
    if way in ("bank", "groups"):
        config["model"]["head"] = {"@architectures": "spacy-embtune.Contrastive.v1"}
        config["loss"] = {"@losses": "spacy-embtune.supervised_contrastive.v1"}
        config["bank_size"] = 50
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", config=config)
    carried = {"FOOD", "SPORT"} if way == "several labels" else set()
    examples = make_examples(
        nlp, 12, cats=lambda topic: {t: float(t in {topic, *carried}) for t in TOPICS}
    )
    if way == "groups":
        for i, example in enumerate(examples):
            set_group(example.reference, str(i % 3))
    pipe = initialize(nlp, examples, TEXTS)
    optimizer = nlp.create_optimizer()
    for half in (examples[:6], examples[6:]) * 2:
        pipe.update(half, sgd=optimizer)
    assert pipe.is_trained
    assert pipe._get_label_documents() is not None
    assert len(pipe.bank) == (12 if "bank_size" in config else 0)
    assert all(np.isfinite(pipe.predict([nlp.make_doc(text)]).tuned).all() for text in TEXTS)


@pytest.mark.slow
def test_training_goes_on_after_loading(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    pipe = fit(nlp, make_examples(nlp, 6), TEXTS, n_steps=2)
    other = make_nlp()
    other.from_bytes(nlp.to_bytes())
    loaded: Any = other.get_pipe("embtune")
    kept, again = pipe._get_label_documents(), loaded._get_label_documents()
    assert again.inputs == kept.inputs
    assert_allclose(again.weights, kept.weights)
    assert_allclose(again.shift, kept.shift, atol=1e-6)
    loaded.update(make_examples(other, 6), sgd=other.resume_training())


@pytest.mark.slow
def test_encoders_that_read_docs_take_texts() -> None:
    nlp = spacy.blank("en")
    rng = np.random.default_rng(0)
    for words in TOPICS.values():
        topic = rng.normal(size=16)
        for word in words.split():
            nlp.vocab.set_vector(word, (topic + rng.normal(size=16)).astype("float32"))
    nlp.add_pipe(
        "embtune", config={"model": {"encoder": {"@architectures": "spacy-embtune.DocVectors.v1"}}}
    )
    fit(nlp, make_examples(nlp, 3), TEXTS)
    assert share_right(nlp) > 0.8


@pytest.mark.slow
def test_a_pipeline_from_names_predicts_without_labelled_text(tmp_path: Any) -> None:
    texts = ["The midfielder scored.", "The soup is salty.", "A goal!", "Bread with butter."] * 3
    nlp = pipeline_from_names(["SPORT", "FOOD"], texts)
    nlp.to_disk(tmp_path / "names")
    loaded = spacy.load(tmp_path / "names")
    for text, label in zip(texts, ["SPORT", "FOOD"] * 6, strict=True):
        doc = loaded(text)
        assert max(doc.cats, key=lambda name: doc.cats[name]) == label
        assert sum(doc.cats.values()) == pytest.approx(1.0)
        assert_array_equal(doc._.embtune, doc._.embedding)


@pytest.mark.slow
def test_a_pile_teaches_what_names_alone_do_not_tell() -> None:
    # "Legal" and "medical" are told by words that are not in the names.
    legal, medical = (
        [
            f"{who} {does} {what}."
            for who in subjects
            for does in ("asked about", "wrote down", "explained", "waited for")
            for what in objects
        ]
        for subjects, objects in (
            (
                ("The judge", "Her lawyer", "The defendant", "A juror"),
                ("the verdict", "the appeal", "the hearing", "the settlement"),
            ),
            (
                ("The nurse", "Her surgeon", "The patient", "A pharmacist"),
                ("the dose", "the symptoms", "the scan", "the treatment"),
            ),
        )
    )
    texts = [text for pair in zip(legal, medical, strict=True) for text in pair]
    names = {"A": "contract", "B": "bandage"}

    def share_right(nlp: Language) -> float:
        best = [max(doc.cats, key=lambda name: doc.cats[name]) for doc in nlp.pipe(texts)]
        return sum(a == b for a, b in zip(best, "AB" * len(legal), strict=True)) / len(texts)

    alone = share_right(pipeline_from_names(list(names), texts[:98], label_texts=names))
    taught = share_right(pipeline_from_names(list(names), texts, label_texts=names))
    assert taught > max(alone, 0.97), (alone, taught)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "texts", "settings", "message"),
    [
        (["FOOD"], ["soup"], {}, "two or more"),
        (["FOOD", "SPORT"], [" "], {}, "no text"),
        (["0", "1"], ["soup"], {}, "look like codes"),
        (["FOOD", "SPORT"], ["soup"], {"label_texts": {"FOOD": "soup"}}, "no text for"),
    ],
)
def test_a_pipeline_from_names_needs_names_and_texts(
    labels: list[str], texts: list[str], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline_from_names(labels, texts, **settings)
