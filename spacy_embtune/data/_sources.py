"""Files and standard input as streams of uncompressed bytes."""

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from ._rows import Position

STDIN = "-"
GZIP_START = b"\x1f\x8b"


def source_name(source: str | Path) -> str:
    """Name a source in a message.

    >>> source_name("-"), source_name("data.csv")
    ('standard input', 'data.csv')

    source (str | Path): A path, or "-" for standard input.
    RETURNS (str): The name.
    """
    return "standard input" if str(source) == STDIN else str(source)


def check_exists(source: str | Path) -> None:
    """Check that there is a file.

    source (str | Path): A path, or "-" for standard input.
    RAISES (ValueError): If there is no such file, or it is a directory.
    """
    path = Path(source)
    if str(source) == STDIN:
        return
    if path.is_dir():
        raise ValueError(f"{path}: is a directory. Give a file.")
    if not path.exists():
        raise ValueError(f"{path}: there is no such file. Check the spelling.")


class Source:
    """A file, or standard input.

    path (Path | None): The path of the file; None for standard input.
    name (str): The name for error messages.
    position (Position): Is updated while the source is read.
    """

    def __init__(self, path: str | Path, position: Position | None = None) -> None:
        """Initialize the source, without opening it.

        path (str | Path): The path, or "-" for standard input.
        position (Position | None): Is updated while the source is read.
        """
        self.path = None if str(path) == STDIN else Path(path)
        self.name = source_name(path)
        self.position = Position() if position is None else position

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the source. The contents, not the name, decide whether it is decompressed, because
        standard input has no name.

        YIELDS (IO[bytes]): The uncompressed bytes.
        RAISES (ValueError): While they are read, if a gzip file is damaged.
        """
        with ExitStack() as stack:
            stored: Any
            if self.path is None:
                stored = sys.stdin.buffer
                if not hasattr(stored, "peek"):
                    stored = io.BufferedReader(stored)
            else:
                stored = stack.enter_context(self.path.open("rb"))
            size = _size_of(stored)
            if size:
                self.position.follow(lambda: stored.tell() / size)
                stack.callback(self.position.follow, lambda: 1.0)
            if stored.peek(2)[:2] != GZIP_START:
                yield stored
                return
            try:
                yield cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=stored)))
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(
                    f"{self.name}: is not a whole gzip file ({error}). Create it again."
                ) from error


def _size_of(file: IO[bytes]) -> int:
    """RETURNS (int): The size of a regular file in bytes; 0 for a pipe, which has no known size."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
