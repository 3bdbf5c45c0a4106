"""Texts as batches of tokens."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.encoder import EncoderSettings, TextEncoder, _batches
from spacy_embtune.encoder._batches import Batcher

VOCABULARY = """
    bread soup salt oven cheese pepper butter recipe kitchen spoon guitar drum
"""
WORDS = VOCABULARY.split()


def load(path: Path, **settings) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(str(path), precision="float32", **settings))


@pytest.fixture(scope="module")
def tiny(tiny_encoder: Path) -> TextEncoder:
    return load(tiny_encoder)


def make_texts(n: int, *, longest: int = 24) -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(n)]


@pytest.mark.parametrize("chunk", [7, 1000])
def test_batches_hold_each_text_once_within_the_budget(tiny, monkeypatch, chunk) -> None:
    monkeypatch.setattr(_batches, "CHUNK", chunk)
    texts = make_texts(60)
    order = [i for i in range(60) if i % 5]
    found = list(Batcher(tiny.model).batches(texts, order, 40, 16))
    assert sorted(np.concatenate([batch.rows for batch in found])) == order
    for batch in found:
        mask = batch.features["attention_mask"]
        assert mask.shape[0] == len(batch.rows)
        assert mask.shape[0] == 1 or mask.numel() <= 40
        # No column is padding alone.
        assert mask[:, -1].any()


def test_batches_hold_the_tokens_of_sentence_transformers(tiny: TextEncoder) -> None:
    texts = make_texts(20, longest=10)
    for batch in Batcher(tiny.model).batches(texts, range(20), 64, 16):
        expected = tiny.model.preprocess([texts[i] for i in batch.rows])
        for key, value in batch.features.items():
            if hasattr(value, "shape"):
                assert_array_equal(value, expected[key])
            else:
                assert value == expected[key]


def test_texts_cut_at_the_window_are_counted_exactly(tiny: TextEncoder) -> None:
    texts = ["bread " * n for n in (13, 14, 15, 40)] * 3
    batches = Batcher(tiny.model).batches(texts, range(12), 64, 16)
    assert sum(batch.n_truncated for batch in batches) == 6
    assert len(Batcher(tiny.model).find_truncated(texts, 16)) == 6


def test_left_padding_is_cut_on_the_left(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder)
    encoder.model.tokenizer.padding_side = "left"
    for batch in Batcher(encoder.model).batches(make_texts(30), range(30), 64, 16):
        mask = batch.features["attention_mask"]
        assert mask[:, -1].all()
        assert mask[:, 0].any()


def test_an_error_of_the_tokenizing_thread_is_raised(tiny, monkeypatch) -> None:
    monkeypatch.setattr(_batches, "CHUNK", 2)
    with pytest.raises(TypeError):
        list(Batcher(tiny.model).batches(["a", "b", "c", None], range(4), 64, 16))  # type: ignore[list-item]
    assert not [t for t in threading.enumerate() if t.name.startswith("embtune-tokens")]


@pytest.mark.slow
def test_ten_thousand_calls_of_many_threads_give_the_vectors_of_one(tiny: TextEncoder) -> None:
    texts = make_texts(40, longest=30)
    expected = tiny.encode(texts)
    n_truncated = tiny.count_truncated(texts)
    assert 0 < n_truncated < 40
    before = tiny.n_truncated, tiny.n_encoded

    def call(i: int) -> None:
        start = i % 38
        rows, n = tiny.encode_and_count(texts[start : start + 2])
        assert_allclose(rows, expected[start : start + 2], atol=1e-5)
        assert n == tiny.count_truncated(texts[start : start + 2])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(10_000)))
    assert tiny.n_encoded - before[1] == 20_000
