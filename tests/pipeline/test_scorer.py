"""The scores that training logs and evaluations show."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from spacy.language import Language
from spacy.training import Example
from spacy.training.loop import create_evaluation_callback
from spacy.util import registry

from spacy_embtune.metrics import retrieval_scores
from spacy_embtune.pipeline import register_extension
from spacy_embtune.pipeline import scorer as scorer_module

from ..conftest import TOPICS, make_examples

MakeNlp = Callable[..., Language]
SETTINGS: dict[str, Any] = {"labels": sorted(TOPICS), "exclusive_classes": True}


def annotate(examples: list[Example], *, seed: int = 0) -> list[Example]:
    """Random vectors on every Doc."""
    register_extension("embtune", "tuned")
    register_extension("embedding", "base")
    rng = np.random.default_rng(seed)
    for example in examples:
        example.predicted._.embtune = rng.normal(size=3).astype("float32")
        example.predicted._.embedding = rng.normal(size=5).astype("float32")
    return examples


def test_the_scores_are_those_of_the_metrics(make_nlp: MakeNlp) -> None:
    examples = annotate(make_examples(make_nlp(), 40))
    scores = registry.scorers.get("spacy-embtune.embtune_scorer.v1")()(examples, **SETTINGS)
    values = np.asarray([[eg.reference.cats[label] for label in sorted(TOPICS)] for eg in examples])
    for name, prefix in (("embtune", "embtune_"), ("embedding", "embtune_base_")):
        expected = retrieval_scores(np.stack([eg.predicted._.get(name) for eg in examples]), values)
        assert scores[f"{prefix}p1"] == expected.p_at_1
        assert scores[f"{prefix}map_r"] == expected.map_at_r
    names = {"embtune_p1", "embtune_map_r", "embtune_base_p1", "embtune_base_map_r"}
    assert set(scores) == {*names, "embtune_per_type"}
    for name in ("p1", "map_r", "base_p1", "base_map_r"):
        of_labels = [label[name] for label in scores["embtune_per_type"].values()]
        assert np.mean(of_labels) == pytest.approx(scores[f"embtune_{name}"])


def test_unknown_labels_and_documents_without_vectors_do_not_count(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = annotate(make_examples(nlp, 30))
    score = scorer_module.make_embtune_scorer()
    expected = score(examples, **SETTINGS)
    unlabelled = annotate(make_examples(nlp, 10, cats=lambda topic: {}), seed=1)
    without_vector = make_examples(nlp, 10)
    assert score(examples + unlabelled + without_vector, **SETTINGS) == expected


def test_a_label_that_nobody_or_one_document_carries_is_left_out(make_nlp: MakeNlp) -> None:
    examples = annotate(make_examples(make_nlp(), 30))
    score = scorer_module.make_embtune_scorer()
    expected = score(examples, **SETTINGS)
    for example in examples:
        example.reference.cats["NOBODY"] = 0.0
        example.reference.cats["ONE"] = float(example is examples[4])
    more = {"labels": [*SETTINGS["labels"], "NOBODY", "ONE"], "exclusive_classes": False}
    found = score(examples, **more)
    one = found["embtune_per_type"].pop("ONE")
    assert one == {
        "n": 1,
        **dict.fromkeys(["p1", "map_r", "base_p1", "base_map_r", "p", "r", "f"]),
    }
    assert found == expected


def test_nothing_to_score_is_none(make_nlp: MakeNlp) -> None:
    score = scorer_module.make_embtune_scorer()
    nlp = make_nlp()
    nothing = dict.fromkeys(
        ["embtune_p1", "embtune_map_r", "embtune_base_p1", "embtune_base_map_r"]
    )
    unlabelled = annotate(make_examples(nlp, cats=lambda topic: {}))
    for examples in ([], make_examples(nlp), unlabelled):
        scores = score(examples, **SETTINGS)
        of_labels = scores.pop("embtune_per_type")
        assert scores == nothing
        assert of_labels == {}


def test_an_untrained_pipeline_has_base_scores_only(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    scores = nlp.evaluate(examples)
    assert scores["embtune_p1"] == scores["embtune_map_r"] == 0.0
    assert 0 < scores["embtune_base_p1"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_first_evaluation_before_training_does_not_end_the_choice_of_the_best_model(
    make_nlp: MakeNlp, exclusive: bool
) -> None:
    nlp = make_nlp(set_cats=True, exclusive_classes=exclusive)
    examples = make_examples(nlp, 60)
    optimizer = nlp.initialize(lambda: examples)
    weights = {"embtune_p1": 0.4, "embtune_map_r": 0.4, "cats_score": 0.2}
    evaluate = create_evaluation_callback(nlp, lambda nlp: make_examples(nlp, 60), weights)
    assert evaluate()[0] == 0.0
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    score, scores = evaluate()
    expected = sum(weight * scores[name] for name, weight in weights.items())
    assert score == pytest.approx(expected)
    assert score > 0.5


def test_base_scores_are_computed_once_for_the_same_vectors(
    make_nlp: MakeNlp, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []

    def noted(vectors: Any, *args: Any) -> Any:
        widths.append(vectors.shape[1])
        return retrieval_scores(vectors, *args)

    monkeypatch.setattr(scorer_module, "retrieval_scores", noted)
    score = scorer_module.make_embtune_scorer()
    examples = annotate(make_examples(make_nlp(), 20))
    first = score(examples, **SETTINGS)
    assert score(examples, **SETTINGS) == first
    assert widths == [5, 3, 3]
    annotate(examples, seed=7)
    assert score(examples, **SETTINGS) != first
    assert widths == [5, 3, 3, 5, 3]


def test_each_label_has_the_precision_recall_and_f1_of_scikit_learn(train: MakeNlp) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    nlp = train(n_steps=4)
    examples = make_examples(nlp, 60, seed=1)
    scores = nlp.evaluate(examples)["embtune_per_type"]
    labels = sorted(TOPICS)
    assert sorted(scores) == labels
    cats = [nlp.get_pipe("embtune").predict([eg.reference]).cats[0] for eg in examples]
    columns = list(nlp.get_pipe("embtune").labels)
    predicted = [columns[row.argmax()] for row in cats]
    gold = [max(eg.reference.cats, key=eg.reference.cats.get) for eg in examples]
    expected = precision_recall_fscore_support(gold, predicted, labels=labels, zero_division=np.nan)
    for j, label in enumerate(labels):
        found = [scores[label][name] for name in ("p", "r", "f")]
        wanted = [None if np.isnan(of[j]) else of[j] for of in expected[:3]]
        assert found == pytest.approx(wanted)
        assert scores[label]["n"] == 20


@pytest.mark.slow
def test_an_unknown_label_is_neither_right_nor_wrong_in_the_scores_of_labels(
    train: MakeNlp,
) -> None:
    nlp = train(n_steps=10, exclusive_classes=False, set_cats=True)
    examples = make_examples(nlp, 60, seed=1)
    before = nlp.evaluate(examples)["embtune_per_type"]
    more = make_examples(nlp, 60, seed=2, cats=lambda topic: {"SPORT": float(topic == "SPORT")})
    after = nlp.evaluate(examples + more)["embtune_per_type"]
    for label in ("FOOD", "MUSIC"):
        for name in ("n", "p", "r", "f"):
            assert after[label][name] == before[label][name]
    assert after["SPORT"]["n"] == 40


@pytest.mark.slow
def test_a_component_whose_losses_compare_pairs_has_no_f1(train: MakeNlp) -> None:
    nlp = train(loss={"@losses": "spacy-embtune.supervised_contrastive.v1"})
    scores = nlp.evaluate(make_examples(nlp, 30))["embtune_per_type"]["SPORT"]
    assert scores["f"] is None
    assert scores["p1"] > 0.9


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9])
def test_the_threshold_decides_what_counts_as_predicted(train: MakeNlp, threshold: float) -> None:
    nlp = train(n_steps=5, exclusive_classes=False, set_cats=True, threshold=threshold)
    examples = make_examples(nlp, 30, seed=1)
    scores = nlp.evaluate(examples)
    for label, of_spacy in scores["cats_f_per_type"].items():
        ours = scores["embtune_per_type"][label]
        for name, value in of_spacy.items():
            # spaCy writes 0 for the precision of a label that is never predicted.
            assert (ours[name] or 0.0) == pytest.approx(value)
    if threshold == 0.0:
        assert all(of["r"] == 1.0 for of in scores["cats_f_per_type"].values())
