"""Finetuned encoders in pipelines: saving and loading."""

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.language import Language

from spacy_embtune.encoder import EncoderSettings, TextEncoder

from ...conftest import make_examples
from ...pipeline.test_component import MakeNlp
from .pipelines import (
    assert_same_vectors,
    changed,
    shim_of,
    start,
    vectors,
    weights,
)

# Saving and loading


def trained(make: MakeNlp, n_steps: int = 3, **settings: Any) -> Any:
    nlp = make(**settings)
    examples, optimizer = start(nlp)
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)
    return nlp, examples, optimizer


def through_disk(nlp: Language, path: Path) -> Language:
    nlp.to_disk(path)
    return spacy.load(path)


def through_bytes(nlp: Language, path: Path) -> Language:
    return spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())


def through_pickle(nlp: Language, path: Path) -> Language:
    return pickle.loads(pickle.dumps(nlp))


def copied(nlp: Language, path: Path) -> Language:
    return copy.deepcopy(nlp)


WAYS = [through_disk, through_bytes, through_pickle, copied]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_it_comes_back_bit_for_bit_and_shares_nothing(
    make: MakeNlp, way: Callable[..., Language], tmp_path: Path
) -> None:
    nlp, examples, optimizer = trained(make, trainable_layers=-1)
    before = vectors(nlp)
    other = way(nlp, tmp_path)
    assert not changed(weights(nlp), weights(other))
    assert_same_vectors(vectors(other), before)
    fingerprints = [shim_of(one).identify() for one in (nlp, other)]
    assert fingerprints[0] == fingerprints[1]
    for _ in range(2):
        nlp.update(examples, sgd=optimizer)
    assert (vectors(nlp)[0] != before[0]).any()
    assert_same_vectors(vectors(other), before)
    # It can learn on.
    for_other = other.resume_training()
    other.update(make_examples(other, 30), sgd=for_other)
    assert (vectors(other)[0] != before[0]).any()


@pytest.mark.slow
def test_a_checkpoint_writes_the_encoder_if_it_changed(make: MakeNlp, tmp_path: Path) -> None:
    nlp, examples, optimizer = trained(make)
    file = tmp_path / "embtune" / "encoder" / "model.safetensors"
    written = []
    for learns in (True, False, True):
        nlp.to_disk(tmp_path)
        written.append((file.stat().st_mtime_ns, file.read_bytes()))
        assert_same_vectors(vectors(spacy.load(tmp_path)), vectors(nlp))
        if not learns:
            nlp.update(examples, sgd=optimizer)
    assert written[0] == written[1]
    assert written[1][1] != written[2][1]
    fingerprint = json.loads((tmp_path / "embtune" / "manifest.json").read_text())
    loaded = TextEncoder.from_directory(file.parent, EncoderSettings(precision="float32"))
    assert fingerprint["encoder_fingerprint"] == loaded.fingerprint
    row = loaded.encode(["bread and soup"])[0]
    assert_allclose(row, nlp("bread and soup")._.embedding, atol=1e-6)


@pytest.mark.slow
def test_the_stored_encoder_is_a_plain_model(make: MakeNlp, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    nlp, _, _ = trained(make)
    nlp.to_disk(tmp_path)
    model = SentenceTransformer(str(tmp_path / "embtune" / "encoder"), device="cpu")
    rows = model.encode(["bread and soup"], show_progress_bar=False)
    assert_allclose(rows[0], nlp("bread and soup")._.embedding, atol=1e-6)


@pytest.mark.slow
def test_a_loaded_pipeline_goes_on_learning(make: MakeNlp, tmp_path: Path) -> None:
    nlp, examples, _ = trained(make, n_steps=5)
    held_out = make_examples(nlp, 60, seed=7)
    nlp.to_disk(tmp_path)
    first = nlp.evaluate(held_out)
    loaded = spacy.load(tmp_path)
    optimizer = loaded.resume_training()
    optimizer.learn_rate = 0.003
    for _ in range(20):
        loaded.update(examples, sgd=optimizer)
    scores = loaded.evaluate(held_out)
    assert scores["embtune_map_r"] > first["embtune_map_r"] + 0.1
    # It is compared with the encoder before all training.
    assert scores["embtune_base_map_r"] == pytest.approx(first["embtune_base_map_r"], abs=1e-6)
    loaded.to_disk(tmp_path)
    assert_same_vectors(vectors(spacy.load(tmp_path)), vectors(loaded))


@pytest.mark.slow
def test_in_several_processes(make: MakeNlp) -> None:
    nlp, examples, _ = trained(make)
    texts = [example.text for example in examples[:8]]
    docs = list(nlp.pipe(texts, n_process=2, batch_size=2))
    rows = np.stack([doc._.embtune for doc in docs])
    assert_allclose(rows, vectors(nlp, texts)[1], atol=1e-5)


@pytest.mark.slow
def test_an_interrupted_update_leaves_a_whole_pipeline(
    make: MakeNlp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp, examples, optimizer = trained(make)
    before = vectors(nlp)
    pipe = nlp.get_pipe("embtune")

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipe, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nlp.update(examples, sgd=optimizer)
    monkeypatch.undo()
    assert_same_vectors(vectors(nlp), before)
    assert_same_vectors(vectors(through_disk(nlp, tmp_path)), before)
    nlp.update(examples, sgd=optimizer)


@pytest.mark.slow
def test_what_was_loaded_is_compared_with_the_encoder_before_all_training(
    make: MakeNlp, tiny_encoder: Path, tmp_path: Path
) -> None:
    texts = ["bread and soup", "a guitar"]
    untuned = TextEncoder.load(EncoderSettings(str(tiny_encoder), precision="float32")).encode(
        texts
    )
    nlp, examples, _ = trained(make)
    nlp.to_disk(tmp_path)
    for other in (nlp, spacy.load(tmp_path), copied(nlp, tmp_path), through_pickle(nlp, tmp_path)):
        pipe = other.get_pipe("embtune")
        assert_allclose(pipe.encode_untuned(texts), untuned, atol=1e-6)
        # Learning on does not change what it is compared with.
        optimizer = other.resume_training()
        other.update(examples, sgd=optimizer)
        assert_allclose(pipe.encode_untuned(texts), untuned, atol=1e-6)
        assert (vectors(other, texts)[0] != untuned).any()
    again = spacy.load(tmp_path)
    again.update(examples, sgd=again.resume_training())
    again.to_disk(tmp_path)
    assert_allclose(
        spacy.load(tmp_path).get_pipe("embtune").encode_untuned(texts), untuned, atol=1e-6
    )
    # Before training, and of a frozen encoder, doc._.embedding is it.
    assert make().get_pipe("embtune").encode_untuned(texts) is None
    assert make(trainable_layers=0).get_pipe("embtune").encode_untuned(texts) is None


@pytest.mark.slow
def test_an_encoder_that_is_gone_is_not_compared_with(
    make: MakeNlp, tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    nlp, _, _ = trained(make, path=tmp_path / "encoder")
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "encoder")
    pipe = spacy.load(tmp_path / "pipeline").get_pipe("embtune")
    for _ in range(2):
        assert pipe.encode_untuned(["bread"]) is None
    assert caplog.text.count("cannot be compared with") == 1
    assert "Base vectors are those of the finetuned encoder" in caplog.text


@pytest.mark.slow
def test_an_encoder_that_is_gone_is_replaced_by_the_one_that_was_loaded(
    make: MakeNlp, tiny_encoder: Path, other_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    nlp, examples, _ = trained(make, path=tmp_path / "encoder")
    nlp.to_disk(tmp_path / "pipeline")
    for change in ("gone", "another"):
        shutil.rmtree(tmp_path / "encoder", ignore_errors=True)
        if change == "another":
            shutil.copytree(other_encoder, tmp_path / "encoder")
        for evaluates_first in (True, False):
            loaded = spacy.load(tmp_path / "pipeline")
            pipe = loaded.get_pipe("embtune")
            texts = ["bread and soup", "a guitar"]
            expected = vectors(loaded, texts)[0]
            if evaluates_first:
                assert pipe.encode_untuned(texts) is None
            loaded.update(examples, sgd=loaded.resume_training())
            for _ in range(2):
                assert_allclose(pipe.encode_untuned(texts), expected, atol=1e-6)
            assert (vectors(loaded, texts)[0] != expected).any()


@pytest.mark.slow
def test_losses_of_a_loaded_pipeline_look_at_the_encoder_before_all_training(
    make: MakeNlp, tiny_encoder: Path, tmp_path: Path
) -> None:
    nlp, examples, _ = trained(make)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    pipe, seen = loaded.get_pipe("embtune"), []
    loss = pipe.loss

    def note(output: Any, targets: Any) -> Any:
        seen.append(output.base)
        return loss(output, targets)

    pipe.loss = note
    for _ in range(2):
        loaded.update(examples, sgd=loaded.resume_training())
    settings = EncoderSettings(str(tiny_encoder), precision="float32")
    before = TextEncoder.load(settings).encode([example.text for example in examples])
    for base in seen:
        assert_allclose(base, before, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["disk", "bytes", "own bytes"])
def test_what_is_loaded_into_a_trained_pipeline_is_compared_with_the_same_encoder(
    make: MakeNlp, tiny_encoder: Path, tmp_path: Path, way: str
) -> None:
    texts = ["bread and soup", "a guitar"]
    settings = EncoderSettings(str(tiny_encoder), precision="float32")
    untuned = TextEncoder.load(settings).encode(texts)
    nlp, examples, optimizer = trained(make)
    nlp.to_disk(tmp_path)
    data = nlp.to_bytes()
    if way != "own bytes":
        nlp.update(examples, sgd=optimizer)
    if way == "disk":
        nlp.from_disk(tmp_path)
    else:
        nlp.from_bytes(data)
    pipe = nlp.get_pipe("embtune")
    for _ in range(2):
        assert_allclose(pipe.encode_untuned(texts), untuned, atol=1e-6)
        nlp.update(examples, sgd=optimizer)


@pytest.mark.slow
def test_bytes_of_a_trained_model_are_not_for_the_untuned_encoder(make: MakeNlp) -> None:
    nlp, _, _ = trained(make)
    data = nlp.get_pipe("embtune").model.to_bytes()
    other = make()
    start(other)
    other.get_pipe("embtune").model.from_bytes(data)
    with pytest.raises(ValueError, match="was trained with another encoder"):
        other("bread")
