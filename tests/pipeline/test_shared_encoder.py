"""Several components of one pipeline share a frozen encoder: in memory, in time and on disk."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.training import Example

from spacy_embtune.encoder._sharing import forget_loaded
from spacy_embtune.pipeline import StorageError

from ..conftest import make_examples, make_texts

MakeNlp = Callable[..., Language]
TEXTS = [text for text, _ in make_texts(30)]


def add(nlp: Language, name: str, encoder: Path, *, base: str = "embedding", **more: Any) -> None:
    nlp.add_pipe(
        "embtune",
        name=name,
        config={
            "extension": name,
            "base_extension": base,
            "model": {"encoder": {"name": str(encoder), **more}},
        },
    )


@pytest.fixture
def heads(tiny_encoder: Path) -> Callable[..., Language]:
    """Makes a trained pipeline of several heads on one encoder."""

    def make(n: int = 2, encoder: Path = tiny_encoder, n_steps: int = 3, **more: Any) -> Language:
        nlp = spacy.blank("en")
        for i in range(n):
            add(nlp, f"head{i}", encoder, **more)
        examples = make_examples(nlp)
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(n_steps):
            nlp.update(examples, sgd=optimizer)
        return nlp

    return make


def encoders(nlp: Language) -> list[Any]:
    """RETURNS (list[TextEncoder]): The distinct encoders of a pipeline."""
    found = [pipe.encoder.encoder for _, pipe in nlp.components if hasattr(pipe, "encoder")]
    return list({id(encoder): encoder for encoder in found}.values())


def test_heads_train_on_one_encoder_and_encode_each_text_once(heads: MakeNlp) -> None:
    nlp = heads(3)
    (encoder,) = encoders(nlp)
    assert encoder.n_encoded == len(set(TEXTS))
    doc = nlp("bread and soup")
    assert not np.allclose(doc._.head0, doc._.head1)
    assert encoder.n_encoded == len(set(TEXTS)) + 1


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 1000])
def test_a_loaded_pipeline_encodes_each_text_once(
    heads: MakeNlp, tmp_path: Path, batch_size: int
) -> None:
    heads(3).to_disk(tmp_path)
    forget_loaded()
    nlp = spacy.load(tmp_path)
    (encoder,) = encoders(nlp)
    docs = list(nlp.pipe(TEXTS, batch_size=batch_size))
    assert encoder.n_encoded == len(set(TEXTS))
    assert all(doc.has_extension(f"head{i}") for i in range(3) for doc in docs)


@pytest.mark.slow
def test_the_encoder_is_stored_once(heads: MakeNlp, tmp_path: Path) -> None:
    nlp = heads(3)
    expected = [nlp("bread and soup")._.get(f"head{i}") for i in range(3)]
    nlp.to_disk(tmp_path / "pipeline")
    stored = sorted(path.parent.parent.name for path in (tmp_path).rglob("model.safetensors"))
    assert stored == ["head0"]
    # A pipeline may be moved.
    (tmp_path / "pipeline").rename(tmp_path / "moved")
    forget_loaded()
    del nlp
    loaded = spacy.load(tmp_path / "moved")
    for i in range(3):
        assert_array_equal(loaded("bread and soup")._.get(f"head{i}"), expected[i])


@pytest.mark.slow
def test_checkpoints_keep_the_reference(heads: MakeNlp, tmp_path: Path) -> None:
    nlp = heads()
    weights = tmp_path / "head0" / "encoder" / "model.safetensors"
    nlp.to_disk(tmp_path)
    before = weights.stat().st_mtime_ns
    nlp.to_disk(tmp_path)
    assert weights.stat().st_mtime_ns == before
    assert not (tmp_path / "head1" / "encoder").exists()


def test_a_component_saved_alone_has_the_whole_encoder(heads: MakeNlp, tmp_path: Path) -> None:
    nlp = heads()
    nlp.get_pipe("head1").to_disk(tmp_path / "alone")
    assert (tmp_path / "alone" / "encoder" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_pipeline_loads_without_the_component_that_stores_the_encoder(
    heads: MakeNlp, tmp_path: Path
) -> None:
    nlp = heads()
    nlp.to_disk(tmp_path / "two")
    forget_loaded()
    loaded = spacy.load(tmp_path / "two", exclude=["head0"])
    assert_array_equal(loaded("bread")._.head1, nlp("bread")._.head1)
    # What is saved of it is complete.
    loaded.to_disk(tmp_path / "one")
    shutil.rmtree(tmp_path / "two")
    forget_loaded()
    assert_array_equal(spacy.load(tmp_path / "one")("bread")._.head1, nlp("bread")._.head1)


@pytest.mark.slow
def test_a_component_that_was_removed_is_not_referred_to(heads: MakeNlp, tmp_path: Path) -> None:
    nlp = heads()
    nlp.to_disk(tmp_path)
    nlp.remove_pipe("head0")
    nlp.to_disk(tmp_path)
    shutil.rmtree(tmp_path / "head0")
    forget_loaded()
    assert spacy.load(tmp_path)("bread")._.head1.any()


def test_an_encoder_that_is_not_stored_is_not_referred_to(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    add(nlp, "first", tiny_encoder, save_weights=False)
    add(nlp, "second", tiny_encoder)
    nlp.initialize(lambda: make_examples(nlp))
    nlp.to_disk(tmp_path)
    assert not (tmp_path / "first" / "encoder").exists()
    assert (tmp_path / "second" / "encoder" / "model.safetensors").is_file()


def break_directory(pipeline: Path) -> None:
    shutil.rmtree(pipeline / "head0")


def break_manifest(pipeline: Path) -> None:
    (pipeline / "head0" / "manifest.json").unlink()


def break_weights(pipeline: Path) -> None:
    weights = pipeline / "head0" / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")


def break_fingerprint(pipeline: Path) -> None:
    change_manifest(pipeline / "head0", encoder_fingerprint="0" * 64)


def break_by_learning(pipeline: Path) -> None:
    change_manifest(pipeline / "head0", encoder_learns=True)


def break_by_going_up(pipeline: Path) -> None:
    change_manifest(pipeline / "head1", encoder_directory="../head0")


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (break_directory, "there is no such directory"),
        (break_manifest, "manifest.json is missing"),
        (break_weights, "it is damaged: encoder/model.safetensors"),
        (break_fingerprint, "it holds another encoder"),
        (break_by_learning, "that encoder learns"),
        (break_by_going_up, "no name of a directory"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_that_names_the_directory(
    heads: MakeNlp, tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    nlp = heads(n_steps=1)
    nlp.to_disk(tmp_path)
    damage(tmp_path)
    with pytest.raises(StorageError, match=rf"(?s)head1 uses .*head0.*{problem}.*nlp.to_disk"):
        nlp.get_pipe("head1").from_disk(tmp_path / "head1")


@pytest.mark.slow
def test_an_interrupted_save_does_not_load(
    heads: MakeNlp, other_encoder: Path, tmp_path: Path
) -> None:
    heads(n_steps=1).to_disk(tmp_path)
    other = heads(n_steps=1, encoder=other_encoder)
    # The first component has another encoder now, and the second one is the old one.
    other.get_pipe("head0").to_disk(tmp_path / "head0")
    with pytest.raises(StorageError, match=r"head1 uses .* another encoder"):
        spacy.load(tmp_path)
    other.to_disk(tmp_path)
    assert_array_equal(spacy.load(tmp_path)("bread")._.head1, other("bread")._.head1)


@pytest.mark.slow
def test_a_frozen_and_a_learning_head_share_nothing(tiny_encoder: Path, tmp_path: Path) -> None:
    for order in (("frozen", "learning"), ("learning", "frozen")):
        nlp = spacy.blank("en")
        for name in order:
            layers = 1 if name == "learning" else 0
            add(nlp, name, tiny_encoder, base=f"{name}_base", trainable_layers=layers)
        examples = make_examples(nlp)
        optimizer = nlp.initialize(lambda examples=examples: examples)
        before = nlp("bread and soup")._.frozen_base
        # Both encoders have one fingerprint now. Still each stores its own.
        nlp.to_disk(tmp_path / order[0])
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)
        doc = nlp("bread and soup")
        assert_array_equal(doc._.frozen_base, before)
        assert not np.allclose(doc._.learning_base, before, atol=1e-4)
        nlp.to_disk(tmp_path / order[0])
        forget_loaded()
        loaded = spacy.load(tmp_path / order[0])("bread and soup")
        assert_allclose(loaded._.frozen_base, doc._.frozen_base, atol=1e-6)
        assert_allclose(loaded._.learning_base, doc._.learning_base, atol=1e-2)


def test_a_frozen_and_a_learning_head_with_one_attribute_are_an_error(tiny_encoder: Path) -> None:
    nlp = spacy.blank("en")
    add(nlp, "frozen", tiny_encoder)
    add(nlp, "learning", tiny_encoder, trainable_layers=1)
    with pytest.raises(ValueError, match=r"doc._.embedding.*of \[learning\] learns.*trainable_lay"):
        nlp.initialize(lambda: make_examples(nlp))


@pytest.mark.slow
def test_two_loaded_components_that_write_to_one_attribute_are_told_of(
    heads: MakeNlp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = heads(1), heads(1)
    two.rename_pipe("head0", "other")
    two.to_disk(tmp_path / "two")
    caplog.clear()
    one.add_pipe("other", source=two)
    one.add_pipe("sentencizer")
    (message,) = [text for text in caplog.messages if "both write to" in text]
    assert "[head0] and [other] both write to doc._.head0" in message
    # The cure.
    caplog.clear()
    cured = spacy.load(tmp_path / "two", config={"components.other.extension": "mine"})
    one.remove_pipe("other")
    one.add_pipe("other", source=cured)
    assert not [text for text in caplog.messages if "both write to" in text]
    assert one("ball")._.mine.shape == one("ball")._.head0.shape


def test_settings_that_contradict_each_other_in_one_attribute_are_an_error(
    tiny_encoder: Path,
) -> None:
    nlp = spacy.blank("en")
    add(nlp, "one", tiny_encoder, max_seq_length=8)
    add(nlp, "two", tiny_encoder)
    with pytest.raises(ValueError, match=r"base_extension\. Their encoders differ in max_seq_le"):
        nlp.initialize(lambda: make_examples(nlp))


@pytest.mark.slow
def test_settings_that_contradict_each_other_are_logged_once(
    tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.blank("en")
    add(nlp, "one", tiny_encoder, max_seq_length=8)
    add(nlp, "two", tiny_encoder, base="other", batch_size=4)
    with caplog.at_level(logging.WARNING):
        nlp.initialize(lambda: make_examples(nlp))
    (message,) = [r.getMessage() for r in caplog.records if "name the same encoder" in r.message]
    assert "[one] and [two]" in message
    assert "max_seq_length (8, None). So it is in memory twice" in message


@pytest.mark.slow
def test_a_sourced_frozen_annotating_component_shares_with_a_new_one(
    train: MakeNlp, tiny_encoder: Path, tmp_path: Path
) -> None:
    source = train(n_steps=5)
    source.to_disk(tmp_path)
    forget_loaded()
    del source
    source = spacy.load(tmp_path)
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", name="embtune", source=source)
    add(nlp, "new", tiny_encoder)
    with nlp.select_pipes(disable=["embtune"]):
        examples = make_examples(nlp, seed=1)
        optimizer = nlp.initialize(lambda: examples)
    (encoder,) = encoders(nlp)
    for _ in range(3):
        fresh = [
            Example(nlp.make_doc(example.reference.text), example.reference) for example in examples
        ]
        nlp.update(fresh, sgd=optimizer, exclude=["embtune"], annotates=["embtune"])
    assert nlp.get_pipe("embtune").encoder.n_requested == 3 * len(examples)
    assert encoder.n_encoded == len({example.reference.text for example in examples})


@pytest.mark.slow
def test_processes_share_too(heads: MakeNlp, tmp_path: Path) -> None:
    heads().to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    expected = list(nlp.pipe(TEXTS))
    found = list(nlp.pipe(TEXTS, n_process=2, batch_size=8))
    for one, two in zip(expected, found, strict=True):
        assert_allclose(one._.head1, two._.head1, atol=1e-5)
