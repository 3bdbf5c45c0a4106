"""`embtune label`: what it refuses, and what it encodes. tests/app/ drives the page itself."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy

from spacy_embtune.app import LabelLog, make_pile, make_tuned_pile
from spacy_embtune.data import read_records
from spacy_embtune.finetune import SentenceEncoder
from spacy_embtune.pipeline import find_component
from spacy_embtune.reports import documents

from .conftest import Trained

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    texts = ["bread and soup", "a guitar", "a ball", "a ball", " "]
    path.write_text("\n".join(json.dumps({"text": text, "label": "A"}) for text in texts))
    return path


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("labels.csv", (), "Give a name that ends in .jsonl"),
        ("nowhere/labels.jsonl", (), "There is no directory"),
        ("labels.jsonl", ("--model", "m", "--encoder", "e"), "exclude each other"),
        ("labels.jsonl", ("--labels", "A,b\x07"), "no line breaks or control characters"),
        ("data.jsonl", (), "no log of `embtune label`, and is not changed"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    data: Path, embtune: Run, name: str, args: tuple[str, ...], message: str
) -> None:
    before = data.read_bytes()
    code, _, error = embtune("label", data, data.parent / name, "--no-browser", *args)
    assert code == 1
    assert message in error
    assert data.read_bytes() == before


def test_standard_input_is_refused(tmp_path: Path, embtune: Run) -> None:
    code, _, error = embtune("label", "-", tmp_path / "labels.jsonl", stdin="a text")
    assert code == 1
    assert "Give a file" in error


def test_a_port_that_is_taken_is_refused(data: Path, tmp_path: Path, embtune: Run) -> None:
    log = tmp_path / "labels.jsonl"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = embtune("label", data, log, "--no-browser", "--port", port)
    assert code == 1
    assert f"The port {port} cannot be used" in error
    assert not log.exists()


def test_a_log_that_is_in_use_is_refused(data: Path, tmp_path: Path, embtune: Run) -> None:
    log = tmp_path / "labels.jsonl"
    with LabelLog(log):
        code, _, error = embtune("label", data, log, "--no-browser")
    assert code == 1
    assert "used by another `embtune label`" in error


def test_too_few_texts_are_refused(tmp_path: Path, tiny_encoder: Path, embtune: Run) -> None:
    path = tmp_path / "data.txt"
    path.write_text("a ball\na ball\na guitar\n")
    log = tmp_path / "labels.jsonl"
    code, _, error = embtune("label", path, log, "--no-browser", "--encoder", tiny_encoder)
    assert code == 1
    assert "Give a file with at least 3 texts" in error


def test_an_encoder_encodes_each_distinct_text_once(
    data: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    records = list(read_records(data, label_field=""))
    store = tmp_path / "vectors"
    pile = make_pile(records, SentenceEncoder(str(tiny_encoder)), title="t", store=store)
    assert [text.text for text in pile.texts] == ["bread and soup", "a guitar", "a ball"]
    assert pile.notes == ["1 empty text left out", "1 copy left out"]
    again = SentenceEncoder(str(tiny_encoder))
    again.encoder.encode = None  # type: ignore[method-assign,assignment]
    stored = make_pile(records, again, title="t", store=store)
    np.testing.assert_array_equal(stored.base, pile.base)


@pytest.mark.slow
def test_a_pipeline_gives_both_vectors_and_they_are_kept(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = spacy.load(trained.model)
    pipe = find_component(nlp)
    records = list(read_records(trained.data))
    store = tmp_path / "vectors"
    pile = make_tuned_pile(records, nlp, pipe, title="t", store=store)
    expected = documents(nlp, None, records, progress=None)
    rows = {text: i for i, text in enumerate(expected.texts)}
    order = [rows[text.text] for text in pile.texts]
    np.testing.assert_allclose(pile.base, expected.base[order], atol=1e-5)
    np.testing.assert_allclose(pile.tuned, expected.tuned[order], atol=1e-5)
    monkeypatch.setattr(type(pipe), "predict", None)
    stored = make_tuned_pile(records, nlp, pipe, title="t", store=store)
    np.testing.assert_array_equal(stored.tuned, pile.tuned)
