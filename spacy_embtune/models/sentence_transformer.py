"""The encoder layer: a frozen sentence-transformers model, with a cache, that knows who it is."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import srsly
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Shim
from thinc.types import Floats2d

from ..cache import VectorCache
from ..encoders import DEFAULT_ENCODER, EncoderSettings, Precision, SentenceEncoder

logger = logging.getLogger(__name__)

# Below this many new texts a progress bar would only flicker.
PROGRESS_FROM = 256


def SentenceTransformer(
    name: str = DEFAULT_ENCODER,
    revision: str | None = None,
    precision: Precision = "auto",
    batch_size: int = 32,
    device: str | None = None,
    cache_size: int = 100_000,
    cache: Literal["training", "always"] = "training",
    save_weights: bool = True,
    trust_remote_code: bool = False,
) -> Model[Sequence[Doc | str], Floats2d]:
    """A frozen sentence-transformers model as a layer: Docs or strings in, base vectors (n, d) out.

    The model is loaded when it is first needed. During training each distinct text is encoded
    once; a pipeline that was merely loaded keeps no vectors.

    name, revision, precision, batch_size, device, trust_remote_code: See `EncoderSettings`.
    cache_size (int): How many texts' vectors to keep; each takes 4 * d bytes.
    cache (str): When: "training", from the first initialize or update on; "always", also in a
        pipeline that is only used, as for a frozen component that annotates in the training of
        another one.
    save_weights (bool): Whether the encoder is stored with the pipeline. Otherwise only its name
        and fingerprint are, and it must be found again, unchanged, on loading.
    RETURNS (Model): The layer; its shim is an `EncoderShim`.
    """
    if cache_size < 0:
        raise ValueError(f"cache_size must not be negative, got {cache_size}.")
    if cache not in ("training", "always"):
        raise ValueError(f'cache is {cache!r}: give "training" or "always".')
    settings = EncoderSettings(
        name=name,
        revision=revision,
        precision=precision,
        batch_size=batch_size,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    return Model(
        "sentence_transformer",
        forward,
        init=init,
        dims={"nO": None},
        shims=[
            EncoderShim(
                settings,
                cache_size=cache_size,
                save_weights=save_weights,
                always_caches=cache == "always",
            )
        ],
        attrs={"reads_texts": True},
    )


def forward(
    model: Model[Sequence[Doc | str], Floats2d], X: Sequence[Doc | str], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], list[Any]]]:
    shim = get_shim(model)
    # Evaluations run between updates and read the same texts again and again: once training has
    # begun, both are cached.
    shim.caching = shim.caching or is_train
    rows = shim.vectors(X)
    if model.has_dim("nO") is None:
        model.set_dim("nO", rows.shape[1])

    def backprop(dY: Floats2d) -> list[Any]:
        return []

    return model.ops.asarray2f(cast(Any, rows)), backprop


def init(
    model: Model[Sequence[Doc | str], Floats2d],
    X: Sequence[Doc | str] | None = None,
    Y: Any = None,
) -> None:
    shim = get_shim(model)
    shim.caching = True
    model.set_dim("nO", shim.encoder.width)
    if X is not None:
        shim.vectors(X)


def get_shim(model: Model[Any, Any]) -> "EncoderShim":
    """RETURNS (EncoderShim): The shim of an encoder layer."""
    (shim,) = model.shims
    assert isinstance(shim, EncoderShim)
    return shim


def find_shim(model: Model[Any, Any]) -> "EncoderShim | None":
    """RETURNS (EncoderShim | None): The first encoder with weights of its own within a model."""
    for node in model.walk():
        for shim in node.shims:
            if isinstance(shim, EncoderShim):
                return shim
    return None


class EncoderShim(Shim):
    """Holds the encoder for the layer: loads it when needed, checks that it is the one that the
    pipeline was trained with, keeps the cache.

    settings (EncoderSettings): Where to find the encoder.
    save_weights (bool): Whether pipelines store it.
    fingerprint (str | None): Which encoder it must be, once that is known.
    always_caches (bool): Whether vectors are kept from the start.
    caching (bool): Whether vectors are kept; switched on by training.
    n_requested, n_encoded (int): Texts asked for, and texts that went through the encoder.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        *,
        cache_size: int,
        save_weights: bool,
        always_caches: bool = False,
    ) -> None:
        super().__init__(None)
        self.settings = settings
        self.save_weights = save_weights
        self.fingerprint: str | None = None
        self.always_caches = always_caches
        self.caching = always_caches
        self.cache = VectorCache(cache_size)
        self.n_requested = 0
        self.n_encoded = 0
        self._warned_of_truncation = False

    @property
    def encoder(self) -> SentenceEncoder:
        """RETURNS (SentenceEncoder): The encoder, loaded by its name unless it is here already.
        RAISES (ValueError): If it cannot be found, or is another than the fingerprint says.
        """
        if self._model is None:
            self._adopt(SentenceEncoder.load(self.settings))
        return self._model

    def _adopt(self, encoder: SentenceEncoder) -> None:
        if self.fingerprint is not None and encoder.fingerprint != self.fingerprint:
            raise ValueError(
                f"The pipeline was trained with another encoder than {self.settings.name!r} now "
                f"gives: fingerprint {self.fingerprint[:12]} then, {encoder.fingerprint[:12]} now. "
                f"Its tuned vectors would be wrong. Make the name lead to the encoder of the "
                f"training (set revision to pin it), or train again; with save_weights = true the "
                f"encoder is stored with the pipeline."
            )
        self._model = encoder
        self.cache.clear()

    def vectors(self, X: Sequence[Doc | str]) -> NDArray[Any]:
        """RETURNS (ndarray): Base vectors of documents or texts, float32, shape (n, d)."""
        texts = [x if isinstance(x, str) else x.text for x in X]
        self.n_requested += len(texts)
        if self.caching:
            return self.cache.lookup(texts, self._encode, self.encoder.width)
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> NDArray[Any]:
        encoder = self.encoder
        truncated = encoder.n_truncated
        shows_progress = self.caching and len(texts) >= PROGRESS_FROM
        rows = encoder.encode(texts, progress="Encoding texts" if shows_progress else None)
        self.n_encoded += len(texts)
        truncated = encoder.n_truncated - truncated
        if truncated and not self._warned_of_truncation:
            self._warned_of_truncation = True
            logger.warning(
                "%d of %d texts are longer than the %d tokens that the encoder %s reads: the rest "
                "of them is ignored. Split them into paragraphs, or use an encoder with a longer "
                "window. (Said once; later texts may be too long as well.)",
                truncated,
                len(texts),
                encoder.window,
                self.settings.name,
            )
        return rows

    def to_files(self) -> dict[str, bytes]:
        """RETURNS (dict[str, bytes]): The encoder's files, see `SentenceEncoder.to_files`."""
        return self.encoder.to_files()

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Take the encoder from its files; see `SentenceEncoder.from_files`.

        RAISES (ValueError): If they cannot be read, or are another encoder's.
        """
        self._adopt(SentenceEncoder.from_files(files, self.settings))

    def from_directory(self, path: Path) -> None:
        """Take the encoder from a directory; see `from_files`."""
        self._adopt(SentenceEncoder.from_directory(path, self.settings))

    def identify(self) -> str:
        """RETURNS (str): The encoder's fingerprint, from now on required on loading."""
        self.fingerprint = self.encoder.fingerprint
        return self.fingerprint

    # What thinc asks of a shim. Weights are no part of the model's bytes, which are written at
    # every checkpoint: the component stores them in files of their own.

    def __call__(self, inputs: Any, is_train: bool) -> Any:
        raise NotImplementedError("The encoder layer's forward calls EncoderShim.vectors.")

    def finish_update(self, optimizer: Any) -> None:
        """Frozen: there is nothing to update."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the encoder, if it is loaded."""
        if self._model is not None:
            self._model.model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Who the encoder is, as msgpack: no weights."""
        identity = {
            "name": self.settings.name,
            "revision": self.settings.revision,
            "fingerprint": self.fingerprint,
        }
        return srsly.msgpack_dumps(identity)

    def from_bytes(self, data: bytes) -> "EncoderShim":
        """Learn which encoder it must be."""
        fingerprint = srsly.msgpack_loads(data)["fingerprint"]
        if self._model is not None and fingerprint not in (None, self._model.fingerprint):
            self._model = None
            self.cache.clear()
        self.fingerprint = fingerprint
        return self

    def _renew(self) -> "EncoderShim":
        """RETURNS (EncoderShim): One of the same settings, without encoder and vectors."""
        renewed = EncoderShim(
            self.settings,
            cache_size=self.cache.size,
            save_weights=self.save_weights,
            always_caches=self.always_caches,
        )
        renewed.fingerprint = self.fingerprint
        return renewed

    def __deepcopy__(self, memo: dict[int, Any]) -> "EncoderShim":
        # A frozen encoder is shared, never copied.
        copied = self._renew()
        copied._model = self._model
        return copied

    def __getstate__(self) -> dict[str, Any]:
        # As files: what pickle makes of a torch module depends on the versions of its code.
        files = self.to_files() if self._model is not None else None
        return {**vars(self._renew()), "files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop("files")
        vars(self).update(state)
        if files is not None:
            self.from_files(files)
