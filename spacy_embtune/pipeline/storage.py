"""The component's directory on disk: small files each time, the encoder's only when it is another,
and a manifest, written last, without which nothing loads.

    cfg             what the component learned besides weights, JSON
    model           the head's weights and who the encoder is, thinc's bytes
    seen            digests of the training texts, 8 bytes each
    encoder/        the encoder as a sentence-transformers directory, if it is stored at all
    manifest.json   size and SHA-256 of each of these
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..encoder.fingerprint import sha256_of_file

MANIFEST = "manifest.json"
ENCODER = "encoder"
FORMAT = 1

Files = Mapping[str, bytes]

_HASHES: dict[tuple[str, int, int], str] = {}


class StorageError(ValueError):
    """A saved component is incomplete, damaged, or from a newer version."""


def save(
    path: Path, files: Files, *, fingerprint: str | None, encoder_files: Callable[[], Files] | None
) -> None:
    """Write a component's directory.

    The old manifest goes first and the new one comes last: what is interrupted in between does not
    load. Everything that can fail for other reasons than the disk has to happen before.

    path (Path): The directory; created if need be.
    files (Mapping[str, bytes]): The small files, by name.
    fingerprint (str | None): Which encoder it is.
    encoder_files (Callable | None): Gives the encoder's files, by relative POSIX path; called only
        if the directory does not hold this encoder yet. None stores no encoder.
    """
    path.mkdir(parents=True, exist_ok=True)
    entries = {name: _entry(content) for name, content in files.items()}
    kept = _stored_encoder(path, fingerprint) if encoder_files else None
    fresh = encoder_files() if encoder_files and kept is None else None
    (path / MANIFEST).unlink(missing_ok=True)
    if kept is not None:
        entries.update(kept)
    else:
        shutil.rmtree(path / ENCODER, ignore_errors=True)
    if fresh is not None:
        for name, content in fresh.items():
            target = path / ENCODER / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            entries[f"{ENCODER}/{name}"] = _entry(content)
    for name, content in files.items():
        (path / name).write_bytes(content)
    manifest = {"format": FORMAT, "encoder_fingerprint": fingerprint, "files": entries}
    replace_file(path / MANIFEST, json.dumps(manifest, indent=2).encode("utf8"))


def load(path: Path) -> tuple[dict[str, bytes], Path | None]:
    """Read a component's directory, every file checked against the manifest.

    RETURNS (tuple[dict[str, bytes], Path | None]): The small files by name, and the directory of
        the encoder, if it is stored.
    RAISES (StorageError): If something is missing, damaged, or newer than this version reads.
    """
    manifest = _read_manifest(path)
    if manifest is None:
        raise StorageError(
            f"There is no whole embtune component in {path}: {MANIFEST} is missing or unreadable, "
            f"so it was not saved to the end, or damaged since. Save the pipeline again "
            f"(nlp.to_disk), or load another checkpoint."
        )
    if manifest["format"] > FORMAT:
        raise StorageError(
            f"The embtune component in {path} was saved by a newer spacy-embtune (format "
            f"{manifest['format']}, this one reads up to {FORMAT}). Upgrade spacy-embtune."
        )
    for name, entry in manifest["files"].items():
        file = path / name
        if not file.is_file() or sha256_of_file(file) != entry["sha256"]:
            raise StorageError(
                f"The embtune component in {path} is damaged: {name} is missing, or not what was "
                f"saved. Restore it from where the pipeline came from, or save the pipeline again."
            )
    names = [name for name in manifest["files"] if not name.startswith(f"{ENCODER}/")]
    has_encoder = len(names) < len(manifest["files"])
    files = {name: (path / name).read_bytes() for name in names}
    return files, path / ENCODER if has_encoder else None


def _stored_encoder(path: Path, fingerprint: str | None) -> dict[str, Any] | None:
    """RETURNS (dict[str, Any] | None): The manifest's entries of the encoder that lies in the
    directory, if it is the one asked for and undamaged."""
    manifest = _read_manifest(path)
    if manifest is None or fingerprint is None or manifest["encoder_fingerprint"] != fingerprint:
        return None
    entries = {k: v for k, v in manifest["files"].items() if k.startswith(f"{ENCODER}/")}
    for name, entry in entries.items():
        file = path / name
        if not file.is_file() or _hash_once(file) != entry["sha256"]:
            return None
    return entries or None


def _hash_once(file: Path) -> str:
    """RETURNS (str): SHA-256 of a file, computed again only if size or time of change differ: each
    checkpoint of a training asks for the same ones."""
    stat = file.stat()
    key = (str(file.resolve()), stat.st_size, stat.st_mtime_ns)
    if key not in _HASHES:
        _HASHES[key] = sha256_of_file(file)
    return _HASHES[key]


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        if isinstance(manifest["format"], int) and isinstance(manifest["files"], dict):
            return dict(manifest)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _entry(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
