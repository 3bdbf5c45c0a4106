"""Compares the vectors of sample texts that are computed in two ways."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._tokens import prepare, to_device

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Texts of several lengths.
SAMPLE = [
    "bread",
    "The striker scored twice, and the coach was happy with the match.",
    "How do I return a parcel that arrived damaged, and who pays for the postage?",
    "Shares fell by 3.2% on Monday after the bank had warned of lower profits in the next quarter.",
    "I would not recommend this film: the plot is thin, the jokes are old, and it never ends.",
    "Compute the eigenvalues of a symmetric matrix. " * 4,
    "Das Wetter bleibt auch am Wochenende kühl; im Süden fällt etwas Regen.",
    "The committee will publish its report on clean water and public health in the spring. " * 12,
]


def encode_sample(model: "SentenceTransformer", *, is_bfloat16: bool = False) -> NDArray[Any]:
    """Encode the sample texts.

    model (SentenceTransformer): The model.
    is_bfloat16 (bool): Whether it computes in bfloat16, by autocast.
    RETURNS (ndarray): The vectors, float64, shape (n, d).
    """
    import torch

    device = model.device.type
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=is_bfloat16):
        features = to_device(prepare(model, list(SAMPLE)), model.device)
        return model(features)["sentence_embedding"].double().cpu().numpy()


def compare_on_sample(first: "SentenceTransformer", second: "SentenceTransformer") -> NDArray[Any]:
    """RETURNS (ndarray): The cosines of the vectors that two models give, as `cosines`."""
    return cosines(encode_sample(first), encode_sample(second))


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The cosine of the two vectors of each text, float64, shape (n,)."""
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
