"""Files, the component and the estimators agree on every form of labels."""

import json
from typing import Any

import numpy as np
import pandas
import pytest
import spacy
from numpy.testing import assert_array_equal
from spacy.training import Example

from spacy_embtune import read_records
from spacy_embtune.finetune import FeedForwardTuner
from spacy_embtune.finetune.labels import read_labels
from spacy_embtune.labels import label_name, make_targets
from spacy_embtune.pipeline import EmbTune

NAN = float("nan")
N = 4
TEXTS = ["goal", "band", "soup", "team"]

# The form; what y is in Python; the fields of each row of a file; settings of the reader.
Form = tuple[Any, list[dict[str, Any]], dict[str, Any]]


def labelled(values: Any, name: str = "label") -> list[dict[str, Any]]:
    return [{name: value} for value in values]


FORMS: dict[str, Form] = {
    "strings": (["A", "B", "A", None], labelled(["A", "B", "A", None]), {}),
    "whole numbers": ([1, 2, 1, 2], labelled([1, 2, 1, 2]), {}),
    "whole floats": ([1.0, 2.0, NAN, 2.0], labelled([1.0, 2.0, NAN, 2.0]), {}),
    "integers of pandas with gaps": (
        pandas.Series([1, 2, None, 2], dtype="Int64"),
        labelled([1.0, 2.0, None, 2.0]),
        {},
    ),
    "truth values": ([True, False, None, True], labelled([True, False, None, True]), {}),
    "lists of names": (
        [["A", "B"], ["B"], [], None],
        labelled([["A", "B"], ["B"], [], None]),
        {},
    ),
    "lists of one name": (
        [["A"], ["B"], [], ["A"]],
        labelled([["A"], ["B"], [], ["A"]]),
        {},
    ),
    "cats": (
        [{"A": 1.0, "B": 0.0}, {"A": NAN, "B": 1.0}, {"A": 0.0}, None],
        labelled([{"A": 1.0, "B": 0.0}, {"A": NAN, "B": 1.0}, {"A": 0.0}, None], "cats"),
        {},
    ),
    "graded cats": (
        [{"A": 0.75, "B": 0.25}, {"A": 0.5, "B": 0.5}, {}, {"A": 1.0}],
        labelled([{"A": 0.75, "B": 0.25}, {"A": 0.5, "B": 0.5}, {}, {"A": 1.0}], "cats"),
        {},
    ),
    "one column a label": (
        pandas.DataFrame({"A": [1, 0, None, 1], "B": [0, 1, 1, 1]}),
        [{"A": 1, "B": 0}, {"A": 0, "B": 1}, {"A": None, "B": 1}, {"A": 1, "B": 1}],
        {"label_fields": ["A", "B"]},
    ),
    "one column a label, exclusive": (
        pandas.DataFrame({"A": [1, 0, 0, 1], "B": [0, 1, 1, 0]}),
        [{"A": 1, "B": 0}, {"A": 0, "B": 1}, {"A": 0, "B": 1}, {"A": 1, "B": 0}],
        {"label_fields": ["A", "B"]},
    ),
    # These have no form of their own in scikit-learn: y is the cats of the records.
    "separator": (None, labelled(["A; B", "B", "", "A"]), {"label_separator": ";"}),
    "numbers in classes": (
        None,
        labelled([1.5, 4, 5, None]),
        {"label_field": "label", "label_bins": [3]},
    ),
    "scores": (
        None,
        labelled(
            [[{"label": "A", "score": s}, {"label": "B", "score": 1 - s}] for s in (1, 0, 1, 0)]
        ),
        {},
    ),
    "Prodigy": (
        None,
        [
            {"label": "A", "answer": "accept"},
            {"label": "A", "answer": "reject"},
            {"label": "B", "answer": "accept"},
            {"label": "B", "answer": "ignore"},
        ],
        {},
    ),
    "Label Studio": (
        None,
        [
            {
                "annotations": [{"result": [{"from_name": "q", "value": {"choices": [label]}}]}],
                "predictions": [],
            }
            for label in "ABAB"
        ],
        {},
    ),
    "Argilla": (
        None,
        [{"label.responses": [label], "label.responses.status": ["submitted"]} for label in "ABBA"],
        {},
    ),
}


def read_file(tmp_path: Any, rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[Any]:
    path = tmp_path / "data.jsonl"
    lines = [json.dumps({"text": t, **row}) for t, row in zip(TEXTS, rows, strict=True)]
    path.write_text("\n".join(lines))
    return [record.cats for record in read_records(path, **settings)]


def filled(values: Any, known: Any) -> Any:
    return np.where(np.asarray(known) > 0, np.asarray(values), NAN)


@pytest.mark.parametrize("form", FORMS)
def test_files_component_and_estimators_agree(tmp_path: Any, form: str) -> None:
    y, rows, settings = FORMS[form]
    cats = read_file(tmp_path, rows, settings)
    y = cats if y is None else y

    nlp = spacy.blank("en")
    nlp.vocab.vectors.resize((N, 8))
    rng = np.random.RandomState(0)
    X = rng.normal(size=(N, 8)).astype("float32")
    for text, vector in zip(TEXTS, X, strict=True):
        nlp.vocab.set_vector(text, vector)
    model = {
        "@architectures": "spacy-embtune.EmbTune.v1",
        "encoder": {"@architectures": "spacy-embtune.DocVectors.v1"},
        "head": {"@architectures": "spacy-embtune.FeedForward.v1", "hidden_width": 4},
    }
    pipe = nlp.add_pipe("embtune", config={"model": model})
    assert isinstance(pipe, EmbTune)
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": known})
        for text, known in zip(TEXTS, cats, strict=True)
    ]
    nlp.initialize(lambda: examples)
    exclusive = bool(pipe.cfg["exclusive_classes"])
    of_files = make_targets(cats, pipe.labels, exclusive=exclusive)

    read = read_labels(y)
    names = [label_name(label) for label in read.classes.tolist()]
    order = [names.index(label) for label in pipe.labels]
    assert sorted(names) == sorted(pipe.labels)
    assert read.targets.exclusive == exclusive
    of_estimators = filled(read.targets.values, read.targets.known)[:, order]
    assert_array_equal(of_estimators, filled(of_files.values, of_files.known))

    tuner = FeedForwardTuner(hidden_dim=4, n_epochs=1, random_state=0)
    values = of_estimators[~np.isnan(of_estimators)]
    if not exclusive and not (values < 1).any():
        # Only what documents have is known, and nothing that they lack.
        with pytest.raises(ValueError, match="present in all rows where it is known"):
            tuner.fit(X, y)
        return
    tuner.fit(X, y)
    assert tuner.exclusive_classes_ == exclusive
    assert_array_equal(tuner.label_counts_[:, order], pipe.cfg["label_counts"])


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([True, False], ("false", "true")),
        ([1.0, 2.0], ("1", "2")),
        ([3, -1], ("-1", "3")),
        (["A", "B"], ("A", "B")),
    ],
)
def test_a_component_names_the_classes_of_an_estimator_as_files_do(
    tiny_encoder: Any, y: Any, labels: tuple[str, ...]
) -> None:
    tuner = FeedForwardTuner(hidden_dim=4, n_epochs=1, random_state=0)
    tuner.fit(np.eye(2, 64, dtype="float32"), y)
    pipe = EmbTune.from_estimator(tuner, spacy.blank("en"), encoder=str(tiny_encoder))
    assert pipe.labels == labels
