"""Scores of each label, in the report, its JSON and its tables."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from spacy_embtune.metrics import predict_by_other_neighbour, retrieval_scores
from spacy_embtune.reports import compare
from spacy_embtune.reports.render import label_tables

from . import cases
from .cases import hostile_report, make_documents


def make(n=120, *, seed=0, **settings):
    return make_documents(*cases.a_gain(np.random.default_rng(seed), n), **settings)


def by_label(found):
    return {row.label: row for row in found.per_label}


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_scores_of_labels_have_the_mean_of_the_report(exclusive):
    data = make(exclusive=exclusive)
    found = compare(data)
    rows = found.per_label
    assert [row.label for row in rows] == data.labels
    assert [row.n for row in rows] == data.targets.values.sum(axis=0).tolist()
    for metric in found.primary:
        for kind in ("base", "tuned"):
            values = [getattr(getattr(row, kind), metric.key) for row in rows]
            assert np.mean(values) == pytest.approx(getattr(metric, kind))
    expected = retrieval_scores(data.tuned, data.targets.values).per_label.map_at_r
    assert [row.tuned.map_at_r for row in rows] == pytest.approx(expected)


def test_with_train_a_probe_predicts_without_it_the_nearest_other_document():
    data, train = make(), make(60, seed=1)
    alone, taught = compare(data), compare(data, train)
    assert (alone.classifier, taught.classifier) == ("neighbour", "probe")
    # With exclusive labels, the recall of the nearest document is p@1.
    for row in alone.per_label:
        assert row.tuned.recall == pytest.approx(row.tuned.p_at_1)
    f1 = [row.tuned.f1 for row in taught.per_label]
    of_report = {row.key: row for row in taught.primary}
    assert np.mean(f1) == pytest.approx(of_report["probe_macro_f1"].tuned)


def test_the_nearest_other_document_as_scikit_learn_has_it():
    data = make()
    found = predict_by_other_neighbour(data.base, data.targets)
    unit = data.base / np.linalg.norm(data.base, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    classes = np.asarray(data.targets.values).argmax(axis=1)
    predicted = classes[cosines.argmax(axis=1)]
    assert found.predicted.argmax(axis=1).tolist() == predicted.tolist()
    scores = precision_recall_fscore_support(classes, predicted, labels=range(4))
    for j, row in enumerate(compare(data).per_label):
        got = (row.base.precision, row.base.recall, row.base.f1, row.n)
        assert got == pytest.approx([part[j] for part in scores])


def test_an_unknown_label_counts_nowhere():
    rng = np.random.default_rng(0)
    base, tuned, values = cases.a_gain(rng, 80)
    known = np.ones_like(values)
    known[40:, 1] = 0
    some = by_label(compare(make_documents(base, tuned, values, known, exclusive=False)))["B"]
    half = make_documents(base[:40], tuned[:40], values[:40], exclusive=False)
    assert some == by_label(compare(half))["B"]


def test_documents_without_a_vector_do_not_count():
    data = make()
    data.base[:10] = data.tuned[:10] = 0
    n = {row.label: row.n for row in compare(data).per_label}
    assert list(n.values()) == np.asarray(data.targets.values)[10:].sum(axis=0).tolist()


def test_the_component_is_scored_at_its_threshold():
    data = make(exclusive=False)
    values = np.asarray(data.targets.values)
    probabilities = 0.1 + 0.25 * values
    data = data._replace(probabilities=probabilities)
    assert all(row.recall == 0.0 for row in compare(data).per_label)
    rows = compare(data._replace(threshold=0.3)).per_label
    assert all((row.precision, row.recall, row.f1) == (1.0, 1.0, 1.0) for row in rows)


def test_a_label_that_the_component_does_not_know_is_wrong_for_those_that_it_predicts():
    data = make()
    own = np.eye(3)[np.zeros(120, dtype=int)]
    data = data._replace(probabilities=own, predicted_labels=["A", "B", "C"])
    rows = by_label(compare(data, unknown_labels=["D"]))
    share = np.asarray(data.targets.values)[:, 0].mean()
    assert rows["A"].precision == pytest.approx(share)
    assert rows["D"].precision is rows["D"].recall is rows["D"].f1 is None
    assert rows["B"].recall == 0.0


def test_json_has_all_of_it():
    data = make()._replace(probabilities=np.zeros((120, 0)), predicted_labels=[])
    found = compare(data, make(60, seed=1))
    written = found.to_dict()
    assert written["per_label_classifier"] == "probe"
    row = by_label(found)["C"]
    entry = written["per_label"]["C"]
    assert entry["n"] == row.n
    assert entry["f1"] == {
        "base": row.base.f1,
        "tuned": row.tuned.f1,
        "difference": row.tuned.f1 - row.base.f1,
    }
    names = {"n", "p_at_1", "map_at_r", "precision", "recall", "f1", "component"}
    assert set(entry) == names
    assert entry["component"] == {"precision": None, "recall": None, "f1": None}


def test_tables_are_shown_on_demand_in_80_columns_losses_first():
    found = compare(make(), make(60, seed=1))
    assert "by label" not in found.to_text() + found.to_markdown()
    text = found.to_text(per_label=True)
    assert max(map(len, text.splitlines())) <= 80
    (title, header, rows), (predictions, *_) = label_tables(found)
    assert title in text
    assert "a linear probe that learns from TRAIN" in predictions
    gains = [float(row[-1]) for row in rows]
    assert gains == sorted(gains)
    assert all(len(row) == len(header) for row in rows)
    markdown = found.to_markdown(per_label=True)
    assert (
        "| label | n | p@1 base | p@1 tuned | diff | MAP@R base | MAP@R tuned | diff |" in markdown
    )


def test_names_of_labels_do_not_break_the_tables():
    found = hostile_report()
    assert max(map(len, found.to_text(per_label=True).splitlines())) <= 80
    lines = found.to_markdown(per_label=True).splitlines()
    tables = [line for line in lines if "script" in line and line.startswith("|")]
    assert len(tables) == 2
    assert all("\\<script\\>" in line for line in tables)
