"""Write files and directories completely or not at all, and notice when saved files are damaged.

A *manifest* is a JSON file that describes other files of its directory by size and SHA-256. It is
removed before they change and written after them, so an interrupted save has no manifest.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The errors of a full disk, of a full quota, and of a file above the size limit of the process.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoomError(OSError):
    """A file cannot be written because the disk is full."""


class StorageError(ValueError):
    """A saved directory is incomplete or damaged, or a newer version saved it."""


# Files and directories that are replaced in one step


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Replace the system's error of a full disk by one that names the file and the cure.

    path (Path): The file that is written.
    RAISES (NoRoomError): When the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise NoRoomError(
            f"There is no room for {path} ({error.strerror}). Free some space, or write to another "
            "disk, and try again."
        ) from error


@contextmanager
def _explain(path: Path, unfinished: Path) -> Iterator[None]:
    """Replace errors that name a temporary file, of which the user knows nothing, by errors of the
    same class that name the file that was to be written.

    path (Path): The file or directory that is written.
    unfinished (Path): Its temporary name.
    RAISES (NoRoomError): When the disk is full.
    RAISES (OSError): When it cannot be written for another reason.
    """
    with explain_full_disk(path):
        try:
            yield
        except OSError as error:
            if error.errno in NO_ROOM or not _is_within(error.filename, unfinished):
                raise
            reason = (
                f"It cannot be written ({error.strerror}). Give a place where files can be made"
            )
            raise OSError(error.errno, reason, str(path)) from error


def _is_within(name: object, folder: Path) -> bool:
    """RETURNS (bool): Whether the name is that of the file or directory, or of a file in it."""
    return isinstance(name, str | os.PathLike) and Path(name).is_relative_to(folder)


@contextmanager
def atomic_path(path: Path, *, within: Path | None = None) -> Iterator[Path]:
    """Write a file under a temporary name, and rename it once it is complete. After an error or
    Ctrl-C the temporary file is removed, and an older file of this name is unchanged.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     out = Path(folder, "out.txt")
    ...     with atomic_path(out) as unfinished:
    ...         _ = unfinished.write_text("complete")
    ...     out.read_text()
    'complete'

    path (Path): The file. If it is a link, the target of the link is replaced.
    within (Path | None): A directory on the same disk for the temporary file. None: the directory
        of the file.
    YIELDS (Path): The temporary file, which has the same suffix. Write to this path.
    RAISES (NoRoomError): When the disk is full.
    RAISES (OSError): When the file cannot be written.
    """
    real = Path(os.path.realpath(path))
    name = f".{real.stem}.{os.getpid()}.unfinished{real.suffix}"
    unfinished = (real.parent if within is None else within) / name
    try:
        with _explain(path, unfinished):
            yield unfinished
            with unfinished.open("rb+") as file:
                # Otherwise the new name may reach the disk before the contents do.
                os.fsync(file.fileno())
            os.replace(unfinished, real)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step.

    path (Path): The file.
    content (Mapping[str, Any]): A JSON object.
    RAISES (TypeError): When JSON cannot hold the content. An older file is then unchanged.
    """
    data = json.dumps(content, indent=2).encode("utf8")
    with atomic_path(path) as unfinished:
        unfinished.write_bytes(data)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object from a file.

    path (Path): The file.
    RETURNS (dict[str, Any] | None): The object. None if the file is missing, is no JSON or holds
        something other than an object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Write a directory under a temporary name, and rename it once it is complete. After an error
    an older directory of this name is unchanged.

    path (Path): The directory. An older one is replaced as a whole.
    YIELDS (Path): The temporary directory, which does not exist yet. Write to this path.
    RAISES (OSError): When the directory cannot be written.
    """
    real = Path(os.path.realpath(path))
    unfinished = real.with_name(f".{real.name}.unfinished")
    earlier = real.with_name(f".{real.name}.earlier")
    for left_over in (unfinished, earlier):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        with _explain(path, unfinished):
            yield unfinished
            if real.exists():
                real.rename(earlier)
            try:
                unfinished.rename(real)
            except BaseException:
                if earlier.exists():
                    earlier.rename(real)
                raise
    finally:
        for left_over in (unfinished, earlier):
            shutil.rmtree(left_over, ignore_errors=True)


@contextmanager
def atomic_files(directory: Path) -> Iterator[Path]:
    """Write several files into a directory, and give them their names once all are complete. After
    an error while they are written, no file has changed, and a directory that did not exist does
    not exist.

    directory (Path): The directory. Files of the same names in it are replaced, others stay.
    YIELDS (Path): An empty temporary directory. Write the files there.
    RAISES (OSError): When a file cannot be written.
    """
    real = Path(os.path.realpath(directory))
    real.parent.mkdir(parents=True, exist_ok=True)
    unfinished = real.with_name(f".{real.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with _explain(directory, unfinished):
            unfinished.mkdir()
            yield unfinished
            if not real.exists():
                unfinished.rename(real)
            else:
                for path in sorted(unfinished.iterdir()):
                    os.replace(path, real / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


# Directories with a manifest

_DIGESTS: dict[tuple[str, int, int], str] = {}


def sha256_of_file(path: Path) -> str:
    """Compute the SHA-256 of a file.

    path (Path): The file.
    RETURNS (str): 64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, and remember it for as long as the size and the modification
    time of the file stay the same. Use it where one process asks for the same file many times.

    path (Path): The file.
    RETURNS (str): 64 hexadecimal digits.
    """
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if key not in _DIGESTS:
        _DIGESTS[key] = sha256_of_file(path)
    return _DIGESTS[key]


def describe_bytes(content: bytes) -> dict[str, Any]:
    """Describe the contents of a file for a manifest.

    >>> describe_bytes(b"abc")["size"]
    3

    content (bytes): The contents.
    RETURNS (dict[str, Any]): "size" in bytes and "sha256".
    """
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def describe_file(path: Path) -> dict[str, Any]:
    """Describe a file for a manifest, as `describe_bytes` does, without reading it into memory.

    path (Path): The file.
    RETURNS (dict[str, Any]): "size" in bytes and "sha256".
    """
    return {"size": path.stat().st_size, "sha256": sha256_of_file(path)}


def is_intact(
    path: Path, entry: Mapping[str, Any], *, digest: Callable[[Path], str] = sha256_of_file
) -> bool:
    """Compare a file with its entry in a manifest.

    path (Path): The file.
    entry (Mapping[str, Any]): What `describe_file` gave; "size" may be missing.
    digest (Callable): Computes the SHA-256 of a file: `sha256_of_file` or `remembered_sha256`.
    RETURNS (bool): Whether the file exists and has the size and the SHA-256 of the entry.
    """
    if not path.is_file():
        return False
    if "size" in entry and path.stat().st_size != entry["size"]:
        return False
    return digest(path) == entry["sha256"]


@contextmanager
def replaced_manifest(path: Path) -> Iterator[dict[str, Any]]:
    """Remove a manifest, let the files that it describes be written, and write the new manifest.
    After an error there is no manifest, so the directory does not load.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replaced_manifest(Path(folder, "manifest.json")) as manifest:
    ...         _ = Path(folder, "a").write_bytes(b"abc")
    ...         manifest.update(format=1, files={"a": describe_bytes(b"abc")})
    ...     read_json(Path(folder, "manifest.json"))["format"]
    1

    path (Path): The manifest.
    YIELDS (dict[str, Any]): The content of the new manifest, empty at first. Fill it.
    """
    path.unlink(missing_ok=True)
    manifest: dict[str, Any] = {}
    yield manifest
    write_json(path, manifest)


def load_manifest(
    path: Path, *, what: str, newest: int, keys: Mapping[str, type], cure: str
) -> dict[str, Any]:
    """Read the manifest of a saved directory.

    path (Path): The manifest.
    what (str): What the directory holds, for error messages: "embtune component".
    newest (int): The newest format that this version reads.
    keys (Mapping[str, type]): The entries that a manifest must have, with their types.
    cure (str): What to do when the directory is incomplete: a sentence.
    RETURNS (dict[str, Any]): The manifest.
    RAISES (StorageError): When the manifest is missing, unreadable or of a newer format.
    """
    manifest = read_json(path)
    required = {"format": int, **keys}
    if manifest is None or not all(isinstance(manifest.get(k), t) for k, t in required.items()):
        raise StorageError(
            f"There is no complete {what} in {path.parent}: {path.name} is missing or unreadable. "
            f"Saving was interrupted, the files were damaged later, or the path is wrong. {cure}"
        )
    if manifest["format"] > newest:
        raise StorageError(
            f"The {what} in {path.parent} was saved by a newer spacy-embtune (format "
            f"{manifest['format']}, this version reads up to {newest}). Upgrade spacy-embtune."
        )
    return manifest


def require_intact(path: Path, entry: Mapping[str, Any], *, what: str, cure: str) -> None:
    """Check a file against its entry in a manifest.

    path (Path): The file.
    entry (Mapping[str, Any]): Its entry, see `is_intact`.
    what (str): What the directory holds, for the error message.
    cure (str): What to do when the file is damaged: a sentence.
    RAISES (StorageError): When the file is missing or damaged.
    """
    if not is_intact(path, entry):
        raise StorageError(
            f"The {what} in {path.parent} is damaged: {path.name} is missing, or its contents have "
            f"changed since it was saved. {cure}"
        )
