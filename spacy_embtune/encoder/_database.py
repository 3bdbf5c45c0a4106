"""The file of a store of vectors: an SQLite database of bounded size, shared by processes."""

import errno
import logging
import os
import sqlite3
import threading
import time
import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FILE = "vectors.db"
# A page holds two or more vectors of 1,024 float32, so that little of it stays empty.
PAGE_BYTES = 16_384
# Estimated size of a row without its vector, its part of the index included.
ROW_BYTES = 64
KEYS_PER_QUERY = 500
# How long to wait while another process writes.
BUSY_SECONDS = 60.0
# Written into the file's header ("embt"), so that databases of other programs are recognised.
APPLICATION_ID = 0x656D6274
FORMAT = 1

CREATE = """
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,  -- ascends with time: the oldest rows have the lowest
    key BLOB NOT NULL UNIQUE,
    dtype TEXT NOT NULL,
    crc INTEGER NOT NULL,
    vector BLOB NOT NULL
)
"""


class StoreError(ValueError):
    """A store of vectors cannot be opened, read or written, or has vectors of two kinds."""


class StoreFullError(StoreError):
    """The disk is full."""


class VectorDatabase:
    """Keeps vectors by key in a directory.

    Inserted vectors are not lost if the process is killed. When the bound is reached, the oldest
    sixteenth is dropped. Threads may share a database. It is opened when it is first needed.

    path (Path): The directory. It is created if there is none, inside a directory that exists.
    max_bytes (int): Bound for the size of its files together.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._first_id: int | None = None
        self._warned_of_size = False
        _DATABASES.add(self)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. It is opened again when it is next needed."""
        with self._lock:
            self._close()

    def count(self) -> int:
        """RETURNS (int): Number of vectors."""
        with self._lock, self._reporting():
            (n,) = self._open().execute("SELECT count(*) FROM vectors").fetchone()
        return int(n)

    def read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, NDArray[Any]]]:
        """Find vectors.

        keys (Sequence[bytes]): Keys.
        RETURNS (Iterator): Pairs of key and vector, for the keys that are there.
        RAISES (StoreError): If the file cannot be opened or read.
        """
        for start in range(0, len(keys), KEYS_PER_QUERY):
            part = keys[start : start + KEYS_PER_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, dtype, crc, vector FROM vectors WHERE key IN ({marks})"
            with self._lock, self._reporting():
                found = self._open().execute(query, part).fetchall()
            for key, dtype, crc, data in found:
                try:
                    vector = np.frombuffer(data, dtype=dtype)
                    is_whole = crc == _checksum(key, dtype, data)
                except (TypeError, ValueError):
                    is_whole = False
                if not is_whole:
                    raise self._damaged("a vector differs from what was stored")
                yield key, vector

    def insert(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Store vectors in one or more transactions. A key that is there already keeps its vector.

        keys (Sequence[bytes]): The n keys.
        rows (ndarray): Their vectors, shape (n, d).
        RAISES (StoreError): If they cannot be stored.
        """
        # A transaction and its log shall be small compared with the whole database.
        step = max(1, self.max_bytes // 32 // (rows[0].nbytes + ROW_BYTES))
        for start in range(0, len(keys), step):
            with self._lock, self._reporting():
                self._insert(keys[start : start + step], rows[start : start + step])

    def _insert(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        connection = self._open()
        vectors = [row.tobytes() for row in rows]
        dtype = rows.dtype.str
        values = [
            (key, dtype, _checksum(key, dtype, vector), vector)
            for key, vector in zip(keys, vectors, strict=True)
        ]
        self._make_room(connection, rows.nbytes + len(rows) * ROW_BYTES)
        with connection:
            self._begin(connection)
            if self._first_id is None:
                query = "SELECT coalesce(max(id), 0) + 1 FROM vectors"
                (self._first_id,) = connection.execute(query).fetchone()
            connection.executemany(
                # Another process may have stored the same key in the meantime.
                "INSERT OR IGNORE INTO vectors (key, dtype, crc, vector) VALUES (?, ?, ?, ?)",
                values,
            )
        surplus = _pragma(connection, "page_count") - self._max_pages(connection)
        if surplus > 0:
            # Not `execute`: it would run only the first step, which frees one page.
            connection.executescript(f"PRAGMA incremental_vacuum({surplus})")

    def _make_room(self, connection: sqlite3.Connection, n_bytes: int) -> None:
        """Drop the oldest vectors until so many bytes fit, a part at a time, because the log grows
        with what is dropped."""
        max_pages = self._max_pages(connection)
        # Up to half of each page may stay empty.
        n_needed = 2 * n_bytes // _pragma(connection, "page_size") + 4
        if 2 * n_needed > max_pages:
            raise StoreError(
                f"A vector of {n_bytes:,} bytes is too large for the store of vectors in "
                f"{self.path}, which is bounded to {self.max_bytes:,} bytes. Raise the bound."
            )
        while True:
            with connection:
                self._begin(connection)
                n_used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
                low, high = connection.execute("SELECT min(id), max(id) FROM vectors").fetchone()
                if n_used + n_needed <= max_pages or low is None:
                    return
                last = low + (high - low) // 16
                connection.execute("DELETE FROM vectors WHERE id <= ?", (last,))
            if self._first_id is not None and last >= self._first_id:
                self._report_loss()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write as soon as the log is short.

        SQLite starts a new log only when no process is reading, which never happens with several
        busy processes. So all of them wait here until one has shortened the log.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            connection.execute("BEGIN IMMEDIATE")
            # Read here, where no other process can write.
            if self._log_bytes() <= self.max_bytes // 16:
                return
            connection.execute("ROLLBACK")
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy and time.monotonic() > deadline:
                raise self._busy("its log cannot be shortened")
            if is_busy:
                time.sleep(0.01)

    def _log_bytes(self) -> int:
        try:
            return (self.path / f"{FILE}-wal").stat().st_size
        except OSError:
            return 0

    def _report_loss(self) -> None:
        """Warn once that vectors are dropped which this object stored itself."""
        if not self._warned_of_size:
            self._warned_of_size = True
            logger.warning(
                "The store of vectors in %s is full (%s bytes) and drops vectors of this run: "
                "texts that are read again are encoded again. Raise the bound (max_bytes, or "
                "cache_dir_bytes in a config).",
                self.path,
                f"{self.max_bytes:,}",
            )

    def _max_pages(self, connection: sqlite3.Connection) -> int:
        """RETURNS (int): Bound for the number of pages; the other bytes are for the log."""
        return self.max_bytes * 13 // 16 // _pragma(connection, "page_size")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._make_directory()
            connection = sqlite3.connect(
                self.path / FILE,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _make_directory(self) -> None:
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            place = f"The store of vectors {self.path} cannot be created"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFullError(f"{place}: the disk is full. Make room on it.") from error
            if os.path.exists(self.path):
                text = (
                    f"{self.path} is a file. Give a directory: of a store of vectors, or a new one."
                )
            elif not os.path.isdir(self.path.parent):
                text = (
                    f"{place}: {self.path.parent} is no directory. Check the spelling, or make it "
                    f"first."
                )
            else:
                text = f"{place} ({error.strerror}). Give a directory in which you may write."
            raise StoreError(text) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the table in a new file, and check a file that is not new."""
        # These two have an effect in a new file only, and must come before anything else.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not n_tables:
                connection.execute(CREATE)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            owner, version = (_pragma(connection, n) for n in ("application_id", "user_version"))
        if owner != APPLICATION_ID:
            raise StoreError(
                f"{self.path / FILE} is a database of another program. Give a directory of its own."
            )
        if version > FORMAT:
            raise StoreError(
                f"The store of vectors in {self.path} was made by a newer spacy-embtune (format "
                f"{version}, this one reads up to {FORMAT}). Upgrade spacy-embtune, or give "
                f"another directory."
            )
        _write_ahead(connection)
        # After a crash of the machine the last transactions may be missing, but no data is damaged.
        connection.execute("PRAGMA synchronous = NORMAL")
        log_pages = min(max(self._max_pages(connection) // 32, 8), 256)
        connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}")
        connection.execute(f"PRAGMA journal_size_limit = {log_pages * PAGE_BYTES}")
        # Keys are random, so that a transaction touches much of their index.
        connection.execute("PRAGMA cache_size = -32768")

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn the errors of SQLite into errors that name the directory and the cure."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            # The lower byte is the kind of error. An error without a code comes from Python, which
            # could not read a value.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            raise self._explain(error, code) from error

    def _explain(self, error: sqlite3.Error, code: int) -> StoreError:
        place = f"The store of vectors in {self.path}"
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
            return self._damaged(error)
        if code == sqlite3.SQLITE_FULL:
            return StoreFullError(f"{place} cannot grow ({error}). Make room on the disk.")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StoreError(
                f"{place} cannot be written ({error}). Give a directory in which you may write."
            )
        if code == sqlite3.SQLITE_BUSY:
            return self._busy(error)
        return StoreError(
            f"{place} cannot be used ({error}). Check the disk, or give another directory."
        )

    def _busy(self, cause: object) -> StoreError:
        return StoreError(
            f"The store of vectors in {self.path} was in use by another process for over "
            f"{BUSY_SECONDS:.0f} seconds ({cause}). Try again, or give another directory."
        )

    def _damaged(self, cause: object) -> StoreError:
        return StoreError(
            f"The store of vectors in {self.path} is damaged ({cause}). Delete the directory: its "
            f"vectors will be computed again."
        )


def _checksum(key: bytes, dtype: str, vector: bytes) -> int:
    return zlib.crc32(vector, zlib.crc32(dtype.encode(), zlib.crc32(key)))


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the write-ahead log on. If several processes do so at once, SQLite does not wait."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


# An SQLite connection must not be used or closed in a forked child, because both processes would
# believe that they hold the locks. So all connections are closed before a fork, and opened again
# when they are needed.
_DATABASES: "weakref.WeakSet[VectorDatabase]" = weakref.WeakSet()
_HELD: list[VectorDatabase] = []
_FORK_LOCK = threading.Lock()


def _before_fork() -> None:
    _FORK_LOCK.acquire()
    for database in list(_DATABASES):
        database._lock.acquire()
        _HELD.append(database)
        database._close()


def _after_fork() -> None:
    while _HELD:
        _HELD.pop()._lock.release()
    _FORK_LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
