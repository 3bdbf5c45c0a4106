"""The encoder layer with vectors on disk: across runs, pipelines, processes and machines."""

import copy
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language

from spacy_embtune.encoder import SentenceTransformer, VectorStore, get_shim
from spacy_embtune.encoder._database import FILE
from spacy_embtune.encoder._sharing import forget_loaded

from ..conftest import make_examples

TEXTS = ["bread and soup", "guitar", "", "the old stadium"]


def layer(path: Path, store: Path | None, **settings: Any) -> Any:
    return SentenceTransformer(
        name=str(path), cache_dir=None if store is None else str(store), **settings
    )


def shim_of(nlp: Language) -> Any:
    return get_shim(nlp.get_pipe("embtune").model.get_ref("encoder"))


def messages_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """RETURNS (list[str]): What the package itself has logged."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("spacy_embtune")]


@pytest.mark.slow
def test_a_second_run_encodes_nothing(
    train: Callable[..., Language], tiny_encoder: Path, tmp_path: Path
) -> None:
    plain = train(n_steps=20)
    vectors = []
    for n_encoded in (60, 0):
        # As in a process of its own.
        forget_loaded()
        nlp = train(n_steps=20, encoder={"cache_dir": str(tmp_path / "store")})
        assert shim_of(nlp).n_encoded == n_encoded
        vectors.append(nlp("bread and soup")._.embtune)
    assert_allclose(vectors[1], vectors[0], atol=1e-6)
    assert_allclose(vectors[0], plain("bread and soup")._.embtune, atol=1e-4)


def test_a_layer_that_is_only_used_keeps_vectors_on_disk_and_none_in_memory(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    expected = layer(tiny_encoder, None).predict(TEXTS)
    for n_encoded in (4, 0):
        used = layer(tiny_encoder, tmp_path / "store")
        for _ in range(2):
            assert_allclose(used.predict(TEXTS), expected, atol=1e-6)
        assert get_shim(used).n_encoded == n_encoded
        assert len(get_shim(used).cache) == 0


def test_memory_goes_before_disk(tiny_encoder: Path, tmp_path: Path) -> None:
    trained = layer(tiny_encoder, tmp_path / "store")
    trained.initialize(X=TEXTS)
    shutil.rmtree(tmp_path / "store")
    shim = get_shim(trained)
    shim.store = None
    trained.predict(TEXTS)
    assert shim.n_encoded == 4


@pytest.mark.slow
def test_encoders_and_precisions_share_a_directory(
    tiny_encoder: Path, other_encoder: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        for path in (tiny_encoder, other_encoder):
            for precision in ("float32", "bfloat16"):
                rows = layer(path, tmp_path / "store", precision=precision).predict(TEXTS)
                expected = layer(path, None, precision=precision).predict(TEXTS)
                assert_allclose(rows, expected, atol=1e-6)
    assert len(VectorStore(tmp_path / "store")) == 4 * len(TEXTS)


def test_copies_and_pickles_carry_the_directory(tiny_encoder: Path, tmp_path: Path) -> None:
    original = layer(tiny_encoder, tmp_path / "store", cache_dir_bytes=2**23)
    original.predict(TEXTS)
    for other in (original.copy(), copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        other.predict(TEXTS)
        shim = get_shim(other)
        assert shim.n_encoded == 0
        assert shim.store is not get_shim(original).store
        assert shim.store.max_bytes == 2**23


@pytest.mark.slow
def test_processes_of_a_pipe_share_the_directory(
    train: Callable[..., Language], tmp_path: Path
) -> None:
    nlp = train(n_steps=5, encoder={"cache_dir": str(tmp_path / "store")})
    store = VectorStore(tmp_path / "store")
    n_before = len(store)
    texts = [f"bread {i} soup" for i in range(40)]
    docs = list(nlp.pipe(texts, n_process=2, batch_size=5))
    assert len(store) == n_before + 40
    n_encoded = shim_of(nlp).n_encoded
    alone = [doc._.embedding for doc in nlp.pipe(texts)]
    assert shim_of(nlp).n_encoded == n_encoded
    assert_array_equal(np.stack([doc._.embedding for doc in docs]), np.stack(alone))


def test_the_texts_are_not_on_disk(tiny_encoder: Path, tmp_path: Path) -> None:
    layer(tiny_encoder, tmp_path / "store").predict(["a very private text"])
    files = list((tmp_path / "store").iterdir())
    assert files
    assert not [file for file in files if b"private" in file.read_bytes()]


# A pipeline that is stored, and loaded elsewhere


@pytest.fixture
def stored(train: Callable[..., Language], tmp_path: Path) -> Path:
    """A trained pipeline whose vectors lie in here/store."""
    (tmp_path / "here").mkdir()
    nlp = train(n_steps=20, encoder={"cache_dir": str(tmp_path / "here" / "store")})
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.mark.slow
def test_the_path_is_in_the_config_and_nowhere_else(
    train: Callable[..., Language], stored: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "here").encode()
    assert path in (stored / "config.cfg").read_bytes()
    files = [file for file in (stored / "embtune").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if path in file.read_bytes()]
    without = shim_of(train(n_steps=20))
    without.identify()
    assert without.to_bytes() == shim_of(spacy.load(stored)).to_bytes()


@pytest.mark.slow
def test_a_loaded_pipeline_goes_on_with_the_directory(stored: Path) -> None:
    nlp = spacy.load(stored)
    text = make_examples(nlp, 1)[0].reference.text
    assert nlp(text)._.embtune.any()
    assert shim_of(nlp).n_encoded == 0
    nlp("something new")
    again = spacy.load(stored)
    again("something new")
    assert (shim_of(nlp).n_encoded, shim_of(again).n_encoded) == (1, 0)


@pytest.mark.slow
def test_on_a_machine_without_the_directory_it_warns_once_and_works(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = spacy.load(stored)("bread and soup")._.embtune
    shutil.rmtree(tmp_path / "here")
    nlp = spacy.load(stored)
    assert not messages_of(caplog)
    with caplog.at_level(logging.WARNING):
        for text in ("bread and soup", "guitar", "bread and soup"):
            doc = nlp(text)
        examples = make_examples(nlp, 30)
        nlp.update(examples)
        nlp.evaluate(examples)
    assert_allclose(doc._.embtune, expected, atol=1e-5)
    (message,) = messages_of(caplog)
    assert f"{tmp_path / 'here'} is no directory" in message
    assert "works without cache_dir" in message
    assert not (tmp_path / "here").exists()


@pytest.mark.slow
def test_the_directory_can_be_changed_or_left_out_on_loading(stored: Path, tmp_path: Path) -> None:
    key = "components.embtune.model.encoder.cache_dir"
    nlp = spacy.load(stored, config={key: None})
    assert shim_of(nlp).store is None
    nlp = spacy.load(stored, config={key: str(tmp_path / "other")})
    nlp("bread and soup")
    assert len(VectorStore(tmp_path / "other")) == 1


def test_a_damaged_directory_is_one_warning(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (tmp_path / "here" / "store").iterdir():
        file.unlink()
    (tmp_path / "here" / "store" / FILE).write_bytes(b"something else " * 5000)
    nlp = spacy.load(stored)
    assert nlp("bread and soup")._.embtune.any()
    assert nlp("guitar")._.embtune.any()
    (message,) = messages_of(caplog)
    assert "is damaged" in message
    assert "Delete the directory" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"cache_dir": ""}, "empty text"), ({"cache_dir": "x", "cache_dir_bytes": 5}, "4 MiB")],
)
def test_settings_are_checked(tiny_encoder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentenceTransformer(name=str(tiny_encoder), **settings)


def test_progress_is_shown_in_training_if_many_texts_are_new(
    tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"bread {'soup ' * (i % 7)} {i}" for i in range(300)]
    layer(tiny_encoder, tmp_path / "one").predict(texts)
    assert capsys.readouterr().err == ""
    layer(tiny_encoder, tmp_path / "two").begin_update(texts)
    assert "Encoding texts" in capsys.readouterr().err
    layer(tiny_encoder, tmp_path / "two").begin_update(texts)
    assert capsys.readouterr().err == ""


def test_truncation_is_reported_as_without_a_directory(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        layer(tiny_encoder, tmp_path / "store").predict(["bread " * 50, "soup"])
    (message,) = messages_of(caplog)
    assert "1 of 2 texts are longer" in message
