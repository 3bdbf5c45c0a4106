import pytest

from spacy_embtune.metrics import SpaceScores
from spacy_embtune.reports.verdict import (
    FEWEST_DOCUMENTS,
    MUCH_BETTER,
    RULE,
    Finding,
    judge,
    warn_of_collapse,
)

BETTER = Finding("map_at_r", "MAP@R", 0.2, better=True, worse=False)
ELSEWHERE = BETTER._replace(key="probe_macro_f1", title="linear probe macro-F1")
WORSE = Finding("p_at_1", "p@1", -0.1, better=False, worse=True)
UNSURE = Finding("probe_accuracy", "linear probe accuracy", 0.01, better=False, worse=False)
MUCH = Finding("map_at_r", "MAP@R", MUCH_BETTER, better=True, worse=False)
LITTLE = MUCH._replace(difference=MUCH_BETTER - 0.01)
BY_CHANCE = MUCH._replace(better=False)


@pytest.mark.parametrize(
    ("findings", "on_train", "kind"),
    [
        ([], MUCH, "nothing to compare"),
        ([BETTER, UNSURE], None, "helps"),
        ([BETTER, UNSURE], MUCH, "helps"),
        ([ELSEWHERE, UNSURE], MUCH, "helps"),
        ([BETTER, WORSE], None, "mixed"),
        ([BETTER, WORSE], MUCH, "mixed"),
        ([ELSEWHERE, WORSE], LITTLE, "mixed"),
        ([ELSEWHERE, WORSE], MUCH, "overfitted"),
        ([WORSE, UNSURE], None, "harms"),
        ([WORSE, UNSURE], LITTLE, "harms"),
        ([WORSE, UNSURE], MUCH, "overfitted"),
        ([UNSURE], MUCH, "overfitted"),
        ([UNSURE], LITTLE, "no evidence of a gain"),
        ([UNSURE], BY_CHANCE, "no evidence of a gain"),
        ([UNSURE], None, "no evidence of a gain"),
    ],
)
def test_the_verdict_follows_the_rule(findings, on_train, kind):
    verdict = judge(findings, n_scored=100, on_train=on_train, n_documents=100)
    assert verdict.kind == kind
    assert f"{kind}:" in RULE
    assert str(verdict).startswith(f"{kind[0].upper()}{kind[1:]}: ")
    assert verdict.text.endswith(".")
    for finding in findings:
        if finding.worse or (finding.better and kind != "overfitted"):
            assert f"{finding.title} ({finding.difference:+.3f})" in verdict.text


def test_a_few_documents_are_too_few_to_tell():
    few = judge([BETTER], n_scored=FEWEST_DOCUMENTS - 1, n_documents=500)
    assert few.kind == "no evidence of a gain"
    assert f"only {FEWEST_DOCUMENTS - 1} documents" in few.text
    assert judge([BETTER], n_scored=FEWEST_DOCUMENTS, n_documents=500).kind == "helps"


def test_documents_that_were_mostly_trained_on_are_not_held_out():
    seen = judge([BETTER], n_scored=100, n_documents=100, n_seen=50)
    assert seen.kind == "not held out"
    assert "50 of 100" in seen.text
    assert judge([BETTER], n_scored=100, n_documents=100, n_seen=49).kind == "helps"


BASE = SpaceScores(spread=0.9, within=0.9, effective_rank=250.0)


def warn(tuned, overlap, n_documents=500):
    return warn_of_collapse(BASE, tuned, overlap, n_documents=n_documents, n_neighbours=10)


def test_each_sign_of_collapse_is_named():
    assert warn(SpaceScores(0.8, 0.6, 150.0), 0.3) == []
    (line,) = warn(SpaceScores(0.08, 0.6, 150.0), 0.3)
    assert "point the same way" in line
    assert "0.080" in line
    (line,) = warn(SpaceScores(0.8, 0.05, 150.0), 0.3)
    assert "shrunk to nearly a point" in line
    (line,) = warn(SpaceScores(0.8, 0.6, 3.0), 0.3)
    assert "only 3.0 directions" in line
    (line,) = warn(SpaceScores(0.8, 0.6, 150.0), 0.03)
    assert "only 3% are left, where chance alone gives 2%" in line
    assert len(warn(SpaceScores(0.0, 0.0, 0.0), 0.0)) == 4


def test_neighbours_that_chance_alone_keeps_are_no_neighbours_kept():
    # Of 20 others, 10 are neighbours in any space.
    assert warn(SpaceScores(0.8, 0.6, 150.0), 0.5, n_documents=21)
    assert not warn(SpaceScores(0.8, 0.6, 150.0), 0.6, n_documents=21)


def test_what_is_not_defined_is_no_sign_of_collapse():
    nothing = SpaceScores(None, None, None)
    assert warn(nothing, None) == []
    assert warn_of_collapse(nothing, nothing, None, n_documents=0, n_neighbours=10) == []
