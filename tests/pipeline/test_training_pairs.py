"""Pairs, groups and the bank in training."""

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.language import Language
from spacy.training import Example
from spacy.training.loop import create_train_batches
from thinc.api import fix_random_seed

from spacy_embtune.data import (
    PairsFromCorpus,
    get_partners,
    pairs_to_examples,
    set_group,
    set_partners,
)
from spacy_embtune.labels import pairs_of
from spacy_embtune.training.batches import add_memory, make_batch
from spacy_embtune.training.memory_bank import MemoryBank

from ..conftest import TOPICS, make_examples, make_texts
from .test_component import MakeNlp

HEAD = {"@architectures": "spacy-embtune.Contrastive.v1"}


def make_contrastive(make_nlp: MakeNlp, tiny_encoder: Any, loss: str, **config: Any) -> Language:
    fix_random_seed(0)
    return make_nlp(
        model={
            "encoder": {
                "@architectures": "spacy-embtune.SentenceTransformer.v1",
                "name": str(tiny_encoder),
            },
            "head": HEAD,
        },
        loss={"@losses": f"spacy-embtune.{loss}.v1"},
        **config,
    )


def make_pairs(nlp: Language, n: int = 60, *, seed: int = 0) -> list[Example]:
    """Examples without labels: each text with one of its topic (1.0) and one of another (0.0)."""
    texts = make_texts(n, seed=seed)
    examples = []
    for (text, topic), (other, _), (same, _) in zip(
        texts, texts[1:] + texts[:1], texts[3:] + texts[:3], strict=True
    ):
        del topic
        example = Example.from_dict(nlp.make_doc(text), {})
        set_partners(example.reference, [(same, 1.0), (other, 0.0)])
        examples.append(example)
    return examples


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cosine_pairs", "supervised_contrastive"])
def test_pairs_alone_teach_what_labels_would(
    make_nlp: MakeNlp, tiny_encoder: Any, loss: str, tmp_path: Any
) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, loss)
    examples = make_pairs(nlp)
    optimizer = nlp.initialize(lambda: examples)
    assert nlp.get_pipe("embtune").labels == ()
    losses: dict[str, float] = {}
    for _ in range(60):
        nlp.update(examples, sgd=optimizer, losses=losses)
    scores = nlp.evaluate(make_pairs(nlp, seed=7))
    assert scores["embtune_spearman"] > scores["embtune_base_spearman"] + 0.05
    assert scores["embtune_pearson"] > scores["embtune_base_pearson"] + 0.05
    assert scores["embtune_p1"] is None  # no labels anywhere
    nlp.to_disk(tmp_path)
    assert_allclose(spacy.load(tmp_path)("bread")._.embtune, nlp("bread")._.embtune, atol=1e-6)


@pytest.mark.slow
def test_groups_teach_without_labels_and_show_in_the_labels(
    make_nlp: MakeNlp, tiny_encoder: Any
) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, "supervised_contrastive")
    examples = make_examples(nlp, 60, cats=lambda topic: {})
    for example, (_, topic) in zip(examples, make_texts(60), strict=True):
        set_group(example.reference, f"group of {topic}")
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(40):
        nlp.update(examples, sgd=optimizer)
    held_out = make_examples(nlp, 60, seed=7)
    scores = nlp.evaluate(held_out)
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"] + 0.1


def test_labels_can_be_added_to_what_pairs_trained(make_nlp: MakeNlp, tiny_encoder: Any) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, "cosine_pairs")
    examples = make_pairs(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    before = nlp("bread")._.embtune
    assert nlp.get_pipe("embtune").add_label("FOOD") == 1
    assert_allclose(nlp("bread")._.embtune, before)


def test_a_batch_holds_each_partner_once_and_says_nothing_of_its_label(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 3)
    set_partners(examples[0].reference, [("soup", 1.0), ("drum", 0.25)])
    set_partners(examples[2].reference, [("soup", 0.5)])
    batch = make_batch(examples, sorted(TOPICS), exclusive=True, counts=None)
    assert batch.keys[3:] == ["soup", "drum"]
    assert batch.scored == [(0, 3, 1.0), (0, 4, 0.25), (2, 3, 0.5)]
    assert batch.targets.known.tolist() == [[1.0] * 3] * 3 + [[0.0] * 3] * 2


def test_pairs_go_before_groups_and_groups_before_labels(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 4)  # SPORT, FOOD, MUSIC, SPORT
    set_group(examples[0].reference, "a")
    set_group(examples[3].reference, "b")
    set_partners(examples[1].reference, [("soup", 0.75)])
    batch = make_batch(examples, sorted(TOPICS), exclusive=True, counts=None)
    pipe = nlp.get_pipe("embtune")
    base = pipe.model.get_ref("encoder").predict(batch.docs)
    _, targets = add_memory(batch, base, MemoryBank(0), pipe.model.ops)
    similarity, weight = pairs_of(targets)
    assert similarity[0, 3] == 0.0  # the same label, but different groups
    assert weight[0, 3] == 1.0
    assert similarity[1, 4] == similarity[4, 1] == 0.75
    assert (similarity[0, 1], weight[0, 1]) == (0.0, 1.0)  # by their labels
    assert weight[0, 4] == 0.0  # nothing known of them


@pytest.mark.slow
def test_the_bank_stands_for_a_larger_batch(make_nlp: MakeNlp, tiny_encoder: Any) -> None:
    """A batch of one document teaches nothing about pairs; with a bank behind it, it does."""
    gained = {}
    for bank_size in (0, 100):
        nlp = make_contrastive(
            make_nlp, tiny_encoder, "supervised_contrastive", bank_size=bank_size
        )
        examples = make_examples(nlp, 30)
        optimizer = nlp.initialize(lambda examples=examples: examples)
        losses: dict[str, float] = {}
        for example in itertools.chain(*[examples] * 3):
            nlp.update([example], sgd=optimizer, losses=losses)
        gained[bank_size] = losses["embtune"]
        assert len(nlp.get_pipe("embtune").bank) == min(bank_size, 30)
    assert gained[0] == 0.0
    assert gained[100] > 0.0


def test_negative_partners_are_not_of_the_group_of_their_document(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    given = make_examples(nlp, 24)
    group_of = {}
    for i, example in enumerate(given):
        group_of[example.text] = f"group {i % 4}"
        set_group(example.reference, group_of[example.text])
    for by in ("group", "cats"):
        reader = PairsFromCorpus(lambda nlp: given, by, n_pos=1, n_neg=2)  # type: ignore[arg-type]
        batch = make_batch(list(reader(nlp)), sorted(TOPICS), exclusive=True, counts=None)
        names = dict(zip(batch.keys, batch.groups, strict=True))
        assert names.items() <= group_of.items()


def test_groups_that_share_a_text_are_one(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    pairs = [("bread", "soup"), ("soup", "salt"), ("drum", "song"), ("team", "coach")]
    batch = make_batch(list(pairs_to_examples(nlp, pairs)), [], exclusive=False, counts=None)
    group = dict(zip(batch.keys, batch.groups, strict=True))
    assert sorted(batch.keys) == sorted({text for pair in pairs for text in pair})
    assert group["bread"] == group["soup"] == group["salt"]
    assert len({group["bread"], group["drum"], group["team"]}) == 3


def test_a_score_holds_for_every_document_of_the_same_text(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"FOOD": 1.0}})
        for text in ("bread", "soup", "bread")
    ]
    set_partners(examples[0].reference, [("soup", 0.25)])
    batch = make_batch(examples, ["FOOD"], exclusive=False, counts=None)
    assert len(batch.docs) == 3
    assert sorted(batch.scored) == [(0, 1, 0.25), (2, 1, 0.25)]


def test_pairs_in_a_batch_do_not_change_what_labels_say_of_others(
    make_nlp: MakeNlp,
) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe("embtune")
    examples = make_examples(nlp, 6)
    found = []
    for has_partner in (False, True):
        if has_partner:
            set_partners(examples[5].reference, [("soup", 1.0)])
        batch = make_batch(examples, sorted(TOPICS), exclusive=False, counts=None)
        base = pipe.model.get_ref("encoder").predict(batch.docs)
        _, targets = add_memory(batch, base, MemoryBank(0), pipe.model.ops)
        found.append([array[:6, :6] for array in pairs_of(targets, negatives="class")])
    assert_allclose(found[1], found[0])


def test_each_epoch_of_a_streamed_training_draws_other_partners(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    given = make_examples(nlp, 30)
    reader = PairsFromCorpus(lambda nlp: given, "cats", shuffle=True)
    batches = create_train_batches(nlp, reader, lambda examples: [list(examples)], -1)
    epochs = []
    for _, batch in itertools.islice(batches, 3):
        partners = {eg.text: get_partners(eg.reference)[0].text for eg in batch}
        epochs.append((list(partners), partners))
    assert epochs[0][0] != epochs[1][0]
    assert sorted(epochs[0][0]) == sorted(epochs[1][0])
    changed = sum(epochs[0][1][text] != epochs[1][1][text] for text in epochs[0][1])
    assert changed > 15


def test_training_that_teaches_nothing_is_reported_once(
    make_nlp: MakeNlp, tiny_encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, "cross_entropy")
    examples = make_pairs(nlp, 6)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(50):
        nlp.update(examples, sgd=optimizer)
    assert caplog.text.count("updates in a row taught nothing") == 1
    assert "spacy-embtune.cosine_pairs.v1" in caplog.text
    assert "larger batches or bank_size" in caplog.text


def test_dev_pairs_of_one_score_are_reported(
    make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp()
    pairs = [("bread", "soup", 1.0), ("song", "drum", 1.0)]
    for _ in range(2):
        assert nlp.evaluate(pairs_to_examples(nlp, pairs))["embtune_spearman"] is None
    assert caplog.text.count("correlation is then not defined") == 1


def test_an_encoder_that_reads_docs_says_that_it_cannot_read_partners() -> None:
    nlp = spacy.blank("en")
    nlp.vocab.set_vector("bread", np.ones(4, dtype="float32"))
    model = {
        "@architectures": "spacy-embtune.EmbTune.v1",
        "encoder": {"@architectures": "spacy-embtune.DocVectors.v1"},
        "head": HEAD,
    }
    nlp.add_pipe("embtune", config={"model": model})
    with pytest.raises(ValueError, match="documents of one group"):
        nlp.initialize(lambda: make_pairs(nlp))


def test_one_class_alone_moves_nothing_and_does_no_harm(
    make_nlp: MakeNlp, tiny_encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, "supervised_contrastive", bank_size=20)
    examples = make_examples(nlp, 12, cats=lambda topic: {"ONE": 1.0})
    optimizer = nlp.initialize(lambda: examples)
    losses: dict[str, float] = {}
    for _ in range(3):
        nlp.update(examples, sgd=optimizer, losses=losses)
    assert losses == {"embtune": 0.0}
    assert "all labelled training documents are of one class" in caplog.text
    assert not nlp.get_pipe("embtune").is_trained


def test_each_text_of_a_pair_is_encoded_once_in_a_whole_training(
    make_nlp: MakeNlp, tiny_encoder: Any
) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, "cosine_pairs")
    examples, dev = make_pairs(nlp, 30), make_pairs(nlp, 12, seed=7)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(4):
        for start in range(0, 30, 8):
            nlp.update(examples[start : start + 8], sgd=optimizer)
        nlp.evaluate(dev)
    texts = {eg.text for eg in (*examples, *dev)}
    assert nlp.get_pipe("embtune").encoder.n_encoded == len(texts)


@pytest.mark.slow
def test_the_bank_ends_with_the_training(
    make_nlp: MakeNlp, tiny_encoder: Any, tmp_path: Any
) -> None:
    nlp = make_contrastive(make_nlp, tiny_encoder, "supervised_contrastive", bank_size=50)
    examples = make_examples(nlp, 30)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples[:15], sgd=optimizer)
        nlp.update(examples[15:], sgd=optimizer)
    pipe = nlp.get_pipe("embtune")
    assert len(pipe.bank) == 30
    copy = pickle.loads(pickle.dumps(pipe))
    assert (len(copy.bank), copy.bank.size) == (0, 50)
    pipe.add_label("NEWS")
    assert len(pipe.bank) == 0
    nlp.update(examples, sgd=nlp.resume_training())
    nlp.to_disk(tmp_path)
    nlp.from_disk(tmp_path)
    assert len(pipe.bank) == 0
    nlp.update(examples, sgd=nlp.resume_training())
    with pytest.raises(ValueError, match="bank_size is -1"):
        make_nlp(bank_size=-1)


def test_a_document_in_the_bank_is_not_compared_with_itself(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe("embtune")
    bank = MemoryBank(10)
    examples = make_examples(nlp, 6)
    for part in (examples[:4], examples[2:]):
        batch = make_batch(part, sorted(TOPICS), exclusive=True, counts=None)
        base = pipe.model.get_ref("encoder").predict(batch.docs)
        rows, targets = add_memory(batch, base, bank, pipe.model.ops)
    assert len(rows) == len(targets.values) == 6
    assert len(np.unique(rows, axis=0)) == 6
    expected = [[eg.reference.cats[label] for label in sorted(TOPICS)] for eg in examples]
    assert sorted(targets.values.tolist()) == sorted(expected)


def test_an_empty_partner_and_a_score_out_of_range_are_errors(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for partners, message in (
        ([["", 0.5]], "empty text"),
        ([["soup", 1.5]], r"outside 0\.\.1"),
        ([[examples[1].text, 1.0]], "cannot be paired with itself"),
    ):
        examples[1].reference.user_data["embtune_partners"] = partners
        with pytest.raises(ValueError, match=message):
            nlp.update(examples, sgd=optimizer)


@pytest.mark.slow
def test_odd_corpora_are_reported(make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 6)
    examples[0].reference.cats = {"SPORT": 1.0, "FOOD": 0.0, "MUSIC": 0.0}
    # A copy up to case and white space.
    again = Example.from_dict(
        nlp.make_doc(f"{examples[0].text.upper()} "),
        {"cats": {"SPORT": 0.0, "FOOD": 1.0, "MUSIC": 0.0}},
    )
    rare = Example.from_dict(nlp.make_doc("new old"), {"cats": {"RARE": 1.0}})
    nlp.initialize(lambda: [*examples, again, rare])
    assert "only one training document carries 'RARE'" in caplog.text
    assert "1 texts occur more than once with cats that contradict" in caplog.text
    assert "no text" not in caplog.text
    caplog.clear()
    nlp = make_nlp()
    positives = make_examples(nlp, 6, cats=lambda topic: {topic: 1.0})
    other = Example.from_dict(nlp.make_doc(positives[0].text), {"cats": {"FOOD": 1.0}})
    nlp.initialize(lambda: [*positives, other])
    assert nlp.get_pipe("embtune").cfg["exclusive_classes"] is True
    assert "1 texts occur more than once with cats that contradict" in caplog.text
    caplog.clear()
    nlp = make_nlp()
    nlp.initialize(lambda: make_examples(nlp, cats=lambda topic: {"ONE": 1.0}))
    assert "all labelled training documents are of one class" in caplog.text
    caplog.clear()
    nlp = make_nlp()
    empty = Example.from_dict(nlp.make_doc(" \n"), {"cats": {"SPORT": 1.0}})
    nlp.initialize(lambda: [*make_examples(nlp, cats=lambda topic: {topic: 1.0}), empty])
    assert "1 of 31 training documents have no text" in caplog.text
    caplog.clear()
    nlp = make_nlp()
    labels = ["A", "B"]
    nlp.get_pipe("embtune").initialize(
        lambda: make_examples(nlp, cats=lambda topic: {}), labels=labels
    )
    assert "no training document carries 'A', 'B'" in caplog.text
