"""Keep finished chunks in the directory OUT.parts until the result OUT is complete.

    settings.json   the settings that all chunks were made with
    000000.json     the manifest of chunk 0: a digest of its records, its size and SHA-256
    000000.npz      the contents of chunk 0, in a format that suits the result
    lock            held by the process that writes

A chunk is used if its manifest exists and its contents are intact. Otherwise it is made again.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from .._files import (
    atomic_path,
    describe_file,
    is_intact,
    read_json,
    replaced_manifest,
    write_json,
)

logger = logging.getLogger(__name__)

FORMAT = 2
SETTINGS = "settings.json"
LOCK = "lock"
ENTRY = {"input", "n", "size", "sha256", "info"}
CHUNK = re.compile(r"\d{6,}\.[a-z]+")
OURS = re.compile(rf"{re.escape(SETTINGS)}|{LOCK}|{CHUNK.pattern}|.*unfinished.*")


class Part(NamedTuple):
    """A finished chunk.

    path (Path): The file of its contents.
    n (int): The number of records.
    info (dict[str, Any]): What `Format.write_part` gave, for `Format.join`.
    """

    path: Path
    n: int
    info: dict[str, Any]


class Parts:
    """The finished chunks of one result.

    folder (Path): The directory.
    n_done (int): The number of finished records.
    n_kept (int): The number of records that an earlier run finished.
    """

    def __init__(self, out: Path, suffix: str, settings: Mapping[str, Any], *, force: bool) -> None:
        """Initialize the parts.

        out (Path): The file of the result.
        suffix (str): The suffix of the files of chunks.
        settings (Mapping[str, Any]): The settings that the chunks are made with, JSON.
        force (bool): Whether to replace chunks that were made from other records or settings.
        """
        self.folder = out.with_name(f"{out.name}.parts")
        self.suffix = suffix
        self.settings = json.loads(json.dumps({"format": FORMAT, **settings}))
        self.force = force
        self.n_kept = 0
        self.n_done = 0
        self._is_finished = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Lock the directory, and create it when it does not exist. It is removed at the end if it
        holds no chunks, or `remove` was called.

        RAISES (ValueError): When another process has the lock, the directory holds other files, or
            its chunks were made with other settings and `force` is not set.
        """
        from filelock import FileLock, Timeout

        self._check_folder()
        self.folder.mkdir(exist_ok=True)
        lock = FileLock(self.folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"Another process is writing to {self.folder}. Wait for it, or end it."
            ) from error
        try:
            for path in self.folder.glob("*unfinished*"):
                path.unlink()
            self._check_settings()
            yield
        finally:
            lock.release()
            if self._is_finished or not self._has_chunks():
                with suppress(OSError):
                    self._clear()
                    (self.folder / LOCK).unlink(missing_ok=True)
                    self.folder.rmdir()

    def _check_folder(self) -> None:
        """RAISES (ValueError): When the directory holds other files, because it will be removed."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise ValueError(f"{self.folder} is needed for finished chunks, but it is a file.")
        has_settings = (self.folder / SETTINGS).is_file()
        for path in sorted(self.folder.iterdir()):
            is_ours = OURS.fullmatch(path.name) and path.is_file()
            # Chunks are never without settings.
            if not is_ours or (CHUNK.fullmatch(path.name) and not has_settings):
                raise ValueError(
                    f"{self.folder} is needed for finished chunks, but holds something else: "
                    f"{path.name}. Move it away."
                )

    def _check_settings(self) -> None:
        path = self.folder / SETTINGS
        then = read_json(path)
        if then is not None and then != self.settings:
            if not self.force:
                raise ValueError(
                    f"{self.folder} holds chunks that were made with other settings: "
                    f"{_describe_change(then, self.settings)}. Use the earlier settings to resume, "
                    "or --force to start again."
                )
            then = None
        if then is None:
            self._clear()
            write_json(path, self.settings)

    def find(self, number: int, digest: str) -> Part | None:
        """Look for a finished chunk.

        number (int): Zero-based position of the chunk.
        digest (str): Digest of its records.
        RETURNS (Part | None): The chunk. None if it is missing or damaged.
        RAISES (ValueError): When it was made from other records and `force` is not set.
        """
        path = self._path(number)
        entry = read_json(path.with_suffix(".json"))
        if entry is None or not entry.keys() >= ENTRY:
            return None
        if entry["input"] != digest:
            self._refuse(f"record {self.n_done + 1} to {self.n_done + entry['n']}")
            return None
        if not is_intact(path, entry):
            logger.warning("%s is damaged and is made again.", path)
            return None
        self.n_kept += entry["n"]
        self.n_done += entry["n"]
        return Part(path, entry["n"], entry["info"])

    def add(
        self, number: int, digest: str, n: int, write: Callable[[Path], dict[str, Any]]
    ) -> Part:
        """Keep a chunk.

        number (int): Zero-based position of the chunk.
        digest (str): Digest of its records.
        n (int): The number of records.
        write (Callable): Writes the contents to a path, and returns the `info` of the chunk, JSON.
        RETURNS (Part): The chunk.
        """
        path = self._path(number)
        with replaced_manifest(path.with_suffix(".json")) as entry:
            with atomic_path(path) as unfinished:
                info = write(unfinished)
            entry.update({"input": digest, "n": n, **describe_file(path), "info": info})
        self.n_done += n
        return Part(path, n, info)

    def end(self, number: int) -> None:
        """Check that an earlier run made no more chunks than this one.

        number (int): The number of chunks.
        RAISES (ValueError): When it made more, and `force` is not set.
        """
        if read_json(self._path(number).with_suffix(".json")) is not None:
            self._refuse(f"what comes after record {self.n_done}")

    def _refuse(self, where: str) -> None:
        if not self.force:
            raise ValueError(
                f"{self.folder} holds chunks of another input: {where} is not what it was before. "
                "Use the earlier input to resume, or --force to replace the chunks that differ."
            )

    def remove(self) -> None:
        """Remove the directory when it is unlocked, because the result is complete."""
        self._is_finished = True

    def _has_chunks(self) -> bool:
        return any(CHUNK.fullmatch(path.name) for path in self.folder.iterdir())

    def _clear(self) -> None:
        """Remove all files but the lock. The settings are last, because chunks need them."""
        for path in sorted(self.folder.iterdir(), key=lambda path: path.name == SETTINGS):
            if path.name != LOCK:
                path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{self.suffix}"


def _describe_change(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return "; ".join(f"{name} was {then.get(name)}, and is {now.get(name)}" for name in names)
