"""spaCy's text classifiers learn on the vectors of an embtune component."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.ty import ListenedToComponent

from spacy_embtune.encoder._sharing import forget_loaded
from spacy_embtune.pipeline import DocEmbedding

from ..conftest import make_examples

MakeNlp = Callable[..., Language]
TEXT = "the ball and the goal"
REDUCE = {"@architectures": "spacy.TextCatReduce.v1", "use_reduce_mean": True}
REDUCE |= {f"use_reduce_{kind}": False for kind in ("first", "last", "max")}
BAG = {
    "@architectures": "spacy.TextCatBOW.v3",
    "ngram_size": 1,
    "no_output_layer": False,
    "exclusive_classes": True,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "reduce mean": REDUCE,
    "reduce first": {**REDUCE, "use_reduce_mean": False, "use_reduce_first": True},
    "reduce both": {**REDUCE, "use_reduce_max": True},
    "attention": {"@architectures": "spacy.TextCatParametricAttention.v1"},
    "cnn": {"@architectures": "spacy.TextCatCNN.v2"},
    "ensemble": {"@architectures": "spacy.TextCatEnsemble.v2", "linear_model": BAG},
}


def add_textcat(
    nlp: Language,
    architecture: dict[str, Any] = REDUCE,
    *,
    which: str = "tuned",
    component: str = "*",
    name: str = "textcat",
) -> Any:
    layer = {
        "@architectures": "spacy-embtune.DocEmbedding.v1",
        "which": which,
        "component": component,
    }
    model = {**architecture, "tok2vec": layer}
    if "linear_model" not in architecture:
        model["exclusive_classes"] = True
    return nlp.add_pipe("textcat", name=name, config={"model": model})


def layer_of(nlp: Language, name: str = "textcat") -> Any:
    (layer,) = [n for n in nlp.get_pipe(name).model.walk() if n.name == "doc_embedding"]
    return layer


def learn(nlp: Language, n_steps: int = 40, seed: int = 0, **settings: Any) -> list[Example]:
    """Train the components that are enabled."""
    examples = make_examples(nlp, 60, seed=seed)
    frozen = settings.get("exclude", [])
    with nlp.select_pipes(disable=frozen):
        optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer, **settings)
    return examples


def accuracy(nlp: Language, seed: int = 7) -> float:
    examples = make_examples(nlp, 60, seed=seed)
    return float(nlp.evaluate(examples)["cats_micro_f"])


@pytest.fixture
def classified(train: MakeNlp) -> Language:
    """A trained embtune component, frozen, and a classifier that was trained on its vectors."""
    nlp = train()
    add_textcat(nlp)
    learn(nlp, exclude=["embtune"], annotates=["embtune"])
    return nlp


def test_a_linear_classifier_learns_on_tuned_vectors(classified: Language) -> None:
    assert accuracy(classified) > 0.9
    model = classified.get_pipe("textcat").model
    width = len(classified(TEXT)._.embtune)
    assert layer_of(classified).get_dim("nO") == width
    assert model.get_ref("output_layer").get_param("W").shape == (3, width)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("which", ["tuned", "base"])
def test_every_classifier_of_spacy_takes_the_layer(train: MakeNlp, kind: str, which: str) -> None:
    nlp = train(n_steps=2, n_examples=30)
    add_textcat(nlp, ARCHITECTURES[kind], which=which)
    learn(nlp, 2, exclude=["embtune"])
    assert sum(nlp(TEXT).cats.values()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_both_train_in_one_run(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    add_textcat(nlp)
    learn(nlp, 60, annotates=["embtune"])
    assert accuracy(nlp) > 0.9


@pytest.mark.slow
def test_a_classifier_does_not_change_the_vectors(train: MakeNlp) -> None:
    nlp = train()
    before = nlp(TEXT)._.embtune
    add_textcat(nlp)
    learn(nlp, 10, exclude=["embtune"], annotates=["embtune"])
    assert_array_equal(nlp(TEXT)._.embtune, before)


def test_the_vectors_are_those_on_the_doc_or_those_of_the_component(classified: Language) -> None:
    layer = layer_of(classified)
    doc = classified(TEXT)
    (from_doc,) = layer.predict([doc])
    assert_array_equal(from_doc, doc._.embtune[None])
    (computed,) = layer.predict([classified.make_doc(TEXT)])
    assert_allclose(computed, from_doc, atol=1e-6)
    doc._.embtune = np.zeros_like(doc._.embtune)
    assert not layer.predict([doc])[0].any()


def test_texts_are_encoded_once_in_a_training_without_annotation(train: MakeNlp) -> None:
    nlp = train(n_steps=2)
    nlp.get_pipe("embtune").encoder.caching = False
    nlp.get_pipe("embtune").encoder.cache.clear()
    before = nlp.get_pipe("embtune").encoder.n_encoded
    add_textcat(nlp)
    examples = learn(nlp, 5, seed=1, exclude=["embtune"])
    n_encoded = nlp.get_pipe("embtune").encoder.n_encoded - before
    assert n_encoded == len({example.reference.text for example in examples})


def test_a_document_without_text_is_classified(classified: Language) -> None:
    docs = list(classified.pipe(["", TEXT]))
    assert all(set(doc.cats) == {"SPORT", "FOOD", "MUSIC"} for doc in docs)


# Saved, loaded, sourced


@pytest.mark.slow
def test_it_is_saved_and_loaded(classified: Language, tmp_path: Path) -> None:
    expected = classified(TEXT).cats
    classified.to_disk(tmp_path)
    forget_loaded()
    assert spacy.load(tmp_path)(TEXT).cats == pytest.approx(expected, abs=1e-4)
    copied = spacy.blank("en").from_config(classified.config).from_bytes(classified.to_bytes())
    assert copied(TEXT).cats == pytest.approx(expected, abs=1e-4)


def test_docs_with_vectors_need_no_component(classified: Language, tmp_path: Path) -> None:
    doc = classified(TEXT)
    classified.to_disk(tmp_path)
    alone = spacy.load(tmp_path, exclude=["embtune"])
    (stored,) = DocBin(docs=[doc], store_user_data=True).get_docs(alone.vocab)
    assert alone.get_pipe("textcat")(stored).cats == pytest.approx(doc.cats, abs=1e-5)
    with pytest.raises(ValueError, match=r"no embtune component comes before .*doc\._\.embtune"):
        alone(TEXT)


def test_both_are_sourced(classified: Language, train: MakeNlp) -> None:
    nlp = spacy.blank("en")
    for name in ("embtune", "textcat"):
        nlp.add_pipe(name, source=classified)
    assert nlp(TEXT).cats == pytest.approx(classified(TEXT).cats, abs=1e-5)


@pytest.mark.slow
def test_an_embtune_component_is_sourced_for_a_new_classifier(train: MakeNlp) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", source=train())
    add_textcat(nlp)
    learn(nlp, exclude=["embtune"], annotates=["embtune"])
    assert accuracy(nlp) > 0.9


def test_a_copy_and_a_pickle_of_the_model(classified: Language) -> None:
    doc = classified(TEXT)
    model = classified.get_pipe("textcat").model
    assert_array_equal(model.copy().predict([classified.make_doc(TEXT)]), model.predict([doc]))
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.predict([doc]), model.predict([doc]))


@pytest.mark.slow
def test_processes_classify(classified: Language) -> None:
    (doc,) = classified.pipe([TEXT], n_process=2)
    assert doc.cats == pytest.approx(classified(TEXT).cats, abs=1e-4)


# Which component


def test_a_layer_reads_the_component_that_it_names(tiny_encoder: Path) -> None:
    nlp = spacy.blank("en")
    for name, width in (("one", 8), ("two", 12)):
        head = {"@architectures": "spacy-embtune.FeedForward.v1", "hidden_width": width}
        model = {"encoder": {"name": str(tiny_encoder)}, "head": head}
        nlp.add_pipe("embtune", name=name, config={"extension": name, "model": model})
    add_textcat(nlp, component="one")
    add_textcat(nlp, name="last")
    add_textcat(nlp, component="one", which="base", name="base")
    learn(nlp, 2)
    widths = [layer_of(nlp, name).get_dim("nO") for name in ("textcat", "last", "base")]
    assert widths == [8, 12, 64]
    assert isinstance(nlp.get_pipe("one"), ListenedToComponent)
    assert nlp.get_pipe("one").listening_components == ["textcat", "last", "base"]
    assert nlp.get_pipe("two").listeners == [layer_of(nlp, "last")]
    listener = layer_of(nlp, "last")
    assert nlp.get_pipe("two").remove_listener(listener, "last")
    assert not nlp.get_pipe("two").remove_listener(listener, "last")


@pytest.mark.parametrize("name", ["*", "other"])
def test_a_component_that_is_missing_or_comes_later_is_an_error(
    make_nlp: MakeNlp, name: str
) -> None:
    nlp = make_nlp()
    add_textcat(nlp, component=name)
    nlp.remove_pipe("embtune")
    nlp.remove_pipe("textcat")
    add_textcat(nlp, component=name)
    with pytest.raises(ValueError, match=r"no embtune component.* comes before.*Add it"):
        nlp.initialize(lambda: make_examples(nlp))


# Bad input


def test_an_untrained_component_is_an_error_with_a_cure(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    add_textcat(nlp)
    cure = r'\[embtune\] is not trained.*source it.*which = "base"'
    with nlp.select_pipes(disable=["embtune"]), pytest.raises(ValueError, match=cure):
        nlp.initialize(lambda: make_examples(nlp))
    nlp.initialize(lambda: make_examples(nlp))
    with pytest.raises(ValueError, match=cure):
        nlp(TEXT)


@pytest.mark.slow
def test_base_vectors_need_no_training(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    add_textcat(nlp, which="base")
    learn(nlp, exclude=["embtune"], annotates=["embtune"])
    assert accuracy(nlp) > 0.6


def test_another_width_is_an_error(classified: Language) -> None:
    doc = classified(TEXT)
    doc._.embtune = doc._.embtune[:5]
    with pytest.raises(ValueError, match=r"has 5 numbers.*train the component .* again"):
        classified.get_pipe("textcat").predict([doc])


def test_replace_listeners_is_refused_with_the_reason(classified: Language) -> None:
    with pytest.raises(ValueError, match=r"a copy would encode .* frozen_components"):
        classified.replace_listeners("embtune", "textcat", ["model.tok2vec"])


def test_an_unknown_kind_of_vector_is_an_error() -> None:
    with pytest.raises(ValueError, match='which is \'best\': give "tuned" or "base"'):
        DocEmbedding(which="best")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_component_that_embeds_sentences_gives_vectors_of_docs_without_sentences(
    train: MakeNlp,
) -> None:
    nlp = train(spans="sents")
    add_textcat(nlp)
    examples = make_examples(nlp)
    with nlp.select_pipes(disable=["embtune"]):
        optimizer = nlp.initialize(lambda: examples)
    # Without annotation, the classifier asks the component.
    nlp.update(examples, sgd=optimizer, exclude=["embtune"])
    (doc,) = nlp.get_pipe("textcat").pipe([nlp.make_doc(TEXT)])
    assert set(doc.cats) == set(examples[0].reference.cats)
