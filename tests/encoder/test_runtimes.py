"""Other runtimes, weights of 8 bits, and the choice of the numeric type."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import spacy
from numpy.testing import assert_allclose
from sentence_transformers.sentence_transformer.modules import BoW

from spacy_embtune.encoder import EncoderSettings, TextEncoder, _precision, _runtimes
from spacy_embtune.encoder._precision import choose_precision, has_native_bfloat16

TEXTS = ["bread and soup", "guitar", "the old stadium with a new coach and a new referee", ""]


def load(path: Path, precision="float32", **settings) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(str(path), precision=precision, **settings))


def cosines(a, b):
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_backends_give_the_vectors_of_torch(tiny_encoder: Path, backend) -> None:
    encoder = load(tiny_encoder, backend=backend, prompt="song ", truncate_dim=32)
    expected = load(tiny_encoder, prompt="song ", truncate_dim=32).encode(TEXTS)
    assert_allclose(encoder.encode(TEXTS), expected, atol=1e-4)
    assert encoder.precision_used == "float32"
    assert encoder.numerics == f"float32 {backend}"
    # The model itself is unchanged: it is what is stored, and what learns.
    assert encoder.fingerprint == load(tiny_encoder, prompt="song ", truncate_dim=32).fingerprint
    encoder.weights_changed()
    assert encoder.numerics == "float32"
    assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_parts_of_a_batch_on_several_threads_give_the_same(tiny_encoder: Path, backend) -> None:
    import torch

    texts = [" ".join(["bread", "and", "soup"][: 1 + i % 3]) for i in range(11)] + ["a " * 40]
    exact = TextEncoder.load(EncoderSettings(str(tiny_encoder), precision="float32")).encode(texts)
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2, 3, 6):
            torch.set_num_threads(n_threads)
            encoder = TextEncoder.load(
                EncoderSettings(str(tiny_encoder), precision="float32", backend=backend)
            )
            # Each text alone, fewer texts than threads, and more.
            for some in ([0], [11], [0, 1], list(range(12))):
                found = encoder.encode([texts[i] for i in some])
                np.testing.assert_allclose(found, exact[some], atol=1e-5)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_int8_is_near_and_says_how_near(tiny_encoder: Path, backend, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        rows = load(tiny_encoder, precision="int8", backend=backend).encode(TEXTS[:3])
    assert cosines(rows, load(tiny_encoder).encode(TEXTS[:3])).min() > 0.98
    (message,) = caplog.messages
    assert "the cosine with the exact vectors is" in message


@pytest.mark.slow
def test_a_converted_model_is_kept_and_made_anew_if_it_is_damaged(
    tiny_encoder: Path, tmp_path: Path, monkeypatch
) -> None:
    expected = load(tiny_encoder).encode(TEXTS)
    made = []
    convert = _runtimes._Onnx.convert
    monkeypatch.setattr(
        _runtimes._Onnx, "convert", lambda *args: (made.append(1), convert(*args))[1]
    )

    def encode():
        encoder = load(tiny_encoder, backend="onnx")
        encoder.converted_dir = tmp_path / "converted"
        return encoder.encode(TEXTS)

    for _ in range(2):
        assert_allclose(encode(), expected, atol=1e-4)
    assert len(made) == 1
    (file,) = (tmp_path / "converted").glob("onnx-*/model.onnx")
    file.write_bytes(file.read_bytes()[:-100])
    assert_allclose(encode(), expected, atol=1e-4)
    assert len(made) == 2


@pytest.mark.slow
def test_a_directory_that_cannot_be_written_costs_time_only(
    tiny_encoder: Path, tmp_path: Path, caplog
) -> None:
    (tmp_path / "file").write_text("not a directory")
    encoder = load(tiny_encoder, backend="onnx")
    encoder.converted_dir = tmp_path / "file" / "converted"
    assert_allclose(encoder.encode(TEXTS), load(tiny_encoder).encode(TEXTS), atol=1e-4)
    assert "cannot be kept in" in caplog.text


@pytest.mark.slow
def test_the_component_keeps_it_beside_its_vectors(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = {
        "@architectures": "spacy-embtune.SentenceTransformer.v1",
        "name": str(tiny_encoder),
        "backend": "onnx",
        "cache_dir": str(tmp_path / "vectors"),
    }
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    doc = nlp(TEXTS[0])
    assert_allclose(doc._.embedding, load(tiny_encoder).encode(TEXTS[:1])[0], atol=1e-4)
    assert list((tmp_path / "vectors" / "converted").glob("onnx-*/model.onnx"))


@pytest.mark.slow
def test_a_backend_that_is_not_installed_names_the_extra(tiny_encoder: Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from importlib import util; found = util.find_spec\n"
        "util.find_spec = lambda n, *a: None if n == 'onnxruntime' else found(n, *a)\n"
        "from spacy_embtune.encoder import EncoderSettings, TextEncoder, _runtimes\n"
        f"try: TextEncoder.load(EncoderSettings({str(tiny_encoder)!r}, backend='onnx'))\n"
        "except ValueError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs onnxruntime. Install it: pip install 'spacy-embtune[onnx]'" in run.stdout


def test_models_that_are_no_transformers_are_refused(tmp_path: Path) -> None:
    bag = sentence_transformers.SentenceTransformer(
        modules=[BoW(vocab=["bread", "soup", "guitar"])], device="cpu"
    )
    encoder = TextEncoder(bag, EncoderSettings(backend="onnx", precision="float32"))
    with pytest.raises(ValueError, match="first module of this encoder is BoW"):
        encoder.encode(["bread"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "onnx", "precision": "bfloat16"}, "set precision to float32 or int8"),
        ({"backend": "openvino", "precision": "int8"}, "set precision to float32"),
        ({"backend": "tensorflow"}, "Unknown backend 'tensorflow'"),
        ({"prompt": "a", "prompt_name": "b"}, "give one of them"),
        ({"truncate_dim": 0}, "whole number of at least 1"),
        ({"max_seq_length": "8"}, "whole number of at least 1"),
        (
            {"attn_implementation": "sdpa", "model_kwargs": {"attn_implementation": "eager"}},
            "'eager' for it",
        ),
    ],
)
def test_settings_that_contradict_each_other(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderSettings(**settings)


def test_auto_takes_bfloat16_only_where_it_is_exact(
    tiny_encoder: Path, tmp_path: Path, monkeypatch
) -> None:
    model = load(tiny_encoder).model
    monkeypatch.setattr(_precision, "has_native_bfloat16", lambda device: True)
    monkeypatch.setattr(_precision, "_CHOSEN", {})
    rows = np.eye(8)
    far = np.eye(8) + 0.1
    for name, rounded, expected in (("near", rows, "bfloat16"), ("far", far, "float32")):

        def encode_sample(model, *, is_bfloat16, rounded=rounded):
            return rounded if is_bfloat16 else rows

        monkeypatch.setattr(_precision._sample, "encode_sample", encode_sample)
        assert choose_precision(model, name, tmp_path) == expected

    def fail(*args, **kwargs):
        raise AssertionError("measured again")

    monkeypatch.setattr(_precision._sample, "encode_sample", fail)
    assert choose_precision(model, "far", tmp_path) == "float32"
    # Another process finds the choice in the directory.
    monkeypatch.setattr(_precision, "_CHOSEN", {})
    assert choose_precision(model, "near", tmp_path) == "bfloat16"
    with pytest.raises(AssertionError, match="measured again"):
        choose_precision(model, "unknown", tmp_path)


def test_auto_is_exact_here(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder, precision="auto")
    assert encoder.precision_used in ("float32", "bfloat16")
    assert cosines(encoder.encode(TEXTS[:3]), load(tiny_encoder).encode(TEXTS[:3])).min() > 0.999
    if not has_native_bfloat16("cpu"):
        assert encoder.precision_used == "float32"
