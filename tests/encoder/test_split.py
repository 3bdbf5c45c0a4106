"""Cutting a transformer in two, in many architectures."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from spacy_embtune.encoder._split import SplitModel, find_layers
from spacy_embtune.encoder._tokens import prepare

from ..tiny_models import N_LAYERS, WIDTH, make_model, make_static_model

TEXTS = ["bread and soup", "the old stadium with a new coach", "guitar"]


def load(path: Path) -> SentenceTransformer:
    return SentenceTransformer(str(path), device="cpu")


def layer_of(name: str) -> int | None:
    """RETURNS (int | None): The number of the layer that a parameter belongs to."""
    parts = name.split(".")
    for i, part in enumerate(parts[:-1]):
        if part in ("layer", "layers", "block", "h") and parts[i + 1].isdigit():
            return int(parts[i + 1])
    return None


CUT = [
    "bert",
    "roberta",
    "mpnet",
    "distilbert",
    "deberta",
    "modernbert",
    "qwen3",
    "llama",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", CUT)
def test_both_parts_one_after_the_other_are_the_whole(kind: str, tmp_path: Path) -> None:
    model = load(make_model(tmp_path, kind))
    features = prepare(model, TEXTS)
    with torch.no_grad():
        whole = model(dict(features))["sentence_embedding"]
        for n_upper in (1, 2, 3):
            split = SplitModel(model, n_upper)
            hidden = split.lower(features)
            assert hidden.shape == (*features["input_ids"].shape, WIDTH)
            torch.testing.assert_close(split.upper(features, hidden), whole)
            # It is not what the lower layers would make of the texts again.
            assert not torch.allclose(split.upper(features, hidden * 0.5 + 1), whole, atol=1e-2)
        # What was switched off is back.
        torch.testing.assert_close(model(dict(features))["sentence_embedding"], whole)


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("n_upper", [1, 2])
def test_what_learns_are_the_last_layers_and_what_follows(
    kind: str, n_upper: int, tmp_path: Path
) -> None:
    model = load(make_model(tmp_path, kind))
    trainable = SplitModel(model, n_upper).trainable
    upper = set(range(N_LAYERS - n_upper, N_LAYERS))
    expected = {name for name, _ in model.named_parameters() if layer_of(name) in upper}
    # DeBERTa's norm of position embeddings is used in all layers, as is MPNet's position bias.
    others = set(trainable) - expected
    assert expected <= set(trainable)
    assert others == {name for name in others if name.endswith("norm.weight")}
    if kind in ("modernbert", "qwen3", "llama"):
        assert [name.split(".")[-2] for name in others] in (["final_norm"], ["norm"])
    else:
        assert not others
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_what_all_layers_share_is_frozen_when_cut(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "mpnet"))
    for n_upper, learns in ((1, False), (2, False), (3, True), (-1, True)):
        names = SplitModel(model, n_upper).trainable
        assert any("relative_attention_bias" in name for name in names) == learns


def test_all_of_it_has_its_embeddings(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert"))
    split = SplitModel(model, -1)
    assert not split.is_cut
    assert split.n_upper == N_LAYERS
    missing = {name for name, _ in model.named_parameters()} - set(split.trainable)
    # Not used for the mean of tokens.
    assert all(".pooler." in name for name in missing)
    assert any("word_embeddings" in name for name in split.trainable)
    assert not any("embeddings" in name for name in SplitModel(model, N_LAYERS).trainable)


def test_modules_behind_the_layers_learn(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    dense = Dense(WIDTH, 8)
    model = load(make_model(tmp_path, "bert", modules=[dense, Normalize()]))
    assert {"2.linear.weight", "2.linear.bias"} <= set(SplitModel(model, 1).trainable)


def test_a_stack_of_one_layer(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert"))
    layers = find_layers(model)
    del layers[1:]
    split = SplitModel(model, 1)
    assert {layer_of(name) for name in split.trainable} == {0}


@pytest.mark.parametrize("n_upper", [0, -2])
def test_numbers_that_mean_nothing(n_upper: int, tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert"))
    with pytest.raises(ValueError, match=f"trainable_layers is {n_upper}: give the number"):
        SplitModel(model, n_upper)


def test_more_layers_than_there_are(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert"))
    with pytest.raises(ValueError, match=r"is 4, but the encoder has 3\. Give a smaller number"):
        SplitModel(model, 4)


def test_a_model_without_layers(tmp_path: Path) -> None:
    model = load(make_static_model(tmp_path))
    with pytest.raises(ValueError, match=r"encoder has no stack of layers\. Give -1 for all of it"):
        SplitModel(model, 1)
    split = SplitModel(model, -1)
    assert list(split.trainable) == ["0.embedding.weight"]
    assert (split.reads_tokens, split.is_cut, split.n_upper) == (False, False, 1)


@pytest.mark.parametrize(
    ("kind", "n_upper"), [("albert", 1), ("t5", 1), ("t5", 2), ("xlnet", 1), ("xlnet", 3)]
)
def test_a_model_that_cannot_be_cut_says_so_and_stays_whole(
    kind: str, n_upper: int, tmp_path: Path
) -> None:
    model = load(make_model(tmp_path, kind, side="left" if kind == "xlnet" else "right"))
    features = prepare(model, TEXTS)
    with torch.no_grad():
        before = model(dict(features))["sentence_embedding"]
    with pytest.raises(ValueError, match=r"cannot be trained\. Use trainable_layers = -1"):
        SplitModel(model, n_upper)
    with torch.no_grad():
        torch.testing.assert_close(model(dict(features))["sentence_embedding"], before)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert SplitModel(model, -1).trainable


def test_pooling_that_takes_the_last_place_whatever_it_is(tmp_path: Path) -> None:
    """Padded on the right it would take the padding."""
    model = load(make_model(tmp_path, "qwen3", side="left"))

    def last(features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["token_embeddings"][:, -1]
        return features

    model[1].forward = last  # type: ignore[method-assign]
    split = SplitModel(model, -1)
    assert not split.reads_tokens
    with pytest.raises(ValueError, match="does not return the same vectors"):
        SplitModel(model, 1)


@pytest.mark.slow
def test_an_error_within_a_part_leaves_the_model_whole(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert"))
    split = SplitModel(model, 1)
    layers, features = list(split.layers), prepare(model, TEXTS)
    hidden = split.lower(features)
    for error in (KeyboardInterrupt, RuntimeError):

        def fail(*args: Any, error: type[BaseException] = error) -> None:
            raise error

        hook = model[1].register_forward_pre_hook(fail)
        with pytest.raises(error):
            split.upper(features, hidden)
        hook.remove()
        assert all(a is b for a, b in zip(split.layers, layers, strict=True))
        assert not any(layer._forward_pre_hooks for layer in layers)


def test_gradients_of_an_earlier_training_are_no_part_of_it(tmp_path: Path) -> None:
    model = load(make_model(tmp_path, "bert"))
    expected = SplitModel(model, 2).trainable
    model.requires_grad_(True)
    model(prepare(model, TEXTS))["sentence_embedding"].sum().backward()
    kept = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert set(SplitModel(model, 2).trainable) == set(expected)
    assert all(p.grad is kept.get(name) for name, p in model.named_parameters())
