"""Let one run at a time write to a directory of shards.

On a disk, the system locks a file, and frees it when its process ends. An object store has no
locks. There, a run writes the object `_lock` and renews it every few seconds. No clocks of two
machines are compared: another run reads the object again and again. If it changes, its owner is
alive. If it stays the same for a bounded time, its owner has ended, and the other run takes over.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ._storage import LocalStorage, Storage

logger = logging.getLogger(__name__)

LOCK = "_lock"
# Seconds between two renewals of the lock of an object store.
RENEWAL = 10.0
# Seconds without a renewal after which the owner of a lock counts as ended.
PATIENCE = 35.0
# Seconds between two looks at the lock of another run.
LOOK = 1.0
# Seconds after which each of two runs that began at once sees which lock was written last.
SETTLING = 1.0


@contextmanager
def locked(storage: Storage) -> Iterator[Callable[[], None]]:
    """Let one run at a time write to a directory.

    storage (Storage): The directory. A directory on a disk is made, and removed if it stays empty.
    YIELDS (Callable[[], None]): To be called now and then. It raises a ValueError if another run
        has taken over the directory, because this one could not renew its lock.
    RAISES (ValueError): When another process is writing to the directory.
    RAISES (OSError): When the directory cannot be written.
    """
    if isinstance(storage, LocalStorage):
        with _locked_on_disk(storage):
            yield lambda: None
        return
    lock = _LockObject(storage)
    lock.acquire()
    try:
        storage.clear_unfinished()
        yield lock.check
    finally:
        lock.release()


@contextmanager
def _locked_on_disk(storage: LocalStorage) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder = Path(storage.address)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"Another process is writing to {storage.address}. Wait for it, or end it."
        ) from error
    try:
        storage.clear_unfinished()
        yield
    finally:
        storage.clear_unfinished()
        lock.release()
        (folder / LOCK).unlink(missing_ok=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


class _LockObject:
    """The lock of a directory at an address: an object that names its owner, and is renewed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._token = uuid.uuid4().hex
        self._owner = {
            "token": self._token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        }
        self._n_renewals = 0
        self._new_owner: str | None = None
        self._is_released = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Write the lock. RAISES (ValueError): When another process holds it."""
        self._wait_for_other()
        self._write()
        time.sleep(SETTLING)
        found = self._storage.read(LOCK)
        if not self._is_own(found):
            self._refuse(found)
        self._thread.start()

    def check(self) -> None:
        """RAISES (ValueError): When another process has taken over."""
        if self._new_owner is not None:
            raise ValueError(
                f"{self._storage.address}: this run could not renew {LOCK} for a while, so "
                f"{self._new_owner} has taken over, or {LOCK} was removed. What is finished is "
                "kept. Start the same command again when no other process writes there."
            )

    def release(self) -> None:
        """Remove the lock, unless another process has taken over."""
        self._is_released.set()
        self._thread.join()
        try:
            if self._is_own(self._storage.read(LOCK)):
                self._storage.remove(LOCK)
        except OSError as error:
            # What the run has made is not lost by this.
            logger.warning("%s stays. The next run waits, and takes over. (%s)", LOCK, error)

    def _wait_for_other(self) -> None:
        """Wait until another process has released its lock, or counts as ended.

        RAISES (ValueError): When it is alive.
        """
        first = self._storage.read(LOCK)
        started = time.monotonic()
        while first is not None:
            time.sleep(LOOK)
            now = self._storage.read(LOCK)
            if now is None:
                return
            if now != first:
                self._refuse(now)
            waited = time.monotonic() - started
            if waited > PATIENCE:
                logger.warning(
                    "%s: %s has not renewed %s for %.0f seconds. This run takes over.",
                    self._storage.address,
                    _describe_owner(now),
                    LOCK,
                    waited,
                )
                return

    def _refuse(self, found: bytes | None) -> None:
        raise ValueError(
            f"Another process is writing to {self._storage.address}: {_describe_owner(found)}. "
            "Wait for it, or end it."
        )

    def _write(self) -> None:
        content = {**self._owner, "renewals": self._n_renewals}
        self._storage.write(LOCK, json.dumps(content).encode())

    def _is_own(self, found: bytes | None) -> bool:
        return found is not None and self._token.encode() in found

    def _renew(self) -> None:
        while not self._is_released.wait(RENEWAL):
            try:
                found = self._storage.read(LOCK)
                if not self._is_own(found):
                    self._new_owner = _describe_owner(found)
                    return
                self._n_renewals += 1
                self._write()
            except OSError as error:
                # The next renewal may succeed. If none does, another run may take over.
                logger.debug("%s cannot be renewed: %s", LOCK, error)


def _describe_owner(found: bytes | None) -> str:
    """RETURNS (str): Who wrote a lock, in words."""
    try:
        owner = json.loads(found or b"")
        return f"the process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (ValueError, LookupError, TypeError):
        return "another process"
