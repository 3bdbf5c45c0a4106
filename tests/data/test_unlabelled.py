"""Unlabelled texts, and the labels that a model gave to some of them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_embtune.data import (
    PseudoLabel,
    make_unlabelled_reader,
    read_pseudo_labels,
    text_digest,
    write_pseudo_labels,
)

TEXTS = ["Kick-off at eight.", "Good soup.", "A late goal!"]
LABELS = {
    text_digest("Good soup."): PseudoLabel({"FOOD": 1.0}, 0.5),
    text_digest("A late goal!"): PseudoLabel({"SPORT": 1.0, "FOOD": 0.0}),
}


def read(source: Any, labels: Any = None, **settings: Any) -> list[tuple[str, dict[str, float]]]:
    reader = make_unlabelled_reader(source, labels, **settings)
    return [(eg.reference.text, eg.reference.cats) for eg in reader(spacy.blank("en"))]


def write_texts(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


def test_texts_find_their_pseudo_labels_in_a_file_without_texts(tmp_path: Path) -> None:
    pile = write_texts(tmp_path / "pile.jsonl", [{"text": text} for text in TEXTS])
    labels = tmp_path / "labels.jsonl"
    write_pseudo_labels(labels, LABELS)
    assert "soup" not in labels.read_text(encoding="utf8")
    assert read(pile, labels) == [
        ("Kick-off at eight.", {}),
        ("Good soup.", {"FOOD": 1.0}),
        ("A late goal!", {"SPORT": 1.0, "FOOD": 0.0}),
    ]
    examples = list(make_unlabelled_reader(pile, labels)(spacy.blank("en")))
    weights = [example.reference.user_data.get("weight") for example in examples]
    assert weights == [None, 0.5, 1.0]


def test_labels_and_weights_of_the_file_are_ignored_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"text": "Kick-off at eight.", "label": "SPORT", "weight": 9},
        {"text": "Good soup.", "cats": {"MUSIC": 1.0}, "weight": 9},
    ]
    pile = write_texts(tmp_path / "pile.jsonl", rows)
    reader = make_unlabelled_reader(pile, {text_digest("Good soup."): PseudoLabel({"FOOD": 1.0})})
    nlp = spacy.blank("en")
    for _ in range(2):
        examples = list(reader(nlp))
    assert [example.reference.cats for example in examples] == [{}, {"FOOD": 1.0}]
    assert [example.reference.user_data.get("weight") for example in examples] == [None, 1.0]
    assert caplog.text.count("the labels of 2 texts are ignored") == 1


def test_a_column_of_free_text_named_label_is_no_error(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": f"a long remark about number {i}"} for i in range(300)]
    assert len(read(write_texts(tmp_path / "pile.jsonl", rows))) == 300


def test_empty_texts_and_copies_are_left_out() -> None:
    assert read(["Good soup.", " ", "good  soup.", "Bread."], LABELS) == [
        ("Good soup.", {"FOOD": 1.0}),
        ("Bread.", {}),
    ]
    assert len(read(TEXTS, limit=2)) == 2


def test_pseudo_labels_without_their_text_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    read(TEXTS[:2], LABELS)
    assert "1 of 2 pseudo-labels belong to texts that are not there" in caplog.text
    caplog.clear()
    read(TEXTS, LABELS)
    read(TEXTS, LABELS, limit=1)
    assert "pseudo-labels" not in caplog.text


def test_docs_of_spacy_files_are_read_without_their_cats(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in TEXTS]
    docs[0].cats = {"SPORT": 1.0}
    (tmp_path / "pile").mkdir()
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "pile" / "texts.spacy")
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path / "pile", LABELS)
    assert [cats for _, cats in found] == [{}, {"FOOD": 1.0}, {"SPORT": 1.0, "FOOD": 0.0}]
    assert "labels of 1 texts are ignored" in caplog.text


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        (None, None, "E913"),
        ("-", None, "Save it as a file"),
        (["", " "], None, "has no text"),
        (TEXTS, "missing.jsonl", "cannot be read"),
    ],
)
def test_bad_sources_are_an_error(source: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(source, labels)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: is not JSON"),
        ('{"text": "Good soup.", "cats": {}}', "line 2: has no text_digest"),
        ("[]", "line 2: has no text_digest"),
        ('{"text_digest": "b"}', "line 2: the labels are None"),
        ('{"text_digest": "b", "cats": {"FOOD": 2}}', "line 2: the label 'FOOD' has the value 2"),
        ('{"text_digest": "b", "cats": {}, "weight": -1}', "line 2: the weight is -1"),
        ('{"text_digest": "a", "cats": {}}', "line 2: the digest a is in the file twice"),
    ],
)
def test_a_bad_line_is_an_error_that_names_it(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{{"text_digest": "a", "cats": {{"FOOD": 1.0}}}}\n{line}\n', encoding="utf8")
    with pytest.raises(ValueError, match=message):
        read_pseudo_labels(path)


def test_an_error_leaves_an_older_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    write_pseudo_labels(path, LABELS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="the weight is nan"):
        write_pseudo_labels(path, {"a": PseudoLabel({"FOOD": 1.0}, float("nan"))})
    assert path.read_bytes() == before
    assert read_pseudo_labels(path) == LABELS
