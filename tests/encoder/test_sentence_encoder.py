"""Finding, loading, running and recognising encoders."""

import logging
import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file, save_file

from spacy_embtune._files import sha256_of_file
from spacy_embtune.encoder import sentence_encoder as encoders
from spacy_embtune.encoder.sentence_encoder import (
    DEFAULT_ENCODER,
    EncoderSettings,
    PackagedEncoder,
    SentenceEncoder,
)
from spacy_embtune.encoder.sentence_transformer import SentenceTransformer
from spacy_embtune.encoder.shim import get_shim

TEXTS = ["bread and soup", "guitar", "the old stadium with a new coach and a new referee"]


@pytest.fixture
def tiny(tiny_encoder: Path) -> SentenceEncoder:
    return SentenceEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="float32"))


def test_rows_are_float32_in_the_order_of_the_texts(tiny: SentenceEncoder) -> None:
    rows = tiny.encode(TEXTS)
    assert rows.shape == (3, tiny.width)
    assert rows.dtype == np.float32
    for text, row in zip(TEXTS, rows, strict=True):
        assert_allclose(tiny.encode([text])[0], row, atol=1e-5)


def test_rows_are_what_sentence_transformers_gives(
    tiny: SentenceEncoder, tiny_encoder: Path
) -> None:
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(str(tiny_encoder), device="cpu")
    expected = model.encode(TEXTS, show_progress_bar=False)
    assert_allclose(tiny.encode(TEXTS), expected, atol=1e-5)


def test_no_text_and_no_content(tiny: SentenceEncoder) -> None:
    assert tiny.encode([]).shape == (0, tiny.width)
    assert not tiny.encode(["", " \n\t"]).any()
    assert tiny.n_encoded == 0


def test_bfloat16_is_close_to_float32(tiny_encoder: Path, tiny: SentenceEncoder) -> None:
    half = SentenceEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="bfloat16"))
    rows, expected = half.encode(TEXTS), tiny.encode(TEXTS)
    assert rows.dtype == np.float32
    cosines = (rows * expected).sum(1) / np.linalg.norm(rows, axis=1)
    assert_allclose(cosines / np.linalg.norm(expected, axis=1), 1.0, atol=1e-2)


def test_truncated_texts_are_counted(tiny: SentenceEncoder) -> None:
    long = "bread " * 15
    assert tiny.window == 16
    tiny.encode(["bread " * 14, "guitar"])
    assert tiny.n_truncated == 0
    tiny.encode([long, "guitar", long + "soup"])
    assert tiny.n_truncated == 2


def test_truncation_is_reported_once(tiny_encoder: Path, caplog: pytest.LogCaptureFixture) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder))
    with caplog.at_level(logging.WARNING):
        layer.predict(["bread " * 50, "soup"])
        layer.predict(["soup " * 50])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "1 of 2 texts are longer than the 16 tokens" in messages[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": ""}, "model name or a directory"),
        ({"precision": "float8"}, "auto, float32, bfloat16"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderSettings(**settings)


# Finding


def test_a_path_that_is_no_directory_says_so(tmp_path: Path) -> None:
    for name in (str(tmp_path / "nothing"), "./nothing", "~/nothing-of-this-name"):
        with pytest.raises(ValueError, match=r"is not a directory.*modules\.json"):
            SentenceEncoder.load(EncoderSettings(name=name))


def test_a_directory_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither modules\.json nor config\.json"):
        SentenceEncoder.load(EncoderSettings(name=str(tmp_path)))


def test_a_damaged_model_says_so(tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"cannot be read.*damaged or incomplete"):
        SentenceEncoder.load(EncoderSettings(name=str(tmp_path / "model")))


def test_an_unknown_name_says_where_it_was_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = (
        "from spacy_embtune.encoder.sentence_encoder import *\n"
        "try: SentenceEncoder.load(EncoderSettings(name='no-such/model-of-anybody'))\n"
        "except ValueError as error: print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "no sentence-transformers model 'no-such/model-of-anybody'" in output
    assert "no packaged copy" in output
    assert "spelling" in output


@pytest.fixture
def packaged(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that carries a model, as `tests/name`, with the right checksum."""
    module = tmp_path / "carries_a_model"
    module.mkdir()
    (module / "__init__.py").touch()
    shutil.copytree(tiny_encoder, module / "model")
    checksum = sha256_of_file(module / "model" / "model.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(
        encoders.PACKAGED, "tests/name", PackagedEncoder("carries_a_model", checksum)
    )
    return module / "model"


def test_the_packaged_copy_is_found_by_name(packaged: Path, tiny: SentenceEncoder) -> None:
    found = SentenceEncoder.load(EncoderSettings(name="tests/name"))
    assert found.fingerprint == tiny.fingerprint


def test_a_packaged_copy_with_other_weights_is_refused(packaged: Path) -> None:
    weights = load_file(packaged / "model.safetensors")
    save_file({name: w + 1 for name, w in weights.items()}, packaged / "model.safetensors")
    with pytest.raises(ValueError, match=r"damaged or not the published one.*--force-reinstall"):
        SentenceEncoder.load(EncoderSettings(name="tests/name"))


def test_a_revision_passes_over_the_packaged_copy(packaged: Path) -> None:
    assert encoders._find_packaged(EncoderSettings(name="tests/name", revision="v1")) is None
    assert encoders._find_packaged(EncoderSettings(name="tests/name")) == packaged


def test_a_directory_goes_before_a_name(
    packaged: Path, other_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(other_encoder, tmp_path / "tests" / "name")
    monkeypatch.chdir(tmp_path)
    found = SentenceEncoder.load(EncoderSettings(name="tests/name"))
    expected = SentenceEncoder.load(EncoderSettings(name=str(other_encoder)))
    assert found.fingerprint == expected.fingerprint


# Recognising


def test_the_fingerprint_survives_saving_and_tells_models_apart(
    tiny: SentenceEncoder, other_encoder: Path
) -> None:
    again = SentenceEncoder.from_files(tiny.to_files(), tiny.settings)
    assert again.fingerprint == tiny.fingerprint
    assert_array_equal(again.encode(TEXTS), tiny.encode(TEXTS))
    other = SentenceEncoder.load(EncoderSettings(name=str(other_encoder)))
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
        model = SentenceEncoder.load(settings).model
        change(model)
        seen.add(SentenceEncoder(model, settings).fingerprint)
    assert len(seen) == len(changes)


def test_the_files_hold_safetensors_and_no_pickle_and_no_path(
    tiny: SentenceEncoder, tiny_encoder: Path
) -> None:
    files = tiny.to_files()
    assert "model.safetensors" in files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]
    assert not [name for name, data in files.items() if str(tiny_encoder).encode() in data]


# The layer


def test_each_distinct_text_is_encoded_once_in_training(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder))
    layer.initialize(X=TEXTS)
    shim = get_shim(layer)
    for _ in range(3):
        layer.begin_update([*TEXTS, TEXTS[0]])
        layer.predict([TEXTS[1], "song", "song"])
    assert shim.n_encoded == 4
    assert shim.n_requested == 3 + 3 * 7


def test_the_cache_is_bounded_and_what_it_cannot_hold_is_right_all_the_same(
    tiny_encoder: Path,
) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder), cache_size=2)
    expected = get_shim(SentenceTransformer(name=str(tiny_encoder))).vectors(TEXTS)
    for _ in range(3):
        rows, _ = layer.begin_update(TEXTS)
        assert_allclose(rows, expected, atol=2e-2)
    assert len(get_shim(layer).cache) == 2
    assert get_shim(layer).n_encoded == 3 + 1 + 1


def test_prediction_alone_fills_no_cache(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder))
    layer.predict(TEXTS)
    assert len(get_shim(layer).cache) == 0


def test_a_cache_can_be_kept_in_use(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder), cache="always")
    for _ in range(2):
        layer.predict(TEXTS)
    assert get_shim(layer).n_encoded == 3
    for copy in (layer.copy(), pickle.loads(pickle.dumps(layer))):
        copy.predict(TEXTS)
        copy.predict(TEXTS)
        assert get_shim(copy).n_encoded == 3
    with pytest.raises(ValueError, match="always"):
        SentenceTransformer(name=str(tiny_encoder), cache="sometimes")


def test_cached_rows_do_not_change_when_the_result_does(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder))
    rows, _ = layer.begin_update(TEXTS)
    before = rows.copy()
    rows *= 0
    assert_array_equal(layer.predict(TEXTS), before)


def test_the_encoder_is_frozen_and_without_dropout_in_training(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder), cache_size=0)
    first, backprop = layer.begin_update(TEXTS)
    again, _ = layer.begin_update(TEXTS)
    assert_array_equal(first, again)
    assert backprop(first) == []
    model = get_shim(layer).encoder.model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_copy_shares_the_encoder_and_not_the_cache(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder))
    layer.begin_update(TEXTS)
    shim, copied = get_shim(layer), get_shim(layer.copy())
    assert copied.encoder is shim.encoder
    assert len(copied.cache) == 0


def test_progress_is_shown_for_many_texts_in_training_only(
    tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"bread {'soup ' * (i % 7)} {i}" for i in range(300)]
    layer = SentenceTransformer(name=str(tiny_encoder))
    layer.predict(texts)
    assert capsys.readouterr().err == ""
    layer.begin_update(texts)
    assert "Encoding texts" in capsys.readouterr().err


def test_a_forked_child_can_encode_after_its_parent_has(tiny_encoder: Path) -> None:
    # In a process of its own: the deadlock that this guards against would hang the test run.
    code = f"""
import os, sys
from spacy_embtune.encoder.sentence_transformer import SentenceTransformer
layer = SentenceTransformer(name={str(tiny_encoder)!r})
layer.predict(["bread and soup"] * 200)
child = os.fork()
if child == 0:
    layer.predict(["bread and soup"] * 200)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=env)


# The real one


def test_the_packaged_minilm_is_the_published_one() -> None:
    encoder = SentenceEncoder.load(EncoderSettings(name=DEFAULT_ENCODER, precision="float32"))
    assert (encoder.width, encoder.window) == (384, 256)
    rows = encoder.encode(["A man is eating food.", "A man eats something.", "The sky is blue."])
    assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert rows[0] @ rows[1] > 0.6 > 0.3 > rows[0] @ rows[2]
    bare = SentenceEncoder.load(EncoderSettings(name="all-MiniLM-L6-v2"))
    assert bare.fingerprint == encoder.fingerprint


def test_what_is_to_be_here_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(settings: EncoderSettings) -> None:
        raise AssertionError("The hub was asked.")

    monkeypatch.setattr(encoders, "_require_hub", ask)
    settings = EncoderSettings("nobody/has-such-a-model")
    with pytest.raises(ValueError, match="nobody/has-such-a-model"):
        SentenceEncoder.load(settings, only_here=True)
    with pytest.raises(AssertionError, match="asked"):
        SentenceEncoder.load(settings)
