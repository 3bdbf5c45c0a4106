"""Prompt, window, width and route: what a model reads and what it returns."""

import json
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.encoder import EncoderSettings, TextEncoder

TEXTS = ["bread and soup", "guitar", "the old stadium with a new coach and a new referee"]


def load(path: Path, **settings) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(str(path), precision="float32", **settings))


@pytest.fixture(scope="module")
def prompted(tiny_encoder: Path, tmp_path_factory) -> Path:
    """A model that brings prompts, one of which it uses by itself."""
    model = sentence_transformers.SentenceTransformer(
        str(tiny_encoder),
        device="cpu",
        prompts={"query": "song: ", "passage": "recipe: "},
        default_prompt_name="query",
    )
    path = tmp_path_factory.mktemp("prompted") / "model"
    model.save_pretrained(str(path), create_model_card=False)
    return path


def test_a_prompt_is_put_before_each_text(tiny_encoder: Path) -> None:
    rows = load(tiny_encoder, prompt="song ").encode(TEXTS)
    assert_allclose(rows, load(tiny_encoder).encode([f"song {t}" for t in TEXTS]), atol=1e-6)


def test_prompts_of_the_model_are_chosen_by_name_or_turned_off(prompted: Path) -> None:
    plain = load(prompted, prompt="")
    by_name = load(prompted, prompt_name="passage").encode(TEXTS)
    assert_allclose(by_name, plain.encode([f"recipe: {t}" for t in TEXTS]), atol=1e-6)
    by_itself = load(prompted).encode(TEXTS)
    assert_allclose(by_itself, plain.encode([f"song: {t}" for t in TEXTS]), atol=1e-6)
    with pytest.raises(ValueError, match=r"no prompt named 'pasage'; it has: .*'passage'"):
        load(prompted, prompt_name="pasage")


def test_tokens_of_the_prompt_count_in_the_window(tiny_encoder: Path) -> None:
    fits = "bread " * 14
    assert load(tiny_encoder).count_truncated([fits]) == 0
    encoder = load(tiny_encoder, prompt="song ")
    assert encoder.count_truncated([fits]) == 1
    assert encoder.encode_and_count([fits, "guitar"])[1] == 1
    with pytest.raises(ValueError, match=r"has 22 tokens, special ones included, .* reads 16"):
        load(tiny_encoder, prompt="song " * 20)


def test_the_window_is_set(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder, max_seq_length=5)
    assert encoder.window == 5
    rows, n_truncated = encoder.encode_and_count(["bread soup salt oven cheese", "bread soup salt"])
    assert n_truncated == 1
    assert_allclose(rows[0], rows[1], atol=1e-6)
    assert load(tiny_encoder, max_seq_length=32).window == 32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_seq_length": 33}, "positions for 32 tokens only. Give 32 or less"),
        ({"max_seq_length": 2}, "2 of these are special tokens"),
        ({"truncate_dim": 65}, "vectors of 64 numbers. Give 64 or less"),
        ({"task": "query"}, "no Router"),
    ],
)
def test_what_a_model_cannot_follow_is_refused(tiny_encoder, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        load(tiny_encoder, **settings)


def test_the_width_is_cut(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder, truncate_dim=16)
    assert encoder.width == 16
    assert_allclose(encoder.encode(TEXTS), load(tiny_encoder).encode(TEXTS)[:, :16], atol=1e-6)


def test_every_setting_that_changes_vectors_changes_the_fingerprint(prompted: Path) -> None:
    settings = [
        {},
        {"prompt": "song "},
        {"prompt_name": "passage"},
        {"max_seq_length": 8},
        {"truncate_dim": 16},
        {"truncate_dim": 32},
    ]
    fingerprints = [load(prompted, **each).fingerprint for each in settings]
    assert len(set(fingerprints)) == len(settings)


def test_the_stored_directory_gives_the_same_vectors_without_our_code(
    prompted: Path, tmp_path: Path
) -> None:
    encoder = load(prompted, prompt="chord ", max_seq_length=8, truncate_dim=16)
    encoder.to_directory(tmp_path / "stored")
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "stored"), device="cpu")
    assert_allclose(model.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)
    # Loading it with the same settings again changes nothing.
    again = TextEncoder.from_directory(tmp_path / "stored", encoder.settings)
    assert again.fingerprint == encoder.fingerprint


def test_arguments_of_the_model_reach_transformers(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder, attn_implementation="eager", model_kwargs={"dtype": "float32"})
    assert encoder.model[0].auto_model.config._attn_implementation == "eager"
    assert_allclose(encoder.encode(TEXTS), load(tiny_encoder).encode(TEXTS), atol=1e-5)
    # Stores keep the vectors apart, because the last bits may differ; the model is the same.
    plain = load(tiny_encoder)
    assert encoder.fingerprint == plain.fingerprint
    assert plain.numerics == "float32"
    kwargs = json.dumps({"attn_implementation": "eager", "dtype": "float32"})
    assert encoder.numerics == f"float32 {kwargs}"


@pytest.mark.slow
def test_routes_of_an_asymmetric_model(tiny_encoder: Path, other_encoder: Path, tmp_path) -> None:
    from sentence_transformers.base.modules import Router

    sides = [
        list(sentence_transformers.SentenceTransformer(str(path), device="cpu"))
        for path in (tiny_encoder, other_encoder)
    ]
    router = Router.for_query_document(query_modules=sides[0], document_modules=sides[1])
    model = sentence_transformers.SentenceTransformer(modules=[router], device="cpu")
    model.save_pretrained(str(tmp_path / "router"), create_model_card=False)
    for task, path in (("query", tiny_encoder), ("document", other_encoder)):
        encoder = load(tmp_path / "router", task=task)
        assert_allclose(encoder.encode(TEXTS), load(path).encode(TEXTS), atol=1e-5)
        encoder.to_directory(tmp_path / task)
        stored = sentence_transformers.SentenceTransformer(str(tmp_path / task), device="cpu")
        assert_allclose(stored.encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)
    with pytest.raises(ValueError, match=r"no route for task 'anser'\. .*: document, query"):
        load(tmp_path / "router", task="anser")
    first, second = (load(tmp_path / "router", task=t).fingerprint for t in ("query", "document"))
    assert first != second


@pytest.mark.slow
def test_equal_texts_get_equal_vectors_in_any_company(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder)
    many = [" ".join(TEXTS[(i + j) % 3] for j in range(i % 3 + 1)) for i in range(200)]
    together = encoder.encode(many)
    alone = np.concatenate([encoder.encode([text]) for text in many])
    assert_allclose(together, alone, atol=1e-5)
    assert_array_equal(together, encoder.encode(many))
