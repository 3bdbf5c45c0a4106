"""Texts that are longer than the window: their pieces, and the mean of the vectors of these."""

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.encoder import (
    EncoderSettings,
    EncoderTrainer,
    SentenceTransformer,
    TextEncoder,
    get_shim,
)
from spacy_embtune.encoder._windows import _cuts, split_texts
from spacy_embtune.finetune import SbertLearner, SentenceEncoder

from ..tiny_models import make_model
from .families import FAMILIES, WORDS, make

SHORT = ["bread and soup", "guitar", "", "the ball"]
LONG = " ".join(WORDS * 2)


def load(path: Path, **settings: Any) -> TextEncoder:
    return TextEncoder.load(
        EncoderSettings(str(path), **{"precision": "float32", "pool_windows": True, **settings})
    )


@pytest.fixture(scope="session")
def normalizing(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("max", tiny_encoder, tmp_path_factory.mktemp("max"))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# Pieces


def test_pieces_fit_the_window_and_leave_nothing_out(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder)
    pieces = encoder.split([*SHORT, LONG, f"\n {LONG} \n"])
    assert pieces is not None
    assert encoder.count_truncated(pieces.texts) == 0
    assert pieces.texts[:4] == SHORT
    for owner in (4, 5):
        own = [pieces.texts[i] for i in np.flatnonzero(pieces.owners == owner)]
        # 29 words, 14 of which fit beside two special tokens.
        assert " ".join(own) == LONG
        assert max(len(piece.split()) for piece in own) <= 14
        assert len(own) == -(-len(LONG.split()) // 14)
        weights = pieces.weights[pieces.owners == owner]
        assert weights.sum() == pytest.approx(1.0)
        sizes = [len(piece.split()) for piece in own]
        assert_allclose(weights, np.array(sizes) / sum(sizes), rtol=1e-6)
        # Of similar size.
        assert max(sizes) - min(sizes) <= 1


def test_the_prompt_counts(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder, prompt="bread and soup ")
    pieces = encoder.split([LONG])
    assert pieces is not None
    assert max(len(piece.split()) for piece in pieces.texts) <= 11
    assert encoder.count_truncated(pieces.texts) == 0
    rows, n_truncated = encoder.encode_and_count([LONG])
    assert n_truncated == 0
    assert rows.any()


def test_words_stay_whole_where_that_is_possible() -> None:
    words = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert _cuts(words, 8) == [0, 5, 9] or all(cut in (0, 3, 6, 9) for cut in _cuts(words, 8))
    assert _cuts([0, 1, 2, 2, 2, 3, 4, 5], 4) == [0, 4, 8]
    assert _cuts([0, 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8], 8)[1] in (4, 5, 6)
    # One word that is longer than the window.
    assert _cuts([0] * 10, 4) == [0, 4, 7, 10]
    assert _cuts([None] * 6, 3) == [0, 3, 6]
    for n in range(1, 40):
        cuts = _cuts([i // 3 for i in range(n)], 7)
        assert (cuts[0], cuts[-1]) == (0, n)
        assert all(0 < b - a <= 7 for a, b in pairwise(cuts))


def test_a_text_without_spaces_is_split(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder)
    text = "!?" * 40
    pieces = encoder.split([text])
    assert pieces is not None
    assert "".join(pieces.texts) == text
    assert encoder.count_truncated(pieces.texts) == 0


# Vectors


@pytest.mark.parametrize("model", ["tiny_encoder", "normalizing"])
def test_the_vector_is_the_mean_of_the_pieces(model: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(model)
    encoder = load(path)
    pieces = encoder.split([LONG])
    assert pieces is not None
    parts = load(path, pool_windows=False).encode(pieces.texts)
    expected = np.average(parts, axis=0, weights=[len(p.split()) for p in pieces.texts])
    if encoder.normalizes:
        expected = unit(expected)
    (found,) = encoder.encode([LONG])
    assert_allclose(found, expected, atol=1e-6)
    assert encoder.n_truncated == 0


def test_texts_inside_the_window_keep_their_vectors(tiny_encoder: Path) -> None:
    expected = load(tiny_encoder, pool_windows=False).encode(SHORT)
    pooling = load(tiny_encoder)
    assert_array_equal(pooling.encode(SHORT), expected)
    assert_allclose(pooling.encode([*SHORT, LONG])[:4], expected, atol=1e-6)


def test_a_longer_text_has_the_vector_of_a_repeated_one(tiny_encoder: Path) -> None:
    piece = " ".join(WORDS[:14])
    one, three = load(tiny_encoder).encode([piece, " ".join([piece] * 3)])
    assert_allclose(three, one, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_pools_or_has_nothing_to_pool(
    family: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = make(family, tiny_encoder, tmp_path)
    settings = {"trust_remote_code": True} if family == "own code" else {}
    plain = load(path, pool_windows=False, **settings)
    pooling = load(path, **settings)
    (cut,), (pooled,) = plain.encode([LONG]), pooling.encode([LONG])
    assert pooling.n_truncated == 0
    if plain.window in (None, 1_000_000):
        assert not pooling.pools_windows
        assert_array_equal(pooled, cut)
        assert pooling.fingerprint == plain.fingerprint
    else:
        assert not np.allclose(pooled, cut)
        assert pooling.fingerprint != plain.fingerprint


def test_a_tokenizer_without_offsets_is_an_error(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_encoder).model
    monkeypatch.setattr(type(model.tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match=r"does not say where.*Set pool_windows = false"):
        TextEncoder(model, EncoderSettings("tiny", pool_windows=True))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.slow
def test_other_runtimes_pool(tiny_encoder: Path, backend: str) -> None:
    expected = load(tiny_encoder).encode([LONG, *SHORT])
    assert_allclose(load(tiny_encoder, backend=backend).encode([LONG, *SHORT]), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["roberta", "qwen3", "t5"])
def test_other_architectures_pool(kind: str, tmp_path: Path) -> None:
    path = make_model(tmp_path, kind, side="left" if kind == "qwen3" else "right")
    encoder = load(path)
    text = " ".join(["ball goal team match soup salt oven"] * 9)
    pieces = split_texts(encoder._batcher, [text], 16)
    assert encoder.count_truncated(pieces.texts) == 0
    parts = load(path, pool_windows=False).encode(pieces.texts)
    assert_allclose(encoder.encode([text])[0], pieces.weights @ parts, atol=1e-4)


# The fingerprint, storage, learning


def test_the_fingerprint_and_the_store_tell_pooled_vectors_apart(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    rows = {}
    for pools in (False, True, False, True):
        layer = SentenceTransformer(
            str(tiny_encoder), pool_windows=pools, cache_dir=str(tmp_path / "store")
        )
        row = layer.predict([LONG])[0]
        if pools in rows:
            assert_array_equal(row, rows[pools])
            assert get_shim(layer).n_encoded == 0
        rows[pools] = row
    assert not np.allclose(rows[True], rows[False])


@pytest.mark.parametrize("model", ["tiny_encoder", "normalizing"])
def test_a_learning_encoder_gets_the_gradient_of_its_pieces(
    model: str, request: pytest.FixtureRequest
) -> None:
    import torch

    path = request.getfixturevalue(model)
    texts = [LONG, "bread and soup", "", LONG]
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(4, 64)).astype("float32")
    trainer = EncoderTrainer(load(path), trainable_layers=1)
    rows, backprop = trainer.forward(texts)
    assert_allclose(rows, load(path).encode(texts), atol=1e-5)
    backprop(gradient)

    # The same with torch's own gradients, from the pieces to the loss.
    again = EncoderTrainer(load(path, pool_windows=False), trainable_layers=1)
    pieces = trainer.encoder.split(texts[:2])
    assert pieces is not None
    n = len(pieces.texts) - 1
    parts, to_parts = again.forward(pieces.texts)
    parts = torch.tensor(parts, requires_grad=True)
    mean = (parts[:n] * torch.tensor(pieces.weights[:n, None])).sum(axis=0)
    if trainer.encoder.normalizes:
        mean = torch.nn.functional.normalize(mean, dim=0)
    loss = (mean * torch.tensor(gradient[0] + gradient[3])).sum()
    (loss + (parts[n] * torch.tensor(gradient[1])).sum()).backward()
    to_parts(parts.grad.numpy())
    for name, parameter in trainer.parameters.items():
        expected = again.parameters[name].grad
        assert_allclose(parameter.grad, expected, atol=1e-4, rtol=1e-3, err_msg=name)


def test_a_gradient_of_pieces_is_that_of_finite_differences(normalizing: Path) -> None:
    pieces = load(normalizing).split([LONG, "bread", LONG + " bread"])
    assert pieces is not None
    rng = np.random.default_rng(0)
    rows = unit(rng.normal(size=(len(pieces.texts), 5))).astype("float32")
    gradient = rng.normal(size=(3, 5)).astype("float32")
    for normalizes in (False, True):
        found = pieces.distribute(gradient, rows, normalizes=normalizes)
        for i, j in np.ndindex(*rows.shape):
            step = np.zeros_like(rows)
            step[i, j] = 1e-2
            above, below = (
                float((pieces.pool(rows + s, normalizes=normalizes) * gradient).sum())
                for s in (step, -step)
            )
            assert found[i, j] == pytest.approx((above - below) / 2e-2, abs=5e-3)


# Cutting is never silent


def test_an_encoder_says_once_that_it_cuts_and_names_the_way_out(
    tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = SentenceEncoder(str(tiny_encoder))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            encoder.transform([LONG, "bread"])
    (message,) = [record.getMessage() for record in caplog.records]
    assert "1 of 2 texts are longer than the 16 tokens" in message
    assert "pool_windows = true" in message
    caplog.clear()
    pooled = SentenceEncoder(str(tiny_encoder), pool_windows=True).transform([LONG, "bread"])
    assert not caplog.records
    assert not np.allclose(pooled[0], encoder.transform([LONG])[0])


def test_a_learner_says_once_that_it_cuts(
    tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"trainable_layers": 1, "random_state": 0}
    with caplog.at_level(logging.WARNING):
        learner = SbertLearner(str(tiny_encoder), **settings)
        learner.fit([LONG, "bread"], ["soup", "guitar"], [1.0, 0.0]).transform([LONG])
        learner.transform([LONG])
    (message,) = [record.getMessage() for record in caplog.records]
    assert "1 of 4 texts" in message
    assert "pool_windows = true" in message
    caplog.clear()
    pooling = SbertLearner(str(tiny_encoder), pool_windows=True, **settings)
    pooling.fit([LONG, "bread"], ["soup", "guitar"], [1.0, 0.0]).transform([LONG])
    assert not caplog.records


def test_a_component_says_that_it_cuts_and_names_the_way_out(
    tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        SentenceTransformer(str(tiny_encoder)).predict([LONG])
        SentenceTransformer(str(tiny_encoder), pool_windows=True).predict([LONG])
    (message,) = [record.getMessage() for record in caplog.records]
    assert "1 of 1 texts" in message
    assert "pool_windows = true" in message
