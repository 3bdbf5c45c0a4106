"""A trainable pipe whose encoder is stored beside its model: in files, or by name."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import srsly
from spacy import util
from spacy.pipeline import TrainablePipe

from ..encoder.shim import EncoderShim, find_shim
from . import storage

T = TypeVar("T")


class EncoderPipe(TrainablePipe):
    """Writes and reads a pipe with `vocab`, `model`, `name` and a JSON-able `cfg`, whose model may
    hold an `EncoderShim`. The directory is described in storage.py.
    """

    name: str
    cfg: dict[str, Any]

    @property
    def encoder(self) -> EncoderShim | None:
        """RETURNS (EncoderShim | None): The encoder with its cache and counts, or None if it has no
        weights of its own."""
        return find_shim(self.model)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a directory. If that is interrupted, the directory does not load.

        path (str | Path): The directory.
        exclude (Iterable[str]): What to leave out: "vocab", "cfg", "model", "encoder", "seen".
        """
        self._validate_serialization_attrs()
        path, exclude = Path(path), set(exclude)
        shim = self.encoder
        fingerprint = shim.identify() if shim is not None else None
        encoder_files = None
        if shim is not None and shim.save_weights and "encoder" not in exclude:
            encoder_files = shim.to_files
        files: dict[str, bytes] = {}
        if "cfg" not in exclude:
            files["cfg"] = srsly.json_dumps(self.cfg).encode("utf8")
        if "model" not in exclude:
            files["model"] = self.model.to_bytes()
        files.update((k, v) for k, v in self._more_files().items() if k not in exclude)
        storage.save(path, files, fingerprint=fingerprint, encoder_files=encoder_files)
        if "vocab" not in exclude:
            self.vocab.to_disk(path / "vocab", exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Load the component from a directory. No network is used if the encoder is stored there.

        path (str | Path): The directory.
        exclude (Iterable[str]): What to leave out: "vocab", "cfg", "model", "encoder", "seen".
        RETURNS (Self): The component.
        RAISES (ValueError): If something is missing or damaged, or the encoder, not being stored,
            is not the one of the training any more.
        """
        self._validate_serialization_attrs()
        path, exclude = Path(path), set(exclude)
        files, encoder = storage.load(path)
        self._load(files, exclude, where=path)
        self._load_encoder(exclude, encoder, EncoderShim.from_directory)
        if "vocab" not in exclude and (path / "vocab").is_dir():
            self.vocab.from_disk(path / "vocab", exclude=exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The component as msgpack, the encoder included if it is to be stored.

        exclude (Iterable[str]): What to leave out: "vocab", "cfg", "model", "encoder", "seen".
        """
        self._validate_serialization_attrs()
        shim = self.encoder
        if shim is not None:
            shim.identify()
        serialize: dict[str, Callable[[], Any]] = {
            "cfg": partial(srsly.json_dumps, self.cfg),
            "vocab": partial(self.vocab.to_bytes, exclude=exclude),
            "model": self.model.to_bytes,
        }
        for name, content in self._more_files().items():
            serialize[name] = partial(bytes, content)
        if shim is not None and shim.save_weights:
            serialize["encoder"] = partial(_pack, shim)
        return util.to_bytes(serialize, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Load the component from what `to_bytes` gave.

        exclude (Iterable[str]): What to leave out: "vocab", "cfg", "model", "encoder", "seen".
        RETURNS (Self): The component.
        RAISES (ValueError): As `from_disk`.
        """
        self._validate_serialization_attrs()
        exclude = set(exclude)
        try:
            files = srsly.msgpack_loads(bytes_data)
        except ValueError as error:
            raise storage.StorageError(
                f"[{self.name}] these bytes are damaged or were not made by to_bytes ({error}). "
                f"Make them again."
            ) from error
        self._load(files, exclude, where="these bytes")
        encoder = srsly.msgpack_loads(files["encoder"]) if "encoder" in files else None
        self._load_encoder(exclude, encoder, EncoderShim.from_files)
        if "vocab" in files and "vocab" not in exclude:
            self.vocab.from_bytes(files["vocab"], exclude=exclude)
        return self

    def _more_files(self) -> dict[str, bytes]:
        """RETURNS (dict[str, bytes]): What else is to be stored, by name; `_load` gets it back."""
        return {}

    def _load(self, files: dict[str, Any], exclude: set[str], *, where: Any) -> None:
        if "cfg" in files and "cfg" not in exclude:
            self.cfg.update(srsly.json_loads(files["cfg"]))
        if "model" in files and "model" not in exclude:
            try:
                self.model.from_bytes(files["model"])
            except (AttributeError, ValueError, KeyError, IndexError) as error:
                raise ValueError(
                    f"[{self.name}] the weights in {where} do not fit the model that the config "
                    f"describes ({error}). Load them with the config that they were saved with."
                ) from error

    def _load_encoder(
        self, exclude: set[str], stored: T | None, take: Callable[[EncoderShim, T], None]
    ) -> None:
        """Take the encoder from where it is stored, if it is, or find it by its name now, not at
        the first text: a wrong encoder is an error of loading."""
        shim = self.encoder
        if shim is None or exclude & {"encoder", "model"}:
            return
        if stored is not None:
            take(shim, stored)
        elif shim.fingerprint is not None:
            _ = shim.encoder


def _pack(shim: EncoderShim) -> bytes:
    return cast(bytes, srsly.msgpack_dumps(shim.to_files()))
