"""The component in spaCy's hands: annotation, training, labels, bad input."""

import math
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.tokens.underscore import Underscore
from spacy.training import Example
from thinc.api import Adam, Config, fix_random_seed

from spacy_embtune.pipeline import MissingVectorError
from spacy_embtune.pipeline.factory import DEFAULT_CONFIG

from ..conftest import TOPICS, make_examples, make_texts

MakeNlp = Callable[..., Language]


def vectors(docs: list[Doc], name: str = "embtune") -> np.ndarray:
    return np.stack([doc._.get(name) for doc in docs])


# Annotation


@pytest.mark.slow
def test_add_pipe_needs_no_import_of_the_package() -> None:
    import subprocess
    import sys

    code = "import spacy; nlp = spacy.blank('en'); nlp.add_pipe('embtune'); print(nlp.pipe_names)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "['embtune']"


@pytest.mark.slow
def test_an_untrained_pipeline_gives_base_vectors_and_says_what_is_missing(
    make_nlp: MakeNlp,
) -> None:
    doc = make_nlp()("bread and soup")
    assert doc._.embedding.shape == (64,)
    assert doc._.embedding.dtype == np.float32
    with pytest.raises(MissingVectorError, match=r"not trained yet.*spacy train"):
        _ = doc._.embtune
    assert getattr(doc._, "embtune", None) is None


def test_initializing_alone_is_not_training(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    nlp.initialize(lambda: make_examples(nlp))
    assert not hasattr(nlp("bread")._, "embtune")


@pytest.mark.slow
def test_call_pipe_and_two_processes_agree(train: MakeNlp) -> None:
    nlp = train()
    texts = [text for text, _ in make_texts(20, seed=1)] + ["", "  \n"]
    one_by_one = [nlp(text) for text in texts]
    for docs in (
        list(nlp.pipe(texts)),
        list(nlp.pipe(texts, batch_size=3)),
        list(nlp.pipe(texts, n_process=2, batch_size=6)),
    ):
        for name in ("embedding", "embtune"):
            assert_allclose(vectors(docs, name), vectors(one_by_one, name), atol=2e-2)
            assert all(doc._.get(name).dtype == np.float32 for doc in docs)


@pytest.mark.slow
def test_annotating_twice_changes_nothing(train: MakeNlp) -> None:
    nlp = train()
    doc = nlp("bread and soup")
    before = doc._.embtune.copy()
    nlp.get_pipe("embtune")(doc)
    assert_array_equal(doc._.embtune, before)


@pytest.mark.slow
def test_vectors_survive_docbin_and_bytes(train: MakeNlp) -> None:
    nlp = train()
    doc = nlp("bread and soup")
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (from_docbin,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    from_bytes = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    for other in (from_docbin, from_bytes):
        assert_array_equal(other._.embtune, doc._.embtune)
        assert_array_equal(other._.embedding, doc._.embedding)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_a_text_without_content_gets_zeros_and_no_label(train: MakeNlp, text: str) -> None:
    nlp = train(set_cats=True, vector_hooks=True)
    doc = nlp(text)
    assert not doc._.embedding.any()
    assert not doc._.embtune.any()
    assert doc.cats == pytest.approx(dict.fromkeys(TOPICS, 1 / 3))
    assert not doc.has_vector
    assert doc.similarity(nlp("bread")) == 0.0


@pytest.mark.slow
def test_a_batch_of_no_documents_is_fine(train: MakeNlp) -> None:
    nlp = train()
    assert list(nlp.pipe([])) == []
    pipe = nlp.get_pipe("embtune")
    pipe.set_annotations([], pipe.predict([]))


@pytest.mark.slow
def test_a_text_of_a_megabyte_is_embedded(train: MakeNlp) -> None:
    nlp = train()
    nlp.max_length = 2_000_000
    doc = nlp("bread and soup " * 70_000)
    assert len(doc.text) > 1_000_000
    assert np.isfinite(doc._.embtune).all()


@pytest.mark.slow
def test_annotated_rows_do_not_keep_their_batch_alive(train: MakeNlp) -> None:
    docs = list(train().pipe(["bread", "soup", "song"]))
    for name in ("embtune", "embedding"):
        for row in [doc._.get(name) for doc in docs]:
            # A view of an array that holds this row only.
            assert row.base.base is None
            assert row.base.nbytes == row.nbytes


@pytest.mark.slow
def test_vector_hooks_answer_from_the_tuned_vector(train: MakeNlp) -> None:
    nlp = train(vector_hooks=True)
    doc, other = nlp("bread and soup"), nlp("guitar and drum")
    tuned, other_tuned = doc._.embtune, other._.embtune
    assert doc.has_vector
    assert_array_equal(doc.vector, tuned)
    assert doc.vector_norm == pytest.approx(np.linalg.norm(tuned))
    cosine = tuned @ other_tuned / np.linalg.norm(tuned) / np.linalg.norm(other_tuned)
    assert doc.similarity(other) == pytest.approx(float(cosine), abs=1e-6)
    assert doc.similarity(doc) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(ValueError, match="vector_hooks"):
        doc.similarity(spacy.blank("en")("bread"))


@pytest.mark.slow
def test_set_cats_writes_probabilities_and_scores_them_as_textcat_does(train: MakeNlp) -> None:
    nlp = train(set_cats=True)
    doc = nlp("bread and soup")
    assert set(doc.cats) == set(TOPICS)
    assert sum(doc.cats.values()) == pytest.approx(1.0, abs=1e-5)
    scores = nlp.evaluate(make_examples(nlp, 15, seed=1))
    assert scores["cats_score_desc"] == "macro F"
    assert scores["cats_score"] > 0.9


@pytest.mark.slow
def test_cats_are_left_alone_by_default(train: MakeNlp) -> None:
    assert train()("bread").cats == {}


@pytest.mark.slow
def test_own_names_of_the_attributes(train: MakeNlp) -> None:
    nlp = train(extension="topic", base_extension="raw")
    doc = nlp("bread")
    assert doc._.topic.shape == (200,)
    assert doc._.raw.shape == (64,)
    assert "topic_p1" in nlp.evaluate(make_examples(nlp, 9))


# Training


@pytest.mark.slow
def test_it_overfits_a_small_corpus_and_keeps_that_on_disk(train: MakeNlp, tmp_path: Any) -> None:
    nlp = train(n_steps=120)
    losses: dict[str, float] = {}
    examples = make_examples(nlp)
    nlp.update(examples, losses=losses)
    assert losses["embtune"] < 0.01
    texts = [eg.text for eg in examples]
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert_array_equal(vectors(list(loaded.pipe(texts))), vectors(list(nlp.pipe(texts))))


@pytest.mark.slow
def test_training_brings_neighbours_of_one_label_together(train: MakeNlp) -> None:
    nlp = train()
    scores = nlp.evaluate(make_examples(nlp, 60, seed=5))
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"] + 0.1


@pytest.mark.slow
def test_training_is_the_same_for_the_same_seed(train: MakeNlp) -> None:
    first, second = train(n_steps=5), train(n_steps=5)
    assert_array_equal(first("bread")._.embtune, second("bread")._.embtune)


def test_dropout_of_the_head_itself_is_not_overruled(make_nlp: MakeNlp) -> None:
    nlp = make_nlp(model={"encoder": {"name": "x"}, "head": {"dropout": 0.5}})
    from thinc.api import set_dropout_rate

    model = nlp.get_pipe("embtune").model
    set_dropout_rate(model, 0.9)
    assert [
        n.attrs["fixed_dropout_rate"] for n in model.walk() if "fixed_dropout_rate" in n.attrs
    ] == [0.5]


def test_missing_labels_teach_nothing(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    head = nlp.get_pipe("embtune").model.get_ref("head")
    before = head.to_bytes()
    unlabelled = make_examples(nlp, 10, cats=lambda topic: {})
    losses: dict[str, float] = {}
    nlp.update(unlabelled, sgd=optimizer, losses=losses)
    assert losses == {"embtune": 0.0}
    assert head.to_bytes() == before
    assert not nlp.get_pipe("embtune").is_trained


def test_documents_without_cats_among_labelled_ones_do_no_harm(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp) + make_examples(nlp, 10, seed=3, cats=lambda topic: {})
    optimizer = nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("embtune")
    assert pipe.labels == tuple(sorted(TOPICS))
    assert pipe.cfg["exclusive_classes"] is True
    nlp.update(examples, sgd=optimizer)
    assert pipe.is_trained


@pytest.mark.slow
def test_nested_labels_are_learned_where_they_are_known(make_nlp: MakeNlp) -> None:
    nlp = make_nlp(set_cats=True)
    examples = make_examples(nlp, 30, cats=lambda topic: {"FOOD": float(topic == "FOOD")})
    examples += make_examples(nlp, 30, seed=1, cats=lambda topic: {"LOUD": float(topic == "MUSIC")})
    optimizer = nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("embtune")
    assert pipe.cfg["exclusive_classes"] is False
    for _ in range(80):
        nlp.update(examples, sgd=optimizer)
    cats = nlp("guitar drum melody").cats
    assert cats["LOUD"] > 0.5 > cats["FOOD"]


def test_update_before_initialize_says_what_to_do(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match=r"nlp\.initialize"):
        nlp.update(make_examples(nlp), sgd=Adam(0.001))


def test_an_update_of_empty_documents_is_no_update(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    empty = [Example.from_dict(nlp.make_doc(""), {"cats": dict.fromkeys(TOPICS, 0.0)})]
    assert nlp.update(empty, sgd=optimizer) == {"embtune": 0.0}
    assert nlp.update([], sgd=optimizer) == {}


@pytest.mark.slow
def test_resume_training_continues(train: MakeNlp) -> None:
    nlp = train()
    before = nlp("bread")._.embtune
    optimizer = nlp.resume_training()
    losses: dict[str, float] = {}
    nlp.update(make_examples(nlp, 60), sgd=optimizer, losses=losses)
    # From where it was: new weights would have a loss of about log(3).
    assert 0 < losses["embtune"] < 0.3
    assert 0 < np.abs(nlp("bread")._.embtune - before).max() < 0.1


@pytest.mark.slow
def test_initializing_again_forgets_what_was_trained(train: MakeNlp) -> None:
    nlp = train()
    several = make_examples(nlp, cats=lambda topic: {"FOOD": float(topic == "FOOD"), "MUSIC": 1.0})
    nlp.initialize(lambda: several)
    pipe = nlp.get_pipe("embtune")
    assert not pipe.is_trained
    assert not hasattr(nlp("bread")._, "embtune")
    assert pipe.cfg["exclusive_classes"] is False


def test_gradients_of_several_updates_add_up(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("embtune")
    for part in (examples[:15], examples[15:]):
        nlp.update(part, sgd=False)
        assert not pipe.is_trained
    pipe.finish_update(Adam(0.001))
    assert pipe.is_trained


@pytest.mark.slow
def test_memory_zones_and_tuples_work(train: MakeNlp) -> None:
    nlp = train()
    expected = nlp("bread")._.embtune
    with nlp.memory_zone():
        ((doc, context),) = nlp.pipe([("bread", 7)], as_tuples=True)
        assert context == 7
        assert_array_equal(doc._.embtune, expected)


def test_averages_of_the_weights_are_used(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    last = nlp("bread")._.embtune
    with nlp.use_params(optimizer.averages):
        averaged = nlp("bread")._.embtune
    assert np.abs(averaged - last).max() > 1e-4
    assert_array_equal(nlp("bread")._.embtune, last)


@pytest.mark.slow
def test_frozen_sourced_component_stays_as_it_was(train: MakeNlp) -> None:
    source = train()
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", source=source)
    nlp.add_pipe("textcat")
    examples = make_examples(nlp)
    with nlp.select_pipes(disable=["embtune"]):
        optimizer = nlp.initialize(lambda: examples)
    before = source("bread")._.embtune
    seen: list[Any] = []
    nlp.add_pipe("sees_vectors", after="embtune")
    nlp.get_pipe("sees_vectors").seen = seen
    nlp.update(examples, sgd=optimizer, exclude=["embtune"], annotates=["embtune", "sees_vectors"])
    assert_array_equal(nlp("bread")._.embtune, before)
    assert seen
    assert all(vector is not None for vector in seen)


class SeesVectors:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, doc: Doc) -> Doc:
        self.seen.append(getattr(doc._, "embtune", None))
        return doc


@Language.factory("sees_vectors")
def make_sees_vectors(nlp: Language, name: str) -> SeesVectors:
    return SeesVectors()


def test_annotating_during_update_encodes_each_text_once(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer, annotates=["embtune"])
        nlp.evaluate(make_examples(nlp, 12, seed=9))
    texts = {eg.text for eg in examples} | {eg.text for eg in make_examples(nlp, 12, seed=9)}
    assert nlp.get_pipe("embtune").encoder.n_encoded == len(texts)


@pytest.mark.slow
def test_a_loaded_pipeline_keeps_no_vectors(train: MakeNlp, tmp_path: Any) -> None:
    train().to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    list(nlp.pipe(["bread", "soup"]))
    assert len(nlp.get_pipe("embtune").encoder.cache) == 0


# Labels


@pytest.mark.slow
def test_labels_come_from_the_data_or_from_the_argument(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("embtune").label_data == sorted(TOPICS)
    nlp = make_nlp()
    pipe = nlp.get_pipe("embtune")
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, labels=["MUSIC", "OTHER"])
    assert pipe.labels == ("MUSIC", "OTHER")


@pytest.mark.slow
def test_add_label_after_training_keeps_what_was_learned(train: MakeNlp, tmp_path: Any) -> None:
    nlp = train(set_cats=True)
    pipe = nlp.get_pipe("embtune")
    before, tuned = nlp("bread and soup").cats, nlp("bread and soup")._.embtune
    assert pipe.add_label("NEWS") == 1
    assert pipe.add_label("NEWS") == 0
    after = nlp("bread and soup").cats
    assert after["NEWS"] < 0.1
    assert max(after, key=after.get) == max(before, key=before.get)
    assert_array_equal(nlp("bread and soup")._.embtune, tuned)
    optimizer = nlp.resume_training()
    news = Example.from_dict(nlp.make_doc("new old good"), {"cats": {"NEWS": 1.0}})
    for _ in range(80):
        nlp.update([*make_examples(nlp), news], sgd=optimizer)
    assert nlp("new old good").cats["NEWS"] > 0.5
    nlp.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")("new old good").cats["NEWS"] > 0.5


@pytest.mark.slow
def test_a_subset_of_the_labels_is_not_taken_for_exclusive(make_nlp: MakeNlp) -> None:
    for labels in (["FOOD"], ["FOOD", "MUSIC"]):
        nlp = make_nlp()
        pipe = nlp.get_pipe("embtune")
        pipe.initialize(lambda nlp=nlp: make_examples(nlp), nlp=nlp, labels=labels)
        assert pipe.cfg["exclusive_classes"] is False


@pytest.mark.slow
def test_two_components_need_attributes_of_their_own(
    make_nlp: MakeNlp, tiny_encoder: Any, other_encoder: Any
) -> None:
    def config(encoder: Any, **settings: Any) -> dict[str, Any]:
        return {"model": {"encoder": {"name": str(encoder)}}, **settings}

    nlp = make_nlp()
    nlp.add_pipe("embtune", name="second", config=config(tiny_encoder))
    with pytest.raises(ValueError, match=r"both write to doc\._\.embtune"):
        nlp.initialize(lambda: make_examples(nlp))
    nlp.remove_pipe("second")
    nlp.add_pipe("embtune", name="second", config=config(other_encoder, extension="topic"))
    with pytest.raises(ValueError, match=r"both write to doc\._\.embedding"):
        nlp.initialize(lambda: make_examples(nlp))
    nlp.remove_pipe("second")
    nlp.add_pipe("embtune", name="second", config=config(tiny_encoder, extension="topic"))
    examples = make_examples(nlp, 60)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    assert {"embtune_p1", "topic_p1"} <= set(nlp.evaluate(examples))


def test_score_weights_that_nobody_gives_are_reported(
    make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp(extension="topic")
    nlp.config["training"]["score_weights"] = {"embtune_p1": 1.0}
    nlp.initialize(lambda: make_examples(nlp))
    assert "no component gives, so they count as 0: embtune_p1" in caplog.text
    assert "topic_p1" in caplog.text


def test_score_weights_are_reported_once_for_all_components(
    make_nlp: MakeNlp, tiny_encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp(extension="topic")
    model = {"encoder": {"name": str(tiny_encoder)}}
    nlp.add_pipe("embtune", name="second", config={"model": model, "extension": "urgency"})
    nlp.initialize(lambda: make_examples(nlp))
    (message,) = [text for text in caplog.messages if "score_weights" in text]
    assert "0: embtune_p1, embtune_map_r, embtune_base_p1, embtune_base_map_r. The" in message
    assert "topic_p1" in message
    assert "urgency_p1" in message
    caplog.clear()
    weights = nlp.config["training"]["score_weights"]
    nlp.config["training"]["score_weights"] = dict.fromkeys(weights)
    nlp.initialize(lambda: make_examples(nlp))
    assert "score_weights" not in caplog.text


def test_labels_of_another_head_do_not_contradict(
    make_nlp: MakeNlp, tiny_encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp(extension="topic")
    examples = make_examples(nlp)
    examples += make_examples(nlp)
    for i, example in enumerate(examples):
        example.reference.cats |= {"NOW": float(i < 30), "LATER": float(i >= 30)}
    pipe = nlp.get_pipe("embtune")
    pipe.initialize(lambda: examples, nlp=nlp, labels=list(TOPICS))
    assert pipe.cfg["exclusive_classes"]
    assert "contradict" not in caplog.text
    model = {"encoder": {"name": str(tiny_encoder)}}
    pipe = nlp.add_pipe("embtune", name="second", config={"model": model})
    pipe.initialize(lambda: examples, labels=["NOW", "LATER"])
    assert "30 texts occur more than once with cats that contradict" in caplog.text


def test_labels_added_before_initialize_are_kept(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    nlp.get_pipe("embtune").add_label("ZEBRA")
    nlp.initialize(lambda: make_examples(nlp))
    assert set(nlp.get_pipe("embtune").labels) == {"ZEBRA", *TOPICS}


@pytest.mark.parametrize("label", [1, None, 1.5])
def test_a_label_that_is_no_string_is_an_error(make_nlp: MakeNlp, label: Any) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match="E187"):
        nlp.get_pipe("embtune").add_label(label)
    examples = make_examples(nlp)
    examples[4].reference.cats = {label: 1.0}
    with pytest.raises(ValueError, match=r"document 4.*string"):
        nlp.initialize(lambda: examples)


@pytest.mark.slow
@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf, "yes", None])
def test_a_value_outside_0_to_1_is_an_error_that_names_document_and_label(
    make_nlp: MakeNlp, value: Any
) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    examples[2].reference.cats = {"FOOD": value}
    with pytest.raises(ValueError, match=r"document 2 .*FOOD"):
        nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match=r"document 2 .*FOOD"):
        nlp.update(examples, sgd=optimizer)


def test_no_labels_at_all_is_an_error_that_says_so(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match=r"no labels: none of the 5 .*doc\.cats"):
        nlp.initialize(lambda: make_examples(nlp, 5, cats=lambda topic: {}))
    with pytest.raises(ValueError, match="E143"):
        nlp.initialize()


def test_two_positives_where_classes_exclude_each_other_are_an_error(make_nlp: MakeNlp) -> None:
    nlp = make_nlp(exclusive_classes=True)
    examples = make_examples(nlp)
    examples[1].reference.cats = dict.fromkeys(TOPICS, 1.0)
    with pytest.raises(ValueError, match=r"document 1.*exclusive_classes"):
        nlp.initialize(lambda: examples)


def test_exclusive_classes_need_two_labels(make_nlp: MakeNlp) -> None:
    nlp = make_nlp(exclusive_classes=True)
    with pytest.raises(ValueError, match="at least two labels"):
        nlp.initialize(lambda: make_examples(nlp, cats=lambda topic: {"ONE": 1.0}))


@pytest.fixture
def no_extensions() -> None:
    """As in a process that made no pipeline yet: fixtures that live longer than a test may have."""
    Underscore.doc_extensions.clear()


@pytest.mark.usefixtures("no_extensions")
def test_a_name_taken_by_a_getter_is_an_error(make_nlp: MakeNlp) -> None:
    Doc.set_extension("embtune", getter=len)
    with pytest.raises(ValueError, match=r"getter.*Doc\.remove_extension"):
        make_nlp()


@pytest.mark.usefixtures("no_extensions")
def test_a_name_taken_by_a_method_is_an_error(make_nlp: MakeNlp) -> None:
    Doc.set_extension("embedding", method=len)
    with pytest.raises(ValueError, match=r"method.*base_extension"):
        make_nlp()


@pytest.mark.slow
@pytest.mark.usefixtures("no_extensions")
def test_a_plain_attribute_of_the_user_is_written_to(train: MakeNlp) -> None:
    Doc.set_extension("embtune", default=None)
    assert train()("bread")._.embtune.shape == (200,)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "two words", "1st"])
def test_a_name_that_is_none_is_an_error(make_nlp: MakeNlp, name: str) -> None:
    with pytest.raises(ValueError, match="Python name"):
        make_nlp(extension=name)


def test_one_name_for_both_vectors_is_an_error(make_nlp: MakeNlp) -> None:
    with pytest.raises(ValueError, match="both"):
        make_nlp(extension="same", base_extension="same")


@pytest.mark.slow
def test_the_error_handler_of_the_pipeline_is_used(train: MakeNlp) -> None:
    nlp = train()
    failed: list[int] = []
    nlp.set_error_handler(lambda name, proc, docs, error: failed.append(len(docs)))
    pipe = nlp.get_pipe("embtune")
    pipe.model.get_ref("head").layers[1].set_param("W", np.zeros((200, 7), dtype="f"))
    assert list(nlp.pipe(["bread"])) == []
    assert failed == [1]


# Pickle, and the config


@pytest.mark.slow
def test_a_pickled_pipeline_works(train: MakeNlp) -> None:
    nlp = train()
    copy = pickle.loads(pickle.dumps(nlp))
    assert_array_equal(copy("bread")._.embtune, nlp("bread")._.embtune)


def test_the_default_config_is_what_add_pipe_uses() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune")
    used = nlp.config["components"]["embtune"]
    defaults = Config().from_str(DEFAULT_CONFIG)["embtune"]
    plain = {key: value for key, value in defaults.items() if not isinstance(value, dict)}
    assert {key: used[key] for key in plain} == plain
    assert used["model"]["encoder"]["name"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert used["model"]["head"]["@architectures"] == "spacy-embtune.FeedForward.v1"
    assert used["loss"]["@losses"] == "spacy-embtune.cross_entropy.v1"


class TorchHead(torch.nn.Module):
    """A user's own head, made when the widths are known."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(n_in, 24)
        self.output = torch.nn.Linear(24, n_out)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self.hidden(x).tanh()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.embed(x))


@spacy.registry.misc("tests.torch_head.v1")
def make_torch_head() -> type[TorchHead]:
    return TorchHead


@pytest.mark.slow
def test_a_torch_head_from_the_config_trains_and_is_stored(
    train: MakeNlp, tiny_encoder: Any, tmp_path: Any
) -> None:
    model = {
        "@architectures": "spacy-embtune.EmbTune.v1",
        "encoder": {
            "@architectures": "spacy-embtune.SentenceTransformer.v1",
            "name": str(tiny_encoder),
        },
        "head": {
            "@architectures": "spacy-embtune.PyTorchHead.v1",
            "module": {"@misc": "tests.torch_head.v1"},
        },
    }
    nlp = train(n_steps=100, model=model)
    scores = nlp.evaluate(make_examples(nlp, 60, seed=5))
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"] + 0.1
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded("bread")._.embtune.shape == (24,)
    assert_array_equal(loaded("bread")._.embtune, nlp("bread")._.embtune)
    with pytest.raises(ValueError, match=r"resize_output\(n_out\)"):
        nlp.get_pipe("embtune").add_label("NEWS")
    assert nlp.get_pipe("embtune").labels == tuple(sorted(TOPICS))


@pytest.mark.slow
def test_shuffled_minibatches_train_as_well(make_nlp: MakeNlp) -> None:
    fix_random_seed(0)
    nlp = make_nlp(set_cats=True)
    examples = make_examples(nlp, 48)
    optimizer = nlp.initialize(lambda: examples)
    rng = random.Random(0)
    for _ in range(30):
        rng.shuffle(examples)
        for start in range(0, 48, 16):
            nlp.update(examples[start : start + 16], sgd=optimizer)
    assert nlp.evaluate(make_examples(nlp, 30, seed=2))["cats_score"] > 0.9
