"""`tune` with the tiny encoder of the tests, whose vectors know the topic of a text a little."""

import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.cli.train import train as spacy_train
from spacy.util import load_config
from thinc.api import Config

from spacy_embtune.data import Record, read_records, text_digest
from spacy_embtune.finetune import FeedForwardTuner
from spacy_embtune.labels import is_exclusive, labels_in
from spacy_embtune.reports import LabelSpace
from spacy_embtune.tuning import tune
from spacy_embtune.tuning._evidence import Estimate, estimate, estimate_gain, judge, make_folds
from spacy_embtune.tuning._frozen import to_documents
from spacy_embtune.tuning._ladder import Ladder, combine, main_labels
from spacy_embtune.tuning._pile import Pile

from ..conftest import make_texts

CONFIGS = Path(__file__).parents[2] / "configs"


def some(n, seed=0):
    texts, labels = zip(*make_texts(n, seed=seed), strict=True)
    return list(texts), list(labels)


def run(tiny_encoder, n=60, **settings):
    texts, labels = some(n)
    settings = {"encoder": str(tiny_encoder), "seconds": 300.0, **settings}
    return tune(texts, labels, **settings)


def attempts_of(found):
    return {attempt.key: attempt for attempt in found.attempts}


# The evidence


def test_copies_of_a_text_are_on_the_same_side_of_each_fold():
    texts = ["One text", "one  TEXT", "Another"] * 8
    folds = make_folds(texts, np.asarray([0, 0, 1] * 8), seed=0, n_folds=2)
    for fold in folds:
        assert sorted([*fold.known, *fold.held]) == list(range(24))
        known, held = ({texts[i].lower().split()[0] for i in rows} for rows in fold)
        assert not known & held


def test_folds_have_the_classes_in_equal_shares():
    classes = np.repeat([0, 1, 2], [40, 20, 8])
    folds = make_folds([f"text {i}" for i in range(68)], classes, seed=3)
    # Few documents: two splits.
    assert len(folds) == 8
    for fold in folds:
        counts = np.bincount(classes[fold.held], minlength=3)
        assert np.abs(counts - np.asarray([10, 5, 2])).max() <= 1


@pytest.mark.parametrize("classes", [[0, 1, 2], [-1, -1], []])
def test_no_folds_if_nothing_can_be_judged(classes):
    texts = [f"text {i}" for i in range(len(classes))]
    assert make_folds(texts, np.asarray(classes, dtype=int), seed=0) == []


def made_up(n=80, loud=0.3, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 2
    vectors = rng.normal(size=(n, 6)) * loud
    vectors[np.arange(n), classes] += 1.0
    records = [
        Record(f"text {i}", {"AB"[c]: 1.0}, str(i), {}, i) for i, c in enumerate(classes.tolist())
    ]
    return records, vectors.astype("float32"), LabelSpace(["A", "B"], True, [], None)


def scores_of(vectors, records, space):
    classes = main_labels(records, space)
    scores = []
    for fold in make_folds([r.text for r in records], classes, seed=0):
        sides = [
            to_documents(None, vectors[rows], [records[i] for i in rows], space) for rows in fold
        ]
        scores.append(judge(sides[1], sides[0], fold.held, 0.5))
    return scores


def test_the_error_of_an_estimate_is_about_its_spread_over_samples():
    found = []
    for seed in range(20):
        records, vectors, space = made_up(loud=0.8, seed=seed)
        found.append(estimate(scores_of(vectors, records, space))[1])
    spread = np.std([one.value for one in found])
    assert 0.5 * spread < np.mean([one.error for one in found]) < 2.0 * spread


def test_a_gain_is_paired_and_has_a_sign():
    records, quiet, space = made_up(loud=0.3)
    _, loud, _ = made_up(loud=1.5)
    first, second = (scores_of(vectors, records, space) for vectors in (loud, quiet))
    gain = estimate_gain(first, second)
    assert gain[-1].value > 3 * gain[-1].error > 0
    assert estimate_gain(second, first)[-1].value == pytest.approx(-gain[-1].value)
    same = estimate_gain(first, first)
    assert [one.value for one in same[1:]] == [0.0, 0.0, 0.0, 0.0]
    # Fewer folds on one side: both are compared on these.
    assert estimate_gain(first, second[:1])[-1].error > gain[-1].error


def test_weak_evidence_leaves_what_is_known_from_before_and_strong_evidence_does_not():
    before = Estimate(0.06, 0.05)
    assert combine(before, Estimate(-0.05, 0.2)).value > 0
    assert combine(before, Estimate(-0.05, 0.02)).value < 0


# The ladder


@pytest.mark.slow
def test_tune_beats_base_vectors_on_documents_that_it_never_saw(tiny_encoder):
    found = run(tiny_encoder)
    tried = attempts_of(found)
    assert tried["base"].decision == "kept"
    assert tried["contrastive"].n_folds == 8
    assert tried["encoder"].decision in ("kept", "dropped")
    texts, labels = some(200, seed=9)
    docs = list(found.nlp.pipe(texts))
    accuracy = np.mean(
        [max(d.cats, key=d.cats.get) == y for d, y in zip(docs, labels, strict=True)]
    )
    assert accuracy > 0.8
    # What the receipt promises is about what new documents give.
    promised = found.receipt["held_out"]["accuracy"]["kept"]
    assert abs(promised[0] - accuracy) < 4 * max(promised[1], 0.03)


@pytest.mark.slow
def test_the_config_makes_the_same_pipeline(tiny_encoder, tmp_path):
    texts, labels = some(40)
    data = tmp_path / "data.jsonl"
    rows = zip(texts, labels, strict=True)
    data.write_text("".join(f"{json.dumps({'text': t, 'label': y})}\n" for t, y in rows))
    records = list(read_records(data))
    found = tune(records, encoder=str(tiny_encoder), seconds=60, paths={"train": str(data)})
    found.to_disk(tmp_path / "out")
    spacy_train(tmp_path / "out" / "config.cfg", tmp_path / "again", use_gpu=-1)
    one = spacy.load(tmp_path / "out")
    for name in ("model-last", "model-best"):
        other = spacy.load(tmp_path / "again" / name)
        for text in texts[:5]:
            first, second = one(text), other(text)
            assert np.array_equal(first._.embtune, second._.embtune)
            assert first.cats == second.cats


@pytest.mark.slow
def test_the_card_and_the_receipt_hold_no_text(tiny_encoder, tmp_path):
    found = run(tiny_encoder, seconds=2.0)
    found.to_disk(tmp_path)
    texts, _ = some(60)
    written = (tmp_path / "README.md").read_text() + json.dumps(found.receipt)
    assert json.loads((tmp_path / "meta.json").read_text())["embtune"] == found.receipt
    assert not any(text in written for text in texts)
    for word in ("MAP@R", "held", found.receipt["data"]["digest"], found.receipt["kept_title"]):
        assert word in written


@pytest.mark.slow
def test_the_same_seed_gives_the_same_vectors(tiny_encoder):
    one, two = (run(tiny_encoder, n=24, seconds=300.0, seed=4) for _ in range(2))
    assert one.receipt["kept"] == two.receipt["kept"]
    assert np.array_equal(one.nlp("football")._.embtune, two.nlp("football")._.embtune)


@pytest.mark.slow
def test_one_second_gives_a_pipeline(tiny_encoder):
    found = run(tiny_encoder, seconds=1.0)
    assert found.receipt["kept"] in ("base", "names", "contrastive", "feed_forward")
    assert {a.decision for a in found.attempts if a.key.startswith("encoder")} == {"left out"}
    assert found.nlp("football").cats


@pytest.mark.slow
def test_labels_that_are_drawn_by_lot_are_told_of(tiny_encoder):
    texts, labels = some(60)
    labels = np.random.default_rng(0).permutation(labels).tolist()
    found = tune(texts, labels, encoder=str(tiny_encoder), seconds=300)
    accuracy = found.receipt["held_out"]["accuracy"]["kept"][0]
    assert accuracy < 0.6
    assert any("no better than" in note for note in found.receipt["notes"])


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(tiny_encoder):
    def stop(attempt):
        if attempt.key == "contrastive":
            raise KeyboardInterrupt

    found = run(tiny_encoder, progress=stop)
    assert found.is_interrupted
    assert found.receipt["kept"] in ("base", "names")
    assert found.nlp("football").cats

    def stop_at_once(attempt):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_encoder, progress=stop_at_once)


@pytest.mark.slow
def test_several_labels_and_labels_that_are_not_known(tiny_encoder):
    texts, labels = some(60)
    cats = [{y: 1.0, "LONG": float(len(t) > 30)} for t, y in zip(texts, labels, strict=True)]
    cats[3] = {"LONG": 1.0}
    for one in cats:
        for label in set(labels):
            one.setdefault(label, 0.0)
    found = tune(texts, cats, encoder=str(tiny_encoder), seconds=20)
    assert found.receipt["data"]["exclusive"] is False
    assert set(found.nlp("football").cats) == {*labels, "LONG"}
    assert "macro-F1" in found.card


@pytest.mark.slow
def test_a_class_of_one_text_and_a_label_without_texts(tiny_encoder):
    texts, labels = some(30)
    records = list(read_records({"text": [*texts, "a lone text"], "label": [*labels, "LONE"]}))
    found = tune(records, names=["NEVER"], encoder=str(tiny_encoder), seconds=10)
    assert {"LONE", "NEVER"} <= set(found.nlp("football").cats)
    assert found.receipt["data"]["labels"]["NEVER"] == 0


@pytest.mark.slow
def test_two_texts_are_enough_for_a_pipeline(tiny_encoder):
    found = tune(["football", "soup"], ["A", "B"], encoder=str(tiny_encoder), seconds=5)
    assert found.nlp("football").cats["A"] > 0.5
    assert found.receipt["held_out"] == {}
    assert "too few" in found.card


@pytest.mark.slow
def test_no_labelled_text_at_all(tiny_encoder):
    texts, labels = some(40)
    names = sorted(set(labels))
    described = {"SPORT": "ball team", "FOOD": "bread soup", "MUSIC": "guitar song"}
    found = tune(texts, names=names, label_texts=described, encoder=str(tiny_encoder))
    assert found.receipt["kept"] == "names"
    assert set(found.nlp("football").cats) == set(names)
    with pytest.raises(ValueError, match=r"--labels A,B,C"):
        tune(texts, encoder=str(tiny_encoder))


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (["A", "A", "A"], {}, "nothing to tell apart"),
        (["A", "B"], {}, "3 texts and 2 labels"),
        ([{"A": 1.0}, {"A": 1.0}, {"A": 3.0}], {}, "3.0"),
        (["A", "B", "A"], {"encoder": "missing/model"}, "missing/model"),
        (["A", "B", "A"], {"settings": {"components.embtune.learn_spans": True}}, "learn_spans"),
        (
            ["A", "B", "A"],
            {
                "settings": {
                    "components.embtune.model.encoder": {
                        "@architectures": "spacy-embtune.DocVectors.v1"
                    }
                }
            },
            "reads texts",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(labels, settings, message):
    with pytest.raises((ValueError, OSError), match=message):
        tune(["one", "two", "three"], labels, **settings)


# The pile


def test_a_small_pile_and_a_pile_of_another_kind_teach_nothing(make_nlp, tmp_path):
    encode = make_nlp().get_pipe("embtune").model.get_ref("encoder").predict
    texts, labels = some(60)
    records = list(read_records({"text": texts, "label": labels}))

    def why(texts_of_pile):
        pile = Pile(texts_of_pile, records, tmp_path)
        return pile.why_unusable(encode(texts), lambda rows: encode([pile.texts[i] for i in rows]))

    assert "other texts" in why([*texts, "one more"])
    assert why([]) is not None
    strange = [f"0x{i:08x} 0x{i * 7919:08x} {i * 31}" for i in range(300)]
    assert "of another kind" in why(strange)
    more, _ = some(300, seed=5)
    assert why(more) is None


def test_the_pile_leaves_out_texts_with_the_words_of_labelled_ones(tmp_path):
    records = list(read_records({"text": ["Good soup."], "label": ["FOOD"]}))
    pile = Pile(["good  soup!", "Bad soup.", "bad soup.", ""], records, tmp_path)
    assert pile.texts == ["Bad soup."]


@pytest.mark.slow
def test_a_sample_of_the_pile_gets_labels_if_time_is_short(train, tmp_path):
    nlp = train()
    texts, labels = some(60)
    records = list(read_records({"text": texts, "label": labels}))
    pile = Pile(some(300, seed=5)[0], records, tmp_path)
    n_all = pile.label(nlp, records, "all.jsonl", n_texts=300)
    n_some = pile.label(nlp, records, "some.jsonl", n_texts=100)
    assert 0 < n_some <= 34 < n_all
    assert pile.label(nlp, records, "same.jsonl", n_texts=100) == n_some
    assert (tmp_path / "some.jsonl").read_text() == (tmp_path / "same.jsonl").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("least", "key"), [(0.0, "encoder_neighbours"), (2.0, "pseudo_labels_1")])
def test_a_pipeline_that_learned_from_the_pile_says_so_and_can_be_made_again(
    tiny_encoder, tmp_path, monkeypatch, least, key
):
    monkeypatch.setattr("spacy_embtune.tuning._pile.ASSORTATIVE", least)

    def keep(self, rung, gain):
        return rung.key in ("base", "encoder", key), "a test"

    monkeypatch.setattr(Ladder, "_decide", keep)
    texts, labels = some(24)
    pile, _ = some(300, seed=5)
    data, more = tmp_path / "data.jsonl", tmp_path / "pile.jsonl"
    rows = zip(texts, labels, strict=True)
    data.write_text("".join(f"{json.dumps({'text': t, 'label': y})}\n" for t, y in rows))
    more.write_text("".join(f"{json.dumps({'text': t})}\n" for t in pile))
    found = tune(
        list(read_records(data)),
        unlabelled=pile,
        encoder=str(tiny_encoder),
        seconds=300,
        paths={"train": str(data), "unlabelled": str(more)},
    )
    tried = attempts_of(found)
    assert found.receipt["kept"] == key
    assert tried[key].n_folds >= 2
    assert ("encoder_neighbours" in tried) == (least == 0.0)
    n_others = found.receipt["data"]["unlabelled"]
    assert f"and from {n_others} texts without labels" in found.card
    found.to_disk(tmp_path / "out")
    assert found.pseudo_labels is not None
    assert not any(text in found.pseudo_labels for text in pile)
    spacy_train(tmp_path / "out" / "config.cfg", tmp_path / "again", use_gpu=-1)
    one, two = (spacy.load(tmp_path / name) for name in ("out", "again/model-last"))
    assert np.array_equal(one("football")._.embtune, two("football")._.embtune)


@pytest.mark.slow
def test_texts_without_a_label_in_the_data_are_the_pile(tiny_encoder, tmp_path):
    texts, labels = some(24)
    data = tmp_path / "d.jsonl"
    rows = [{"text": t, "label": y} for t, y in zip(texts, labels, strict=True)]
    rows += [{"text": t} for t in some(150, seed=3)[0]]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = tune(
        list(read_records(data)),
        encoder=str(tiny_encoder),
        seconds=30,
        paths={"train": str(data)},
    )
    assert found.receipt["data"]["documents"] == 24
    assert found.receipt["data"]["unlabelled"] >= 140
    found.to_disk(tmp_path / "out")
    spacy_train(tmp_path / "out" / "config.cfg", tmp_path / "again", use_gpu=-1)
    one, two = (spacy.load(tmp_path / name) for name in ("out", "again/model-last"))
    assert np.array_equal(one("football")._.embtune, two("football")._.embtune)


def test_the_main_label_of_several_is_the_rarest():
    records = list(
        read_records({"text": ["a", "b", "c"], "cats": [{"A": 1.0, "B": 1.0}, {"A": 1.0}, {}]})
    )
    cats = [record.cats for record in records]
    space = LabelSpace(labels_in(cats), is_exclusive(cats), [], None)
    assert main_labels(records, space).tolist() == [1, 0, -1]


def test_estimates_of_nothing_are_not_known():
    assert not Estimate(math.nan, math.nan).is_known


# What a stranger's config, files and keys do


@pytest.mark.slow
def test_ctrl_c_within_a_fold_of_a_head_ends_the_search(tiny_encoder, monkeypatch):
    fit = FeedForwardTuner.fit
    calls = []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 10:
            # What Ctrl-C does while a head learns.
            signal.raise_signal(signal.SIGINT)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(FeedForwardTuner, "fit", interrupted)
    found = run(tiny_encoder)
    assert found.is_interrupted
    assert found.receipt["kept"] == "base"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "keys", "others"),
    [
        (0.0, ("encoder_neighbours",), ("pseudo_labels_2", "encoder_all")),
        (2.0, ("encoder", "pseudo_labels_1"), ("pseudo_labels_2", "encoder_all")),
    ],
)
def test_short_time_goes_into_what_helped_elsewhere(tiny_encoder, monkeypatch, least, keys, others):
    monkeypatch.setattr("spacy_embtune.tuning._pile.ASSORTATIVE", least)

    def expected(self, rung):
        # Time for each training once, but not twice; pseudo-labels may follow the encoder.
        slow = rung.learns_encoder or rung.reads_pile
        share = 0.6 if rung.by_neighbours else 0.4
        return share * (self.end - time.monotonic()) if slow else 0.1

    monkeypatch.setattr(Ladder, "_expected_seconds", expected)
    found = run(tiny_encoder, n=30, unlabelled=some(200, seed=5)[0])
    tried = attempts_of(found)
    assert tried["contrastive"].n_folds == 8
    for key in keys:
        assert (tried[key].decision, tried[key].n_folds, tried[key].gain) == ("kept", 0, [])
        assert tried[key].reason.startswith("no time to judge it, +0.")
    for key in others:
        assert (tried[key].decision, tried[key].reason) == (
            "left out",
            "the rung before was not judged",
        )
    assert found.receipt["held_out"] == {}
    assert "not judged" in found.card
    assert found.nlp("football").cats


@pytest.mark.slow
def test_what_neighbours_say_is_refused_once(tiny_encoder, monkeypatch):
    monkeypatch.setattr("spacy_embtune.tuning._pile.ASSORTATIVE", 0.0)
    asked = []

    def refuse(self, rung, gain):
        asked.append((rung.key, rung.by_neighbours))
        return rung.key in ("base", "encoder"), "a test"

    monkeypatch.setattr(Ladder, "_decide", refuse)
    found = run(tiny_encoder, n=24, unlabelled=some(200, seed=5)[0])
    tried = attempts_of(found)
    assert tried["encoder_neighbours"].decision == "dropped"
    assert tried["encoder"].decision == "kept"
    assert ("pseudo_labels_1", False) in asked
    assert "texts without labels" not in found.card


@pytest.mark.slow
def test_no_label_of_a_held_out_document_reaches_its_fold(tiny_encoder, monkeypatch):
    monkeypatch.setattr("spacy_embtune.tuning._pile.ASSORTATIVE", 0.0)
    asked, labels_of = [], {}

    def ask(self, rows, vectors, records, labelled, labels, names, do=Pile.ask_neighbours):
        asked.append({record.text for record in records})
        labels_of.update({record.text: record.cats for record in records})
        return do(self, rows, vectors, records, labelled, labels, names)

    folds = []

    def label(self, rung, k, name, do=Ladder._label_pile):
        if k is not None and rung.by_neighbours:
            folds.append({self.records[i].text for i in self.folds[k].held})
        return do(self, rung, k, name)

    monkeypatch.setattr(Pile, "ask_neighbours", ask)
    monkeypatch.setattr(Ladder, "_label_pile", label)
    run(tiny_encoder, n=24, unlabelled=some(200, seed=5)[0])
    # First of all, all documents are asked; then those of one fold after the other.
    assert len(folds) >= 2
    assert asked[0] >= folds[0]
    for held, known in zip(folds, asked[1:], strict=False):
        assert not held & known


@pytest.mark.slow
def test_an_error_of_the_pile_leaves_it_out(tiny_encoder, monkeypatch):
    def fail(*args, **settings):
        raise MemoryError("no room")

    monkeypatch.setattr(Pile, "ask_neighbours", fail)
    found = run(tiny_encoder, n=24, unlabelled=some(200, seed=5)[0])
    assert any("no room" in note for note in found.receipt["notes"])
    assert attempts_of(found)["pseudo_labels_1"].decision in ("kept", "dropped")
    monkeypatch.setattr(Pile, "why_unusable", fail)
    found = run(tiny_encoder, n=24, unlabelled=some(200, seed=5)[0])
    assert attempts_of(found)["pseudo_labels_1"].reason == "failed: no room"


@pytest.mark.slow
def test_no_time_is_no_time_to_encode_a_pile(tiny_encoder):
    found = run(tiny_encoder, n=24, seconds=0.001, unlabelled=some(400, seed=5)[0])
    assert found.receipt["kept"] == "base"
    assert found.receipt["seconds"] < 5


@pytest.mark.slow
def test_little_time_is_for_the_encoder_and_heads_come_in_if_it_fails(tiny_encoder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Ladder, "_decide", lambda self, rung, gain: (True, "a test"))
        tried = attempts_of(run(tiny_encoder, n=30, seconds=40.0))
    assert tried["encoder"].decision == "kept"
    for key in ("contrastive", "feed_forward"):
        assert tried[key].decision == "left out"
        assert tried[key].reason.startswith("little time")

    def refuse(self, rung, k, do=Ladder._config_of):
        if rung.learns_encoder:
            raise RuntimeError("no memory")
        return do(self, rung, k)

    monkeypatch.setattr(Ladder, "_config_of", refuse)
    tried = attempts_of(run(tiny_encoder, n=30, seconds=40.0))
    assert tried["encoder"].reason == "failed: no memory"
    assert tried["contrastive"].decision in ("kept", "dropped")


def make_topics(n, n_topics, width, loud):
    topic = np.arange(n) % n_topics
    vectors = loud * np.random.default_rng(0).normal(size=(n, width))
    vectors[np.arange(n), topic] += 2.0
    return [f"text number {i}" for i in range(n)], vectors, topic


def test_graded_and_partial_labels_teach_neighbours(tmp_path):
    texts, vectors, topic = make_topics(200, 2, 8, 0.3)

    def ask(make_cats, scale=1.0):
        records = [Record(texts[i], make_cats("AB"[topic[i]]), "", {}, i) for i in range(16)]
        pile = Pile(texts[16:], records, tmp_path)
        names = {"A": scale * np.eye(8)[:1], "B": scale * np.eye(8)[1:2]}
        return pile.ask_neighbours(
            np.arange(184), vectors[16:], records, vectors[:16], ["A", "B"], names
        )

    plain = ask(lambda label: {"A": float(label == "A"), "B": float(label == "B")})
    graded = ask(lambda label: {"A": 0.8, "B": 0.2} if label == "A" else {"A": 0.2, "B": 0.8})
    partial = ask(lambda label: {label: 1.0})
    truth = {text_digest(texts[i]): "AB"[topic[i]] for i in range(16, 200)}
    for found in (plain, graded, partial):
        right = [truth[key] in one.cats for key, one in found.surest.items()]
        assert len(right) >= 55
        assert np.mean(right) > 0.9
    assert plain.surest == graded.surest
    # Vectors of names count alike, however long they are.
    longer = ask(lambda label: {"A": float(label == "A"), "B": float(label == "B")}, scale=5.0)
    assert longer == plain


def test_neighbours_teach_topics_and_not_what_vectors_do_not_know(tmp_path):
    texts, vectors, topic = make_topics(300, 3, 16, 0.5)
    by_chance = np.random.default_rng(1).integers(3, size=300)
    for classes, teaches in ((topic, True), (by_chance, False)):
        records = [
            Record(texts[i], {label: float(label == "ABC"[c]) for label in "ABC"}, str(i), {}, i)
            for i, c in enumerate(classes[:24].tolist())
        ]
        pile = Pile(texts[24:], records, tmp_path)
        rows = pile.sample(200)
        assert np.isin(pile.sample(50), rows).all()
        found = pile.ask_neighbours(
            rows, vectors[24 + rows], records, vectors[:24], ["A", "B", "C"], {}
        )
        assert found.teaches == teaches
        truth = {text_digest(texts[24 + i]): "ABC"[classes[24 + i]] for i in rows}
        right = np.mean([truth[key] in one.cats for key, one in found.surest.items()])
        assert (right > 0.9) == teaches
        assert 55 <= len(found.surest) <= 65
        assert (found.accuracy > 0.8) == teaches
        assert {next(iter(one.cats)) for one in found.surest.values()} == {"A", "B", "C"}


@pytest.mark.slow
@pytest.mark.parametrize(("clear", "n_folds"), [(0.0, 2), (math.inf, 4)])
def test_slow_rungs_are_judged_until_the_decision_is_clear(
    tiny_encoder, monkeypatch, clear, n_folds
):
    monkeypatch.setattr("spacy_embtune.tuning._ladder.CLEAR", clear)
    tried = attempts_of(run(tiny_encoder, n=30, seconds=300.0))
    assert tried["encoder"].n_folds == n_folds
    assert tried["contrastive"].n_folds == 8


@pytest.mark.slow
def test_names_that_contradict_the_labels_are_dropped(tiny_encoder):
    texts, labels = some(60)
    one, two = sorted(set(labels))[:2]
    swapped = {one: two, two: one}
    found = tune(texts, labels, label_texts=swapped, encoder=str(tiny_encoder), seconds=300.0)
    assert attempts_of(found)["names"].decision != "kept"
    new, expected = some(100, seed=9)
    best = [max(doc.cats, key=doc.cats.get) for doc in found.nlp.pipe(new)]
    assert np.mean([a == b for a, b in zip(best, expected, strict=True)]) > 0.8


@pytest.mark.slow
def test_a_class_that_only_one_fold_knows(tiny_encoder):
    texts, _ = some(8)
    labels = ["1", *["0"] * 7]
    found = tune(texts, labels, label_texts=None, encoder=str(tiny_encoder), seconds=5)
    assert set(found.nlp("football").cats) == {"0", "1"}


@pytest.mark.slow
def test_the_encoder_does_not_learn_from_fewer_than_two_texts_a_label(tiny_encoder):
    texts, _ = some(12)
    labels = [f"label {i // 2 if i < 6 else i}" for i in range(12)]
    found = tune(texts, labels, encoder=str(tiny_encoder), unlabelled=some(200, seed=5)[0])
    tried = attempts_of(found)
    assert tried["encoder"].decision == "left out"
    assert tried["encoder"].reason.startswith("fewer than two labelled texts a label")
    assert "encoder_all" not in tried
    assert len(found.nlp("football").cats) == 9


@pytest.mark.slow
def test_an_error_in_a_later_rung_leaves_the_best_so_far(tiny_encoder):
    # Nothing keeps the weights of an encoder that learns, so it must not be tried.
    settings = {"components.embtune.model.encoder.save_weights": False}
    found = run(tiny_encoder, n=30, settings=settings, seconds=20.0)
    assert "save_weights" in attempts_of(found)["encoder"].reason

    def fail(attempt):
        if attempt.key == "feed_forward" and attempt.n_folds == 1:
            raise RuntimeError("out of memory")

    found = run(tiny_encoder, n=30, seconds=300.0, progress=fail)
    assert attempts_of(found)["feed_forward"].reason == "failed: out of memory"
    assert found.nlp("football").cats


@pytest.mark.slow
def test_a_config_of_the_user_with_another_name_reader_and_pile(tiny_encoder, tmp_path):
    texts, labels = some(24)
    data, pile = tmp_path / "d.jsonl", tmp_path / "p.jsonl"
    rows = [{"body": t, "topic": y} for t, y in zip(texts, labels, strict=True)]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, {"body": "no label"}]))
    pile.write_text("".join(f"{json.dumps({'text': t})}\n" for t in some(60, seed=3)[0]))
    config = load_config(CONFIGS / "contrastive.cfg", interpolate=False)
    config["components"]["topic"] = config["components"].pop("embtune")
    config["components"]["topic"].update(extension="by_topic", set_cats=True)
    config["components"]["topic"]["model"]["encoder"]["name"] = str(tiny_encoder)
    config["initialize"]["components"]["topic"] = config["initialize"]["components"].pop("embtune")
    config["initialize"]["components"]["topic"]["label_texts"] = {"SPORT": "ball", "EXTRA": "rain"}
    config["initialize"]["components"]["topic"]["unlabelled"] = "${corpora.unlabelled}"
    config["corpora"]["unlabelled"] = {
        "@readers": "spacy-embtune.unlabelled.v1",
        "path": str(pile),
    }
    config["corpora"]["train"].update(text_field="body", label_field="topic")
    config["nlp"].update(lang="de", pipeline=["topic"])
    config = Config(config)
    records = list(read_records(data, text_field="body", label_field="topic"))
    found = tune(records, config=config, seconds=8, paths={"train": str(data)})
    assert found.nlp.lang == "de"
    assert set(found.nlp("football").cats) == {"SPORT", "FOOD", "MUSIC", "EXTRA"}
    assert found.nlp("football")._.by_topic.shape
    # Those of the config, not the one without a label.
    assert found.receipt["data"]["unlabelled"] == 60
    found.to_disk(tmp_path / "out")
    spacy_train(tmp_path / "out" / "config.cfg", tmp_path / "again", use_gpu=-1)
    one, two = (spacy.load(tmp_path / name) for name in ("out", "again/model-last"))
    assert np.array_equal(one("football")._.by_topic, two("football")._.by_topic)


def test_settings_that_the_rungs_set_are_refused():
    for key in ("training.max_steps", "components.embtune.model.head.hidden_width"):
        with pytest.raises(ValueError, match="the rungs set"):
            tune(["one", "two"], ["A", "B"], settings={key: 5})
    with pytest.raises(ValueError, match="is a value of the config"):
        tune(["one", "two"], ["A", "B"], settings={"nlp.lang.x": 1})


@pytest.mark.slow
def test_writing_is_whole_or_not_at_all(tiny_encoder, tmp_path, monkeypatch):
    found = run(tiny_encoder, n=12, seconds=3.0)
    out = tmp_path / "out"
    found.to_disk(out)
    (out / "old").write_text("left by an earlier run")

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(type(found.nlp), "to_disk", full)
    with pytest.raises(OSError, match="No space"):
        found.to_disk(out)
    assert (out / "old").exists()
    assert spacy.load(out)("football").cats
    monkeypatch.undo()
    found.to_disk(out)
    assert not (out / "old").exists()
