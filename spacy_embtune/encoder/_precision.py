"""Chooses the numeric type in which an encoder computes on this machine."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import read_json, write_json
from . import _sample
from ._properties import processor_capabilities
from .settings import Precision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# The cosine with the vectors of float32 that each sample text must reach in a smaller type.
LOWEST_COSINE = 0.999
FILE = "precision.json"

_CHOSEN: dict[str, Precision] = {}


def choose_precision(
    model: "SentenceTransformer", fingerprint: str, folder: Path | None = None
) -> Precision:
    """Choose "float32" or "bfloat16" for a model: bfloat16 if the device computes in it natively,
    which is two to three times as fast, and if its vectors are the same, by a cosine of .999 or
    more for each sample text. That is measured once for each model and machine. Seconds are not
    measured: on a shared machine two processes could choose differently, and their vectors differ.

    model (SentenceTransformer): The model.
    fingerprint (str): Its fingerprint.
    folder (Path | None): A directory in which the choice is remembered across runs; None: it is
        remembered in this process.
    RETURNS (str): The type.
    """
    device_type = model.device.type
    if not has_native_bfloat16(device_type):
        return "float32"
    key = f"{fingerprint} {_machine(device_type)}"
    if key not in _CHOSEN:
        remembered = _recall(folder).get(key)
        if remembered in ("float32", "bfloat16"):
            _CHOSEN[key] = remembered
        else:
            _CHOSEN[key] = _measure(model)
            _remember(folder, key, _CHOSEN[key])
    return _CHOSEN[key]


def _measure(model: "SentenceTransformer") -> Precision:
    exact, rounded = (_sample.encode_sample(model, is_bfloat16=rounds) for rounds in (False, True))
    is_exact = bool((_sample.cosines(exact, rounded) >= LOWEST_COSINE).all())
    return "bfloat16" if is_exact else "float32"


def _machine(device_type: str) -> str:
    """RETURNS (str): What decides the answer besides the model."""
    import torch

    name = processor_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    if device_type == "cuda":
        name = torch.cuda.get_device_name()
    return f"{name} torch {torch.__version__}"


def _recall(folder: Path | None) -> dict[str, Any]:
    return {} if folder is None else read_json(folder / FILE) or {}


def _remember(folder: Path | None, key: str, chosen: Precision) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, {**_recall(folder), key: chosen})
    except OSError:
        # Then the next run measures again.
        return


def has_native_bfloat16(device_type: str) -> bool:
    """Check whether a device computes in bfloat16 natively. Emulation is slower than float32.

    device_type (str): "cpu", "cuda", ...
    RETURNS (bool): Whether it does.

    >>> has_native_bfloat16("meta")
    False
    """
    import torch

    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    # If torch says nothing, the answer is no, because float32 is right on every processor.
    capabilities = processor_capabilities()
    if capabilities:
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
