"""Save and load a component: as a directory with a manifest, or as bytes.

    cfg             what the component learned besides weights, JSON
    model           the weights of the head and the identity of the encoder, bytes of thinc
    seen            digests of the training texts, 8 bytes each
    encoder/        the encoder as a sentence-transformers directory, unless save_weights is false
    manifest.json   size and SHA-256 of each of these files

The files of the encoder are written again only when the encoder changed. A component whose frozen
encoder an earlier component of its pipeline has stored, in the directory beside its own, names that
directory in the manifest (`encoder_directory`) and stores no second copy.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import srsly
from spacy import util
from spacy.vocab import Vocab
from thinc.api import Model

from .._files import (
    StorageError,
    describe_bytes,
    is_intact,
    load_manifest,
    read_json,
    remembered_sha256,
    replaced_manifest,
    require_intact,
)
from ..encoder.shim import EncoderShim
from ..training.seen_texts import SeenTexts
from ._sibling import ENCODER, MANIFEST, find_sibling, open_sibling

# 2: with a reference to the encoder of another component.
FORMAT = 2

_WHAT = "embtune component"
_CURE = "Save the pipeline again (nlp.to_disk), or load another copy of it."

T = TypeVar("T")


class Storable(Protocol):
    """The attributes of a component that are saved and loaded."""

    name: str
    vocab: Vocab
    model: Model[Any, Any]
    cfg: dict[str, Any]
    seen: SeenTexts | None

    @property
    def encoder(self) -> EncoderShim | None: ...


def save(pipe: Storable, path: str | Path, exclude: Iterable[str]) -> None:
    """Save a component to a directory. After an error the directory does not load.

    pipe (EmbTune): The component.
    path (str | Path): The directory; it is created when it does not exist.
    exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
    """
    path, exclude = Path(path), set(exclude)
    shim = pipe.encoder
    fingerprint = None if shim is None else shim.identify()
    stores_encoder = shim is not None and shim.save_weights and "encoder" not in exclude
    # Everything is made before the first file is written: an error then leaves an old save as it
    # was.
    files = {name: make() for name, make in _makers(pipe).items() if name not in exclude}
    path.mkdir(parents=True, exist_ok=True)
    sibling = None
    if shim is not None and stores_encoder and not shim.is_trainable:
        sibling = find_sibling(path, fingerprint)
        stores_encoder = sibling is None
    kept = _find_stored_encoder(path, fingerprint) if stores_encoder else None
    encoder_files: Mapping[str, bytes] = {}
    if shim is not None and stores_encoder and kept is None:
        encoder_files = shim.to_files()
    with replaced_manifest(path / MANIFEST) as manifest:
        entries = {name: describe_bytes(content) for name, content in files.items()}
        if kept is None:
            shutil.rmtree(path / ENCODER, ignore_errors=True)
        entries.update(kept or {})
        for name, content in encoder_files.items():
            target = path / ENCODER / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            entries[f"{ENCODER}/{name}"] = describe_bytes(content)
        for name, content in files.items():
            (path / name).write_bytes(content)
        manifest.update(format=1, encoder_fingerprint=fingerprint, files=entries)
        if shim is not None and shim.is_trainable:
            manifest.update(encoder_learns=True)
        if sibling is not None:
            manifest.update(format=FORMAT, encoder_directory=sibling)
    if "vocab" not in exclude:
        pipe.vocab.to_disk(path / "vocab", exclude=exclude)


def load(pipe: Storable, path: str | Path, exclude: Iterable[str]) -> None:
    """Load a component from a directory.

    pipe (EmbTune): The component, with a model of the same architecture.
    path (str | Path): The directory.
    exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
    RAISES (StorageError): When a file is missing or damaged, or a newer version saved it.
    RAISES (ValueError): When the weights do not fit the model, or the encoder is another one.
    """
    path, exclude = Path(path), set(exclude)
    files, encoder = read_directory(path, needs_encoder=not exclude & {"encoder", "model"})
    _apply(pipe, files, exclude, where=path)
    _load_encoder(pipe, exclude, encoder, EncoderShim.from_directory)
    if "vocab" not in exclude and (path / "vocab").is_dir():
        pipe.vocab.from_disk(path / "vocab", exclude=exclude)


def pack(pipe: Storable, exclude: Iterable[str]) -> bytes:
    """Serialize a component.

    pipe (EmbTune): The component.
    exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
    RETURNS (bytes): The parts as msgpack. They include the encoder unless save_weights is false.
    """
    shim = pipe.encoder
    if shim is not None:
        shim.identify()
    makers: dict[str, Callable[[], bytes]] = {
        **_makers(pipe),
        "vocab": partial(pipe.vocab.to_bytes, exclude=exclude),
    }
    if shim is not None and shim.save_weights:
        makers["encoder"] = lambda: cast(bytes, srsly.msgpack_dumps(shim.to_files()))
    return util.to_bytes(makers, exclude)


def unpack(pipe: Storable, data: bytes, exclude: Iterable[str]) -> None:
    """Load a component from bytes.

    pipe (EmbTune): The component, with a model of the same architecture.
    data (bytes): What `pack` gave.
    exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
    RAISES (StorageError): When the bytes are damaged.
    RAISES (ValueError): When the weights do not fit the model, or the encoder is another one.
    """
    exclude = set(exclude)
    try:
        files = srsly.msgpack_loads(data)
    except ValueError as error:
        raise StorageError(
            f"[{pipe.name}] these bytes are damaged, or to_bytes did not make them ({error}). "
            f"Call to_bytes again."
        ) from error
    _apply(pipe, files, exclude, where="these bytes")
    encoder = srsly.msgpack_loads(files["encoder"]) if "encoder" in files else None
    _load_encoder(pipe, exclude, encoder, EncoderShim.from_files)
    if "vocab" in files and "vocab" not in exclude:
        pipe.vocab.from_bytes(files["vocab"], exclude=exclude)


def read_directory(
    path: Path, *, needs_encoder: bool = True
) -> tuple[dict[str, bytes], Path | None]:
    """Read the directory of a component, and compare each file with the manifest.

    path (Path): The directory.
    needs_encoder (bool): Whether to look for an encoder that is stored with another component.
    RETURNS (tuple[dict[str, bytes], Path | None]): The contents of the small files by name, and the
        directory of the encoder; None if the encoder is not stored.
    RAISES (StorageError): When a file is missing or damaged, or a newer version saved it.
    """
    manifest = load_manifest(
        path / MANIFEST, what=_WHAT, newest=FORMAT, keys={"files": dict}, cure=_CURE
    )
    for name, entry in manifest["files"].items():
        require_intact(path / name, entry, what=_WHAT, cure=_CURE)
    names = [name for name in manifest["files"] if not name.startswith(f"{ENCODER}/")]
    has_encoder = len(names) < len(manifest["files"])
    files = {name: (path / name).read_bytes() for name in names}
    sibling = manifest.get("encoder_directory")
    if has_encoder or sibling is None or not needs_encoder:
        return files, path / ENCODER if has_encoder else None
    return files, open_sibling(path, str(sibling), manifest.get("encoder_fingerprint"))


def _makers(pipe: Storable) -> dict[str, Callable[[], bytes]]:
    """RETURNS (dict[str, Callable]): Functions that make the contents of the small files."""
    makers: dict[str, Callable[[], bytes]] = {
        "cfg": lambda: srsly.json_dumps(pipe.cfg).encode("utf8"),
        "model": pipe.model.to_bytes,
    }
    if pipe.seen is not None:
        makers["seen"] = pipe.seen.to_bytes
    return makers


def _apply(pipe: Storable, files: Mapping[str, Any], exclude: set[str], *, where: Any) -> None:
    """Set what the small files say about a component."""
    if "cfg" in files and "cfg" not in exclude:
        pipe.cfg.update(srsly.json_loads(files["cfg"]))
    if "model" in files and "model" not in exclude:
        try:
            pipe.model.from_bytes(files["model"])
        except (AttributeError, ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"[{pipe.name}] the weights in {where} do not fit the model that the config "
                f"describes ({error}). Load them with the config that they were saved with."
            ) from error
    if "seen" not in exclude:
        pipe.seen = SeenTexts.from_bytes(files["seen"]) if "seen" in files else None


def _load_encoder(
    pipe: Storable, exclude: set[str], stored: T | None, read: Callable[[EncoderShim, T], None]
) -> None:
    """Load the encoder from the saved files, or find it by its name when it was not saved."""
    shim = pipe.encoder
    if shim is None or exclude & {"encoder", "model"}:
        return
    if stored is not None:
        read(shim, stored)
    elif shim.fingerprint is not None:
        # Now and not with the first text, so that a wrong encoder is an error of loading.
        _ = shim.encoder


def _find_stored_encoder(path: Path, fingerprint: str | None) -> dict[str, Any] | None:
    """RETURNS (dict[str, Any] | None): The entries of the encoder's files in the manifest. None if
    the directory holds another encoder, a damaged one, or none."""
    manifest = read_json(path / MANIFEST) or {}
    entries = manifest.get("files")
    is_same = fingerprint is not None and manifest.get("encoder_fingerprint") == fingerprint
    if not is_same or not isinstance(entries, dict):
        return None
    entries = {k: v for k, v in entries.items() if k.startswith(f"{ENCODER}/")}
    # Each checkpoint of a training asks for the same files.
    if all(is_intact(path / k, v, digest=remembered_sha256) for k, v in entries.items()):
        return entries or None
    return None
