"""Files and standard input as streams of uncompressed bytes, and of decoded text."""

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from .._extras import import_extra
from ._encodings import DecodedText, choose_encoding
from ._input_parts import InputPart, RangeFile
from ._padding import Unpadded, unit_of
from ._remote import import_fsspec, is_address, open_address
from ._rows import Position

STDIN = "-"
# Bytes that are looked at before a stream is read.
HEAD_SIZE = 2048
# Bytes that are enough to recognize compressed files and byte order marks.
LONGEST_MARK = 10


class Compression(NamedTuple):
    """One way of compressing files.

    suffix (str): The end of the names of such files.
    starts (tuple[bytes, ...]): What such files begin with.
    open (Callable[[IO[bytes]], Any]): Opens a stream of compressed bytes.
    """

    suffix: str
    starts: tuple[bytes, ...]
    open: Callable[[IO[bytes]], Any]


def _open_gzip(file: IO[bytes]) -> Any:
    return gzip.GzipFile(fileobj=file)


def _open_zstd(file: IO[bytes]) -> Any:
    # Unlike the package zstandard, pyarrow notices if the end of the file is missing.
    pyarrow = import_extra("pyarrow", "Files that zstd compressed need pyarrow", extra="parquet")
    return io.BufferedReader(
        cast(io.RawIOBase, pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd"))
    )


COMPRESSIONS: dict[str, Compression] = {
    "gzip": Compression(".gz", (b"\x1f\x8b",), _open_gzip),
    "bzip2": Compression(
        ".bz2",
        tuple(b"BZh%d" % i + end for i in range(1, 10) for end in (b"1AY&SY", b"\x17rE8P\x90")),
        bz2.BZ2File,
    ),
    "xz": Compression(".xz", (b"\xfd7zXZ\x00",), lzma.LZMAFile),
    "zstd": Compression(".zst", (b"\x28\xb5\x2f\xfd",), _open_zstd),
}
COMPRESSION_SUFFIXES = tuple(compression.suffix for compression in COMPRESSIONS.values())


def source_name(source: Any) -> str:
    """Name a source in a message.

    >>> source_name("-"), source_name("data.csv"), source_name([{"text": "a"}])
    ('standard input', 'data.csv', 'list')

    source (Any): A path, "-" for standard input, a part of a file, or a collection in memory.
    RETURNS (str): The name.
    """
    if isinstance(source, InputPart):
        return source.address
    if not isinstance(source, str | os.PathLike):
        return type(source).__name__
    return "standard input" if str(source) == STDIN else str(source)


def check_exists(source: str | os.PathLike[str]) -> None:
    """Check that there is a file.

    source (str | os.PathLike): A path, an address, or "-" for standard input.
    RAISES (ImportError): If it is an address, and fsspec is not installed.
    RAISES (ValueError): If there is no such file, or it is a directory.
    RAISES (PermissionError): If the directory of the file may not be entered.
    """
    if str(source) == STDIN:
        return
    if is_address(source):
        # Whether there is such a file is found out when it is opened.
        import_fsspec()
        return
    path = Path(source)
    with _explain_permission(path):
        if path.is_dir():
            raise ValueError(f"{path}: is a directory. Give a file.")
        if not path.exists():
            raise ValueError(f"{path}: there is no such file. Check the spelling.")


@contextmanager
def _explain_permission(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        reason = "you may not read it. Ask for permission, or copy it as a user who has it"
        raise PermissionError(errno.EACCES, reason, str(path)) from error


class Source:
    """A file, a file at an address, a part of one, or standard input.

    path (Path | None): The path of the file; None for an address and for standard input.
    address (str | None): The address.
    part (InputPart | None): The part that is read. None: the whole file.
    name (str): The name for error messages.
    position (Position): Is updated while the source is read.
    """

    def __init__(
        self, path: str | os.PathLike[str] | InputPart, position: Position | None = None
    ) -> None:
        """Initialize the source, without opening it.

        path (str | os.PathLike | InputPart): The path, an address, "-" for standard input, or a
            part of a file.
        position (Position | None): Is updated while the source is read.
        """
        self.part = path if isinstance(path, InputPart) else None
        if isinstance(path, InputPart):
            path = path.address
        self.address = str(path) if is_address(path) else None
        self.path = None if str(path) == STDIN or self.address is not None else Path(path)
        self.name = source_name(path)
        self.position = Position() if position is None else position

    @property
    def is_regular(self) -> bool:
        """RETURNS (bool): Whether this is a file that can be read twice, and not a pipe."""
        return self.path is not None and self.path.is_file()

    @property
    def is_stdin(self) -> bool:
        """RETURNS (bool): Whether this is standard input."""
        return self.path is None and self.address is None

    @property
    def is_plain(self) -> bool:
        """RETURNS (bool): Whether this is a file that can be read twice, and is not compressed."""
        if not self.is_regular:
            return False
        with cast(Path, self.path).open("rb") as file:
            head = file.read(HEAD_SIZE)
        return not any(head.startswith(c.starts) for c in COMPRESSIONS.values())

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the source. The contents, not the name, decide whether it is decompressed, because
        standard input has no name.

        YIELDS (IO[bytes]): The uncompressed bytes.
        RAISES (PermissionError): If the file may not be read.
        RAISES (ValueError): While they are read, if a compressed file is damaged.
        """
        with ExitStack() as stack:
            stored: Any = self._open_stored(stack)
            size = _size_of(stored)
            if size:
                self.position.follow(lambda: stored.tell() / size)
                stack.callback(self.position.follow, lambda: 1.0)
            head, stream = look_ahead(stored)
            found = [name for name, c in COMPRESSIONS.items() if head.startswith(c.starts)]
            if not found:
                yield stream
                return
            try:
                yield cast(IO[bytes], stack.enter_context(COMPRESSIONS[found[0]].open(stream)))
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    # An error of the disk, not of the file's contents.
                    raise
                raise ValueError(
                    f"{self.name}: is not a whole {found[0]} file ({error}). Create it again."
                ) from error

    @contextmanager
    def open_text(self, encoding: str | None = None) -> Iterator[DecodedText]:
        """Open the source as text. A byte order mark decides that it is UTF-16 or UTF-32.

        encoding (str | None): The encoding. None: UTF-8, unless there is another byte order mark.
        YIELDS (DecodedText): The text.
        RAISES (ValueError): If there is no such encoding, or the contents are not text.
        """
        with self.open() as stored:
            head, stream = look_ahead(stored)
            encoding, n_skipped = choose_encoding(self.name, head, encoding)
            stream.read(n_skipped)
            unpadded = io.BufferedReader(Unpadded(self.name, stream, unit_of(encoding)))
            file = io.TextIOWrapper(unpadded, encoding, errors="surrogateescape", newline="")
            try:
                yield DecodedText(self.name, file, encoding, self._read_again)
            except UnicodeError as error:
                raise ValueError(
                    f"{self.name}: cannot be decoded as {encoding} ({error}). The file is cut off, "
                    "or its encoding is another one: name it (encoding, --encoding)."
                ) from error

    def _read_again(self) -> Iterator[bytes]:
        """YIELDS (bytes): The lines of a file, to find out about its encoding; none of a pipe."""
        if self.is_regular or self.address is not None:
            with Source(self.address or cast(Path, self.path)).open() as file:
                yield from file

    def open_seekable(self, stack: ExitStack, what: str) -> Any:
        """Open the file as it is stored, for a reader that goes back and forth in it.

        stack (ExitStack): Closes the file.
        what (str): The format, for the error message.
        RETURNS (Any): The path of a regular file, or the file at an address.
        RAISES (ValueError): If it is a pipe.
        """
        if self.address is not None:
            return open_address(self.address, stack)
        if self.is_regular:
            return self.path
        raise ValueError(
            f"{self.name}: {what} cannot be read from a pipe. Save it to a file, and give that."
        )

    def read_head(self) -> bytes:
        """RETURNS (bytes): The first bytes of a file or an address as they are stored."""
        with ExitStack() as stack:
            return cast(bytes, self._open_whole(stack).read(HEAD_SIZE))

    def _open_stored(self, stack: ExitStack) -> Any:
        whole = self._open_whole(stack)
        if self.part is not None and self.part.is_bytes:
            return io.BufferedReader(RangeFile(whole, self.part))
        return whole

    def _open_whole(self, stack: ExitStack) -> Any:
        if self.address is not None:
            return open_address(self.address, stack)
        if self.path is None:
            return sys.stdin.buffer
        with _explain_permission(self.path):
            return stack.enter_context(self.path.open("rb"))


def look_ahead(file: IO[bytes]) -> tuple[bytes, io.BufferedReader]:
    """Read the first bytes of a stream, and give them back.

    file (IO[bytes]): The stream, which may be a pipe.
    RETURNS (tuple[bytes, io.BufferedReader]): The first bytes, and the whole stream.
    """
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    head = b""
    # A slow writer at the other end of a pipe is not waited for longer than necessary.
    while len(head) < LONGEST_MARK and (data := read(HEAD_SIZE)):
        head += data
    return head, io.BufferedReader(_Joined(head, file))


class _Joined(io.RawIOBase):
    """Some bytes, and the rest of a stream behind them. To close this does not close the stream."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)]
        self._head = self._head[len(data) :]
        if not data:
            read: Callable[[int], bytes] = getattr(self._rest, "read1", self._rest.read)
            data = read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _size_of(file: IO[bytes]) -> int:
    """RETURNS (int): The size of a file in bytes; 0 for a pipe, which has no known size."""
    if isinstance(size := getattr(file, "size", None), int):
        # A file at an address.
        return size
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
