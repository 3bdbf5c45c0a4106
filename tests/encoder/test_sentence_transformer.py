"""The encoder layer, frozen."""

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Config

from spacy_embtune.encoder import SentenceTransformer, get_shim

TEXTS = ["bread and soup", "guitar", "the old stadium with a new coach and a new referee"]


def test_truncation_is_reported_once(tiny_encoder: Path, caplog: pytest.LogCaptureFixture) -> None:
    layer = SentenceTransformer(name=str(tiny_encoder))
    with caplog.at_level(logging.WARNING):
        layer.predict(["bread " * 50, "soup"])
        layer.predict(["soup " * 50])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "1 of 2 texts are longer than the 16 tokens" in messages[0]


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
    for new, copy in (("salt", layer.copy()), ("oven", pickle.loads(pickle.dumps(layer)))):
        # It has the vectors of the layer, whose encoder it shares.
        copy.predict([*TEXTS, new])
        copy.predict([*TEXTS, new])
        assert get_shim(copy).n_encoded == 1
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


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_a_forked_child_can_encode_after_its_parent_has(tiny_encoder: Path, backend: str) -> None:
    # In a process of its own: the deadlock that this guards against would hang the test run.
    code = f"""
import os, sys
from spacy_embtune.encoder import SentenceTransformer
layer = SentenceTransformer(name={str(tiny_encoder)!r}, backend={backend!r})
layer.predict(["bread and soup"] * 200)
child = os.fork()
if child == 0:
    layer.predict(["bread and soup"] * 200)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=env)


# Settings of earlier versions


@pytest.mark.parametrize("value", [None, 0.0])
def test_settings_that_had_no_effect_are_passed_over(
    value: float | None, tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SentenceTransformer(str(tiny_encoder), dropout=value, frozen_steps=0, blend=0.0)
    assert not caplog.records


def test_settings_that_were_removed_are_accepted_with_a_warning(
    tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = f"""
    [encoder]
    @architectures = "spacy-embtune.SentenceTransformer.v1"
    name = "{tiny_encoder}"
    precision = "float32"
    trainable_layers = 1
    dropout = 0.1
    frozen_steps = 3
    blend = 0.25
    """
    layer = spacy.registry.resolve(Config().from_str(config))["encoder"]
    (record,) = caplog.records
    assert "dropout = 0.1, frozen_steps = 3, blend = 0.25" in record.getMessage()
    assert "no effect any more" in record.getMessage()
    layer.initialize(X=TEXTS)
    before = layer.predict(TEXTS)
    rows, backprop = layer.begin_update(TEXTS)
    assert_allclose(rows, before, atol=1e-5)
    backprop(rows)
    layer.finish_update(Adam(0.01))
    assert (layer.predict(TEXTS) != before).any()
