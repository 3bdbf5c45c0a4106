"""Texts as the tokens that a model reads: made once for each text, padded for each batch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._properties import prompt_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Features = dict[str, Any]

# Texts that a model is tried with. Their lengths differ, so that one of them is padded.
PROBES = ["a probe", "and another one of other length"]


def prepare(model: "SentenceTransformer", texts: list[str]) -> Features:
    """Make tokens as `SentenceTransformer.encode` does, with the model's default prompt in front.

    model (SentenceTransformer): The model.
    texts (list[str]): The texts.
    RETURNS (dict): The model's input for the texts, on its device.
    """
    prompt = prompt_of(model)
    preprocess: Any = getattr(model, "preprocess", None)
    if preprocess is not None:
        return to_device(preprocess(texts, prompt=prompt), model.device)
    # Before sentence-transformers 5.3.
    older: Any = model
    features = dict(older.tokenize([f"{prompt or ''}{text}" for text in texts]))
    if prompt is not None:
        features["prompt_length"] = older._get_prompt_length(prompt)
    return to_device(features, model.device)


def separate(features: Mapping[str, Any]) -> list[Features] | None:
    """Separate the texts of a batch and remove their padding.

    features (Mapping[str, Any]): What `prepare` returned.
    RETURNS (list[dict] | None): The model's input text by text: tensors of shape (tokens,), and the
        values that hold for all texts. None if the input has tensors that are not one number for
        each token.
    """
    mask = features.get("attention_mask")
    tensors = {key: value for key, value in features.items() if hasattr(value, "shape")}
    if mask is None or any(value.shape != mask.shape for value in tensors.values()):
        return None
    others = {key: value for key, value in features.items() if key not in tensors}
    is_token = mask.bool()
    return [
        {**{key: value[i][is_token[i]] for key, value in tensors.items()}, **others}
        for i in range(len(mask))
    ]


def pad(model: "SentenceTransformer", texts: Sequence[Mapping[str, Any]]) -> Features:
    """Put separated texts into a batch, padded on the right.

    model (SentenceTransformer): The model.
    texts (Sequence[Mapping[str, Any]]): Items of what `separate` returned, at least one.
    RETURNS (dict): The model's input for the texts, on its device.
    """
    import torch

    tokenizer: Any = model.tokenizer
    fill = {"input_ids": getattr(tokenizer, "pad_token_id", None) or 0}
    features: Features = {}
    for key, value in texts[0].items():
        if hasattr(value, "shape"):
            value = torch.nn.utils.rnn.pad_sequence(
                [text[key] for text in texts], batch_first=True, padding_value=fill.get(key, 0)
            )
        features[key] = value
    return to_device(features, model.device)


def to_device(features: Mapping[str, Any], device: Any) -> Features:
    """RETURNS (dict): The features, their tensors on the device."""
    return {k: v.to(device) if hasattr(v, "to") else v for k, v in features.items()}
