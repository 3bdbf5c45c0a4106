"""Reports and tables of more labels than arrays of documents times labels can hold."""

import importlib

import numpy as np
import pytest
from spacy.training import Example

from spacy_embtune.labelling import _predictions, _suspects, bulk_table, predict_labels
from spacy_embtune.labels import SparseTargets, to_sparse
from spacy_embtune.metrics import calibration_scores
from spacy_embtune.pipeline import ComputedRows
from spacy_embtune.pipeline import rows as rows_module
from spacy_embtune.plots.arrays import dense_targets, labels_of
from spacy_embtune.plots.colors import color_groups
from spacy_embtune.reports import compare, documents, measures
from spacy_embtune.types import Targets

from . import cases
from .cases import make_documents


def make(n=120, *, seed=0, exclusive=True):
    """Documents with a component that is right nine times in ten; of labels that are not exclusive,
    half are known."""
    rng = np.random.default_rng(seed)
    base, tuned, values = cases.a_gain(rng, n)
    known = None
    if not exclusive:
        values = np.minimum(values + (rng.random(values.shape) < 0.2), 1.0)
        known = rng.random(values.shape) < 0.5
        values = np.where(known, values, 0.0)
    data = make_documents(base, tuned, values, known, exclusive=exclusive)
    p = 0.85 * values[np.roll(np.arange(n), np.arange(n) % 10 == 9)] + 0.05
    p = p / p.sum(axis=1, keepdims=True) if exclusive else p
    return data._replace(probabilities=p.astype("f"), temperature=1.6)


def hold_sparse(data):
    """RETURNS (Documents): The same documents, as they are held if there are many labels."""
    p = np.asarray(data.probabilities)
    rows = ComputedRows(lambda at: p[at[:, 0]], np.arange(len(p))[:, None], width=p.shape[1])
    return data._replace(targets=to_sparse(data.targets), probabilities=rows)


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6)
    else:
        assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("with_train", [True, False])
def test_a_report_does_not_depend_on_how_labels_are_held(exclusive, with_train):
    data, train = make(exclusive=exclusive), make(80, seed=1, exclusive=exclusive)
    args = (data, train) if with_train else (data,)
    expected = compare(*args).to_dict()
    found = compare(*map(hold_sparse, args)).to_dict()
    if exclusive and with_train:
        # Sparse predictions of exclusive labels keep no decision values; they are for two labels.
        assert "probe_auc" not in expected["secondary"]
    assert_same(found, expected)


@pytest.mark.parametrize("exclusive", [True, False])
def test_tables_and_colours_do_not_depend_on_how_labels_are_held(exclusive, monkeypatch):
    monkeypatch.setattr(_suspects, "FEWEST", 1)
    data = make(60, exclusive=exclusive)
    unlabelled = np.asarray(data.targets.known) * (np.arange(60) % 7 > 0)[:, None]
    data = data._replace(targets=data.targets._replace(known=unlabelled))
    sparse = hold_sparse(data)
    for a, b in zip(labels_of(sparse), labels_of(data), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(dense_targets(sparse).known, data.targets.known)
    groups, expected_groups = color_groups(sparse), color_groups(data)
    assert groups.names == expected_groups.names
    np.testing.assert_array_equal(groups.group, expected_groups.group)
    for color in ("label", "predicted"):
        found, expected = bulk_table(sparse, color=color), bulk_table(data, color=color)
        if exclusive:
            # Absences that a present label implies are left out.
            for row in expected.rows:
                row["cats"] = {label: v for label, v in row["cats"].items() if v}
        assert_same(found.rows, expected.rows)
        assert found.n_suspects == expected.n_suspects
    assert any(row["suspect"] for row in expected.rows)


def test_rare_labels_are_not_checked_if_there_are_many(monkeypatch):
    data = hold_sparse(make(60))
    monkeypatch.setattr(_suspects, "FEWEST", 1000)
    table = bulk_table(data)
    assert table.n_suspects is None
    assert all(row["expected"] is None for row in table.rows)


def test_at_most_the_most_probable_labels_are_predicted(monkeypatch):
    data = make(60, exclusive=False)
    expected = [row[:1] for row in predict_labels(data).labels]
    monkeypatch.setattr(_predictions, "ALL_CATS", 2)
    monkeypatch.setattr(_predictions, "MANY_CATS", 1)
    assert predict_labels(data).labels == expected


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
def test_probes_of_many_labels_are_those_of_a_sample_that_is_named(exclusive, monkeypatch):
    data, train = make(exclusive=exclusive), make(80, seed=1, exclusive=exclusive)
    everything = compare(data, train)
    monkeypatch.setattr(measures, "MOST_PROBED", 2)
    found = compare(data, train)
    assert (everything.samples.probe, found.samples.probe) == (None, (2, 4))
    assert any("2 of 4 labels" in note for note in found.notes)
    assert found.to_dict()["samples"]["probe"] == {"n": 2, "of": 4}
    assert found == compare(data, train)
    by_key = {row.key: row for row in everything.primary}
    for row in found.primary:
        if not row.key.startswith("probe"):
            assert (row.base, row.tuned) == (by_key[row.key].base, by_key[row.key].tuned)
    probed = [row for row in found.per_label if row.tuned.f1 is not None]
    assert len(probed) == 2
    if not exclusive:
        # A label's own probe does not depend on other labels.
        names = {row.label: row for row in everything.per_label}
        assert [names[row.label] for row in probed] == probed


def test_documents_of_a_pipeline_are_held_by_their_size(train, monkeypatch):
    nlp = train(n_steps=3)
    records = [Example.from_dict(nlp.make_doc(t), {"cats": {}}) for t in ("bread", "", "guitar")]
    expected = documents(nlp, None, records)
    monkeypatch.setattr(rows_module, "MOST_DENSE", 0)
    monkeypatch.setattr("spacy_embtune.labels.sparse.MOST_DENSE", 0)
    # The function of this name hides the module.
    module = importlib.import_module("spacy_embtune.reports.documents")
    monkeypatch.setattr(module, "MOST_DENSE", 0)
    found = documents(nlp, None, records)
    assert isinstance(expected.targets, Targets)
    assert isinstance(found.targets, SparseTargets)
    assert isinstance(found.probabilities, ComputedRows)
    np.testing.assert_allclose(found.probabilities[:], expected.probabilities, atol=1e-6)
    np.testing.assert_array_equal(found.tuned, expected.tuned)


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
def test_calibration_is_that_of_the_metric_before_and_after(exclusive):
    rng = np.random.default_rng(0)
    data = make(200, exclusive=exclusive)
    z = 2.0 * np.asarray(data.targets.values) + rng.normal(size=(200, 4))

    def to_p(z):
        p = np.exp(z) if exclusive else 1 / (1 + np.exp(-z))
        return p / p.sum(axis=1, keepdims=True) if exclusive else p

    data = data._replace(probabilities=to_p(z / 2.5).astype("f"), temperature=2.5)
    for held in (data, hold_sparse(data)):
        found = compare(held).calibration
        assert found.temperature == 2.5
        assert found.before == pytest.approx(calibration_scores(to_p(z), data.targets), abs=1e-5)
        after = calibration_scores(to_p(z / 2.5), data.targets)
        assert found.after == pytest.approx(after, abs=1e-5)
        entry = compare(held).to_dict()["calibration"]
        assert entry["expected_calibration_error"]["after"] == found.after.error
        assert entry["n"] == (200 if exclusive else int(np.asarray(data.targets.known).sum()))
    plain = compare(data._replace(temperature=1.0)).calibration
    assert plain.before == plain.after
    # Labels that the component does not know are left out, and without any there is nothing.
    other = data._replace(labels=["A", "B", "C", "other"])
    assert (compare(other).calibration is None) == (compare(hold_sparse(other)).calibration is None)
    assert compare(data._replace(labels=list("wxyz"))).calibration is None
    nothing = data._replace(probabilities=np.zeros((200, 0), "f"), predicted_labels=[])
    assert compare(nothing).calibration is None
    assert compare(nothing).to_dict()["calibration"] is None
