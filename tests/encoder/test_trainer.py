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

from spacy_embtune.encoder import trainer as encoder_training
from spacy_embtune.encoder._tokens import pad, prepare, separate
from spacy_embtune.encoder.sentence_encoder import EncoderSettings, SentenceEncoder
from spacy_embtune.encoder.trainer import EncoderTrainer, _Prepared

from ..tiny_models import TEXTS, WIDTH, make_model, make_static_model

SMALL = 40_000  # bytes: a few tokens, so that a batch is computed in parts


def load(path: Path, precision: Any = "float32") -> SentenceEncoder:
    return SentenceEncoder.load(EncoderSettings(name=str(path), precision=precision))


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


@pytest.mark.parametrize("trainable_layers", [1, 3, -1])
@pytest.mark.parametrize("kind", MODELS)
def test_vectors_and_gradients_are_those_of_a_plain_pass(
    kind: str, trainable_layers: int, tmp_path: Path
) -> None:
    path = make_model(tmp_path, **MODELS[kind])
    expected = load(path).encode(TEXTS)
    trainer = EncoderTrainer(load(path), trainable_layers=trainable_layers, dropout=0.0)
    vectors, backprop = trainer.forward(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), WIDTH), np.float32)
    assert_allclose(vectors, expected, atol=1e-5 * abs(expected).max())
    assert not vectors[[2, 6]].any()
    gradient = random_rows(len(TEXTS))
    backprop(gradient)
    found = gradients(trainer)
    assert set(found) == set(trainer.parameters)
    assert_same_gradients(found, reference_gradients(path, TEXTS, gradient))


@pytest.mark.parametrize("kind", ["albert", "t5", "xlnet"])
def test_models_that_cannot_be_cut_learn_as_a_whole(kind: str, tmp_path: Path) -> None:
    side = "left" if kind == "xlnet" else "right"
    path = make_model(tmp_path, kind, side=side)
    trainer = EncoderTrainer(load(path), trainable_layers=-1, dropout=0.0)
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
    trainer = EncoderTrainer(load(path), trainable_layers=1, dropout=0.0)
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
    encoder = SentenceEncoder(model, EncoderSettings(precision="float32"))
    expected = encoder.encode(TEXTS)
    vectors, backprop = EncoderTrainer(encoder, trainable_layers=1, dropout=0.0).forward(TEXTS)
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


@pytest.mark.parametrize("trainable_layers", [1, -1])
def test_parts_give_what_one_pass_gives(trainable_layers: int, tmp_path: Path) -> None:
    path = make_model(tmp_path, "bert")
    results = []
    for memory in (2**30, SMALL, 1):
        settings: dict[str, Any] = {"dropout": 0.0, "memory": memory}
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


@pytest.mark.parametrize("memory", [2**30, SMALL, 1])
@pytest.mark.parametrize("trainable_layers", [2, -1])
def test_gradients_with_dropout_are_those_of_the_same_masks(
    trainable_layers: int, memory: int, tmp_path: Path
) -> None:
    """By finite differences: drawn anew, other masks would give other gradients."""
    trainer = EncoderTrainer(
        load(make_model(tmp_path, "bert")),
        trainable_layers=trainable_layers,
        dropout=0.3,
        memory=memory,
    )
    weights = random_rows(len(TEXTS))

    def loss() -> tuple[float, Any]:
        torch.manual_seed(3)
        vectors, backprop = trainer.forward(TEXTS)
        return float((vectors.astype("float64") * weights).sum()), backprop

    first, backprop = loss()
    backprop(weights)
    found = gradients(trainer)
    length = sum(float((g.double() ** 2).sum()) for g in found.values()) ** 0.5
    step = 1e-2 / length
    changes = []
    for sign in (1.0, -2.0):
        with torch.no_grad():
            for name, gradient in found.items():
                trainer.parameters[name].add_(gradient, alpha=sign * step)
        changes.append(loss()[0])
    assert (changes[0] - changes[1]) / (2 * step) == pytest.approx(length**2, rel=2e-2)
    assert first == pytest.approx((changes[0] + changes[1]) / 2, abs=0.1 * (changes[0] - first))


def test_the_second_pass_leaves_random_numbers_alone(tmp_path: Path) -> None:
    path = make_model(tmp_path, "bert")
    drawn = []
    for runs_backward in (True, False):
        trainer = EncoderTrainer(load(path), trainable_layers=1, dropout=0.5, memory=1)
        torch.manual_seed(0)
        _, backprop = trainer.forward(TEXTS)
        torch.rand(5)
        if runs_backward:
            backprop(random_rows(len(TEXTS)))
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


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
    trainer._hidden_width, trainer._drops = 4, False
    ready = [_Prepared("", {"input_ids": torch.zeros(length)}) for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_training, "TOKENS_AT_ONCE", at_once)
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
        monkeypatch.setattr(encoder_training, "TOKENS_AT_ONCE", at_once)
        trainer = EncoderTrainer(load(path), trainable_layers=2, dropout=0.0)
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
    trainer = EncoderTrainer(encoder, trainable_layers=2, dropout=0.0)
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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_dropout_keeps_a_matrix_of_any_text(precision: str, tmp_path: Path) -> None:
    """No fused kernel on a processor drops: with dropout, 1,000 tokens need four (two) times as
    much for what they make of each other."""
    encoder = load(make_model(tmp_path, "bert"), precision)
    texts = [_Prepared("", {"input_ids": torch.zeros(1000)})]
    needed = 1000 * 64 * WIDTH * 2
    for dropout, factor in ((0.0, 0), (None, 4 if precision == "float32" else 2)):
        trainer = EncoderTrainer(encoder, trainable_layers=2, dropout=dropout)
        for share, fits in ((0.99, False), (1.01, True)):
            trainer.memory = int(share * needed * (1 + factor * 1000 / 512))
            assert trainer._parts(texts)[1] == fits


def test_vectors_cut_short_need_as_much_memory(tmp_path: Path) -> None:
    costs = []
    for width in (None, 8):
        encoder = load(make_model(tmp_path / str(width), "bert"))
        encoder.model.truncate_dim = width
        encoder.width = width or encoder.width
        trainer = EncoderTrainer(encoder, trainable_layers=-1, dropout=0.0)
        texts = [_Prepared("", {"input_ids": torch.zeros(500)}) for _ in range(8)]
        trainer.memory = 2 * 500 * 64 * WIDTH * trainer.split.n_upper
        costs.append(len(trainer._parts(texts)[0]))
    assert costs == [4, 4]


# Kept activations


def test_lower_layers_run_once_a_text(tmp_path: Path) -> None:
    trainer = EncoderTrainer(load(make_model(tmp_path, "bert")), trainable_layers=1, dropout=0.0)
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
    trainer = EncoderTrainer(load(path), trainable_layers=1, dropout=0.0, memory=3_000)
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
    trainer = EncoderTrainer(load(path, "bfloat16"), trainable_layers=1, dropout=0.0)
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


# Dropout


@pytest.mark.parametrize("kind", ["bert", "qwen3", "modernbert", "t5"])
@pytest.mark.parametrize("trainable_layers", [3, -1])
def test_dropout_is_off_at_rate_0(kind: str, trainable_layers: int, tmp_path: Path) -> None:
    trainer = EncoderTrainer(
        load(make_model(tmp_path, kind)), trainable_layers=trainable_layers, dropout=0.0
    )
    assert_array_equal(trainer.forward(TEXTS)[0], trainer.forward(TEXTS)[0])


@pytest.mark.parametrize("kind", ["bert", "qwen3", "modernbert", "t5"])
def test_dropout_has_the_rate_asked_for(kind: str, tmp_path: Path) -> None:
    path = make_model(tmp_path, kind)
    expected = load(path).encode(TEXTS[:2])
    distances = []
    for rate in (0.01, 0.5):
        trainer = EncoderTrainer(load(path), trainable_layers=-1, dropout=rate)
        torch.manual_seed(0)
        drawn = np.stack([trainer.forward(TEXTS[:2])[0] for _ in range(10)])
        distances.append(float(abs(drawn - expected).mean()))
    assert 0 < distances[0] < distances[1] / 2


def test_without_a_rate_it_is_the_models_own(tmp_path: Path) -> None:
    encoder = load(make_model(tmp_path, "bert"))
    rates = [m.p for m in encoder.model.modules() if isinstance(m, torch.nn.Dropout)]
    trainer = EncoderTrainer(encoder, trainable_layers=1)
    assert (trainer.forward(TEXTS)[0] != trainer.forward(TEXTS)[0]).any()
    assert rates == [m.p for m in encoder.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert not any(module.training for module in encoder.model.modules())


def test_lower_layers_never_drop(tmp_path: Path) -> None:
    path = make_model(tmp_path, "bert")
    trainer = EncoderTrainer(load(path), trainable_layers=1, dropout=0.9)
    for _ in range(2):
        trainer.forward(TEXTS)
    exact = EncoderTrainer(load(path), trainable_layers=1, dropout=0.0)
    exact.forward(TEXTS)
    for text, ready in trainer._prepared.items():
        torch.testing.assert_close(ready.hidden, exact._prepared[text].hidden)
    rates = [m.p for m in trainer.split.layers[:2].modules() if isinstance(m, torch.nn.Dropout)]
    assert set(rates) == {0.1}


# Tokens


def test_texts_are_taken_apart_and_put_together_again(tmp_path: Path) -> None:
    encoder = load(make_model(tmp_path, "qwen3", side="left"))
    texts = ["bread and soup", "guitar"]
    features = prepare(encoder.model, texts)
    assert features["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]
    separated = separate(features)
    assert separated is not None
    assert [len(one["input_ids"]) for one in separated] == [5, 3]
    padded = pad(encoder.model, separated)
    assert padded["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert padded["input_ids"][1, 3:].tolist() == [1, 1]
    assert padded["input_ids"][0].tolist() == features["input_ids"][0].tolist()
    assert {k for k, v in padded.items() if not hasattr(v, "shape")} == {
        k for k, v in features.items() if not hasattr(v, "shape")
    }


def test_what_is_not_a_number_a_token_stays_together(tmp_path: Path) -> None:
    mask = torch.ones(2, 3)
    assert separate({"input_ids": mask}) is None
    assert separate({"attention_mask": mask, "lengths": torch.ones(2)}) is None
    assert separate(prepare(load(make_static_model(tmp_path)).model, ["a", "b"])) is None
