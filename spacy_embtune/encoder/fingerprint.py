"""Recognising encoders."""

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Texts that tokenizers differ on: case, accents, digits, scripts, punctuation, white space.
PROBES = [
    "The Café's 1,234 naïve ÜBER-users don't",
    "  日本語 и кириллица\t#hash_tag  e-mail@x.org ",
]


def fingerprint_of(model: "SentenceTransformer") -> str:
    """RETURNS (str): SHA-256 over what makes an encoder's vectors: weights, how texts become
    tokens, modules, pooling, activations, window and prompt."""
    # Weights are taken without their names, which differ between versions of transformers.
    weights = sorted(
        hashlib.sha256(
            str(tuple(p.shape)).encode() + p.detach().cpu().contiguous().float().numpy().tobytes()
        ).hexdigest()
        for p in model.parameters()
    )
    tokenizer = model.tokenizer
    vocabulary = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    # What the tokenizer does, not how its settings are written down, which changes as well.
    tokens = tokenizer(PROBES, verbose=False)["input_ids"] if callable(tokenizer) else []
    modules = [_describe_module(module) for module in model]
    prompt = model.prompts.get(model.default_prompt_name or "", "")
    digest = hashlib.sha256()
    for part in (weights, sorted(vocabulary.items()), tokens, modules, window_of(model), prompt):
        digest.update(repr(part).encode("utf8"))
    return digest.hexdigest()


def _describe_module(module: Any) -> tuple[Any, ...]:
    """RETURNS (tuple): What a module of the encoder does beside its weights."""
    activation = getattr(module, "activation_function", None)
    config = getattr(getattr(module, "auto_model", None), "config", None)
    settings = ("hidden_act", "num_attention_heads", "layer_norm_eps", "position_embedding_type")
    return (
        type(module).__name__,
        _pooling_mode(module),
        type(activation).__name__ if activation is not None else None,
        [str(getattr(config, name, None)) for name in settings],
    )


def _pooling_mode(module: Any) -> str | None:
    # A method before sentence-transformers 5.4, an attribute since.
    getter = getattr(module, "get_pooling_mode_str", None)
    return str(getter()) if getter else getattr(module, "pooling_mode", None)


def window_of(model: "SentenceTransformer") -> int | None:
    """RETURNS (int | None): How many tokens of a text a model reads; None is all of them."""
    window = model.max_seq_length
    # Static models read all of a text and say inf.
    return int(window) if window and window != float("inf") else None
