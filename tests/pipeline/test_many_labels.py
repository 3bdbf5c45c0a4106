"""More labels than arrays of documents times labels, or `doc.cats`, can hold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from spacy.language import Language
from spacy.scorer import Scorer

from spacy_embtune.metrics import _rows
from spacy_embtune.pipeline import ComputedRows, annotations, rows

from ..conftest import make_examples

MakeNlp = Callable[..., Language]


def assert_same(found: Any, expected: Any) -> None:
    """Compare scores, also within dicts."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6)
    else:
        assert found == expected


def test_computed_rows_are_those_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    base = np.random.default_rng(0).normal(size=(11, 3)).astype("float32")
    sizes = []

    def compute(part: Any) -> Any:
        sizes.append(len(part))
        return part @ np.ones((3, 4), dtype="float32")

    expected = compute(base)
    monkeypatch.setattr(_rows, "MOST_ENTRIES", 8)
    found = ComputedRows(compute, base, width=4)
    assert (found.shape, found.size, len(found)) == ((11, 4), 44, 11)
    for at in (3, -1, slice(2, 5), slice(None), [4, 1], base[:, 0] > 0):
        np.testing.assert_allclose(found[at], expected[at], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(found, dtype="float64"), expected, rtol=1e-6)
    assert max(sizes[1:]) == 2


@pytest.mark.parametrize("exclusive", [True, False])
def test_scores_and_calibration_do_not_depend_on_how_probabilities_are_held(
    train: MakeNlp, monkeypatch: pytest.MonkeyPatch, exclusive: bool
) -> None:
    nlp = train(n_steps=5, exclusive_classes=exclusive, set_cats=True)
    pipe: Any = nlp.get_pipe("embtune")
    examples = make_examples(nlp, 60, seed=1)
    for example in examples[:9]:
        example.reference.cats = dict(list(example.reference.cats.items())[:2])
    examples[9].reference.cats = {}
    if exclusive:
        examples[10].reference.cats = {pipe.labels[0]: 0.0}
    expected = nlp.evaluate(examples, scorer_cfg={})
    temperature = pipe.calibrate(examples)
    pipe.cfg["temperature"] = 1.0
    monkeypatch.setattr(rows, "MOST_DENSE", 0)
    monkeypatch.setattr("spacy_embtune.labels.sparse.MOST_DENSE", 0)
    monkeypatch.setattr(_rows, "MOST_ENTRIES", 20)
    found = nlp.evaluate(examples)
    for one in (found, expected):
        del one["speed"]
    assert_same(found, expected)
    assert pipe.calibrate(examples) == pytest.approx(temperature, rel=1e-4)
    # The scores of cats come from probabilities if doc.cats does not have all labels.
    pipe.cfg["temperature"] = 1.0
    monkeypatch.setattr(annotations, "ALL_CATS", 2)
    monkeypatch.setattr(annotations, "MANY_CATS", 1)
    found = nlp.evaluate(examples)
    del found["speed"]
    assert_same(found, expected)


def test_rows_keep_the_weights_that_they_were_made_with(
    train: MakeNlp, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = train(n_steps=3)
    pipe: Any = nlp.get_pipe("embtune")
    examples = make_examples(nlp, 10)
    prediction = pipe.predict([example.predicted for example in examples])
    monkeypatch.setattr(rows, "MOST_DENSE", 0)
    found = rows.probability_rows(pipe, prediction.base)
    nlp.update(examples, sgd=nlp.create_optimizer())
    np.testing.assert_allclose(found[:], prediction.cats, atol=1e-6)


def test_only_the_most_probable_labels_are_written_if_there_are_many(
    train: MakeNlp, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = train(n_steps=5, set_cats=True)
    pipe: Any = nlp.get_pipe("embtune")
    everything = nlp("bread and soup").cats
    assert list(everything) == list(pipe.labels)
    ranked = sorted(everything, key=lambda label: -everything[label])
    pipe.max_cats = 2
    assert list(nlp("bread and soup").cats.items()) == [(x, everything[x]) for x in ranked[:2]]
    pipe.max_cats = 99
    assert nlp("bread and soup").cats == everything
    pipe.max_cats = None
    monkeypatch.setattr(annotations, "ALL_CATS", 2)
    monkeypatch.setattr(annotations, "MANY_CATS", 1)
    assert list(nlp("bread and soup").cats) == ranked[:1]


def test_max_cats_below_one_is_an_error_and_others_are_in_the_config(make_nlp: MakeNlp) -> None:
    with pytest.raises(ValueError, match="max_cats is 0: give 1 or more, or null"):
        make_nlp(max_cats=0)
    nlp = make_nlp(max_cats=7)
    assert nlp.config["components"]["embtune"]["max_cats"] == 7


@pytest.mark.parametrize("exclusive", [True, False])
def test_scores_of_many_cats_are_those_of_spacy(make_nlp: MakeNlp, exclusive: bool) -> None:
    from spacy_embtune.pipeline._cats_scores import score_many_cats

    nlp, rng = make_nlp(), np.random.default_rng(0)
    labels = [f"label {i}" for i in range(7)]
    examples = make_examples(nlp, 50)
    # Ties, too.
    p = rng.integers(1, 6, size=(50, 7)) / 10
    for i, example in enumerate(examples):
        example.predicted.cats = dict(zip(labels, p[i].tolist(), strict=True))
        known = rng.choice(6, 4, replace=False)
        gold = {labels[j]: float(k == 0 or (k == 1 and not exclusive)) for k, j in enumerate(known)}
        example.reference.cats = gold if i % 9 else {}
    examples[3].reference.cats = {labels[0]: 0.0}
    expected = Scorer.score_cats(
        examples, "cats", labels=labels, multi_label=not exclusive, threshold=0.3
    )
    found = score_many_cats(examples, p, labels, exclusive=exclusive, threshold=0.3)
    assert_same(found, expected)
    assert 0 < found["cats_macro_auc"] < 1
