"""One loaded encoder for all frozen layers of this process that use the same one, and the vectors
that these layers share."""

import dataclasses
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, WeakValueDictionary

from numpy.typing import NDArray

from ._find import choose_device
from ._lookup import Encode, look_up
from .cache import VectorCache
from .settings import EncoderSettings

if TYPE_CHECKING:
    from .text_encoder import TextEncoder

# Number of texts whose vectors a pipeline that is only used keeps for the next layer. It is enough
# for several batches of `nlp.pipe`. A larger batch raises it.
RECENT = 4096

# Settings that do not change what a layer gets: two layers that differ in them share an encoder.
_OWN = ("batch_size",)
# The fingerprint stands for these.
_IN_FINGERPRINT = (
    *("name", "revision", "prompt", "prompt_name", "task", "max_seq_length", "truncate_dim"),
    *_OWN,
)

_LOCK = threading.RLock()
# Encoders that a layer holds, by what tells them apart. An encoder without a layer is dropped.
_LOADED: "WeakValueDictionary[Any, TextEncoder]" = WeakValueDictionary()


class SharedVectors:
    """The vectors of one encoder that several layers share. While one layer alone uses the encoder,
    nothing is kept here."""

    def __init__(self) -> None:
        self.layers: WeakSet[Any] = WeakSet()
        self._caches: WeakValueDictionary[int, VectorCache] = WeakValueDictionary()
        # The most recent vectors. No lock: threads at worst encode a text twice, and a lock that a
        # thread holds would block a forked process.
        self._rows: dict[bytes, NDArray[Any]] = {}
        self._order: deque[bytes] = deque()
        self._room = RECENT

    @property
    def is_shared(self) -> bool:
        """RETURNS (bool): Whether two or more layers use the encoder."""
        return len(self.layers) > 1

    def cache(self, size: int) -> VectorCache:
        """RETURNS (VectorCache): The cache of all training layers that asked for this size."""
        cache = self._caches.get(size)
        if cache is None:
            cache = self._caches[size] = VectorCache(size)
        return cache

    def lookup(
        self, texts: Sequence[str], encode: Encode, width: int, *, is_cached: bool
    ) -> NDArray[Any]:
        """Return the vectors of texts: those that a layer encoded a moment ago, or that are in the
        cache of a layer in training, or new ones.

        texts (Sequence[str]): The n texts.
        encode (Callable): Takes m distinct texts, returns a matrix of shape (m, width).
        width (int): Length of the vectors.
        is_cached (bool): Whether the layer puts the vectors into its cache.
        RETURNS (ndarray): float32, shape (n, width).
        """
        if not is_cached:
            # The other layers read the same batch next.
            self._room = max(self._room, 2 * len(texts))
        return look_up(texts, encode, width, read=self._read, keep=self._keep)

    def keep(self, texts: Sequence[str], rows: NDArray[Any]) -> None:
        """Keep vectors for the other layers, if there are any.

        texts (Sequence[str]): The n texts.
        rows (ndarray): Their vectors, float32, shape (n, width).
        """
        if self.is_shared:
            places = {text: i for i, text in enumerate(texts)}

            def known(missing: Sequence[str]) -> NDArray[Any]:
                return rows[[places[text] for text in missing]]

            self.lookup(texts, known, rows.shape[1], is_cached=False)

    def _read(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, NDArray[Any]]]:
        found = dict(self._recent(keys))
        for cache in list(self._caches.values()):
            found.update(cache.read([key for key in keys if key not in found]))
        return found.items()

    def _recent(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, NDArray[Any]]]:
        rows = ((key, self._rows.get(key)) for key in keys)
        return [(key, row) for key, row in rows if row is not None]

    def _keep(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        # A view would keep the whole matrix in memory, so rows are copied.
        for key, row in list(zip(keys, rows, strict=True))[-self._room :]:
            if key not in self._rows:
                self._order.append(key)
            self._rows[key] = row.copy()
        while len(self._order) > self._room:
            try:
                self._rows.pop(self._order.popleft(), None)
            except IndexError:
                return


def share_named(settings: EncoderSettings, load: "Callable[[], TextEncoder]") -> "TextEncoder":
    """Return the encoder that settings name. It is loaded unless a frozen layer has loaded it.

    settings (EncoderSettings): The settings.
    load (Callable): Loads the encoder.
    RETURNS (TextEncoder): The encoder.
    RAISES (ValueError): If it cannot be loaded.
    """
    key = ("name", _describe(settings, leave_out=("name", *_OWN)), _source(settings.name))
    with _LOCK:
        encoder = _LOADED.get(key)
        if encoder is None:
            encoder = _LOADED[key] = share_loaded(load())
        return encoder


def share_stored(
    fingerprint: str | None, settings: EncoderSettings, load: "Callable[[], TextEncoder]"
) -> "TextEncoder":
    """Return the encoder of a fingerprint. It is loaded unless a frozen layer has loaded it.

    fingerprint (str | None): Its fingerprint; None if that is not known before it is loaded.
    settings (EncoderSettings): How it is run.
    load (Callable): Loads the encoder.
    RETURNS (TextEncoder): The encoder.
    RAISES (ValueError): If it cannot be loaded.
    """
    with _LOCK:
        encoder = _LOADED.get(_model_key(fingerprint, settings))
        return share_loaded(load()) if encoder is None else encoder


def share_loaded(encoder: "TextEncoder") -> "TextEncoder":
    """Return the encoder that frozen layers use in place of one that was just loaded: itself, or an
    equal one that was loaded before."""
    with _LOCK:
        return _LOADED.setdefault(_model_key(encoder.fingerprint, encoder.settings), encoder)


def forget_loaded() -> None:
    """Share no encoder that is loaded now with layers that are made later."""
    with _LOCK:
        _LOADED.clear()


def differing_settings(one: EncoderSettings, other: EncoderSettings) -> dict[str, tuple[Any, Any]]:
    """Compare the settings of two frozen layers.

    one, other (EncoderSettings): The settings.
    RETURNS (dict[str, tuple]): Both values of each setting that keeps the layers from sharing an
        encoder.

    >>> differing_settings(EncoderSettings("a", batch_size=8), EncoderSettings("a", prompt="q: "))
    {'prompt': (None, 'q: ')}
    """
    names = [field.name for field in dataclasses.fields(one) if field.name not in _OWN]
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _model_key(fingerprint: str | None, settings: EncoderSettings) -> Any:
    return ("model", fingerprint, _describe(settings, leave_out=_IN_FINGERPRINT))


def _describe(settings: EncoderSettings, *, leave_out: Sequence[str]) -> str:
    fields = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in leave_out
    }
    fields["device"] = str(choose_device(settings.device))
    fields["model_kwargs"] = settings.all_model_kwargs
    return json.dumps(fields, sort_keys=True, default=repr)


def _source(name: str) -> Any:
    """RETURNS (Any): What a name leads to. A directory may hold another model later, so its files
    are part of it."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return name
    path = path.resolve()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    return str(path), tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats)
