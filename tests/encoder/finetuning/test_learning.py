"""Finetuning the encoder in pipelines: nlp.update, and the scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam

from spacy_embtune.data import set_partners
from spacy_embtune.losses import make_preserve
from spacy_embtune.pipeline import EmbTune

from ...conftest import TOPICS, make_examples, make_texts
from ...pipeline.test_component import MakeNlp
from ...pipeline.test_training_pairs import make_pairs
from .pipelines import (
    HEADS,
    assert_same_vectors,
    changed,
    shim_of,
    start,
    vectors,
    weights,
)

# Learning


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("trainable_layers", [1, -1])
def test_it_learns_under_every_head(make: MakeNlp, head: str, trainable_layers: int) -> None:
    nlp = make(head, trainable_layers=trainable_layers)
    examples, optimizer = start(nlp)
    held_out = make_examples(nlp, 60, seed=7)
    before = weights(nlp)
    base = nlp.evaluate(held_out)["embtune_base_map_r"]
    losses = []
    for _ in range(30):
        losses.append(nlp.update(examples, sgd=optimizer)["embtune"])
    assert losses[-1] < losses[0] * 0.8
    scores = nlp.evaluate(held_out)
    assert scores["embtune_base_map_r"] == base
    assert scores["embtune_map_r"] > base + 0.2
    learned = changed(before, weights(nlp))
    of_layer_0 = {name for name in before if "layer.0." in name or "embeddings." in name}
    assert bool(learned & of_layer_0) == (trainable_layers == -1)
    assert {name for name in before if "layer.1." in name} <= learned


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_the_gradient_of_the_encoder_by_finite_differences(make: MakeNlp, head: str) -> None:
    """Through the head, its Standardize, both losses, and the encoder."""
    nlp = make(head)
    examples, optimizer = start(nlp, make_examples(nlp, 12))
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    pipe = nlp.get_pipe("embtune")
    assert isinstance(pipe, EmbTune)
    docs = [example.predicted for example in examples]

    def loss() -> float:
        output, _ = pipe.model.begin_update(docs)
        return pipe.get_loss(examples, output)[0]

    pipe.update(examples)
    parameters = shim_of(nlp).trainer.parameters
    found = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    length = sum(float((g.double() ** 2).sum()) for g in found.values()) ** 0.5
    step, values = 0.02 / length, []
    for sign in (1.0, -2.0):
        with torch.no_grad():
            for name, gradient in found.items():
                parameters[name].add_(gradient, alpha=sign * step)
        values.append(loss())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(length**2, rel=0.05)


PAIR_LOSSES = ["supervised_contrastive", "cosine_pairs"]


@pytest.mark.slow
@pytest.mark.parametrize("loss", PAIR_LOSSES)
@pytest.mark.parametrize("head", ["Linear", "Contrastive"])
def test_pairs_teach_the_encoder(make: MakeNlp, head: str, loss: str) -> None:
    nlp = make(head, loss={"@losses": f"spacy-embtune.{loss}.v1"})
    examples, optimizer = start(nlp, make_pairs(nlp))
    held_out = make_pairs(nlp, seed=7)
    before, base = weights(nlp), nlp.evaluate(held_out)
    for _ in range(15):
        nlp.update(examples, sgd=optimizer)
    scores = nlp.evaluate(held_out)
    # Of the untuned encoder, on both sides of a pair.
    assert scores["embtune_base_spearman"] == base["embtune_base_spearman"]
    assert scores["embtune_base_pearson"] == base["embtune_base_pearson"]
    assert scores["embtune_spearman"] > scores["embtune_base_spearman"] + 0.1
    assert {name for name in before if "layer.1." in name} <= changed(before, weights(nlp))


@pytest.mark.slow
def test_the_text_that_a_document_is_paired_with_learns_too(make: MakeNlp) -> None:
    """Its vector depends on nothing else than the upper layers, and those on it."""
    results = []
    for partner in ("soup", "piano"):
        nlp = make(loss={"@losses": "spacy-embtune.cosine_pairs.v1"}, trainable_layers=-1)
        example = Example.from_dict(nlp.make_doc("bread"), {})
        set_partners(example.reference, [(partner, 0.0)])
        _, optimizer = start(nlp, [example])
        optimizer.L2 = 0.0
        before = weights(nlp)["0.model.embeddings.word_embeddings.weight"]
        nlp.update([example], sgd=optimizer)
        after = weights(nlp)["0.model.embeddings.word_embeddings.weight"]
        tokens = (after != before).any(dim=1).nonzero().flatten().tolist()
        names = shim_of(nlp).encoder.model.tokenizer.convert_ids_to_tokens(tokens)
        results.append(set(names))
        assert shim_of(nlp).n_encoded == 4  # at initialize, and in the update
    assert results == [{"[CLS]", "[SEP]", "bread", word} for word in ("soup", "piano")]


@pytest.mark.slow
@pytest.mark.parametrize("head", ["Linear", "Contrastive"])
def test_preserve_leads_back_to_the_untuned_encoder(make: MakeNlp, head: str) -> None:
    """Not to the one that learns, whose vectors are the tuned vectors under a linear head."""
    nlp = make(head)
    examples, optimizer = start(nlp, rate=0.001)
    texts = [example.text for example in examples]
    untuned = shim_of(nlp).vectors(texts)
    n_encoded = shim_of(nlp).n_encoded

    def distance() -> float:
        cosines = []
        for rows in (untuned, vectors(nlp, texts)[1]):
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            cosines.append((unit @ unit.T)[np.triu_indices(len(rows), 1)])
        return float((cosines[1] - cosines[0]).std())

    for _ in range(10):
        nlp.update(examples, sgd=optimizer)
    # No text a second time for it: all were encoded at initialize.
    assert shim_of(nlp).n_encoded == n_encoded + 10 * len(examples)
    away = distance()
    nlp.get_pipe("embtune").loss = make_preserve()
    for example in examples:
        example.reference.cats = {}
    # Without the momentum of what was learned until now.
    optimizer = Adam(0.0005)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    assert distance() < away * 0.5


@pytest.mark.slow
def test_without_anything_to_learn_from_nothing_changes(make: MakeNlp) -> None:
    nlp = make()
    _, optimizer = start(nlp)
    before = weights(nlp)
    for cats in ({}, {"SPORT": 1.0, "FOOD": 0.0, "MUSIC": 0.0}):
        # Nothing known of any; one document alone, without text.
        examples = make_examples(nlp, 9, cats=lambda topic: {})
        if cats:
            examples = [Example.from_dict(nlp.make_doc(""), {"cats": cats})]
        nlp.update(examples, sgd=optimizer)
        nlp.update([], sgd=optimizer)
    assert not changed(before, weights(nlp))
    assert not nlp.get_pipe("embtune").is_trained


@pytest.mark.slow
def test_labels_that_are_missing_here_and_there(make: MakeNlp) -> None:
    nlp = make(exclusive_classes=False)
    examples = make_examples(nlp, 60)
    for i, example in enumerate(examples):
        for j, label in enumerate(sorted(TOPICS)):
            if (i + j) % 2:
                del example.reference.cats[label]
    examples, optimizer = start(nlp, examples)
    held_out = make_examples(nlp, 60, seed=7)
    base = nlp.evaluate(held_out)["embtune_base_map_r"]
    for _ in range(40):
        nlp.update(examples, sgd=optimizer)
    assert nlp.evaluate(held_out)["embtune_map_r"] > base + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("head", ["Linear", "FeedForward", "Contrastive"])
def test_labels_can_be_added_later(make: MakeNlp, head: str) -> None:
    nlp = make(head)
    examples, optimizer = start(nlp)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    before = vectors(nlp)
    assert nlp.get_pipe("embtune").add_label("OTHER") == 1
    assert_same_vectors(vectors(nlp), before)
    new = make_examples(nlp, 30, seed=3, cats=lambda topic: {"OTHER": 1.0})
    for label in TOPICS:
        for example in new:
            example.reference.cats[label] = 0.0
    for example in examples:
        example.reference.cats["OTHER"] = 0.0
    encoder = weights(nlp)
    nlp.update([*examples, *new], sgd=optimizer)
    assert changed(encoder, weights(nlp))


@pytest.mark.slow
def test_gradients_gathered_over_parts_of_a_batch(make: MakeNlp) -> None:
    """accumulate_gradient: nothing changes until finish_update."""
    nlp = make()
    examples, optimizer = start(nlp)
    before = weights(nlp)
    pipe = nlp.get_pipe("embtune")
    pipe.update(examples[:30])
    halfway = {n: p.grad.clone() for n, p in shim_of(nlp).trainer.parameters.items()}
    nlp("a text in between")
    pipe.update(examples[30:])
    assert any((p.grad != halfway[n]).any() for n, p in shim_of(nlp).trainer.parameters.items())
    assert not changed(before, weights(nlp))
    pipe.finish_update(optimizer)
    assert changed(before, weights(nlp))


@pytest.mark.slow
def test_memory_does_not_change_what_is_learned(make: MakeNlp) -> None:
    """2000 texts of 8 tokens, 64 wide, in one or in two layers, are more than one megabyte."""
    results = []
    for memory in (1, 1024):
        nlp = make(memory_mb=memory, trainable_layers=-1)
        texts = {f"{text} {word}": topic for text, topic in make_texts(60) for word in ("a", "b")}
        examples = [
            Example.from_dict(nlp.make_doc(text), {"cats": {k: float(k == topic) for k in TOPICS}})
            for text, topic in texts.items()
        ]
        examples, optimizer = start(nlp, examples)
        n_encoded = shim_of(nlp).n_encoded
        for _ in range(2):
            nlp.update(examples, sgd=optimizer)
        # Twice forward each, if it is computed in parts.
        passes = 1 if memory == 1024 else 2
        assert shim_of(nlp).n_encoded - n_encoded == 2 * len(examples)
        assert shim_of(nlp).trainer.n_passed == 2 * len(examples) * passes
        results.append(vectors(nlp)[0])
    assert_allclose(*results, atol=2e-3)


# What is in the Docs and in the scores


@pytest.mark.slow
def test_vectors_are_never_stale(make: MakeNlp, tmp_path: Path) -> None:
    nlp = make(cache_dir=str(tmp_path / "vectors"))
    examples, optimizer = start(nlp)
    texts = [example.text for example in examples]
    seen = [np.stack([doc._.embedding for doc in nlp.pipe(texts)])]
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
        base, tuned = vectors(nlp, texts)
        assert_array_equal(base, shim_of(nlp).encoder.encode(texts))
        assert_array_equal(base, tuned)
        assert all((base != before).any(axis=1).all() for before in seen)
        seen.append(base)


@pytest.mark.slow
def test_base_scores_are_those_of_the_untuned_encoder(make: MakeNlp, tmp_path: Path) -> None:
    nlp = make()
    frozen = make(trainable_layers=0)
    examples, optimizer = start(nlp)
    held_out = make_examples(nlp, 60, seed=7)
    start(frozen)
    expected = frozen.evaluate(held_out)
    names = ("embtune_base_p1", "embtune_base_map_r")
    for _ in range(3):
        scores = nlp.evaluate(held_out)
        for name in names:
            assert scores[name] == pytest.approx(expected[name], abs=1e-6)
        nlp.update(examples, sgd=optimizer)
    scores = nlp.evaluate(held_out)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path).evaluate(held_out)
    assert loaded["embtune_map_r"] == scores["embtune_map_r"]
    for name in names:
        assert loaded[name] == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.slow
def test_other_components_see_documents_of_the_encoder_in_use(make: MakeNlp) -> None:
    """As annotating component of another one in training."""
    nlp = make()
    seen = []

    @Language.component("tests_notes_vectors")
    def note(doc: Any) -> Any:
        seen.append(doc._.embedding.copy())
        return doc

    nlp.add_pipe("tests_notes_vectors")
    examples, optimizer = start(nlp)
    for _ in range(2):
        nlp.update(examples[:1], sgd=optimizer, annotates=["embtune", "tests_notes_vectors"])
    assert (seen[0] != seen[1]).any()


# Weights


@pytest.mark.slow
def test_a_second_initialize_starts_afresh(make: MakeNlp, tmp_path: Path) -> None:
    nlp = make("FeedForward")
    results = []
    for path in (tmp_path / "first", tmp_path / "second"):
        examples, optimizer = start(nlp)
        for _ in range(4):
            nlp.update(examples, sgd=optimizer)
        results.append((vectors(nlp), nlp.evaluate(make_examples(nlp, 30, seed=7))))
        nlp.to_disk(path)
    assert_same_vectors(results[0][0], results[1][0])
    for name in ("embtune_map_r", "embtune_base_map_r"):
        assert results[0][1][name] == results[1][1][name]
    for file in ("model", "manifest.json"):
        read = [(tmp_path / way / "embtune" / file).read_bytes() for way in ("first", "second")]
        assert read[0] == read[1]


@pytest.mark.slow
def test_averages_are_evaluated_and_saved(make: MakeNlp, tmp_path: Path) -> None:
    nlp = make()
    examples, optimizer = start(nlp)
    optimizer.averages = {}
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    learned = vectors(nlp)
    with nlp.use_params(optimizer.averages):
        averaged = vectors(nlp)
        nlp.evaluate(examples)
        nlp.to_disk(tmp_path)
    assert (averaged[0] != learned[0]).any()
    assert_same_vectors(vectors(nlp), learned)
    assert_same_vectors(vectors(spacy.load(tmp_path)), averaged)
    nlp.update(examples, sgd=optimizer)


@pytest.mark.slow
def test_a_frozen_component_stays(make: MakeNlp) -> None:
    nlp = make()
    examples, optimizer = start(nlp)
    before = weights(nlp)
    nlp.update(examples, sgd=optimizer, exclude=["embtune"])
    assert not changed(before, weights(nlp))


@pytest.mark.slow
def test_two_components_have_encoders_of_their_own(
    make: MakeNlp, other_encoder: Path, tmp_path: Path
) -> None:
    nlp = make()
    config = nlp.get_pipe_config("embtune")
    encoder = {**config["model"]["encoder"], "name": str(other_encoder)}
    nlp.add_pipe(
        "embtune",
        name="second",
        config={
            **{k: v for k, v in config.items() if k not in ("factory", "scorer")},
            "model": {**config["model"], "encoder": encoder},
            "extension": "second",
            "base_extension": "second_base",
        },
    )
    examples, optimizer = start(nlp)
    before = [weights(nlp, name) for name in nlp.pipe_names]
    nlp.update(examples, sgd=optimizer, exclude=["second"])
    assert changed(before[0], weights(nlp))
    assert not changed(before[1], weights(nlp, "second"))
    nlp.update(examples, sgd=optimizer)
    assert changed(before[1], weights(nlp, "second"))
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    for name in nlp.pipe_names:
        assert not changed(weights(nlp, name), weights(loaded, name))
    doc, again = nlp("bread"), loaded("bread")
    for name in ("embtune", "second"):
        assert_array_equal(doc._.get(name), again._.get(name))
    assert (doc._.embtune != doc._.second).any()


@pytest.mark.slow
@pytest.mark.parametrize("preserve", [False, True])
def test_texts_are_encoded_untuned_only_for_losses_that_compare(
    make: MakeNlp, preserve: bool
) -> None:
    pairs = {"@losses": "spacy-embtune.supervised_contrastive.v1"}
    losses = {"pairs": pairs, "base": {"@losses": "spacy-embtune.preserve.v1"}}
    weights = {"base": float(preserve)}
    nlp = make(
        loss={"@losses": "spacy-embtune.sum.v1", "losses": losses, "weights": weights}, cache_size=0
    )
    examples, optimizer = start(nlp)
    shim = shim_of(nlp)
    n_texts = len({example.text for example in examples})
    before = shim.n_encoded
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    # The first untuned pass comes before the encoder learns: then its vectors are at hand.
    n_untuned = 2 * n_texts if preserve else 0
    assert shim.n_encoded - before == 3 * n_texts + n_untuned
