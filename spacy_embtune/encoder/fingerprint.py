"""Recognising encoders."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ._properties import prompt_of, routers_of, window_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Texts that tokenizers treat differently: case, accents, digits, scripts, punctuation, spaces.
PROBES = [
    "The Café's 1,234 naïve ÜBER-users don't",
    "  日本語 и кириллица\t#hash_tag  e-mail@x.org ",
]


def fingerprint_of(model: "SentenceTransformer") -> str:
    """Compute the fingerprint of an encoder. It is equal for the same model loaded from another
    place, or with other versions of the libraries.

    model (SentenceTransformer): The model.
    RETURNS (str): SHA-256, as 64 hexadecimal digits, over all that decides the vectors: weights,
        how texts become tokens, modules, pooling, activations, window, prompt, route and width.

    >>> from sentence_transformers import SentenceTransformer
    >>> from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    >>> from tokenizers import Tokenizer, models
    >>> tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    >>> embedding = StaticEmbedding(tokenizer, embedding_dim=4)
    >>> len(fingerprint_of(SentenceTransformer(modules=[embedding])))
    64
    """
    # The names of weights are left out, because they differ between versions of transformers.
    weights = sorted(
        _digest_of(p.detach().cpu().contiguous().float().numpy()) for p in model.parameters()
    )
    vocabulary, tokens = _describe_tokenizer(model.tokenizer)
    modules = [_describe_module(module) for module in model]
    prompt = prompt_of(model) or ""
    digest = _combine(weights, vocabulary, tokens, modules, window_of(model), prompt)
    # Only if they are set, so that the fingerprints of other models stay what they were.
    routes = [(router.default_route, sorted(router.sub_modules)) for router in routers_of(model)]
    for name, value in (("truncate_dim", model.truncate_dim), ("routes", routes)):
        if value:
            digest.update(repr((name, value)).encode("utf8"))
    return digest.hexdigest()


def fingerprint_of_table(vectors: NDArray[Any], tokenizer: Any, modules: Sequence[str]) -> str:
    """Compute the fingerprint of a table of token vectors without torch.

    vectors (ndarray): The vectors, float32, shape (V, width).
    tokenizer (Tokenizer): The tokenizer.
    modules (Sequence[str]): The names of the modules' classes.
    RETURNS (str): What `fingerprint_of` gives for the same model.
    """
    described = [(name, None, None, ["None"] * len(_CONFIG)) for name in modules]
    parts = [_digest_of(vectors)], *_describe_tokenizer(tokenizer), described, None, ""
    return _combine(*parts).hexdigest()


def _digest_of(weights: NDArray[Any]) -> str:
    """RETURNS (str): SHA-256 of the shape and the numbers of an array, float32."""
    return hashlib.sha256(str(tuple(weights.shape)).encode() + weights.tobytes()).hexdigest()


def _combine(*parts: Any) -> Any:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode("utf8"))
    return digest


def _describe_tokenizer(tokenizer: Any) -> tuple[list[Any], list[Any]]:
    """RETURNS (tuple[list, list]): The vocabulary of a tokenizer, and its tokens for some texts.
    The tokens, not the tokenizer's settings, because versions write the settings differently."""
    vocabulary = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    # Tokenizers of word vectors have a list, in which the order decides.
    listed = sorted(vocabulary.items()) if isinstance(vocabulary, dict) else list(vocabulary)
    if callable(tokenizer):
        return listed, tokenizer(PROBES, verbose=False)["input_ids"]
    if hasattr(tokenizer, "encode_batch"):
        return listed, [encoding.ids for encoding in tokenizer.encode_batch(PROBES)]
    if hasattr(tokenizer, "tokenize"):
        return listed, [tokenizer.tokenize(text) for text in PROBES]
    return listed, []


# Settings of transformers that decide what it computes with its weights.
_CONFIG = ("hidden_act", "num_attention_heads", "layer_norm_eps", "position_embedding_type")
# Modules whose own settings are described below, or that have none.
_KNOWN = ("Transformer", "Pooling", "Normalize", "Dense", "StaticEmbedding", "Router")


def _describe_module(module: Any) -> tuple[Any, ...]:
    """RETURNS (tuple): What a module of the encoder does, without its weights."""
    if type(module).__name__ not in _KNOWN:
        getter = getattr(module, "get_config_dict", dict)
        buffers = [
            (name, hashlib.sha256(value.detach().cpu().numpy().tobytes()).hexdigest())
            for name, value in module.named_buffers()
        ]
        return (type(module).__name__, json.dumps(getter(), sort_keys=True, default=str), buffers)
    activation = getattr(module, "activation_function", None)
    config = getattr(getattr(module, "auto_model", None), "config", None)
    return (
        type(module).__name__,
        _pooling_mode(module),
        type(activation).__name__ if activation is not None else None,
        [str(getattr(config, name, None)) for name in _CONFIG],
    )


def _pooling_mode(module: Any) -> str | None:
    # A method before sentence-transformers 5.4, an attribute since.
    getter = getattr(module, "get_pooling_mode_str", None)
    return str(getter()) if getter else getattr(module, "pooling_mode", None)
