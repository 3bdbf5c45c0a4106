"""Running encoders."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spacy_embtune.encoder import EncoderSettings, TextEncoder

TEXTS = ["bread and soup", "guitar", "the old stadium with a new coach and a new referee"]


@pytest.fixture
def tiny(tiny_encoder: Path) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="float32"))


def test_rows_are_float32_in_the_order_of_the_texts(tiny: TextEncoder) -> None:
    rows = tiny.encode(TEXTS)
    assert rows.shape == (3, tiny.width)
    assert rows.dtype == np.float32
    for text, row in zip(TEXTS, rows, strict=True):
        assert_allclose(tiny.encode([text])[0], row, atol=1e-5)


def test_rows_are_what_sentence_transformers_gives(tiny: TextEncoder, tiny_encoder: Path) -> None:
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(str(tiny_encoder), device="cpu")
    expected = model.encode(TEXTS, show_progress_bar=False)
    assert_allclose(tiny.encode(TEXTS), expected, atol=1e-5)


def test_no_text_and_no_content(tiny: TextEncoder) -> None:
    assert tiny.encode([]).shape == (0, tiny.width)
    assert not tiny.encode(["", " \n\t"]).any()
    assert tiny.n_encoded == 0


def test_bfloat16_is_close_to_float32(tiny_encoder: Path, tiny: TextEncoder) -> None:
    half = TextEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="bfloat16"))
    rows, expected = half.encode(TEXTS), tiny.encode(TEXTS)
    assert rows.dtype == np.float32
    cosines = (rows * expected).sum(1) / np.linalg.norm(rows, axis=1)
    assert_allclose(cosines / np.linalg.norm(expected, axis=1), 1.0, atol=1e-2)


def test_truncated_texts_are_counted(tiny: TextEncoder) -> None:
    long = "bread " * 15
    assert tiny.window == 16
    tiny.encode(["bread " * 14, "guitar"])
    assert tiny.n_truncated == 0
    tiny.encode([long, "guitar", long + "soup"])
    assert tiny.n_truncated == 2


def test_the_files_hold_safetensors_and_no_pickle_and_no_path(
    tiny: TextEncoder, tiny_encoder: Path
) -> None:
    files = tiny.to_files()
    assert "model.safetensors" in files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]
    assert not [name for name, data in files.items() if str(tiny_encoder).encode() in data]
