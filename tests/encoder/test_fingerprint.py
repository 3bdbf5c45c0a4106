"""Telling encoders apart."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_array_equal

from spacy_embtune.encoder import EncoderSettings, TextEncoder

TEXTS = ["bread and soup", "guitar", "the old stadium with a new coach and a new referee"]


@pytest.fixture
def tiny(tiny_encoder: Path) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="float32"))


def test_the_fingerprint_survives_saving_and_tells_models_apart(
    tiny: TextEncoder, other_encoder: Path
) -> None:
    again = TextEncoder.from_files(tiny.to_files(), tiny.settings)
    assert again.fingerprint == tiny.fingerprint
    assert_array_equal(again.encode(TEXTS), tiny.encode(TEXTS))
    other = TextEncoder.load(EncoderSettings(name=str(other_encoder)))
    assert other.fingerprint != tiny.fingerprint


def test_the_fingerprint_notices_what_changes_vectors(tiny_encoder: Path) -> None:
    def change_window(model: Any) -> None:
        model.max_seq_length = 8

    def change_pooling(model: Any) -> None:
        model[1].pooling_mode = "cls"

    def change_a_weight(model: Any) -> None:
        next(model.parameters()).view(-1)[0] += 1e-3

    def change_case(model: Any) -> None:
        from tokenizers.normalizers import BertNormalizer

        model.tokenizer.backend_tokenizer.normalizer = BertNormalizer(lowercase=False)

    def add_dense(model: Any, activation: str) -> None:
        from sentence_transformers.sentence_transformer.modules import Dense
        from torch import eye, nn

        width = model.get_embedding_dimension()
        function = getattr(nn, activation)()
        dense = Dense(width, width, bias=False, activation_function=function)
        dense.load_state_dict({"linear.weight": eye(width)})
        model.append(dense)

    changes = (
        lambda model: None,
        change_window,
        change_pooling,
        change_a_weight,
        change_case,
        partial(add_dense, activation="Tanh"),
        partial(add_dense, activation="ReLU"),
    )
    settings = EncoderSettings(name=str(tiny_encoder))
    seen = set()
    for change in changes:
        model = TextEncoder.load(settings).model
        change(model)
        seen.add(TextEncoder(model, settings).fingerprint)
    assert len(seen) == len(changes)
