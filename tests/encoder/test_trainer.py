"""Forward and backward passes through a sentence encoder that learns."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from spacy_embtune.encoder import EncoderSettings, TextEncoder
from spacy_embtune.encoder import trainer as trainer_module
from spacy_embtune.encoder._tokens import prepare
from spacy_embtune.encoder.trainer import EncoderTrainer, _Prepared

from ..tiny_models import TEXTS, WIDTH, make_model, make_static_model

SMALL = 40_000  # bytes: a few tokens, so that a batch is computed in parts


def load(path: Path, precision: Any = "float32") -> TextEncoder:
    return TextEncoder.load(EncoderSettings(name=str(path), precision=precision))


def random_rows(n: int, width: int = WIDTH) -> NDArray[Any]:
    return np.random.default_rng(0).standard_normal((n, width)).astype("float32")


def gradients(trainer: EncoderTrainer) -> dict[str, Any]:
    found = {name: p.grad.clone() for name, p in trainer.parameters.items() if p.grad is not None}
    for parameter in trainer.parameters.values():
        parameter.grad = None
    return found


def reference_gradients(path: Path, texts: list[str], gradient: NDArray[Any]) -> dict[str, Any]:
    """The gradients of a plain pass of each text, alone, through the whole model."""
    model = load(path).model.requires_grad_(True)
    for text, row in zip(texts, gradient, strict=True):
        if text.strip():
            vector = model(prepare(model, [text]))["sentence_embedding"]
            vector.backward(torch.as_tensor(row)[None])
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) <= set(expected)
    size = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in found.items():
        assert_allclose(gradient, expected[name], atol=2e-5 * size, err_msg=name)


MODELS = {
    "bert": {"kind": "bert"},
    "roberta": {"kind": "roberta"},
    "mpnet": {"kind": "mpnet"},
    "distilbert": {"kind": "distilbert", "pooling": "cls"},
    "deberta": {"kind": "deberta"},
    "modernbert": {"kind": "modernbert"},
    "last token": {"kind": "qwen3", "pooling": "lasttoken", "side": "left"},
    "padded on the left": {"kind": "qwen3", "side": "left"},
    "weighted mean": {"kind": "llama", "pooling": "weightedmean"},
    "with a prompt": {"kind": "bert", "prompt": "the new: "},
    "prompt left out": {
        "kind": "qwen3",
        "side": "left",
        "prompt": "the new: ",
        "include_prompt": False,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("trainable_layers", [1, 3, -1])
@pytest.mark.parametrize("kind", MODELS)
def test_vectors_and_gradients_are_those_of_a_plain_pass(
    kind: str, trainable_layers: int, tmp_path: Path
) -> None:
    path = make_model(tmp_path, **MODELS[kind])
    expected = load(path).encode(TEXTS)
    trainer = EncoderTrainer(load(path), trainable_layers=trainable_layers)
    vectors, backprop = trainer.forward(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), WIDTH), np.float32)
    assert_allclose(vectors, expected, atol=1e-5 * abs(expected).max())
    assert not vectors[[2, 6]].any()
    gradient = random_rows(len(TEXTS))
    backprop(gradient)
    found = gradients(trainer)
    assert set(found) == set(trainer.parameters)
    assert_same_gradients(found, reference_gradients(path, TEXTS, gradient))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["albert", "t5", "xlnet"])
def test_models_that_cannot_be_cut_learn_as_a_whole(kind: str, tmp_path: Path) -> None:
    side = "left" if kind == "xlnet" else "right"
    path = make_model(tmp_path, kind, side=side)
    trainer = EncoderTrainer(load(path), trainable_layers=-1)
    gradient = random_rows(len(TEXTS))
    vectors, backprop = trainer.forward(TEXTS)
    expected = load(path).encode(TEXTS)
    assert_allclose(vectors, expected, atol=1e-5 * abs(expected).max())
    backprop(gradient)
    assert_same_gradients(gradients(trainer), reference_gradients(path, TEXTS, gradient))


def test_modules_behind_the_pooling(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    torch.manual_seed(1)
    path = make_model(tmp_path, "bert", modules=[Dense(WIDTH, 8), Normalize()])
    trainer = EncoderTrainer(load(path), trainable_layers=1)
    vectors, backprop = trainer.forward(TEXTS)
    assert_allclose(vectors, load(path).encode(TEXTS), atol=1e-5)
    gradient = random_rows(len(TEXTS), 8)
    backprop(gradient)
    found = gradients(trainer)
    assert "2.linear.weight" in found
    assert_same_gradients(found, reference_gradients(path, TEXTS, gradient))


def test_a_model_without_layers(tmp_path: Path) -> None:
    path = make_static_model(tmp_path)
    gradient = random_rows(len(TEXTS))
    expected = reference_gradients(path, TEXTS, gradient)
    for memory in (2**30, 1):
        trainer = EncoderTrainer(load(path), trainable_layers=-1, memory=memory)
        vectors, backprop = trainer.forward(TEXTS)
        assert_allclose(vectors, load(path).encode(TEXTS), atol=1e-5)
        backprop(gradient)
        assert_same_gradients(gradients(trainer), expected)
        # In parts, each text went forward a second time.
        assert trainer.n_passed == (5 if memory > 1 else 10)


def test_vectors_are_cut_off_where_the_model_is_set_so(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert")).model
    model.truncate_dim = 8
    encoder = TextEncoder(model, EncoderSettings(precision="float32"))
    expected = encoder.encode(TEXTS)
    vectors, backprop = EncoderTrainer(encoder, trainable_layers=1).forward(TEXTS)
    assert vectors.shape == (len(TEXTS), 8)
    assert_allclose(vectors, expected, atol=1e-5 * abs(expected).max())
    backprop(random_rows(len(TEXTS), 8))


@pytest.mark.parametrize("texts", [[], [""], ["", "\n"]])
def test_no_text_and_no_content(texts: list[str], tmp_path: Path) -> None:
    trainer = EncoderTrainer(load(make_model(tmp_path, "bert")), trainable_layers=1)
    vectors, backprop = trainer.forward(texts)
    assert_array_equal(vectors, np.zeros((len(texts), WIDTH)))
    backprop(random_rows(len(texts)))
    assert not gradients(trainer)


def test_a_second_training_begins_without_gradients(tmp_path: Path) -> None:
    encoder = load(make_model(tmp_path, "bert"))
    for trainable_layers in (-1, 2, 1):
        trainer = EncoderTrainer(encoder, trainable_layers=trainable_layers)
        assert not gradients(trainer)
        _, backprop = trainer.forward(TEXTS)
        backprop(random_rows(len(TEXTS)))


# The gradient cache


@pytest.mark.slow
@pytest.mark.parametrize("trainable_layers", [1, -1])
def test_parts_give_what_one_pass_gives(trainable_layers: int, tmp_path: Path) -> None:
    path = make_model(tmp_path, "bert")
    results = []
    for memory in (2**30, SMALL, 1):
        settings: dict[str, Any] = {"memory": memory}
        trainer = EncoderTrainer(load(path), trainable_layers=trainable_layers, **settings)
        vectors, backprop = trainer.forward(TEXTS)
        backprop(random_rows(len(TEXTS)))
        # Once forward if it fits; forward, and again with a graph, if not.
        assert trainer.n_passed == (5 if memory == 2**30 else 10)
        results.append((vectors, gradients(trainer)))
    for vectors, found in results[1:]:
        assert_allclose(vectors, results[0][0], atol=1e-5)
        assert set(found) == set(results[0][1])
        assert_same_gradients(found, results[0][1])


@pytest.mark.parametrize("memory", [2**30, 1])
@pytest.mark.parametrize("kind", ["bert", "qwen3", "modernbert", "t5"])
def test_training_drops_nothing_and_draws_no_random_numbers(
    kind: str, memory: int, tmp_path: Path
) -> None:
    """These models are configured with dropout. In training they return the vectors of use."""
    trainer = EncoderTrainer(load(make_model(tmp_path, kind)), trainable_layers=-1, memory=memory)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, backprop = trainer.forward(TEXTS)
    backprop(random_rows(len(TEXTS)))
    assert_array_equal(trainer.forward(TEXTS)[0], first)
    assert torch.equal(torch.rand(3), expected)
    assert not any(module.training for module in trainer.encoder.model.modules())


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=40),
    budget=st.integers(1, 2000),
    at_once=st.integers(1, 200),
)
def test_parts_hold_all_texts_in_order_of_length_and_fit(
    lengths: list[int], budget: int, at_once: int
) -> None:
    trainer = EncoderTrainer.__new__(EncoderTrainer)
    trainer.memory = budget * 64 * 4 * 2
    model = type("Model", (), {"device": torch.device("cpu")})()
    values = {"width": 4, "model": model, "precision_used": "float32"}
    trainer.encoder = type("Encoder", (), values)()
    trainer.split = type("Split", (), {"n_upper": 2})()
    trainer._hidden_width = 4
    ready = [_Prepared("", {"input_ids": torch.zeros(length)}) for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "TOKENS_AT_ONCE", at_once)
        parts, fit = trainer._parts(ready)
    order = [i for part in parts for i in part]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths)
    for part in parts:
        size = len(part) * max(lengths[i] for i in part)
        assert len(part) == 1 or size <= min(budget, at_once)
    # None is smaller than it need be.
    for part, after in itertools.pairwise(parts):
        assert (len(part) + 1) * lengths[after[0]] > min(budget, at_once)
    assert fit == (sum(len(part) * lengths[part[-1]] for part in parts) <= budget)


def test_parts_that_fit_together_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_model(tmp_path, "bert")
    results = []
    for at_once in (1000, 1):
        monkeypatch.setattr(trainer_module, "TOKENS_AT_ONCE", at_once)
        trainer = EncoderTrainer(load(path), trainable_layers=2)
        vectors, backprop = trainer.forward(TEXTS)
        assert len(trainer._parts(list(trainer._prepared.values()))[0]) == (
            1 if at_once == 1000 else 5
        )
        backprop(random_rows(len(TEXTS)))
        assert trainer.n_passed == 5
        results.append((vectors, gradients(trainer)))
    assert_allclose(results[0][0], results[1][0], atol=1e-5)
    assert_same_gradients(results[1][1], results[0][1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_plain_attention_counts_as_memory(precision: str, tmp_path: Path) -> None:
    encoder = load(make_model(tmp_path, "bert"), precision)
    trainer = EncoderTrainer(encoder, trainable_layers=2)
    texts = [_Prepared("", {"input_ids": torch.zeros(256)}) for _ in range(4)]
    needed = 4 * 256 * 64 * WIDTH * 2
    for memory, fit in ((needed, precision == "float32"), (needed * 1.5, True)):
        trainer.memory = int(memory)
        parts, together = trainer._parts(texts)
        assert together == fit
        assert len(parts) == (1 if fit else 2)
    # Longer ones go through the fused kernel.
    longer = [_Prepared("", {"input_ids": torch.zeros(257)}) for _ in range(4)]
    trainer.memory = 4 * 257 * 64 * WIDTH * 2
    assert trainer._parts(longer)[1]


def test_vectors_cut_short_need_as_much_memory(tmp_path: Path) -> None:
    costs = []
    for width in (None, 8):
        encoder = load(make_model(tmp_path / str(width), "bert"))
        encoder.model.truncate_dim = width
        encoder.width = width or encoder.width
        trainer = EncoderTrainer(encoder, trainable_layers=-1)
        texts = [_Prepared("", {"input_ids": torch.zeros(500)}) for _ in range(8)]
        trainer.memory = 2 * 500 * 64 * WIDTH * trainer.split.n_upper
        costs.append(len(trainer._parts(texts)[0]))
    assert costs == [4, 4]


# Kept activations


def test_lower_layers_run_once_a_text(tmp_path: Path) -> None:
    trainer = EncoderTrainer(load(make_model(tmp_path, "bert")), trainable_layers=1)
    tokenized: list[str] = []
    tokenize = trainer.encoder.model.preprocess

    def counted(texts: list[str], **kwargs: Any) -> Any:
        tokenized.extend(texts)
        return tokenize(texts, **kwargs)

    trainer.encoder.model.preprocess = counted
    first, backprop = trainer.forward(TEXTS)
    backprop(first)
    for _ in range(4):
        again, backprop = trainer.forward(TEXTS[::-1])
        backprop(again)
    assert trainer.n_lower == 5
    assert trainer.n_passed == 25
    assert len(tokenized) == 5
    assert_array_equal(again[::-1], first)
    trainer.forward(["guitar", "another one"])
    assert trainer.n_lower == 6
    trainer.forget()
    trainer.forward(["guitar"])
    assert trainer.n_lower == 7


def test_uncut_tokens_are_kept(tmp_path: Path) -> None:
    trainer = EncoderTrainer(load(make_model(tmp_path, "bert")), trainable_layers=-1)
    for _ in range(3):
        trainer.forward(TEXTS)
    assert set(trainer._prepared) == {text for text in TEXTS if text.strip()}
    assert trainer.n_lower == 0


def test_texts_beyond_the_memory_are_computed_again(tmp_path: Path) -> None:
    path = make_model(tmp_path, "bert")
    expected = load(path).encode(TEXTS)
    trainer = EncoderTrainer(load(path), trainable_layers=1, memory=3_000)
    for _ in range(3):
        assert_allclose(trainer.forward(TEXTS)[0], expected, atol=1e-5 * abs(expected).max())
    kept = list(trainer._prepared.values())
    assert 0 < len(kept) < 5
    assert trainer.n_lower == 5 + 2 * (5 - len(kept))
    assert trainer._kept == sum(ready.size for ready in kept) <= 3_000
    for ready in kept:
        # No views of a batch.
        assert ready.hidden is not None
        assert ready.hidden.untyped_storage().nbytes() == ready.hidden.numel() * 4


def test_activations_are_kept_in_bfloat16_where_that_is_the_precision(tmp_path: Path) -> None:
    path = make_model(tmp_path, "bert")
    expected = load(path).encode(TEXTS)
    trainer = EncoderTrainer(load(path, "bfloat16"), trainable_layers=1)
    vectors, backprop = trainer.forward(TEXTS)
    assert {r.hidden.dtype for r in trainer._prepared.values()} == {torch.bfloat16}
    assert vectors.dtype == np.float32
    assert_allclose(vectors, expected, atol=0.05 * abs(expected).max())
    gradient = random_rows(len(TEXTS))
    backprop(gradient)
    found, exact = gradients(trainer), reference_gradients(path, TEXTS, gradient)
    for name, value in found.items():
        assert value.dtype == torch.float32
        if exact[name].abs().max() > 0.01:
            cosine = torch.cosine_similarity(value.flatten(), exact[name].flatten(), dim=0)
            assert cosine > 0.98, name


def test_weights_in_bfloat16_learn_in_float32(tmp_path: Path) -> None:
    path = make_model(tmp_path, "qwen3", side="left", dtype=torch.bfloat16)
    encoder = load(path)
    assert next(encoder.model.parameters()).dtype == torch.bfloat16
    fingerprint = encoder.fingerprint
    trainer = EncoderTrainer(encoder, trainable_layers=1)
    assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}
    encoder.weights_changed()
    assert encoder.fingerprint == fingerprint
    trainer.forward(TEXTS)[1](random_rows(len(TEXTS)))
    assert len(gradients(trainer)) == len(trainer.parameters)
