"""Runs a sentence-transformers model: texts in, float32 rows out."""

import copy
import multiprocessing
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._progress import progress_interval
from ._find import find_model, open_model, quiet
from .fingerprint import fingerprint_of, window_of
from .settings import EncoderSettings, Precision

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


class TextEncoder:
    """Encodes texts with a sentence-transformers model.

    model (SentenceTransformer): The model. It is put into evaluation mode, and none of its
        parameters requires a gradient afterwards.
    settings (EncoderSettings): How the model was found and is run.

    Attributes:
        width (int): Length of the vectors.
        window (int | None): Number of tokens that the model reads of a text; None: all of them.
        normalizes (bool): Whether the vectors have unit length.
        n_encoded (int): Number of texts that went through the model so far.
        n_truncated (int): Number of these that were longer than the window.

    >>> encoder = TextEncoder.load(EncoderSettings("all-MiniLM-L6-v2", precision="float32"))
    >>> encoder.encode(["bread and soup", "a guitar"]).shape
    (2, 384)
    """

    def __init__(self, model: "SentenceTransformer", settings: EncoderSettings) -> None:
        self.model = model.eval().requires_grad_(False)
        self.settings = settings
        self.width = _width(model)
        self.window = window_of(model)
        self.normalizes = any(type(module).__name__ == "Normalize" for module in model)
        self.n_encoded = 0
        self.n_truncated = 0
        self._fingerprint: str | None = None
        self._threads_limited_in: int | None = None
        self._loaded_in = os.getpid()

    @classmethod
    def load(cls, settings: EncoderSettings, *, only_here: bool = False) -> "TextEncoder":
        """Find and load the model that the settings name.

        settings (EncoderSettings): The settings.
        only_here (bool): Whether to look on this machine only, not on the hub.
        RETURNS (TextEncoder): The encoder.
        RAISES (ValueError): If there is no such model, the model cannot be read, or the packaged
            copy is not the one that was published.
        """
        return cls(find_model(settings, only_here=only_here), settings)

    @classmethod
    def from_directory(cls, path: Path, settings: EncoderSettings) -> "TextEncoder":
        """Load the model in a directory. The name in the settings is not used.

        path (Path): The directory.
        settings (EncoderSettings): How to run the model.
        RETURNS (TextEncoder): The encoder.
        RAISES (ValueError): If there is no model in the directory or it cannot be read.
        """
        return cls(open_model(str(path), settings, local=True), settings)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], settings: EncoderSettings) -> "TextEncoder":
        """Load a model from the files that `to_files` returned.

        files (Mapping[str, bytes]): Contents by relative POSIX path.
        settings (EncoderSettings): How to run the model.
        RETURNS (TextEncoder): The encoder.
        RAISES (ValueError): If the files cannot be read.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return cls.from_directory(Path(folder), settings)

    @property
    def fingerprint(self) -> str:
        """RETURNS (str): The fingerprint of the model, see `fingerprint_of`."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(self.model)
        return self._fingerprint

    def weights_changed(self) -> None:
        """Forget the fingerprint, because the weights changed."""
        self._fingerprint = None

    @property
    def precision_used(self) -> Precision:
        """RETURNS (str): The type in which the model computes on its device: "float32" or
        "bfloat16"."""
        import torch

        device_type = torch.device(self.model.device).type
        if self.settings.precision == "auto":
            return "bfloat16" if has_native_bfloat16(device_type) else "float32"
        return self.settings.precision

    def autocast(self) -> "torch.autocast":
        """RETURNS (torch.autocast): The context in which the model computes in that type."""
        import torch

        return torch.autocast(
            torch.device(self.model.device).type,
            dtype=torch.bfloat16,
            enabled=self.precision_used == "bfloat16",
        )

    def encode(self, texts: Sequence[str], *, progress: str | None = None) -> NDArray[Any]:
        """Encode texts. The longest texts come first, so that the texts of a forward pass have
        similar lengths and need little padding.

        texts (Sequence[str]): The n texts. A text that is empty or only white space gets a row of
            zeros.
        progress (str | None): Title of a progress bar on standard error; None shows no bar.
        RETURNS (ndarray): float32, shape (n, width), in the order of the texts.
        """
        import torch
        from tqdm.auto import tqdm

        rows = np.zeros((len(texts), self.width), dtype="float32")
        order = [i for i in range(len(texts)) if texts[i].strip()]
        order.sort(key=lambda i: len(texts[i]), reverse=True)
        self._limit_threads_in_child()
        size = self.settings.batch_size
        with (
            torch.inference_mode(),
            self.autocast(),
            tqdm(
                total=len(order),
                desc=progress,
                unit="text",
                disable=progress is None,
                leave=False,
                mininterval=progress_interval(),
            ) as bar,
        ):
            for start in range(0, len(order), size):
                indices = order[start : start + size]
                batch = [texts[i] for i in indices]
                self.n_truncated += self.count_truncated(batch)
                encoded = self.model.encode(batch, batch_size=size, show_progress_bar=False)
                rows[indices] = np.asarray(encoded, dtype="float32")
                self.n_encoded += len(batch)
                bar.update(len(batch))
        if self.normalizes:
            # The model normalised in the type it computes in. In bfloat16, lengths are 1 ± 0.004.
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def count_truncated(self, texts: list[str]) -> int:
        """Count the texts that have more tokens than the model reads, without encoding them.

        texts (list[str]): The texts.
        RETURNS (int): The number of texts that are cut because they are longer than the model's
            window; 0 if the window is not known.
        """
        if self.window is None:
            return 0
        # A token has at least one character, so shorter texts fit. Most texts are shorter.
        candidates = [text for text in texts if len(text) + 2 > self.window]
        if not candidates or not callable(self.model.tokenizer):
            return 0
        ids = self._uncut_tokenizer(candidates, truncation=False, verbose=False)["input_ids"]
        return sum(len(row) > self.window for row in ids)

    @cached_property
    def _uncut_tokenizer(self) -> Any:
        """The tokenizer for counting. It is a copy, because a tokenizer remembers whether it cuts
        texts, and another thread may encode meanwhile."""
        return copy.deepcopy(self.model.tokenizer)

    def _limit_threads_in_child(self) -> None:
        """Use one thread in a child process.

        A forked child inherits torch's thread pool without its threads and would wait for them
        forever. A single thread needs no pool, and `nlp.pipe(n_process=...)` runs a process per
        core anyway.
        """
        import torch

        pid = os.getpid()
        is_child = pid != self._loaded_in or multiprocessing.parent_process() is not None
        if is_child and self._threads_limited_in != pid:
            torch.set_num_threads(1)
            self._threads_limited_in = pid

    def to_files(self) -> dict[str, bytes]:
        """Write the model to memory.

        RETURNS (dict[str, bytes]): The files of a sentence-transformers directory, contents by
            relative POSIX path; weights as safetensors.
        """
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            self.to_directory(root)
            return {
                path.relative_to(root).as_posix(): path.read_bytes()
                for path in sorted(root.rglob("*"))
                if path.is_file()
            }

    def to_directory(self, path: Path) -> None:
        """Write the model as a directory that `SentenceTransformer(path)` opens.

        path (Path): The directory; it is created if there is none.
        """
        with quiet():
            self.model.save_pretrained(str(path), create_model_card=False)


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
    # torch has no public function for this before version 2.13. If neither function exists, the
    # answer is no, because float32 is right on every processor.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def _width(model: "SentenceTransformer") -> int:
    # Named get_sentence_embedding_dimension before sentence-transformers 5.4.
    getter = getattr(model, "get_embedding_dimension", None)
    width = getter() if getter else model.get_sentence_embedding_dimension()
    if width is None:
        width = model.encode(["width"], show_progress_bar=False).shape[1]
    return int(width)
