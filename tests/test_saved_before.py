"""Pipelines and tuners that an earlier version saved load, give the same vectors, and train on."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose

from spacy_embtune.finetune import FeedForwardTuner

from .fixtures.make_saved_pipelines import CONFIGS, TEXTS, make_examples, make_vectors

ARCHIVE = Path(__file__).parent / "fixtures" / "saved_pipelines.tar.gz"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of what an earlier version saved."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "saved"


@pytest.fixture(scope="module")
def expected(saved: Path) -> dict[str, Any]:
    """What each of them gave when it was saved."""
    return json.loads((saved / "expected.json").read_text())


@pytest.mark.parametrize("key", CONFIGS)
def test_a_pipeline_saved_before_gives_the_same_vectors_and_cats(
    saved: Path, expected: dict[str, Any], key: str
) -> None:
    docs = list(spacy.load(saved / key).pipe(TEXTS))
    for doc, then in zip(docs, expected[key], strict=True):
        assert_allclose(doc._.embedding, then["embedding"], atol=1e-5)
        assert_allclose(doc._.embtune, then["embtune"], atol=1e-5)
        assert doc.cats == pytest.approx(then["cats"], abs=1e-5)
    assert any(doc.cats for doc in docs) == CONFIGS[key].get("set_cats", False)


@pytest.mark.slow
@pytest.mark.parametrize("key", CONFIGS)
def test_a_pipeline_saved_before_trains_on(saved: Path, tmp_path: Path, key: str) -> None:
    nlp = spacy.load(saved / key)
    pipe = nlp.get_pipe("embtune")
    assert pipe.is_trained
    assert pipe.seen is not None
    examples = make_examples(nlp)
    assert pipe.seen.recognize([example.text for example in examples]).all()
    before = nlp("bread and soup")
    optimizer = nlp.resume_training()
    losses = [nlp.update(examples, sgd=optimizer)["embtune"] for _ in range(10)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    after = nlp("bread and soup")
    assert not np.allclose(after._.embtune, before._.embtune, atol=1e-5)
    learns = key == "learning"
    assert np.allclose(after._.embedding, before._.embedding, atol=1e-6) != learns
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert_allclose(loaded("bread and soup")._.embtune, after._.embtune, atol=1e-5)


def test_a_tuner_saved_before_gives_the_same_vectors_and_learns_on(
    saved: Path, expected: dict[str, Any]
) -> None:
    tuner = FeedForwardTuner.from_disk(saved / "tuner")
    X, y = make_vectors()
    then = expected["tuner"]
    assert_allclose(tuner.transform(X), then["transform"], atol=1e-5)
    assert_allclose(tuner.predict_proba(X), then["predict_proba"], atol=1e-5)
    tuner.partial_fit(X, y)
    assert not np.allclose(tuner.transform(X), then["transform"], atol=1e-5)
