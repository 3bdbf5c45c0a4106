"""Turns texts into base vectors.

    settings.py               EncoderSettings, LearningSettings
    text_encoder.py           TextEncoder: runs a sentence-transformers model
    _find.py                  finds and opens the model that settings name
    _adjust.py                applies prompt, window, width and route to a model
    token_table.py            TokenTable: static models, run by numpy without torch
    _windows.py               texts that are longer than the window, as pieces
    _batches.py               texts as batches of tokens, made ahead of the model
    _runtimes.py              ONNX Runtime, OpenVINO, weights of 8 bits
    _precision.py             the numeric type in which an encoder computes on this machine
    words.py                  how many tokens a word is
    _sample.py                texts on which two ways of computing are compared
    _properties.py            prompt, window, width and routes of a model; the processor
    fingerprint.py            tells encoders apart
    cache.py                  VectorCache: keeps vectors in memory; encode_distinct
    store.py                  VectorStore: keeps vectors in a directory
    _lookup.py                how both look vectors up
    _database.py              the file of a store
    _sharing.py, _shared_vectors.py    one encoder, and its vectors, for several frozen layers
    trainer.py                EncoderTrainer: forward and backward passes
    _split.py, _tokens.py     a transformer cut in two; texts as tokens
    sentence_transformer.py   SentenceTransformer: the encoder as a Thinc layer
    shim.py, _learning_shim.py    hold the encoder of that layer, frozen or learning
    doc_vectors.py            DocVectors: a layer that pools what the pipeline has

Names of modules that import thinc, which imports torch, are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._database import StoreError
from ._precision import has_native_bfloat16
from ._sharing import differing_settings
from ._split import find_layers
from ._tokens import prepare, to_device
from .cache import VectorCache, encode_distinct
from .fingerprint import fingerprint_of
from .settings import DEFAULT_ENCODER, Backend, EncoderSettings, LearningSettings, Precision
from .store import DEFAULT_MAX_BYTES, VectorStore
from .text_encoder import TextEncoder
from .token_table import TokenTable, token_shares, tokens_of
from .trainer import EncoderTrainer
from .words import token_counter

if TYPE_CHECKING:
    from .doc_vectors import DocVectors, choose_source
    from .sentence_transformer import SentenceTransformer
    from .shim import EncoderShim, find_shim, get_shim

__all__ = [
    "DEFAULT_ENCODER",
    "DEFAULT_MAX_BYTES",
    "Backend",
    "DocVectors",
    "EncoderSettings",
    "EncoderShim",
    "EncoderTrainer",
    "LearningSettings",
    "Precision",
    "SentenceTransformer",
    "StoreError",
    "TextEncoder",
    "TokenTable",
    "VectorCache",
    "VectorStore",
    "choose_source",
    "differing_settings",
    "encode_distinct",
    "find_layers",
    "find_shim",
    "fingerprint_of",
    "get_shim",
    "has_native_bfloat16",
    "prepare",
    "to_device",
    "token_counter",
    "token_shares",
    "tokens_of",
]

_LATER = {
    "DocVectors": "doc_vectors",
    "choose_source": "doc_vectors",
    "SentenceTransformer": "sentence_transformer",
    "EncoderShim": "shim",
    "find_shim": "shim",
    "get_shim": "shim",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
