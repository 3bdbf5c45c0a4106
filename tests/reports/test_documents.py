import importlib

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.training import Example

from spacy_embtune.data import Record
from spacy_embtune.reports import choose_labels, documents, labels_of_others, report

from ..conftest import TOPICS, make_examples, make_texts


def make_records(rows):
    return [Record(text, cats, f"id{i}", {}, i) for i, (text, cats) in enumerate(rows)]


@pytest.mark.slow
def test_documents_have_what_the_pipeline_gives(train):
    nlp = train()
    texts = [text for text, _ in make_texts(20, seed=3)]
    found = documents(nlp, None, make_records((text, {}) for text in texts))
    assert found.texts == texts
    assert found.ids == [f"id{i}" for i in range(20)]
    docs = list(nlp.pipe(texts))
    # bfloat16 sums in another order where batches are others.
    assert_allclose(found.base, np.stack([doc._.embedding for doc in docs]), atol=2e-2)
    assert_allclose(found.tuned, np.stack([doc._.embtune for doc in docs]), atol=5e-2)
    pipe = nlp.get_pipe("embtune")
    assert found.predicted_labels == list(pipe.labels)
    assert_allclose(found.probabilities, pipe.predict(docs).cats, atol=2e-2)
    assert {array.dtype for array in found[4:7]} == {np.dtype("float32")}


@pytest.mark.slow
def test_examples_docs_and_records_are_the_same(train):
    nlp = train(n_steps=2)
    examples = make_examples(nlp, 9)
    # What is predicted does not matter.
    examples = [Example(nlp(example.reference.text), example.reference) for example in examples]
    docs = [example.reference for example in examples]
    records = [Record(doc.text, doc.cats, str(i), {}, i) for i, doc in enumerate(docs)]
    one, two, three = (documents(nlp, "embtune", kind) for kind in (examples, docs, records))
    for other in (two, three):
        assert (one.ids, one.texts, one.labels) == (other.ids, other.texts, other.labels)
        for array, theirs in zip(one.targets[:2], other.targets[:2], strict=True):
            assert_array_equal(array, theirs)
        assert_array_equal(one.tuned, other.tuned)


@pytest.mark.slow
def test_documents_of_many_batches_keep_their_order(train, monkeypatch):
    # In the package, the function goes by the name of its module.
    module = importlib.import_module("spacy_embtune.reports.documents")
    nlp = train(n_steps=2)
    records = make_records((text, {}) for text, _ in make_texts(23))
    whole = documents(nlp, None, records)
    monkeypatch.setattr(module, "_BATCH_SIZE", 5)
    parts = documents(nlp, None, records)
    assert_allclose(parts.tuned, whole.tuned, atol=5e-2)
    assert np.abs(whole.tuned - whole.tuned[::-1]).max() > 0.2


@pytest.mark.slow
def test_documents_without_text_have_vectors_of_zeros(train):
    nlp = train(n_steps=2)
    found = documents(nlp, None, make_records([("ball", {}), ("", {}), (" \n", {})]))
    assert_array_equal(found.base.any(axis=1), [True, False, False])
    assert_array_equal(found.tuned.any(axis=1), [True, False, False])


def test_no_documents_are_no_error(train):
    found = documents(train(n_steps=2), None, [])
    assert found.texts == []
    assert len(found.base) == len(found.tuned) == len(found.probabilities) == 0


def test_an_encoder_that_reads_annotations_gets_them():
    nlp = spacy.blank("en")
    for word, vector in {"red": [1, 0], "blue": [0, 1]}.items():
        nlp.vocab.set_vector(word, np.asarray(vector, dtype="f"))
    model = {
        "@architectures": "spacy-embtune.EmbTune.v1",
        "encoder": {"@architectures": "spacy-embtune.DocVectors.v1"},
        "head": {"@architectures": "spacy-embtune.FeedForward.v1", "hidden_width": 4},
    }
    nlp.add_pipe("embtune", config={"model": model})
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"R": float(i == 0), "B": float(i == 1)}})
        for i, text in enumerate(["red", "blue"])
    ]
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    # What comes behind is not asked: this would fail.
    nlp.add_pipe("tagger")
    found = documents(nlp, None, examples)
    assert_allclose(found.base, np.eye(2))
    assert nlp.pipe_names == ["embtune", "tagger"]


# Labels


def make_pipe(train, **cfg):
    pipe = train(n_steps=1).get_pipe("embtune")
    pipe.cfg.update(cfg)
    return pipe


def test_labels_are_those_of_the_component_and_then_those_of_the_documents(train):
    pipe = make_pipe(train)
    space = choose_labels(pipe, [{"SPORT": 1.0}, {"ZOO": 1.0}, {"ART": 1.0}, {}])
    assert space == ([*pipe.labels, "ART", "ZOO"], True, ["ART", "ZOO"], None)
    assert choose_labels(pipe, []).labels == list(pipe.labels)


@pytest.mark.slow
def test_the_component_says_whether_labels_exclude_each_other_unless_that_cannot_be(train):
    one_each = [{"SPORT": 1.0, "FOOD": 0.0}, {"SPORT": 0.0, "FOOD": 1.0}]
    assert choose_labels(make_pipe(train), one_each)[1:] == (True, [], None)
    apart = make_pipe(train, exclusive_classes=False)
    assert choose_labels(apart, one_each)[1:] == (False, [], None)
    several = choose_labels(make_pipe(train), [*one_each, {"SPORT": 1.0, "FOOD": 1.0}])
    assert not several.exclusive
    assert "several labels" in several.note


@pytest.mark.slow
def test_documents_that_name_one_label_each_mean_that_the_others_are_absent(train):
    apart = make_pipe(train, exclusive_classes=False)
    named = choose_labels(apart, [{"SPORT": 1.0}, {"FOOD": 1.0}, {}])
    assert named.exclusive
    assert "count as absent" in named.note
    # Of one label alone, or where an absence is known as well, nothing follows.
    assert not choose_labels(apart, [{"SPORT": 1.0}, {"SPORT": 1.0}]).exclusive
    assert not choose_labels(apart, [{"SPORT": 1.0}, {"FOOD": 0.0}]).exclusive
    nlp = train(n_steps=1)
    nlp.get_pipe("embtune").cfg["exclusive_classes"] = False
    found = documents(nlp, None, make_records([("ball", {"SPORT": 1.0}), ("x", {"FOOD": 1.0})]))
    assert found.targets.known.all()


def test_labels_of_others_do_not_exclude_each_other_because_its_own_do(train):
    pipe = make_pipe(train)
    yes_no = choose_labels(pipe, [{"SPAM": 1.0}, {"SPAM": 0.0}])
    assert yes_no[1:] == (False, ["SPAM"], None)
    # Where its own labels stand beside, what is said to lack one label carries no other.
    assert not choose_labels(pipe, [{"SPORT": 1.0}, {"SPAM": 0.0}]).exclusive
    assert choose_labels(pipe, [{"SPORT": 1.0}, {"SPAM": 1.0}]).exclusive
    assert choose_labels(pipe, [{"SPAM": 1.0}, {"HAM": 1.0}]).exclusive


def test_a_component_without_labels_takes_those_of_the_documents(train):
    pipe = make_pipe(train, labels=[], exclusive_classes=False)
    cats = [{"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 1.0}]
    assert choose_labels(pipe, cats) == (["A", "B"], True, ["A", "B"], None)
    assert not choose_labels(pipe, [*cats, {"A": 1.0, "B": 1.0}]).exclusive


def test_missing_labels_stay_missing_and_graded_ones_graded(train):
    nlp = train(n_steps=1)
    nlp.get_pipe("embtune").cfg["exclusive_classes"] = False
    found = documents(nlp, None, make_records([("ball", {"SPORT": 0.3, "NEW": 1.0}), ("x", {})]))
    assert found.labels == [*sorted(TOPICS), "NEW"]
    assert_allclose(found.targets.values[0], [0, 0, 0.3, 1])
    assert_array_equal(found.targets.known, [[0, 0, 1, 1], [0, 0, 0, 0]])


# Errors


def test_invalid_labels_name_the_document(train):
    nlp = train(n_steps=1)
    with pytest.raises(ValueError, match=r"document 'id1' \('ball'\).*outside 0..1"):
        documents(nlp, None, make_records([("x", {}), ("ball", {"SPORT": 2.0})]))


@pytest.mark.slow
def test_of_several_components_one_is_named(train, make_nlp):
    nlp = train(n_steps=1)
    nlp.add_pipe("second", source=make_nlp("second", extension="more"))
    records = make_records([("ball", {})])
    with pytest.raises(ValueError, match="several embtune components: 'embtune', 'second'"):
        documents(nlp, None, records)
    assert documents(nlp, "embtune", records).tuned.any()
    with pytest.raises(ValueError, match="'second' is not trained yet"):
        documents(nlp, "second", records)
    with pytest.raises(ValueError, match="no embtune component of the name 'third'"):
        documents(nlp, "third", records)


def test_an_untrained_component_is_an_error(make_nlp):
    with pytest.raises(ValueError, match="not trained yet"):
        documents(make_nlp(), None, make_records([("x", {})]))


@pytest.mark.slow
def test_the_threshold_comes_along(train):
    nlp = train(n_steps=2, exclusive_classes=False, threshold=0.3)
    assert documents(nlp, None, make_records([("bread", {})])).threshold == 0.3


def test_a_random_output_layer_predicts_nothing(train):
    # The head FeedForward starts its output layer at random, and a loss on pairs leaves it so.
    nlp = train(n_steps=5, loss={"@losses": "spacy-embtune.supervised_contrastive.v1"})
    found = documents(nlp, None, make_records([("bread", {"FOOD": 1.0}), ("goal", {})]))
    assert found.predicted_labels == []
    assert found.probabilities.shape == (2, 0)


@pytest.mark.slow
def test_labels_of_other_components_are_left_out(train, tiny_encoder):
    nlp = train(n_steps=2)
    model = {"encoder": {"name": str(tiny_encoder)}}
    other = nlp.add_pipe("embtune", name="urgency", config={"model": model, "extension": "urgency"})
    for label in ("NOW", "LATER", "SPORT"):
        other.add_label(label)
    rows = [
        (text, {label: float(label == topic) for label in TOPICS} | {"NOW": 1.0, "NEW": 0.0})
        for text, topic in make_texts(9)
    ]
    found = documents(nlp, "embtune", make_records(rows))
    assert found.labels == [*nlp.get_pipe("embtune").labels, "NEW"]
    told = report(nlp, make_records(rows), name="embtune", progress=False)
    assert told.unknown_labels == ["NEW"]
    assert "Labels of other components are left out: 'NOW'." in told.notes
    assert not any("several labels" in note for note in told.notes)
    # A component without labels of its own may be compared by any.
    assert labels_of_others(nlp, spacy.blank("en").add_pipe("embtune")) == set()
