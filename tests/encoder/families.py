"""Makes a small model of each family that sentence-transformers builds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from sentence_transformers.sentence_transformer.modules import (
    CNN,
    LSTM,
    BoW,
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
    Router,
    StaticEmbedding,
    Transformer,
    WordEmbeddings,
    WordWeights,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

VOCABULARY = """
    ball goal team match player score league coach bread soup salt oven cheese pepper butter recipe
    guitar drum melody song violin concert rhythm chord the a with and
"""
WORDS = VOCABULARY.split()

CODE = '''"""A module that is not part of sentence-transformers."""

import torch
from sentence_transformers.sentence_transformer.modules import Module


class Doubling(Module):
    config_keys = []

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, features):
        features["sentence_embedding"] = features["sentence_embedding"] * self.scale
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path, **kwargs):
        return cls.load_torch_weights(model_name_or_path, model=cls(), **_place(kwargs))


def _place(kwargs):
    names = ("subfolder", "token", "cache_folder", "revision", "local_files_only")
    return {name: kwargs[name] for name in names if name in kwargs}
'''


def word_vectors() -> WordEmbeddings:
    vocabulary = ["[PAD]", *WORDS]
    weights = np.random.default_rng(0).normal(size=(len(vocabulary), 24)).astype("float32")
    weights[0] = 0
    return WordEmbeddings(WhitespaceTokenizer(vocabulary), weights)


def static_embedding() -> StaticEmbedding:
    vocabulary = {word: i for i, word in enumerate(["[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(vocabulary), 24)).astype("float32")
    return StaticEmbedding(tokenizer, embedding_weights=weights)


def transformer(path: Path) -> Transformer:
    return Transformer(str(path), max_seq_length=16)


def make(family: str, tiny: Path, folder: Path) -> Path:
    """Write the model of a family.

    family (str): A key of FAMILIES.
    tiny (Path): A small BERT.
    folder (Path): An empty directory to write to.
    RETURNS (Path): The directory of the model.
    """
    torch.manual_seed(0)
    made = FAMILIES[family](tiny, folder)
    path = folder / "model"
    if made is not None:
        model = sentence_transformers.SentenceTransformer(modules=made, device="cpu")
        model.save_pretrained(str(path), create_model_card=False)
    return path


def make_lora(tiny: Path, folder: Path) -> None:
    from peft import LoraConfig

    model = sentence_transformers.SentenceTransformer(str(tiny), device="cpu")
    model.add_adapter(LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False))
    model.save_pretrained(str(folder / "model"), create_model_card=False)


def make_model2vec(tiny: Path, folder: Path) -> None:
    from model2vec import StaticModel

    embedding = static_embedding()
    weights = embedding.embedding.weight.detach().numpy()
    StaticModel(weights, embedding.tokenizer).save_pretrained(str(folder / "model"))


def make_own_code(tiny: Path, folder: Path) -> None:
    import json

    model = sentence_transformers.SentenceTransformer(str(tiny), device="cpu")
    path = folder / "model"
    model.save_pretrained(str(path), create_model_card=False)
    (path / "doubling.py").write_text(CODE)
    module = path / "9_Doubling"
    module.mkdir()
    (module / "config.json").write_text("{}")
    from safetensors.torch import save_file

    save_file({"scale": torch.tensor(2.0)}, module / "model.safetensors")
    modules = json.loads((path / "modules.json").read_text())
    modules.append({"idx": 9, "name": "9", "path": "9_Doubling", "type": "doubling.Doubling"})
    (path / "modules.json").write_text(json.dumps(modules))


def make_clip(tiny: Path, folder: Path) -> None:
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPTokenizerFast,
    )

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = CLIPConfig(
        text_config={
            **small,
            "num_attention_heads": 2,
            "vocab_size": 300,
            "max_position_embeddings": 20,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "projection_dim": 16,
        },
        vision_config={
            **small,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
            "projection_dim": 16,
        },
        projection_dim=16,
    )
    words = ["<|startoftext|>", "<|endoftext|>", *[f"{w}</w>" for w in WORDS]]
    letters = [chr(c) for c in range(97, 123)] + [f"{chr(c)}</w>" for c in range(97, 123)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*words, *letters]))}
    path = folder / "clip"
    CLIPModel(config).save_pretrained(path)
    tokenizer = CLIPTokenizerFast(vocab=vocabulary, merges=[], model_max_length=20)
    CLIPProcessor(CLIPImageProcessor(size=32, crop_size=32), tokenizer).save_pretrained(path)
    model = sentence_transformers.SentenceTransformer(str(path), device="cpu")
    model.save_pretrained(str(folder / "model"), create_model_card=False)


def make_router(tiny: Path, folder: Path) -> list[Router]:
    towers = [[transformer(tiny), Pooling(64)], [word_vectors(), Pooling(24), Dense(24, 64)]]
    return [Router.for_query_document(query_modules=towers[0], document_modules=towers[1])]


FAMILIES: dict[str, Callable[[Path, Path], list | None]] = {
    "mean": lambda tiny, _: [transformer(tiny), Pooling(64, "mean")],
    "cls": lambda tiny, _: [transformer(tiny), Pooling(64, "cls")],
    "max": lambda tiny, _: [transformer(tiny), Pooling(64, "max"), Normalize()],
    "dense": lambda tiny, _: [transformer(tiny), Pooling(64), Dense(64, 20), Normalize()],
    "layer norm": lambda tiny, _: [transformer(tiny), Pooling(64), LayerNorm(64)],
    "static": lambda tiny, _: [static_embedding()],
    "word vectors": lambda tiny, _: [word_vectors(), Pooling(24)],
    "word weights": lambda tiny, _: [
        word_vectors(),
        WordWeights(WORDS, {word: 1.0 + i for i, word in enumerate(WORDS)}),
        Pooling(24),
    ],
    "cnn": lambda tiny, _: [word_vectors(), CNN(24, 8), Pooling(24)],
    "lstm": lambda tiny, _: [word_vectors(), LSTM(24, 8), Pooling(16)],
    "bag of words": lambda tiny, _: [BoW(WORDS), Dense(len(WORDS), 24)],
    "bag of words alone": lambda tiny, _: [BoW(WORDS)],
    "router": make_router,
    "lora": make_lora,
    "model2vec": make_model2vec,
    "own code": make_own_code,
    "image and text": make_clip,
}
