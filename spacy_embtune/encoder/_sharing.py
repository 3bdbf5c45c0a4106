"""One loaded encoder for all frozen layers of this process that use the same one."""

import dataclasses
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ._find import choose_device
from .settings import EncoderSettings
from .text_encoder import TextEncoder

# Settings that do not change what a layer gets: two layers that differ in them share an encoder.
_OWN = ("batch_size",)
# The fingerprint stands for these.
_IN_FINGERPRINT = (
    *("name", "revision", "prompt", "prompt_name", "task", "max_seq_length", "truncate_dim"),
    "pool_windows",
    *_OWN,
)

_LOCK = threading.RLock()
# Encoders that a layer holds, by what tells them apart. An encoder without a layer is dropped.
_LOADED: WeakValueDictionary[Any, TextEncoder] = WeakValueDictionary()


def share_named(settings: EncoderSettings, load: Callable[[], TextEncoder]) -> TextEncoder:
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
    fingerprint: str | None, settings: EncoderSettings, load: Callable[[], TextEncoder]
) -> TextEncoder:
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


def share_loaded(encoder: TextEncoder) -> TextEncoder:
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
    fields["device"] = choose_device(settings.device)
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
