"""A part of an input file, and the file object that gives its bytes."""

import hashlib
import io
from typing import IO, Any, NamedTuple

# Hexadecimal digits of the digest of a part.
N_DIGITS = 32


class InputPart(NamedTuple):
    """A part of a file of records, which one worker reads.

    >>> part = InputPart("corpus/a.jsonl", "a.jsonl", "jsonl", fingerprint="12-34")
    >>> str(part)
    'corpus/a.jsonl'

    address (str): The path or the address of the file.
    name (str): The name of the file relative to the directory of the corpus.
    kind (str): The format of the file.
    fingerprint (str): The digest of the bytes of a part that is a range of bytes; otherwise that of
        the whole file, or the tag of its contents that an object store gives.
    start (int): The first byte, or the first row of a Parquet file.
    end (int | None): The byte or row behind the last one. None: the part is the whole file.
    n_rows (int | None): The number of rows. None: it is not known before the part is read.
    first_row (int): The number of rows of the file before this part.
    line_shift (int): What is added to the numbers of lines or rows that the reader counts.
    head_size (int): Bytes at the start of the file that are read before the part: the names of the
        columns.
    delimiter (str | None): The character between the cells of CSV and TSV, found in the whole file.
    id_prefix (str): What the ids of rows without an id begin with.
    version (str): The size and the modification time of the file when it was divided, or the tag of
        an object store; empty for a range of bytes.
    """

    address: str
    name: str
    kind: str
    fingerprint: str
    start: int = 0
    end: int | None = None
    n_rows: int | None = None
    first_row: int = 0
    line_shift: int = 0
    head_size: int = 0
    delimiter: str | None = None
    id_prefix: str = ""
    version: str = ""

    def __str__(self) -> str:
        return self.address

    @property
    def is_bytes(self) -> bool:
        """RETURNS (bool): Whether the part is a range of bytes."""
        return self.end is not None and self.kind != "parquet"

    def without_place(self) -> "InputPart":
        """RETURNS (InputPart): The part without its address and version, which a copy of the file
        does not share."""
        return self._replace(address="", version="")

    def describe(self) -> str:
        """RETURNS (str): The part in words, for messages."""
        if self.end is None:
            return self.address
        unit = "bytes" if self.is_bytes else "rows"
        return f"{self.address}, {unit} {self.start:,} to {self.end:,}"


def new_digest() -> Any:
    """RETURNS (Any): The state of the digest of the bytes of a part, as of hashlib."""
    return hashlib.blake2b(digest_size=N_DIGITS // 2)


class RangeFile(io.RawIOBase):
    """The bytes of a part: the head of the file, then a range. At the end they are compared with
    the digest of the part.

    size (int): The number of bytes.
    """

    def __init__(self, file: IO[bytes], part: InputPart) -> None:
        """Initialize the file.

        file (IO[bytes]): The whole file, at its start.
        part (InputPart): The part, a range of bytes.
        """
        self._file = file
        self._part = part
        self._digest = new_digest()
        self._left = [part.head_size, (part.end or 0) - part.start]
        self._at = 0
        self.size = sum(self._left)

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._left and not self._left[0]:
            self._left.pop(0)
            if self._left:
                self._file.seek(self._part.start)
        if not self._left:
            return 0
        data = self._file.read(min(len(buffer), self._left[0]))
        self._digest.update(data)
        self._left[0] -= len(data)
        self._at += len(data)
        is_end = self._at == self.size
        if not data or (is_end and self._digest.hexdigest() != self._part.fingerprint):
            raise ValueError(
                f"{self._part.describe()}: the file has changed since the run began. Start the "
                "same command again when the file stays as it is."
            )
        buffer[: len(data)] = data
        return len(data)
