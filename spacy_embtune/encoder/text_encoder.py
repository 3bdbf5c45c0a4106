"""Runs a sentence-transformers model: texts in, float32 rows out."""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._progress import progress_interval
from ._batches import Batch, Batcher
from ._find import find_directory, find_model, open_model, quiet
from ._precision import choose_precision
from ._properties import used_window_of, width_of
from ._runtimes import check_backend, make_runner, say_cosine
from ._shared_vectors import SharedVectors
from ._tokens import prepare, to_device
from ._windows import Pieces, can_split, split_texts
from .fingerprint import fingerprint_of
from .settings import Backend, EncoderSettings, Precision
from .token_table import TokenTable, is_table, read_table

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

# Tokens of a forward pass, for each unit of batch_size. More tokens do not fit the caches of a
# processor, and bring texts of different lengths together, which are padded.
TOKENS_PER_TEXT = 32
TOKENS_PER_TEXT_ON_GPU = 256


class TextEncoder:
    """Encodes texts with a sentence-transformers model. Threads may share an encoder: its passes
    run one after the other, each with all cores.

    model (SentenceTransformer | TokenTable): The model. It is put into evaluation mode, and none of
        its parameters requires a gradient afterwards. A table of token vectors is run by numpy.
    settings (EncoderSettings): How the model was found and is run.

    Attributes:
        width (int): Length of the vectors.
        window (int | None): Number of tokens that the model reads of a text; None: all of them.
        pools_windows (bool): Whether texts that are longer than the window are split into pieces,
            and get the mean of the vectors of the pieces.
        normalizes (bool): Whether the vectors have unit length.
        n_encoded (int): Number of texts that went through the model so far. Pieces of a text count
            one each.
        n_truncated (int): Number of these that were longer than the window.

    >>> encoder = TextEncoder.load(EncoderSettings("all-MiniLM-L6-v2", precision="float32"))
    >>> encoder.encode(["bread and soup", "a guitar"]).shape
    (2, 384)
    """

    def __init__(
        self, model: "SentenceTransformer | TokenTable", settings: EncoderSettings
    ) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        # A static model is run by numpy. It is opened in torch only if something asks for that.
        self._table = model if isinstance(model, TokenTable) else None
        self._model: SentenceTransformer | None = None
        self.window: int | None = None
        self.pools_windows = False
        if isinstance(model, TokenTable):
            self.width, self.normalizes = model.width, model.normalizes
        else:
            self._model = model.eval().requires_grad_(False)
            self.width = _width(model)
            self.window = used_window_of(model)
            self.pools_windows = settings.pool_windows and can_split(model, self.window)
            self.normalizes = any(type(module).__name__ == "Normalize" for module in model)
        self.n_encoded = 0
        self.n_truncated = 0
        # A directory that keeps what is made of the model for this machine.
        self.converted_dir: Path | None = None
        self._runner: SentenceTransformer | None = None
        self._is_learning = False
        # Whether this is a forked process in which OpenVINO would wait for threads for ever.
        self._is_forked = False
        self._left_behind: SentenceTransformer | None = None
        self._precision: Precision | None = None
        self._fingerprint: str | None = None
        self._threads_limited_in: int | None = None
        self._warned_of_truncation = False
        self._loaded_in = os.getpid()
        # What the frozen layers that hold this encoder share.
        self.shared = SharedVectors()

    @property
    def model(self) -> "SentenceTransformer":
        """RETURNS (SentenceTransformer): The model, as it may be trained or converted."""
        if self._model is None:
            with self._lock:
                if self._model is None:
                    assert self._table is not None
                    opened = self._table.open_model(
                        lambda path: open_model(str(path), self.settings, local=True)
                    )
                    self._model = opened.eval().requires_grad_(False)
        return self._model

    @property
    def tokenizer(self) -> Any:
        """RETURNS (Any): The tokenizer, of transformers or, of a table, of tokenizers. None if the
        model has none."""
        return self.model.tokenizer if self._table is None else self._table.tokenizer

    @cached_property
    def _batcher(self) -> Batcher:
        return Batcher(self.model)

    @property
    def is_table(self) -> bool:
        """RETURNS (bool): Whether the model is a table of token vectors that numpy reads."""
        return self._table is not None

    @property
    def device_type(self) -> str:
        """RETURNS (str): The kind of device that computes the vectors: "cpu", "cuda", ..."""
        return "cpu" if self._table is not None else str(self.model.device.type)

    def move(self, device: str) -> None:
        """Move the model to a device. A table stays where it is.

        device (str): The torch device.
        """
        if self._table is None:
            self.model.to(device)

    def __reduce__(self) -> tuple[Any, ...]:
        # As files, because a pickled torch module depends on the versions of its code. Layers that
        # share an encoder are pickled with one copy of it.
        return (TextEncoder.from_files, (self.to_files(), self.settings))

    @classmethod
    def load(cls, settings: EncoderSettings, *, only_here: bool = False) -> "TextEncoder":
        """Find and load the model that the settings name.

        settings (EncoderSettings): The settings.
        only_here (bool): Whether to look on this machine only, not on the hub.
        RETURNS (TextEncoder): The encoder.
        RAISES (ValueError): If there is no such model, the model cannot be read, or the packaged
            copy is not the one that was published.
        """
        check_backend(settings.backend)
        path = find_directory(settings)
        if path is not None:
            return cls.from_directory(path, settings)
        return cls(find_model(settings, only_here=only_here), settings)

    @classmethod
    def from_directory(cls, path: Path, settings: EncoderSettings) -> "TextEncoder":
        """Load the model in a directory. The name in the settings is not used.

        path (Path): The directory.
        settings (EncoderSettings): How to run the model.
        RETURNS (TextEncoder): The encoder.
        RAISES (ValueError): If there is no model in the directory or it cannot be read.
        """
        check_backend(settings.backend)
        if is_table(path, settings):
            return cls(read_table(path), settings)
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
        """RETURNS (str): The fingerprint of the model, see `fingerprint_of`. If windows are pooled,
        it is another one."""
        if self._fingerprint is None and self._table is not None:
            self._fingerprint = self._table.fingerprint()
        if self._fingerprint is None:
            with self._batcher.lock:
                self._fingerprint = fingerprint_of(self.model)
            if self.pools_windows:
                # Not part of the model, but it decides which vectors come out.
                pooled = f"{self._fingerprint} pool_windows"
                self._fingerprint = hashlib.sha256(pooled.encode()).hexdigest()
        return self._fingerprint

    def weights_changed(self) -> None:
        """Forget the fingerprint, because the weights changed. From now on torch runs the model
        itself, because what was converted has other weights."""
        _ = self.model
        self._table = None
        self._fingerprint = None
        self._is_learning = True
        self._runner = None

    @property
    def precision_used(self) -> Precision:
        """RETURNS (str): The type in which the model computes on its device: "float32", "bfloat16"
        or "int8"."""
        if self._table is not None:
            return "float32"
        if self._precision is None:
            with self._lock, self._batcher.lock:
                wanted = self.settings.precision
                if wanted == "auto":
                    wanted = "float32"
                    if self.settings.backend == "torch":
                        wanted = choose_precision(self.model, self.fingerprint, self.converted_dir)
                self._precision = wanted
        # Weights of 8 bits cannot learn.
        return "float32" if self._is_learning and self._precision == "int8" else self._precision

    @property
    def _backend(self) -> Backend:
        return "torch" if self._is_forked else self.settings.backend

    @property
    def numerics(self) -> str:
        """RETURNS (str): What decides the last bits of the vectors besides the model: the type in
        which it computes, the backend, and arguments that its loader was given. Stores keep vectors
        apart by it."""
        parts: list[str] = [self.precision_used]
        if self._backend != "torch" and not self._is_learning:
            parts.append(self._backend)
        if self.settings.all_model_kwargs:
            parts.append(json.dumps(self.settings.all_model_kwargs, sort_keys=True, default=str))
        return " ".join(parts)

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
        rows, n_truncated = self.encode_and_count(texts, progress=progress)
        if n_truncated and not self._warned_of_truncation:
            self._warned_of_truncation = True
            logger.warning(self.describe_truncated(n_truncated, len(texts)))
        return rows

    def describe_truncated(self, n_truncated: int, n_texts: int) -> str:
        """RETURNS (str): A warning that texts were cut, with the ways out."""
        pooling = "Set pool_windows = true to average the vectors of their parts, split"
        return (
            f"{n_truncated} of {n_texts} texts are longer than the {self.window} tokens that the "
            f"encoder {self.settings.name} reads: the rest of them is ignored. "
            f"{'Split' if self.pools_windows else pooling} them into paragraphs, or use an encoder "
            f"with a longer window. (This warning comes once. Later texts may be too long as well.)"
        )

    def split(self, texts: Sequence[str]) -> Pieces | None:
        """Split texts that are longer than the window, if the settings say so.

        texts (Sequence[str]): The n texts.
        RETURNS (Pieces | None): The pieces; None if all texts stay whole.
        """
        if not self.pools_windows or self.window is None:
            return None
        pieces = split_texts(self._batcher, texts, self.window)
        return pieces if pieces.is_split.any() else None

    def encode_and_count(
        self, texts: Sequence[str], *, progress: str | None = None, batch_size: int | None = None
    ) -> tuple[NDArray[Any], int]:
        """Encode texts, and count those that were longer than the window.

        texts, progress: As for `encode`.
        batch_size (int | None): Size of a forward pass; None: that of the settings.
        RETURNS (tuple[ndarray, int]): The vectors, and the number of texts that were cut.
        """
        pieces = self.split(texts)
        if pieces is None:
            return self._encode_whole(texts, progress, batch_size)
        parts, n_truncated = self._encode_whole(pieces.texts, progress, batch_size)
        return pieces.pool(parts, normalizes=self.normalizes), n_truncated

    def _encode_whole(
        self, texts: Sequence[str], progress: str | None, batch_size: int | None
    ) -> tuple[NDArray[Any], int]:
        """RETURNS (tuple[ndarray, int]): The vectors of texts that are not split, and the number of
        texts that were cut."""
        from tqdm.auto import tqdm

        bar_of = partial(
            tqdm,
            desc=progress,
            unit="text",
            disable=progress is None,
            leave=False,
            mininterval=progress_interval(),
        )
        if self._table is not None:
            self.n_encoded += len(texts)
            with bar_of(total=len(texts)) as bar:
                return self._table.encode(texts, bar.update), 0
        rows = np.zeros((len(texts), self.width), dtype="float32")
        order = [i for i in range(len(texts)) if texts[i].strip()]
        order.sort(key=lambda i: len(texts[i]), reverse=True)
        self._prepare_child()
        with bar_of(total=len(order)) as bar:
            n_truncated = 0
            for batch in self._batches(texts, order, batch_size or self.settings.batch_size):
                rows[batch.rows] = self._run(batch)
                n_truncated += batch.n_truncated
                bar.update(len(batch.rows))
        if self.normalizes:
            # The model normalised in the type it computes in. In bfloat16, lengths are 1 ± 0.004.
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows, n_truncated

    def _batches(self, texts: Sequence[str], order: list[int], size: int) -> Iterator[Batch]:
        if not order:
            return
        if self._batcher.can_batch():
            on_gpu = self.model.device.type != "cpu"
            n_tokens = size * (TOKENS_PER_TEXT_ON_GPU if on_gpu else TOKENS_PER_TEXT)
            yield from self._batcher.batches(texts, order, n_tokens, self.window)
            return
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            batch = [texts[i] for i in indices]
            with self._batcher.lock:
                features = prepare(self.model, batch)
            yield Batch(np.asarray(indices), features, self.count_truncated(batch))

    def _run(self, batch: Batch) -> NDArray[Any]:
        """RETURNS (ndarray): The vectors of a batch, float32, shape (m, width)."""
        import torch

        runner = self._get_runner()
        with self._lock, torch.inference_mode(), self.autocast():
            features = to_device(batch.features, self.model.device)
            vectors = runner(features)["sentence_embedding"][:, : self.width]
            self.n_encoded += len(batch.rows)
            self.n_truncated += batch.n_truncated
            return vectors.float().cpu().numpy()

    def _get_runner(self) -> "SentenceTransformer":
        """RETURNS (SentenceTransformer): What runs: the model, or what is made of it."""
        if self._is_learning:
            return self.model
        precision, backend = self.precision_used, self._backend
        if backend == "torch" and precision != "int8":
            return self.model
        # A thread holds the batcher's lock while it makes tokens, so batches must not ask for it.
        runner = self._runner
        if runner is None:
            with self._lock, self._batcher.lock:
                if self._runner is None:
                    made = make_runner(
                        self.model,
                        backend=backend,
                        precision=precision,
                        fingerprint=self.fingerprint,
                        folder=self.converted_dir,
                    )
                    if precision == "int8":
                        say_cosine(made, self.model)
                    self._runner = made
                runner = self._runner
        return runner

    def count_truncated(self, texts: list[str]) -> int:
        """Count the texts that have more tokens than the model reads, without encoding them.

        texts (list[str]): The texts.
        RETURNS (int): The number of texts that are cut because they are longer than the model's
            window, the prompt included; 0 if the window is not known.
        """
        return 0 if self.window is None else len(self._batcher.find_truncated(texts, self.window))

    def _prepare_child(self) -> None:
        """Use one thread in a child process, and locks of its own.

        A forked child inherits torch's thread pool without its threads and would wait for them
        forever. A single thread needs no pool, and `nlp.pipe(n_process=...)` runs a process per
        core anyway.
        """
        import torch

        pid = os.getpid()
        if pid not in (self._loaded_in, self._threads_limited_in):
            # A thread of the parent may have held them when the process was forked.
            self._lock, self._batcher.lock = threading.RLock(), threading.RLock()
            # Threads of another runtime stay behind in the parent. The old runner is kept, because
            # its end would wait for them.
            self._left_behind, self._runner = self._runner, None
            if self.settings.backend == "openvino" and not self._is_forked:
                self._is_forked = True
                logger.warning(
                    "OpenVINO cannot run in a process that was forked from one that uses it, so "
                    "torch runs the encoder here. Start processes by spawn to avoid this: "
                    'multiprocessing.set_start_method("spawn").'
                )
        is_child = pid != self._loaded_in or multiprocessing.parent_process() is not None
        if is_child and self._threads_limited_in != pid:
            torch.set_num_threads(1)
            self._threads_limited_in = pid

    def to_files(self) -> dict[str, bytes]:
        """Write the model to memory.

        RETURNS (dict[str, bytes]): The files of a sentence-transformers directory, contents by
            relative POSIX path; weights as safetensors.
        """
        if self._table is not None:
            return self._table.to_files()
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
        if self._table is not None:
            self._table.to_directory(path)
            return
        with quiet():
            self.model.save_pretrained(str(path), create_model_card=False)
        # sentence-transformers writes the code of a model's own modules into their directories, but
        # looks for it in the directory of the model.
        for module in self.model:
            class_module = type(module).__module__
            if class_module.startswith("transformers_modules."):
                name = f"{class_module.rpartition('.')[2]}.py"
                for file in path.glob(f"*/{name}"):
                    for code in file.parent.glob("*.py"):
                        shutil.copy(code, path / code.name)


def _width(model: "SentenceTransformer") -> int:
    width = width_of(model)
    if width is None:
        width = model.encode(["width"], show_progress_bar=False).shape[1]
    return int(width)
