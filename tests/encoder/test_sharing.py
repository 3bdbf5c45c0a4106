"""Frozen layers with the same encoder share it; others do not."""

import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from thinc.api import Model

from spacy_embtune.encoder import EncoderSettings, SentenceTransformer, TextEncoder, get_shim
from spacy_embtune.encoder import _shared_vectors as shared_vectors
from spacy_embtune.encoder import _sharing as sharing

TEXTS = ["bread and soup", "guitar", "the ball", "guitar"]


def layers(tiny: Path, n: int = 2, **settings: Any) -> list[Model[Any, Any]]:
    return [SentenceTransformer(name=str(tiny), **settings) for _ in range(n)]


def test_layers_load_one_encoder_and_encode_a_text_once(tiny_encoder: Path) -> None:
    first, second, third = layers(tiny_encoder, 3)
    # So that it is one of three, not alone.
    assert get_shim(second).encoder is get_shim(first).encoder is get_shim(third).encoder
    expected = TextEncoder.load(EncoderSettings(str(tiny_encoder))).encode(TEXTS)
    for layer in (first, second, third):
        np.testing.assert_allclose(layer.predict(TEXTS), expected, atol=1e-6)
    assert get_shim(first).encoder.n_encoded == 3
    assert [get_shim(layer).n_encoded for layer in (first, second, third)] == [3, 0, 0]


def test_a_layer_alone_keeps_nothing(tiny_encoder: Path) -> None:
    (layer,) = layers(tiny_encoder, 1)
    layer.predict(TEXTS)
    layer.predict(TEXTS)
    assert get_shim(layer).encoder.n_encoded == 8
    assert not get_shim(layer).encoder.shared._rows


def test_recent_vectors_are_bounded_and_cover_the_batches_of_a_pipeline(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_vectors, "RECENT", 8)
    first, second = layers(tiny_encoder)
    shared = get_shim(first).encoder.shared
    assert get_shim(second).encoder.shared is shared
    batches = [[f"soup {i} {j}" for j in range(6)] for i in range(5)]
    for batch in batches:
        assert_array_equal(first.predict(batch), second.predict(batch))
    assert get_shim(second).n_encoded == 0
    assert len(shared._rows) == len(shared._order) == 12


def test_layers_in_training_share_one_cache(tiny_encoder: Path) -> None:
    first, second = layers(tiny_encoder)
    first.begin_update(TEXTS)
    second.begin_update(TEXTS)
    assert get_shim(first).cache is get_shim(second).cache
    assert get_shim(first).encoder.n_encoded == 3


def test_a_layer_that_is_only_used_reads_the_cache_of_one_in_training(tiny_encoder: Path) -> None:
    trained, annotating = layers(tiny_encoder)
    many = [f"soup {i}" for i in range(20)]
    assert get_shim(annotating).encoder
    trained.begin_update(many)
    get_shim(trained).encoder.shared._rows.clear()
    annotating.predict(many)
    assert get_shim(annotating).n_encoded == 0


def test_a_cache_of_another_size_is_another_cache(tiny_encoder: Path) -> None:
    (first,), (second,) = (layers(tiny_encoder, 1, cache_size=size) for size in (2, 1000))
    assert get_shim(second).encoder
    for layer in (first, second):
        layer.begin_update(TEXTS)
    assert len(get_shim(first).cache) == 2
    assert len(get_shim(second).cache) == 3
    assert get_shim(first).encoder.n_encoded == 3


def test_vectors_of_another_layer_are_stored_as_well(tiny_encoder: Path, tmp_path: Path) -> None:
    (plain,), (stored,) = layers(tiny_encoder, 1), layers(tiny_encoder, 1, cache_dir=str(tmp_path))
    assert get_shim(stored).encoder
    plain.predict(TEXTS)
    stored.predict(TEXTS)
    assert get_shim(stored).n_encoded == 0
    assert len(get_shim(stored).store) == 3
    # Vectors from the directory serve the other layer.
    get_shim(plain).encoder.shared._rows.clear()
    stored.predict(TEXTS)
    plain.predict(TEXTS)
    assert get_shim(plain).encoder.n_encoded == 3


def test_batch_size_does_not_keep_layers_apart(tiny_encoder: Path) -> None:
    (first,), (second,) = (layers(tiny_encoder, 1, batch_size=size) for size in (1, 32))
    assert get_shim(first).encoder is get_shim(second).encoder


@pytest.mark.parametrize(
    "other", [{"max_seq_length": 8}, {"precision": "float32"}, {"prompt": "soup"}]
)
def test_other_settings_are_another_encoder(tiny_encoder: Path, other: dict[str, Any]) -> None:
    (first,), (second,) = layers(tiny_encoder, 1), layers(tiny_encoder, 1, **other)
    assert get_shim(first).encoder is not get_shim(second).encoder
    assert not get_shim(first).encoder.shared.is_shared
    (name,) = other
    differing = sharing.differing_settings(get_shim(first).settings, get_shim(second).settings)
    assert set(differing) == {name}


def test_one_model_in_two_directories_is_one_encoder(tiny_encoder: Path, tmp_path: Path) -> None:
    (first,) = layers(tiny_encoder, 1)
    assert get_shim(first).encoder
    shutil.copytree(tiny_encoder, tmp_path / "copy")
    (second,) = layers(tmp_path / "copy", 1)
    assert get_shim(second).encoder is get_shim(first).encoder


def test_a_directory_that_holds_another_model_now_is_another_encoder(
    tiny_encoder: Path, other_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    (first,) = layers(tmp_path / "model", 1)
    assert get_shim(first).encoder
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(other_encoder, tmp_path / "model")
    (second,) = layers(tmp_path / "model", 1)
    assert get_shim(second).encoder is not get_shim(first).encoder


def test_an_encoder_that_learns_is_not_shared(tiny_encoder: Path) -> None:
    (frozen,), learning = layers(tiny_encoder, 1), layers(tiny_encoder, trainable_layers=1)
    before = frozen.predict(TEXTS)
    encoders = {id(get_shim(layer).encoder) for layer in (frozen, *learning)}
    assert len(encoders) == 3
    rows, backprop = learning[0].begin_update(TEXTS)
    backprop(np.ones_like(rows))
    from thinc.api import Adam

    learning[0].finish_update(Adam(0.1))
    assert not np.allclose(learning[0].predict(TEXTS), before, atol=1e-3)
    assert_array_equal(frozen.predict(TEXTS), before)
    np.testing.assert_allclose(learning[1].predict(TEXTS), before, atol=1e-2)


def test_a_pickle_holds_a_shared_encoder_once(tiny_encoder: Path) -> None:
    pair = layers(tiny_encoder)
    for layer in pair:
        layer.predict(TEXTS)
    alone, both = len(pickle.dumps(pair[:1])), pickle.dumps(pair)
    assert len(both) < 1.1 * alone
    sharing.forget_loaded()
    loaded = pickle.loads(both)
    assert get_shim(loaded[0]).encoder is get_shim(loaded[1]).encoder
    assert get_shim(loaded[0]).encoder is not get_shim(pair[0]).encoder
    assert_array_equal(loaded[0].predict(TEXTS), pair[0].predict(TEXTS))


def test_a_layer_that_gets_another_encoder_leaves_the_others(
    tiny_encoder: Path, other_encoder: Path
) -> None:
    first, second = layers(tiny_encoder)
    shim = get_shim(first)
    assert shim.encoder is get_shim(second).encoder
    (other,) = layers(other_encoder, 1)
    get_shim(other).identify()
    shim.from_bytes(get_shim(other).to_bytes())
    shim.from_directory(other_encoder)
    assert shim.encoder is get_shim(other).encoder
    assert not get_shim(second).encoder.shared.is_shared


@pytest.mark.slow
def test_an_encoder_without_a_layer_is_dropped(tiny_encoder: Path) -> None:
    import gc

    (layer,) = layers(tiny_encoder, 1)
    assert get_shim(layer).encoder
    assert len(sharing._LOADED) == 2
    del layer
    gc.collect()
    assert len(sharing._LOADED) == 0


def test_threads_load_one_encoder(tiny_encoder: Path) -> None:
    made = layers(tiny_encoder, 4)
    threads = [threading.Thread(target=layer.predict, args=(TEXTS,)) for layer in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(get_shim(layer).encoder) for layer in made}) == 1


def test_encoding_anew_reads_no_vectors_of_others(tiny_encoder: Path) -> None:
    first, second = layers(tiny_encoder)
    assert get_shim(second).encoder
    first.begin_update(TEXTS)
    with get_shim(second).encoding_anew(2):
        assert get_shim(second).settings.batch_size == 2
        second.predict(TEXTS)
    assert get_shim(second).n_encoded == len(TEXTS)
    second.predict(TEXTS)
    assert get_shim(second).n_encoded == len(TEXTS)
