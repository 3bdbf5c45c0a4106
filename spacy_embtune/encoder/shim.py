"""Holds a sentence encoder for its layer: loads it when needed, knows who it is, keeps vectors."""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import srsly
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Shim

from .._progress import PROGRESS_FROM
from ._database import StoreError
from .cache import VectorCache
from .sentence_encoder import EncoderSettings, SentenceEncoder
from .store import VectorStore

logger = logging.getLogger(__name__)


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
    store (VectorStore | None): Where vectors are kept on disk, across runs.
    is_trainable (bool): Whether the encoder learns.
    n_requested, n_encoded (int): Texts asked for, and texts that went through the encoder.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        *,
        cache_size: int,
        save_weights: bool,
        always_caches: bool = False,
        store: VectorStore | None = None,
    ) -> None:
        super().__init__(None)
        self.settings = settings
        self.save_weights = save_weights
        self.fingerprint: str | None = None
        self.always_caches = always_caches
        self.caching = always_caches
        self.cache = VectorCache(cache_size)
        self.store = store
        self.n_requested = 0
        self.n_encoded = 0
        self._warned_of_truncation = False
        self._store_failed = False

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): Whether some of the encoder's layers learn."""
        return False

    def untuned_vectors(self, X: Sequence[Doc | str]) -> NDArray[Any] | None:
        """RETURNS (ndarray | None): See `TrainableShim.untuned_vectors`."""
        return None

    def original_vectors(self, X: Sequence[Doc | str]) -> NDArray[Any] | None:
        """RETURNS (ndarray | None): See `TrainableShim.original_vectors`."""
        return None

    @property
    def encoder(self) -> SentenceEncoder:
        """RETURNS (SentenceEncoder): The encoder, loaded by its name unless it is here already.
        RAISES (ValueError): If it cannot be found, or is another than the fingerprint says.
        """
        if self._model is None:
            self._adopt(SentenceEncoder.load(self.settings))
        return self._model

    def _adopt(self, encoder: SentenceEncoder, *, is_stored: bool = False) -> None:
        if self.fingerprint is not None and encoder.fingerprint != self.fingerprint:
            if is_stored:
                raise ValueError(
                    f"The encoder that is stored with the pipeline is not the one that it was "
                    f"saved with: fingerprint {self.fingerprint[:12]} then, now "
                    f"{encoder.fingerprint[:12]}. It was replaced, or the pipeline was made by a "
                    f"version of spacy-embtune that took fingerprints otherwise. Train again, or "
                    f"load it with that version."
                )
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
        """RETURNS (ndarray): Vectors that are not in memory: from disk, or of the encoder."""
        encoder = self.encoder
        progress = "Encoding texts" if self.caching else None
        if self.store is not None and not self._store_failed:
            try:
                return self.store.lookup(
                    encoder.fingerprint,
                    texts,
                    self._compute,
                    encoder.width,
                    precision=encoder.precision_used,
                    progress=progress,
                )
            except StoreError as error:
                self._store_failed = True
                logger.warning("%s Until the next run the pipeline works without cache_dir.", error)
        return self._compute(texts, progress if len(texts) >= PROGRESS_FROM else None)

    def _compute(self, texts: Sequence[str], progress: str | None = None) -> NDArray[Any]:
        encoder = self.encoder
        truncated = encoder.n_truncated
        rows = encoder.encode(texts, progress=progress)
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

    def to_directory(self, path: Path) -> None:
        """Write the encoder as a directory that sentence-transformers opens.

        path (Path): The directory; created if need be.
        """
        self.encoder.to_directory(path)

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Take the encoder from its files; see `SentenceEncoder.from_files`.

        RAISES (ValueError): If they cannot be read, or are another encoder's.
        """
        self._adopt(SentenceEncoder.from_files(files, self.settings), is_stored=True)

    def from_directory(self, path: Path) -> None:
        """Take the encoder from a directory; see `from_files`."""
        self._adopt(SentenceEncoder.from_directory(path, self.settings), is_stored=True)

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
            store=copy.copy(self.store),
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
