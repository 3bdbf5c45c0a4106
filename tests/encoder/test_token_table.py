"""Static models: run by numpy, with what torch gives."""

import subprocess
import sys

import numpy as np
import pytest
import spacy
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from spacy_embtune.encoder import EncoderSettings, EncoderTrainer, TextEncoder
from spacy_embtune.encoder.fingerprint import fingerprint_of

TEXTS = ["bread and soup", "a guitar", "", "  \n", "soup soup bread", "\x00", "unknown words"]
WORDS = ["[UNK]", "bread", "and", "soup", "a", "guitar"]


def make(path, *, normalize=True, dtype="float32", **kwargs):
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(WORDS), 8)).astype(dtype)
    modules = [StaticEmbedding(tokenizer, embedding_weights=weights)]
    model = SentenceTransformer(modules=modules + [Normalize()] * normalize, **kwargs)
    model.save_pretrained(str(path), create_model_card=False)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_and_fingerprint_are_those_of_the_model_in_torch(tmp_path, normalize, dtype):
    path = make(tmp_path / "m", normalize=normalize, dtype=dtype)
    encoder = TextEncoder.load(EncoderSettings(str(path)))
    assert encoder._table is not None
    model = SentenceTransformer(str(path), device="cpu")
    told = [i for i, text in enumerate(TEXTS) if text.strip() and text != "\x00"]
    rows = encoder.encode(TEXTS)
    expected = model.float().encode([TEXTS[i] for i in told])
    np.testing.assert_allclose(rows[told], expected, rtol=2e-6, atol=2e-7)
    assert not rows[[2, 3]].any()
    assert encoder.fingerprint == fingerprint_of(model)
    assert encoder.width == 8
    assert encoder.normalizes == normalize
    assert encoder.window is None
    assert encoder.count_truncated(TEXTS) == 0
    assert encoder.device_type == "cpu"


def test_what_is_stored_is_what_was_read(tmp_path):
    path = make(tmp_path / "m", dtype="float16")
    encoder = TextEncoder.from_directory(path, EncoderSettings())
    again = TextEncoder.from_files(encoder.to_files(), EncoderSettings())
    encoder.to_directory(tmp_path / "again")
    assert again.fingerprint == encoder.fingerprint
    assert SentenceTransformer(str(tmp_path / "again"), device="cpu")[0].embedding.weight.dtype
    size = (path / "model.safetensors").stat().st_size
    assert (tmp_path / "again" / "model.safetensors").stat().st_size == size
    assert (encoder.encode(TEXTS) == again.encode(TEXTS)).all()


@pytest.mark.parametrize("shared", [False, True])
def test_the_file_of_model2vec_is_read(tmp_path, shared):
    """Vectors that tokens share, and weights beside them."""
    path = make(tmp_path / "m")
    rng = np.random.default_rng(1)
    tensors = {"embeddings": rng.normal(size=(3 if shared else 6, 8)).astype("float16")}
    if shared:
        tensors["mapping"] = np.array([0, 1, 2, 0, 1, 2])
        tensors["weights"] = rng.uniform(0.5, 2, size=6).astype("float64")
    save_file(tensors, path / "model.safetensors")
    encoder = TextEncoder.load(EncoderSettings(str(path)))
    model = SentenceTransformer(str(path), device="cpu").float()
    np.testing.assert_allclose(encoder.encode(TEXTS[:2]), model.encode(TEXTS[:2]), atol=1e-6)
    assert encoder.fingerprint == fingerprint_of(model)
    again = TextEncoder.from_files(encoder.to_files(), EncoderSettings())
    np.testing.assert_allclose(again.encode(TEXTS[:2]), encoder.encode(TEXTS[:2]), atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"truncate_dim": 4},
        {"prompt": "a guitar "},
        {"precision": "bfloat16"},
        {"model_kwargs": {"dtype": "float32"}},
    ],
)
def test_settings_that_need_the_model_are_followed_by_torch(tmp_path, settings):
    path = make(tmp_path / "m")
    encoder = TextEncoder.load(EncoderSettings(str(path), **settings))
    assert encoder._table is None
    assert encoder.encode(TEXTS[:2]).shape == (2, settings.get("truncate_dim", 8))


def test_a_prompt_of_the_model_is_followed(tmp_path):
    path = make(tmp_path / "m", prompts={"q": "guitar "}, default_prompt_name="q")
    found = TextEncoder.load(EncoderSettings(str(path))).encode(["soup"])
    expected = TextEncoder.load(EncoderSettings(str(make(tmp_path / "n")))).encode(["guitar soup"])
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_a_table_that_learns_is_read_no_more(tmp_path):
    encoder = TextEncoder.load(EncoderSettings(str(make(tmp_path / "m", normalize=False))))
    before = encoder.encode(["soup"])
    EncoderTrainer(encoder, trainable_layers=-1)
    with_torch = encoder.model[0].embedding.weight
    with_torch.data += 1.0
    encoder.weights_changed()
    np.testing.assert_allclose(encoder.encode(["soup"]), before + 1.0, rtol=1e-5)


@pytest.mark.parametrize("damage", [b"", b"{}", b"x" * 400])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_damaged_files_are_named(tmp_path, name, damage):
    path = make(tmp_path / "m")
    (path / name).write_bytes(damage)
    with pytest.raises(ValueError, match=r"cannot be read .* save or download it again"):
        TextEncoder.load(EncoderSettings(str(path)))


def test_a_tokenizer_of_more_tokens_than_vectors_is_an_error(tmp_path):
    path = make(tmp_path / "m")
    vocabulary = {str(i): i for i in range(20)} | {"[UNK]": 20}
    Tokenizer(WordLevel(vocabulary, unk_token="[UNK]")).save(str(path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"cannot be read"):
        TextEncoder.load(EncoderSettings(str(path)))


@pytest.mark.slow
def test_a_pipeline_with_a_table_runs_without_torch(tmp_path):
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-embtune.SentenceTransformer.v1"}
    nlp.add_pipe(
        "embtune", config={"model": {"encoder": {**encoder, "name": str(make(tmp_path / "m"))}}}
    )
    expected = nlp("bread and soup")._.embedding
    nlp.to_disk(tmp_path / "nlp")
    # As on a machine where these packages are not installed.
    code = f"""
import sys
for name in ("torch", "sentence_transformers", "transformers"):
    sys.modules[name] = None
import importlib.util
import spacy
nlp = spacy.load({str(tmp_path / "nlp")!r})
print(*next(nlp.pipe(["bread and soup"]))._.embedding.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(
        np.asarray(done.stdout.split(), dtype=float).astype("float32"), expected
    )
