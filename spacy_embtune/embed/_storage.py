"""The directory of the shards: on a disk, or at an address that fsspec knows (s3://, gs://, ...).

A file appears under its name when it is whole, or not at all.
"""

import hashlib
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .._extras import import_extra
from .._files import atomic_path, explain_full_disk
from .._texts import shorten
from ..data import is_address

# The directory of the records of finished shards, and of files that are being written.
SHARDS = "_shards"
UNFINISHED = "_unfinished"
# The beginning of the name of a file by which workers show that they see the directory.
MARKER = "_marker-"
# File systems in which a file appears when it was sent whole.
ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory", "oss", "r2"}


class Storage(ABC):
    """A directory of results. Names are relative to it, with "/".

    address (str): Its path or address, without "/" at the end.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def describe(self, name: str) -> str:
        """RETURNS (str): The path or address of a file, for messages."""
        return f"{self.address}/{name}"

    @abstractmethod
    def make(self) -> None:
        """Make the directory if it does not exist. RAISES (OSError): If that is not possible."""

    @abstractmethod
    def sizes(self, folder: str = "") -> dict[str, int]:
        """RETURNS (dict[str, int]): The sizes in bytes of the files of a directory by their names;
        empty if there is no such directory."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """RETURNS (IO[bytes]): A file to be read. RAISES (FileNotFoundError): If it is missing."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a small file in one step. RAISES (OSError): If that is not possible."""

    @abstractmethod
    def put(self, path: Path, name: str) -> None:
        """Move a file of this machine here in one step. RAISES (OSError): If that is not
        possible."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file if it is there."""

    @abstractmethod
    def clear_unfinished(self) -> None:
        """Remove what runs that were killed left behind."""

    @abstractmethod
    def workspace(self) -> Any:
        """RETURNS (ContextManager[Path]): An empty directory of this machine for unfinished files,
        which is removed behind the context."""

    def read(self, name: str) -> bytes | None:
        """RETURNS (bytes | None): The contents of a small file; None if it is missing."""
        try:
            with self.open(name) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def sha256(self, name: str) -> str:
        """RETURNS (str): The SHA-256 of a file. RAISES (FileNotFoundError): If it is missing."""
        digest = hashlib.sha256()
        with self.open(name) as file:
            while data := file.read(2**20):
                digest.update(data)
        return digest.hexdigest()


class LocalStorage(Storage):
    """A directory on a disk of this machine, or of one that it shares with others."""

    def __init__(self, address: str) -> None:
        super().__init__(str(Path(address).absolute()))
        self._root = Path(self.address)

    def make(self) -> None:
        (self._root / SHARDS).mkdir(parents=True, exist_ok=True)

    def sizes(self, folder: str = "") -> dict[str, int]:
        where = self._root / folder
        if not where.is_dir():
            return {}
        return {path.name: path.stat().st_size for path in where.iterdir() if path.is_file()}

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        with atomic_path(self._root / name) as unfinished:
            unfinished.write_bytes(content)

    def put(self, path: Path, name: str) -> None:
        with atomic_path(self._root / name, within=path.parent) as unfinished:
            path.replace(unfinished)

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        # On the same disk, so that a finished file is only renamed.
        folder = self._root / UNFINISHED / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            with explain_full_disk(self._root):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear_unfinished(self) -> None:
        shutil.rmtree(self._root / UNFINISHED, ignore_errors=True)
        for path in self._root.glob(f"{MARKER}*"):
            path.unlink(missing_ok=True)


class RemoteStorage(Storage):
    """A directory at an address."""

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        fsspec = import_extra("fsspec", "Addresses need fsspec", extra="remote")
        try:
            self._files, root = fsspec.core.url_to_fs(self.address)
        except ImportError as error:
            raise ImportError(
                f"{address}: needs a package that cannot be imported ({error}). For s3:// it comes "
                "with pip install s3fs, for gs:// with pip install gcsfs."
            ) from error
        except ValueError as error:
            raise ValueError(f"{address}: is no address that fsspec knows ({error}).") from error
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_atomic = bool(names & ATOMIC)

    def make(self) -> None:
        with self._explain():
            self._files.makedirs(f"{self._root}/{SHARDS}", exist_ok=True)

    def sizes(self, folder: str = "") -> dict[str, int]:
        with self._explain():
            self._files.invalidate_cache()
            try:
                entries = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=True)
            except FileNotFoundError:
                return {}
            return {
                entry["name"].rpartition("/")[2]: int(entry["size"])
                for entry in entries
                if entry["type"] == "file"
            }

    def open(self, name: str) -> IO[bytes]:
        with self._explain():
            file: IO[bytes] = self._files.open(self._path(name), "rb")
            return file

    def read(self, name: str) -> bytes | None:
        # Unlike `open`, this asks for no size, which fsspec may remember from an older file.
        with self._explain():
            try:
                content: bytes = self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: bytes) -> None:
        with self._explain(), self._replacing(name) as target:
            self._files.pipe_file(target, content)

    def put(self, path: Path, name: str) -> None:
        with self._explain(), self._replacing(name) as target:
            self._files.put_file(str(path), target)

    def remove(self, name: str) -> None:
        with self._explain():
            if self._files.exists(self._path(name)):
                self._files.rm_file(self._path(name))

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder, explain_full_disk(Path(folder)):
            yield Path(folder)

    def clear_unfinished(self) -> None:
        for name in self.sizes():
            if name.startswith(MARKER):
                self.remove(name)
        with self._explain():
            if not self._is_atomic and self._files.exists(self._path(UNFINISHED)):
                self._files.rm(self._path(UNFINISHED), recursive=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _replacing(self, name: str) -> Iterator[str]:
        """YIELDS (str): The path to write to: the file, or a name from which it is moved."""
        if self._is_atomic:
            yield self._path(name)
            return
        self._files.makedirs(self._path(UNFINISHED), exist_ok=True)
        unfinished = self._path(f"{UNFINISHED}/{uuid.uuid4().hex}")
        yield unfinished
        self._files.mv(unfinished, self._path(name))

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Turn the errors of protocols, which have no common class, into OSErrors."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            raise OSError(
                f"{self.address}: cannot be used ({type(error).__name__}: "
                f"{shorten(str(error), 120)}). Check the address, the connection, and your right "
                "to write there."
            ) from error


def open_storage(out: str) -> Storage:
    """Open the directory of results.

    out (str): Its path or address. It need not exist.
    RETURNS (Storage): The directory.
    RAISES (ImportError): If the protocol needs a package that is not installed.
    RAISES (ValueError): If fsspec does not know the protocol.
    """
    return RemoteStorage(out) if is_address(out) else LocalStorage(out)
