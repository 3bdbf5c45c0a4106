"""Texts as the tokens that a model takes."""

from pathlib import Path

import torch

from spacy_embtune.encoder import EncoderSettings, TextEncoder
from spacy_embtune.encoder._tokens import pad, prepare, separate

from ..tiny_models import make_model, make_static_model


def load(path: Path) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(name=str(path), precision="float32"))


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
