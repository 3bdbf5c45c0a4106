"""A pipeline that many threads call, as in a web service."""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose

from spacy_embtune.encoder import TextEncoder

from ..conftest import make_examples

TEXTS = [
    "bread",
    "the old guitar and the new drum",
    "ball " * 13,
    "goal " * 14,
    "soup " * 15,
    "violin " * 40,
    "",
]


@pytest.fixture(scope="module")
def trained(tiny_encoder):
    nlp = spacy.blank("en")
    encoder = {"name": str(tiny_encoder), "precision": "float32"}
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}, "set_cats": True})
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.mark.slow
@pytest.mark.parametrize("caching", [False, True])
def test_threads_get_the_vectors_of_one(trained, caching) -> None:
    shim = trained.get_pipe("embtune").encoder
    before = shim.caching
    expected = [(doc._.embtune, doc.cats) for doc in trained.pipe(TEXTS)]
    shim.caching = caching
    shim.cache.clear()

    def call(i: int) -> None:
        k = i % len(TEXTS)
        doc = trained(TEXTS[k])
        assert_allclose(doc._.embtune, expected[k][0], atol=1e-5)
        assert doc.cats == pytest.approx(expected[k][1], abs=1e-5)

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(call, range(700)))
    finally:
        shim.caching = before


def test_threads_load_the_encoder_once(tiny_encoder, monkeypatch) -> None:
    loaded = []
    load = TextEncoder.load
    monkeypatch.setattr(TextEncoder, "load", lambda *a, **k: (loaded.append(1), load(*a, **k))[1])
    encoder = {
        "@architectures": "spacy-embtune.SentenceTransformer.v1",
        "name": str(tiny_encoder),
        "precision": "float32",
    }
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: nlp("a guitar")._.embedding, range(16)))
    assert len(loaded) == 1
    assert_allclose(np.stack(rows), np.stack(rows[:1] * 16), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_get_the_vectors_of_one(trained, method) -> None:
    expected = [doc._.embtune for doc in trained.pipe(TEXTS)]
    code = SCRIPT.format(method=method)
    with tempfile.TemporaryDirectory() as folder:
        trained.to_disk(f"{folder}/model")
        np.save(f"{folder}/expected.npy", np.stack(expected))
        Path(folder, "run.py").write_text(code)
        command = [sys.executable, f"{folder}/run.py", folder, json.dumps(TEXTS)]
        subprocess.run(command, check=True, timeout=120)


SCRIPT = """
import json, multiprocessing, sys
import numpy as np, spacy
if __name__ == "__main__":
    multiprocessing.set_start_method("{method}")
    nlp = spacy.load(sys.argv[1] + "/model")
    nlp("a guitar")
    docs = nlp.pipe(json.loads(sys.argv[2]), n_process=2, batch_size=2)
    rows = np.stack([doc._.embtune for doc in docs])
    np.testing.assert_allclose(rows, np.load(sys.argv[1] + "/expected.npy"), atol=1e-5)
"""
