"""Holds the encoder of an encoder layer: loads it, checks which one it is, keeps its vectors."""

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import srsly
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Shim

from .._progress import PROGRESS_FROM
from ._database import StoreError
from ._sharing import share_loaded, share_named, share_stored
from .cache import VectorCache
from .settings import EncoderSettings
from .store import VectorStore
from .text_encoder import TextEncoder

logger = logging.getLogger(__name__)

_LOADING = threading.RLock()


def get_shim(model: Model[Any, Any]) -> "EncoderShim":
    """Return the shim of an encoder layer.

    model (Model): The layer `SentenceTransformer`.
    RETURNS (EncoderShim): Its shim.

    >>> from spacy_embtune.encoder import SentenceTransformer
    >>> get_shim(SentenceTransformer("all-MiniLM-L6-v2")).settings.name
    'all-MiniLM-L6-v2'
    """
    (shim,) = model.shims
    assert isinstance(shim, EncoderShim)
    return shim


def find_shim(model: Model[Any, Any]) -> "EncoderShim | None":
    """Find the encoder within a model.

    model (Model): Any model.
    RETURNS (EncoderShim | None): The first encoder with weights of its own; None if there is none.

    >>> from spacy_embtune.encoder import DocVectors
    >>> find_shim(DocVectors()) is None
    True
    """
    for node in model.walk():
        for shim in node.shims:
            if isinstance(shim, EncoderShim):
                return shim
    return None


class EncoderShim(Shim):
    """Holds a frozen encoder for its layer: loads it when it is first needed, checks that it is the
    encoder that the pipeline was trained with, and keeps vectors.

    Layers of one process that use the same encoder hold one copy of it, and encode each text once:
    in training they share the cache, and otherwise the most recent vectors.

    settings (EncoderSettings): Where to find the encoder and how to run it.
    cache_size (int): Number of texts whose vectors are kept in memory.
    save_weights (bool): Whether pipelines store the encoder.
    always_caches (bool): Whether vectors are kept in memory from the start, not only in training.
    store (VectorStore | None): Keeps vectors in a directory, across runs.

    Attributes:
        fingerprint (str | None): Which encoder it must be, once that is known.
        caching (bool): Whether vectors are kept in memory; training sets it.
        is_trainable (bool): Whether the encoder learns.
        n_requested (int): Number of texts whose vectors were asked for.
        n_encoded (int): Number of texts that went through the encoder.
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
        self._shares_cache = False
        self._is_alone = False
        self.store = store
        self.n_requested = 0
        self.n_encoded = 0
        self._warned_of_truncation = False
        self._store_failed = False

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): Whether the encoder learns."""
        return False

    @property
    def encoder(self) -> TextEncoder:
        """RETURNS (TextEncoder): The encoder. It is found by its name if it is not loaded yet.
        RAISES (ValueError): If it cannot be found, or its fingerprint is not the required one.
        """
        if self._model is None:
            # Threads that need it at the same time shall not each load it.
            with _LOADING:
                if self._model is None:
                    self._adopt(self._load())
        return self._model

    def _load(self) -> TextEncoder:
        """RETURNS (TextEncoder): The encoder that the settings name."""
        return share_named(self.settings, lambda: TextEncoder.load(self.settings))

    def _load_stored(self, load: Callable[[], TextEncoder]) -> TextEncoder:
        """RETURNS (TextEncoder): The encoder that is stored with the pipeline."""
        return share_stored(self.fingerprint, self.settings, load)

    def _adopt(self, encoder: TextEncoder, *, is_stored: bool = False) -> None:
        """Hold this encoder from now on.

        is_stored (bool): Whether it comes from a saved pipeline.
        RAISES (ValueError): If its fingerprint is not the required one.
        """
        if self.fingerprint is not None and encoder.fingerprint != self.fingerprint:
            if is_stored:
                raise ValueError(
                    f"The encoder that is stored with the pipeline is not the one that it was "
                    f"saved with: the fingerprint was {self.fingerprint[:12]}, and is "
                    f"now {encoder.fingerprint[:12]}. The files were replaced, or the pipeline was "
                    f"saved by a version of spacy-embtune that computed fingerprints differently. "
                    f"Train again, or load the pipeline with that version."
                )
            raise ValueError(
                f"The pipeline was trained with another encoder than {self.settings.name!r} now "
                f"gives: the fingerprint was {self.fingerprint[:12]}, and is now "
                f"{encoder.fingerprint[:12]}. Its tuned vectors would be wrong. Make the name lead "
                f"to the encoder of the training (set revision to pin it), or train again; with "
                f"save_weights = true the encoder is stored with the pipeline."
            )
        if self.store is not None:
            encoder.converted_dir = self.store.path / "converted"
        self._drop()
        self._model = encoder
        self._join()

    def _join(self) -> None:
        """Take part in what the layers of the encoder share."""
        self.encoder.shared.layers.add(self)

    def _drop(self) -> None:
        """Hold no encoder and no vectors."""
        if self._model is not None:
            self._model.shared.layers.discard(self)
        self._model = None
        self.cache = VectorCache(self.cache.size)
        self._shares_cache = False

    def _begin_caching(self) -> VectorCache:
        """RETURNS (VectorCache): The cache, which layers with the same encoder and the same size
        share."""
        if not self._shares_cache:
            self.cache = self.encoder.shared.cache(self.cache.size)
            self._shares_cache = True
        return self.cache

    def vectors(self, X: Sequence[Doc | str]) -> NDArray[Any]:
        """Return the base vectors of documents or texts.

        X (Sequence[Doc | str]): The n documents or texts.
        RETURNS (ndarray): float32, shape (n, d).
        """
        texts = texts_of(X)
        self.n_requested += len(texts)
        if self.caching:
            return self._begin_caching().lookup(texts, self._encode, self.encoder.width)
        return self._encode(texts)

    @contextmanager
    def encoding_anew(self, batch_size: int) -> Iterator[None]:
        """Within a context, use no vectors that are in memory, and another size of a forward pass.
        Vectors of other passes differ in the last bits.

        batch_size (int): The size of a forward pass, see `EncoderSettings`.
        """
        kept = self.settings, self.caching
        self.settings, self.caching = replace(self.settings, batch_size=batch_size), False
        self._is_alone = True
        try:
            yield
        finally:
            self.settings, self.caching = kept
            self._is_alone = False

    def reference_vectors(self, X: Sequence[Doc | str]) -> NDArray[Any] | None:
        """Return the vectors that the encoder gave before it learned.

        X (Sequence[Doc | str]): The n documents or texts.
        RETURNS (ndarray | None): float32, shape (n, d). None if `vectors` returns the same, as for
            an encoder that does not learn.
        """
        return None

    def _encode(self, texts: Sequence[str]) -> NDArray[Any]:
        """RETURNS (ndarray): Vectors that are not in this layer's memory: those that other layers
        of the encoder have, stored ones, or new ones."""
        encoder = self.encoder
        progress = "Encoding texts" if self.caching else None
        if self.store is not None and not self._store_failed:
            try:
                rows = self.store.lookup(
                    texts,
                    self._find_or_compute,
                    encoder.width,
                    fingerprint=encoder.fingerprint,
                    precision=encoder.numerics,
                    progress=progress,
                )
                if not self.caching and not self._is_alone:
                    encoder.shared.keep(texts, rows)
                return rows
            except StoreError as error:
                self._store_failed = True
                logger.warning("%s Until the next run the pipeline works without cache_dir.", error)
        return self._find_or_compute(
            texts, progress=progress if len(texts) >= PROGRESS_FROM else None
        )

    def _find_or_compute(
        self, texts: Sequence[str], *, progress: str | None = None
    ) -> NDArray[Any]:
        """RETURNS (ndarray): Vectors that are not stored: those that other layers of the encoder
        have, or new ones."""

        def compute(missing: Sequence[str]) -> NDArray[Any]:
            return self._compute(missing, progress=progress)

        shared = self.encoder.shared
        if self._is_alone or not shared.is_shared:
            return compute(texts)
        return shared.lookup(texts, compute, self.encoder.width, is_cached=self.caching)

    def _compute(
        self,
        texts: Sequence[str],
        *,
        encoder: TextEncoder | None = None,
        progress: str | None = None,
    ) -> NDArray[Any]:
        """Run an encoder and count the texts.

        encoder (TextEncoder | None): The encoder; None: the one that the layer uses.
        RETURNS (ndarray): float32, shape (n, d).
        """
        encoder = encoder or self.encoder
        rows, truncated = encoder.encode_and_count(
            texts, progress=progress, batch_size=self.settings.batch_size
        )
        self.n_encoded += len(texts)
        if truncated and not self._warned_of_truncation:
            self._warned_of_truncation = True
            logger.warning(encoder.describe_truncated(truncated, len(texts)))
        return rows

    def identify(self) -> str:
        """Require the encoder that is in use now whenever an encoder is loaded from now on.

        RETURNS (str): Its fingerprint.
        """
        self.fingerprint = self.encoder.fingerprint
        return self.fingerprint

    def to_files(self) -> dict[str, bytes]:
        """RETURNS (dict[str, bytes]): The encoder's files, see `TextEncoder.to_files`."""
        return self.encoder.to_files()

    def to_directory(self, path: Path) -> None:
        """Write the encoder as a directory that sentence-transformers opens.

        path (Path): The directory; it is created if there is none.
        """
        self.encoder.to_directory(path)

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Load the encoder from its files, see `TextEncoder.from_files`.

        files (Mapping[str, bytes]): Contents by relative POSIX path.
        RAISES (ValueError): If they cannot be read, or are those of another encoder.
        """
        encoder = self._load_stored(lambda: TextEncoder.from_files(files, self.settings))
        self._adopt(encoder, is_stored=True)

    def from_directory(self, path: Path) -> None:
        """Load the encoder from a directory.

        path (Path): The directory.
        RAISES (ValueError): If it cannot be read, or holds another encoder.
        """
        encoder = self._load_stored(lambda: TextEncoder.from_directory(path, self.settings))
        self._adopt(encoder, is_stored=True)

    # The methods below are what thinc requires of a shim. The weights are not in the model's bytes,
    # because these are written at each checkpoint. The component stores the weights in files.

    def __call__(self, inputs: Any, is_train: bool) -> Any:
        raise NotImplementedError("The encoder layer's forward calls EncoderShim.vectors.")

    def finish_update(self, optimizer: Any) -> None:
        """Do nothing, because a frozen encoder has nothing to update."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the encoder to a device, if it is loaded."""
        if self._model is not None:
            self._model.move("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Name, revision and fingerprint of the encoder as msgpack; no weights."""
        identity = {
            "name": self.settings.name,
            "revision": self.settings.revision,
            "fingerprint": self.fingerprint,
        }
        return srsly.msgpack_dumps(identity)

    def from_bytes(self, data: bytes) -> "EncoderShim":
        """Require the encoder that the bytes name. Another encoder that is loaded is dropped.

        data (bytes): The bytes that `to_bytes` returned.
        RETURNS (EncoderShim): The shim.
        """
        fingerprint = srsly.msgpack_loads(data)["fingerprint"]
        if self._model is not None and fingerprint not in (None, self._model.fingerprint):
            self._drop()
        self.fingerprint = fingerprint
        return self

    def _renew(self) -> "EncoderShim":
        """RETURNS (EncoderShim): A shim with the same settings, without encoder and vectors."""
        renewed = EncoderShim(self.settings, **self._how_kept())
        renewed.fingerprint = self.fingerprint
        return renewed

    def _how_kept(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The arguments of the constructor besides the settings."""
        return {
            "cache_size": self.cache.size,
            "save_weights": self.save_weights,
            "always_caches": self.always_caches,
            "store": copy.copy(self.store),
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> "EncoderShim":
        # A frozen encoder is shared, never copied.
        copied = self._renew()
        if self._model is not None:
            copied._model = self._model
            copied._join()
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self._renew()), "encoder": self._model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        encoder = state.pop("encoder")
        vars(self).update(state)
        if encoder is not None:
            self._adopt(self._take(encoder), is_stored=True)

    def _take(self, encoder: TextEncoder) -> TextEncoder:
        """RETURNS (TextEncoder): What the layer holds of an encoder that came in a pickle."""
        return share_loaded(encoder)


def texts_of(X: Sequence[Doc | str]) -> list[str]:
    """RETURNS (list[str]): The texts of documents or texts."""
    return [x if isinstance(x, str) else x.text for x in X]
