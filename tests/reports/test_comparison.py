import json

import numpy as np
import pytest

from spacy_embtune.metrics import (
    auc_score,
    knn_scores,
    predict_by_probe,
    probe_scores,
    retrieval_scores,
)
from spacy_embtune.reports import Report, compare, report
from spacy_embtune.reports.verdict import RULE
from spacy_embtune.training.seen_texts import SeenTexts

from ..conftest import TOPICS, make_examples
from . import cases
from .cases import make_documents


@pytest.mark.parametrize("seed", range(5))
def test_a_real_gain_helps(seed):
    rng = np.random.default_rng(seed)
    data, train = (make_documents(*cases.a_gain(rng, n)) for n in (150, 100))
    found = compare(data, train)
    assert found.verdict.kind == "helps"
    assert found.warnings == []
    assert compare(data).verdict.kind == "helps"


@pytest.mark.slow
def test_vectors_that_know_as_much_are_no_gain():
    kinds = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        data, train = (make_documents(*cases.no_gain(rng, n)) for n in (150, 100))
        found = compare(data, train)
        kinds.append(found.verdict.kind)
        assert found.warnings == []
    # One in twenty is what chance may do.
    assert kinds.count("no evidence of a gain") >= 18


@pytest.mark.parametrize("seed", range(5))
def test_a_random_projection_never_helps(seed):
    rng = np.random.default_rng(seed)
    data, train = (make_documents(*cases.a_projection(rng, n)) for n in (150, 100))
    assert compare(data, train).verdict.kind in ("no evidence of a gain", "harms")


@pytest.mark.parametrize("seed", range(3))
def test_what_takes_the_classes_away_harms(seed):
    rng = np.random.default_rng(seed)
    data, train = (make_documents(*cases.a_harm(rng, n)) for n in (150, 100))
    assert compare(data, train).verdict.kind == "harms"


def test_a_collapse_is_warned_of_and_harms():
    data = make_documents(*cases.a_collapse(np.random.default_rng(0), 200))
    found = compare(data)
    assert found.verdict.kind == "harms"
    text = " ".join(found.warnings)
    assert "point the same way" in text
    assert "have nothing to do with the base vectors" in text


def test_labels_that_become_points_are_warned_of_though_they_help():
    base, _, values = cases.a_gain(np.random.default_rng(0), 200)
    tuned = values @ np.eye(cases.N_LABELS, 12) + 1e-3 * base[:, :12]
    found = compare(make_documents(base, tuned, values))
    assert found.verdict.kind == "helps"
    text = " ".join(found.warnings)
    assert "shrunk to nearly a point" in text
    assert "effective rank" not in text
    space = {row.key: row for row in found.space}
    assert space["within_between"].tuned < 0.01
    assert space["neighbour_overlap"].base is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_is_good_on_train_alone_is_overfitted(seed):
    rng = np.random.default_rng(seed)
    data = make_documents(*cases.an_overfit(rng, 150, learned=False))
    train = make_documents(*cases.an_overfit(rng, 100, learned=True))
    found = compare(data, train)
    assert found.verdict.kind == "overfitted"
    assert compare(data).verdict.kind in ("no evidence of a gain", "harms")
    # If it is known that this is not what it was trained on, nothing follows.
    elsewhere = compare(data, train, remembered=SeenTexts(["another text"]))
    assert elsewhere.verdict.kind in ("no evidence of a gain", "harms")
    assert "TRAIN is not what the model was trained on" in " ".join(elsewhere.notes)


def test_tuned_vectors_of_zeros_are_warned_of():
    base, tuned, values = cases.a_gain(np.random.default_rng(0), 60)
    tuned[:7] = 0
    assert "tuned vectors of 7 documents are all zeros" in " ".join(
        compare(make_documents(base, tuned, values)).warnings
    )


@pytest.mark.slow
def test_the_numbers_are_those_of_the_metrics():
    rng = np.random.default_rng(1)
    data, train = (make_documents(*cases.a_gain(rng, n)) for n in (90, 70))
    rows = {row.key: row for row in compare(data, train).primary}
    assert list(rows) == [
        *("p_at_1", "map_at_r", "knn_accuracy", "knn_macro_f1", "probe_accuracy", "probe_macro_f1")
    ]
    for kind in ("base", "tuned"):
        x, train_x = getattr(data, kind), getattr(train, kind)
        retrieval = retrieval_scores(x, data.targets.values)
        knn = knn_scores(train_x, train.targets, x, data.targets)
        probe = probe_scores(train_x, train.targets, x, data.targets)
        expected = [retrieval.p_at_1, retrieval.map_at_r, *knn[:2], *probe[:2]]
        assert [getattr(row, kind) for row in rows.values()] == pytest.approx(expected)
    for row in rows.values():
        assert row.interval.value == pytest.approx(row.tuned - row.base)
        assert row.difference == pytest.approx(row.tuned - row.base)


@pytest.mark.slow
def test_accuracy_does_not_decide_where_labels_do_not_exclude_each_other():
    rng = np.random.default_rng(2)
    data, train = (make_documents(*cases.a_gain(rng, n), exclusive=False) for n in (90, 70))
    found = compare(data, train)
    primary = [row.key for row in found.primary]
    assert primary == ["p_at_1", "map_at_r", "knn_macro_f1", "probe_macro_f1"]
    secondary = {row.key: row for row in found.secondary}
    assert list(secondary)[:3] == ["knn_accuracy", "probe_accuracy", "probe_auc"]
    assert secondary["probe_accuracy"].interval is not None
    assert secondary["probe_accuracy"].beyond_chance is None
    sides = (train.tuned, train.targets, data.tuned, data.targets)
    assert secondary["probe_auc"].tuned == pytest.approx(auc_score(predict_by_probe(*sides)))


def test_auc_is_for_labels_that_are_yes_or_no():
    rng = np.random.default_rng(3)
    for n_labels, has_auc in ((4, False), (2, True)):
        sides = []
        for n in (60, 60):
            base, tuned, values = cases.a_gain(rng, n)
            if n_labels == 2:
                values = np.column_stack([values[:, 0], 1 - values[:, 0]])
            sides.append(make_documents(base, tuned, values))
        found = compare(*sides)
        assert ("probe_auc" in [row.key for row in found.secondary]) == has_auc


def test_auc_is_for_two_labels_however_many_others_the_model_knows():
    rng = np.random.default_rng(3)
    sides = []
    for n in (60, 60):
        base, tuned, values = cases.a_gain(rng, n)
        # The first label, the others as a second one, and two that nobody carries.
        columns = [values[:, 0], 1 - values[:, 0], 0 * values[:, 0], 0 * values[:, 0]]
        sides.append(make_documents(base, tuned, np.column_stack(columns)))
    found = compare(*sides)
    auc = next(row for row in found.secondary if row.key == "probe_auc")
    assert 0.5 < auc.base <= auc.tuned <= 1.0
    assert found.n_occurring == 2
    assert "; 2 labels, exclusive" in found.to_text()
    assert "left out" not in " ".join(found.notes)


def test_a_train_with_other_labels_says_nothing_of_classifiers():
    rng = np.random.default_rng(3)
    sides = []
    for shift in (0, 2):
        base, tuned, values = cases.a_gain(rng, 60)
        both = np.column_stack([values[:, :1] + values[:, 2:3], values[:, 1:2] + values[:, 3:4]])
        sides.append(make_documents(base, tuned, np.roll(np.hstack([both, 0 * both]), shift, 1)))
    found = compare(*sides)
    assert [row.key for row in found.primary] == ["p_at_1", "map_at_r"]
    assert "TRAIN teaches none of the labels of DATA" in " ".join(found.notes)


def test_missing_labels_change_nothing_but_how_many_documents_count():
    rng = np.random.default_rng(4)
    base, tuned, values = cases.a_gain(rng, 120)
    known = np.ones_like(values)
    known[80:] = 0
    part = make_documents(base[:80], tuned[:80], values[:80], exclusive=False)
    whole = make_documents(base, tuned, values, known, exclusive=False)
    ours, theirs = compare(whole), compare(part)
    for row, other in zip(ours.primary, theirs.primary, strict=True):
        assert row.interval == pytest.approx(other.interval)
    assert (ours.n_documents, ours.n_labelled) == (120, 80)
    assert theirs.n_labelled == 80


def test_one_class_only_is_said_and_the_space_is_measured():
    rng = np.random.default_rng(5)
    base, tuned, _ = cases.a_gain(rng, 50)
    found = compare(make_documents(base, tuned, np.eye(3)[np.zeros(50, dtype=int)]))
    assert found.verdict.kind == "nothing to compare"
    assert "All labelled documents carry 'A'" in " ".join(found.notes)
    space = {row.key: row.tuned for row in found.space}
    assert space["spread"] > 0
    assert space["effective_rank"] > 1
    assert space["neighbour_overlap"] > 0
    assert space["within_between"] is None


def test_no_labels_at_all_is_said_and_the_space_is_measured():
    base, tuned, _ = cases.a_gain(np.random.default_rng(6), 50)
    for values in (np.zeros((50, 0)), np.zeros((50, 2))):
        data = make_documents(base, tuned, values, np.zeros_like(values), exclusive=False)
        found = compare(data, data)
        assert found.verdict.kind == "nothing to compare"
        assert "No document carries a label" in " ".join(found.notes)
        assert {row.tuned for row in found.primary} == {None}
        assert found.n_labelled == 0
        assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_labels_that_say_nothing_are_left_out_and_named():
    rng = np.random.default_rng(7)
    base, tuned, values = cases.a_gain(rng, 60)
    known = np.ones((60, 6))
    more = np.hstack([values, np.zeros((60, 2))])
    more[0, 4] = 1  # one document carries E
    more[:9, 5], known[9:, 5] = 1, 0  # nobody lacks F
    found = compare(make_documents(base, tuned, more, known, exclusive=False))
    notes = " ".join(found.notes)
    assert "Fewer than two documents carry 'E': left out." in notes
    assert "No document is known to lack 'F'" in notes
    plain = compare(make_documents(base, tuned, values, exclusive=False))
    for row, other in zip(found.primary, plain.primary, strict=True):
        assert (row.base, row.tuned) == pytest.approx((other.base, other.tuned))


def test_fewer_documents_than_neighbours_are_said_and_the_rest_is_measured():
    base, tuned, values = cases.a_gain(np.random.default_rng(8), 11)
    found = compare(make_documents(base, tuned, values))
    space = {row.key: row.tuned for row in found.space}
    assert space["neighbour_overlap"] is None
    assert space["spread"] is not None
    assert "Kept neighbours are not measured" in " ".join(found.notes)
    assert found.verdict.kind == "no evidence of a gain"
    assert "too few to tell" in found.verdict.text


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_document_or_two_are_no_error(n):
    base, tuned, values = cases.a_gain(np.random.default_rng(9), n)
    found = compare(make_documents(base, tuned, values))
    assert found.n_documents == n
    assert found.verdict.kind == "nothing to compare"
    assert found.to_text()
    assert found.to_markdown()
    assert found._repr_html_()


def test_a_train_of_one_class_teaches_nothing_and_that_is_said():
    rng = np.random.default_rng(10)
    data = make_documents(*cases.a_gain(rng, 60))
    base, tuned, _ = cases.a_gain(rng, 20)
    train = make_documents(base, tuned, np.eye(4)[np.zeros(20, dtype=int)])
    found = compare(data, train)
    assert [row.key for row in found.primary] == ["p_at_1", "map_at_r"]
    assert "TRAIN has no two classes" in " ".join(found.notes)
    assert "Without TRAIN" not in " ".join(found.notes)
    assert "Without TRAIN" in " ".join(compare(data).notes)


# Texts that were trained on


def test_texts_of_train_are_found_up_to_case_and_whitespace():
    rng = np.random.default_rng(11)
    texts = ["A  text\nof mine", "another text", "", *(f"text {i}" for i in range(57))]
    data = make_documents(*cases.a_gain(rng, 60), texts=texts)
    train = make_documents(*cases.a_gain(rng, 3), texts=["a text of MINE", " ", "something else"])
    found = compare(data, train)
    assert found.seen == (1, 1, None, False)
    assert "1 of 60 documents are texts that the model was trained on (1 are in TRAIN)" in (
        " ".join(found.warnings)
    )
    remembered = SeenTexts(["Another TEXT", "text 5"])
    both = compare(data, train, remembered=remembered)
    # It remembers other texts than those of TRAIN.
    assert both.seen == (2, 1, 2, True)
    assert "(2 were in its training corpus)" in " ".join(both.warnings)
    assert "1 of 60 documents are in TRAIN as well" in " ".join(both.warnings)
    full = compare(data, train, remembered=SeenTexts(["Another TEXT", "text 5"], max_texts=2))
    assert full.seen == (3, 1, 2, False)
    assert "(at least 2 were in its training corpus, 1 are in TRAIN)" in " ".join(full.warnings)
    neither = compare(data, remembered=SeenTexts(["unheard of"]))
    assert neither.seen == (0, None, 0, True)
    assert neither.warnings == []
    unknown = compare(data)
    assert unknown.seen == (0, None, None, False)
    assert "does not remember which texts it was trained on" in " ".join(unknown.notes)
    for found in (both, neither, unknown):
        assert found.to_dict()["seen"] == found.seen._asdict()


def test_documents_of_a_train_that_was_not_trained_on_may_be_held_out():
    rng = np.random.default_rng(11)
    texts = [f"text {i}" for i in range(60)]
    data = make_documents(*cases.a_gain(rng, 60), texts=texts)
    train = make_documents(*cases.a_gain(rng, 60), texts=texts)
    found = compare(data, train, remembered=SeenTexts(["something else"]))
    assert found.seen == (0, 60, 0, True)
    assert found.verdict.kind != "not held out"
    warnings = " ".join(found.warnings)
    assert "60 of 60 documents are in TRAIN as well: on new documents the classifiers" in warnings
    assert "that the model was trained on" not in warnings
    assert "TRAIN is not what the model was trained on" in " ".join(found.notes)


def test_a_memory_that_is_full_knows_at_least_what_it_says():
    data = make_documents(*cases.a_gain(np.random.default_rng(12), 60), texts=["x"] * 60)
    found = compare(data, remembered=SeenTexts(["x", "y", "z"], max_texts=2))
    assert found.seen == (60, None, 60, False)
    assert "at least 60 were in its training corpus" in " ".join(found.warnings)
    assert found.verdict.kind == "not held out"


# From a pipeline


@pytest.mark.slow
def test_a_pipeline_is_reported_on_from_its_examples(train):
    nlp = train()
    data, known = make_examples(nlp, 60, seed=1), make_examples(nlp, 60)
    found = report(nlp, data, train=known, progress=False)
    assert isinstance(found, Report)
    assert found.component == "embtune"
    assert (found.n_documents, found.n_labelled, found.n_train) == (60, 60, 60)
    assert sorted(found.labels) == sorted(TOPICS)
    assert found.exclusive
    assert found.verdict.kind == "helps"
    assert found.seen.n_remembered == 0
    scores = nlp.evaluate(data)
    rows = {row.key: row for row in found.primary}
    assert rows["p_at_1"].tuned == pytest.approx(scores["embtune_p1"], abs=1e-6)
    assert rows["map_at_r"].base == pytest.approx(scores["embtune_base_map_r"], abs=1e-6)


@pytest.mark.slow
def test_a_pipeline_knows_what_it_was_trained_on_also_when_it_is_loaded(train, tmp_path):
    import spacy

    nlp = train(n_steps=3)
    known = make_examples(nlp, 60)
    nlp.to_disk(tmp_path / "model")
    for pipeline in (nlp, spacy.load(tmp_path / "model")):
        found = report(pipeline, known, progress=False)
        assert found.verdict.kind == "not held out"
        assert found.seen == (60, None, 60, True)
        assert "60 of 60 documents are texts" in str(found)


@pytest.mark.slow
def test_what_cannot_be_reported_on_is_an_error(make_nlp, train):
    import spacy

    with pytest.raises(ValueError, match="no embtune component"):
        report(spacy.blank("en"), make_examples(spacy.blank("en"), 3))
    nlp = make_nlp()
    with pytest.raises(ValueError, match="not trained yet"):
        report(nlp, make_examples(nlp, 3))
    nlp = train(n_steps=2)
    with pytest.raises(ValueError, match="no documents"):
        report(nlp, [])
    with pytest.raises(ValueError, match="no embtune component of the name 'other'"):
        report(nlp, make_examples(nlp, 3), name="other")
    with pytest.raises(ValueError, match=r"a str\. Give Examples"):
        report(nlp, ["a text"])


def test_everything_is_in_the_dict_as_json_takes_it():
    rng = np.random.default_rng(13)
    data, train = (make_documents(*cases.a_gain(rng, n)) for n in (60, 40))
    found = compare(data, train, component="mine", unknown_labels=["D"], notes=["A note."])
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written == found.to_dict()
    assert written["verdict"] == {**found.verdict._asdict(), "rule": RULE}
    assert written["component"] == "mine"
    assert written["unknown_labels"] == ["D"]
    assert written["notes"][0] == "A note."
    metric = written["metrics"]["map_at_r"]
    assert set(metric) == {"title", "base", "tuned", "difference", "interval", "beyond_chance"}
    low, high = metric["interval"]
    assert low < metric["difference"] < high
    assert set(written["on_train"]) == {"p_at_1", "map_at_r"}
    assert written["space"]["neighbour_overlap"]["base"] is None


def test_a_pipeline_trained_without_labels_is_compared_by_those_of_the_documents(train):
    nlp = train(n_steps=20)
    data = make_examples(nlp, 45, seed=1)
    with_labels = report(nlp, data, progress=False)
    nlp.get_pipe("embtune").cfg.update(labels=[], exclusive_classes=False)
    without = report(nlp, data, progress=False)
    assert without.labels == without.unknown_labels == sorted(TOPICS)
    assert without.exclusive
    for row, other in zip(without.primary, with_labels.primary, strict=True):
        assert (row.base, row.tuned) == pytest.approx((other.base, other.tuned))


@pytest.mark.slow
def test_an_interval_that_misses_zero_without_being_beyond_chance_is_explained():
    n_explained = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        base, tuned, values = cases.no_gain(rng, 80)
        found = compare(make_documents(base + 0.9 * rng.normal(size=base.shape), tuned, values))
        is_odd = any(
            row.beyond_chance is None and (row.interval.low > 0 or row.interval.high < 0)
            for row in found.primary
        )
        assert is_odd == any("misses zero by chance" in note for note in found.notes)
        n_explained += is_odd
    assert 0 < n_explained < 12
