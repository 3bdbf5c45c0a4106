"""Every family of models that sentence-transformers builds: trained, stored, moved, finetuned."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.training import Example

from spacy_embtune.encoder import EncoderSettings, EncoderTrainer, TextEncoder

from .families import FAMILIES, make

TEXTS = ["the ball and the goal", "bread with salt and cheese", "a guitar and a drum", ""]
CATS = [{"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 1.0}]

# In a process without the models' own directories and without a connection.
LOAD = """
import json, sys
import spacy
texts = json.loads(sys.argv[2])
found = {}
for path in sys.argv[3:]:
    nlp = spacy.load(path)
    found[path] = [doc._.embtune.tolist() for doc in nlp.pipe(texts)]
json.dump(found, open(sys.argv[1], "w"))
"""


def load(path: Path, family: str, **settings) -> TextEncoder:
    return TextEncoder.load(
        EncoderSettings(
            str(path), precision="float32", trust_remote_code=family == "own code", **settings
        )
    )


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tiny_encoder: Path, tmp_path_factory) -> tuple[str, Path]:
    return request.param, make(request.param, tiny_encoder, tmp_path_factory.mktemp("family"))


def test_vectors_are_those_of_sentence_transformers(model) -> None:
    family, path = model
    encoder = load(path, family)
    rows = encoder.encode(TEXTS)
    expected = encoder.model.encode(TEXTS[:3], show_progress_bar=False)
    assert rows.shape == (4, encoder.width)
    assert rows[:3].any(axis=1).all()
    assert_allclose(rows[:3], expected, atol=1e-5)
    assert not rows[3].any()


def test_a_stored_encoder_is_the_same_and_changed_weights_are_not(model, tmp_path: Path) -> None:
    family, path = model
    encoder = load(path, family)
    encoder.to_directory(tmp_path / "stored")
    again = TextEncoder.from_directory(tmp_path / "stored", encoder.settings)
    assert again.fingerprint == encoder.fingerprint
    assert_allclose(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)
    for parameter in again.model.parameters():
        parameter.data += 0.1
    again.weights_changed()
    has_weights = any(True for _ in again.model.parameters())
    assert (again.fingerprint != encoder.fingerprint) == has_weights


@pytest.mark.slow
def test_all_of_an_encoder_learns(model) -> None:
    family, path = model
    encoder = load(path, family)
    before = encoder.encode(TEXTS)
    if not any(True for _ in encoder.model.parameters()):
        with pytest.raises(ValueError, match="no parameters that could learn"):
            EncoderTrainer(encoder, trainable_layers=-1)
        return
    trainer = EncoderTrainer(encoder, trainable_layers=-1)
    vectors, backprop = trainer.forward(TEXTS)
    assert_allclose(vectors, before, atol=1e-5)
    backprop(np.random.default_rng(0).normal(size=vectors.shape).astype("float32"))
    for parameter in trainer.parameters.values():
        if parameter.grad is not None:
            parameter.data -= 0.1 * parameter.grad
    encoder.weights_changed()
    assert (encoder.encode(TEXTS)[:3] != before[:3]).any(axis=1).all()
    assert np.isfinite(encoder.encode(TEXTS)).all()


@pytest.mark.slow
def test_pipelines_move_to_a_process_without_the_models(tiny_encoder, tmp_path: Path) -> None:
    expected = {}
    for family in FAMILIES:
        (tmp_path / "made" / family).mkdir(parents=True)
        path = make(family, tiny_encoder, tmp_path / "made" / family)
        encoder = {
            "@architectures": "spacy-embtune.SentenceTransformer.v1",
            "name": str(path),
            "precision": "float32",
            "trust_remote_code": family == "own code",
        }
        nlp = spacy.blank("en")
        nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
        examples = [
            Example.from_dict(nlp.make_doc(text), {"cats": cats})
            for text, cats in zip(TEXTS[:2], CATS, strict=True)
        ]
        optimizer = nlp.initialize(lambda examples=examples: examples)
        nlp.update(examples, sgd=optimizer)
        stored = str(tmp_path / "stored" / family)
        (tmp_path / "stored").mkdir(exist_ok=True)
        nlp.to_disk(stored)
        expected[stored] = [doc._.embtune for doc in nlp.pipe(TEXTS)]
    shutil.rmtree(tmp_path / "made")
    out = tmp_path / "found.json"
    command = [sys.executable, "-c", LOAD, str(out), json.dumps(TEXTS), *expected]
    offline = {"HF_HUB_OFFLINE": "1", "PATH": "", "HF_HOME": str(tmp_path / "hf")}
    subprocess.run(command, check=True, env=offline, capture_output=True)
    found = json.loads(out.read_text())
    for path, vectors in expected.items():
        assert_allclose(found[path], vectors, atol=1e-5, err_msg=path)


def test_code_in_a_directory_does_not_run_without_consent(tiny_encoder, tmp_path: Path) -> None:
    path = make("own code", tiny_encoder, tmp_path)
    code = path / "doubling.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + code.read_text())
    with pytest.raises(ValueError, match="set trust_remote_code = true"):
        TextEncoder.load(EncoderSettings(str(path), precision="float32"))
    assert not (tmp_path / "ran").exists()
