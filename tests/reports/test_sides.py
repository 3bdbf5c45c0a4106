"""Reports on pairs: recall@k and MRR of both directions, base against tuned."""

import json

import numpy as np
import pytest
import spacy
from spacy.training import Example

from spacy_embtune.data import pairs_to_examples
from spacy_embtune.metrics import answer_scores
from spacy_embtune.reports import compare_sides, report_pairs


def make_sides(n=60, seed=0, noise=1.5):
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(n, 8))
    return left, left + noise * rng.normal(size=(n, 8))


# Arrays of both sides


def test_the_values_are_those_of_the_metrics():
    left, right = make_sides()
    tuned = left, left + 0.5 * (right - left)
    found = compare_sides(left, right, *tuned)
    for (_, rows), step in zip(found.primary, (1, -1), strict=True):
        for kind, sides in (("base", (left, right)), ("tuned", tuned)):
            scores = answer_scores(*(side.astype("float32") for side in sides[::step]))
            expected = [*scores.recall.values(), scores.mrr]
            assert [getattr(row, kind) for row in rows] == pytest.approx(expected)
    assert found.verdict.kind == "helps"
    assert "MRR from left to right" in found.verdict.text
    assert not found.base_is_chance
    assert (found.n_rows, found.n_pairs) == ((60, 60), 60)


def test_equal_vectors_show_no_gain():
    left, right = make_sides()
    found = compare_sides(left, right, left, right)
    assert found.verdict.kind == "no evidence of a gain"
    assert all(row.difference == 0 for _, rows in found.primary for row in rows)


def test_base_vectors_of_different_widths_are_compared_by_chance():
    left, right = make_sides()
    found = compare_sides(left, right[:, :5], left, right)
    assert found.base_is_chance
    rows = found.primary[0][1]
    assert [row.base for row in rows] == pytest.approx(
        [1 / 60, 5 / 60, 10 / 60, (1 / np.arange(1, 61)).mean()]
    )
    assert found.verdict.text.startswith("compared with chance, better at recall@1")
    assert "chance" in found.to_text().splitlines()[2]
    assert "8 and 5 columns" in found.notes[0]


def test_equal_rows_are_one_row_with_several_right_answers():
    left, right = make_sides(40)
    # Each left row twice: a question with two answers.
    twice = np.repeat(left[:20], 2, axis=0)
    found = compare_sides(twice, right, twice, right)
    assert (found.n_rows, found.n_pairs) == ((20, 40), 40)
    assert "right answers of a query" in found.notes[-1]
    scores = answer_scores(
        left[:20].astype("float32"),
        right.astype("float32"),
        [[i // 2, i] for i in range(40)],
    )
    assert found.primary[0][1][0].base == pytest.approx(scores.recall[1])


def test_the_report_is_written_in_all_forms():
    left, right = make_sides()
    found = compare_sides(left, right, left, left, names=("ask", "a|<b>"))
    text, markdown, page = str(found), found.to_markdown(), found._repr_html_()
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0] == "60 pairs of 60 ask and 60 a|<b>"
    for form in (text, markdown, page):
        assert form.count("recall@10") >= 2
        assert "MRR" in form
    assert "<b>" not in page
    assert "**From ask to a\\|\\<b\\>**" in markdown
    numbers = json.loads(json.dumps(found.to_dict()))
    assert numbers["metrics"]["ask to a|<b>"]["mrr"]["tuned"] == 1.0
    assert len(numbers["metrics"]["a|<b> to ask"]["recall_at_1"]["interval"]) == 2
    assert numbers["base_is_chance"] is False


def test_few_pairs_are_too_few_to_tell():
    left, right = make_sides(10)
    assert "only 10 groups" in compare_sides(left, right, left, left).verdict.text
    nothing = compare_sides(left * 0, right, left * 0, right)
    assert nothing.verdict.kind == "nothing to compare"
    assert nothing.notes[0] == "1 of 1 left have no vector and are left out."


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a, b: (a, b, a[:3], b), r"base vectors of left have shape \(60, 8\)"),
        (lambda a, b: (a, b[:50], a, b[:50]), "60 rows on one side and 50 on the other"),
        (lambda a, b: (a, b, a, b[:, :3]), "give vectors of one width"),
        (lambda a, b: (a, b, a * np.nan, b), "must be finite"),
        (lambda a, b: (a, b, a, b, [[0, 60]]), "names a row outside"),
        (lambda a, b: (a[0], b, a, b), "base vectors of left have shape"),
    ],
)
def test_what_are_no_sides_is_an_error(change, match):
    with pytest.raises(ValueError, match=match):
        compare_sides(*change(*make_sides()))


# Pairs of texts


@pytest.fixture(scope="module")
def nlp():
    """A pipeline with vectors of the words "a0", "b0" and so on, trained on labels."""
    nlp = spacy.blank("en")
    rng = np.random.default_rng(0)
    for i in range(60):
        for name in "ab":
            nlp.vocab.set_vector(f"{name}{i}", rng.normal(size=12).astype("float32"))
    config = {
        "model": {
            "encoder": {"@architectures": "spacy-embtune.DocVectors.v1"},
            "head": {"@architectures": "spacy-embtune.Contrastive.v1", "dropout": 0.0},
        },
        "loss": {"@losses": "spacy-embtune.supervised_contrastive.v1"},
    }
    nlp.add_pipe("embtune", config=config)
    labelled = [(nlp.make_doc(f"{name}{i}"), {name: 1.0}) for i in range(30, 60) for name in "ab"]
    examples = [Example.from_dict(doc, {"cats": cats}) for doc, cats in labelled]
    nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    return nlp


def test_pairs_of_texts_are_measured(nlp):
    pairs = [(f"a{i}", f"b{i}") for i in range(30)]
    found = report_pairs(nlp, pairs_to_examples(nlp, pairs), progress=False)
    assert found.component == "embtune"
    assert (found.names, found.n_rows, found.n_pairs) == (("text1", "text2"), (30, 30), 30)
    assert found.secondary == []
    vectors = [np.stack([nlp.vocab[pair[side]].vector for pair in pairs]) for side in (0, 1)]
    assert found.primary[0][1][-1].base == pytest.approx(answer_scores(*vectors).mrr)


def test_pairs_with_scores_show_their_correlation(nlp):
    pairs = [(f"a{i}", f"b{i}", i % 5) for i in range(30)]
    found = report_pairs(nlp, pairs_to_examples(nlp, pairs, score_range=(0, 4)), progress=False)
    assert [row.key for row in found.secondary] == ["spearman", "pearson"]
    assert found.n_pairs == 18
    assert found.notes[0].startswith("18 of 30 pairs belong together")
    assert "Cosines and scores" in found.to_text()
    # The others are candidates all the same.
    assert found.n_rows == (30, 30)


def test_a_text_is_no_candidate_for_itself(nlp):
    pairs = [(f"a{i}", f"a{(i + 1) % 30}") for i in range(30)]
    found = report_pairs(nlp, pairs_to_examples(nlp, pairs), progress=False)
    vectors = np.stack([nlp.vocab[f"a{i}"].vector for i in range(30)])
    right = [[i, (i + 1) % 30] for i in range(30)]
    scores = answer_scores(vectors, vectors, right, same=range(30))
    assert found.primary[0][1][-1].base == pytest.approx(scores.mrr)


def test_texts_that_training_saw_are_a_warning(nlp):
    pairs = [(f"a{i}", f"b{i}") for i in range(25, 55)]
    found = report_pairs(nlp, pairs_to_examples(nlp, pairs), progress=False)
    assert found.warnings[0].startswith("50 of 60 texts")
    assert found.verdict.kind == "not held out"


def test_what_are_no_pairs_of_texts_is_an_error(nlp):
    with pytest.raises(ValueError, match="There are no pairs"):
        report_pairs(nlp, [])
    with pytest.raises(ValueError, match="There are no pairs"):
        report_pairs(nlp, [Example.from_dict(nlp.make_doc("a1"), {})])
    with pytest.raises(ValueError, match="A pair is a Doc"):
        report_pairs(nlp, [nlp.make_doc("a1")])
