"""Files as streams of records, taken apart into fields, whatever these mean.

JSON lines, CSV, TSV and plain lines are read a line at a time, Parquet a batch at a time. A .spacy
file is one piece, and is read as a whole.
"""

import gzip
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import truediv
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from .._texts import shorten
from . import _files as files
from ._files import InvalidRecordError

STDIN = "-"
GZIP = b"\x1f\x8b"

# Rows of a Parquet file in memory at a time.
PARQUET_BATCH = 1024


class Position:
    """How far a source has been read: for a progress bar."""

    def __init__(self) -> None:
        self._tell: Callable[[], float] | None = None

    @property
    def fraction(self) -> float | None:
        """RETURNS (float | None): The share of the source that has been read, 0..1, by bytes or,
        where their number is known, by records; None if there is no end in sight, as of a pipe."""
        return None if self._tell is None else min(self._tell(), 1.0)


class Raw(NamedTuple):
    """A record as it stands in its file.

    number (int): How many records come before it; in plain lines, how many lines.
    line (int): The line that it starts in, from 1; without lines, its number, from 1.
    unit (str): What `line` counts: "line", "document" or "row".
    fields (Mapping[str, Any] | InvalidRecordError): Its fields, or what is wrong with it.
    """

    number: int
    line: int
    unit: str
    fields: Mapping[str, Any] | InvalidRecordError


def read_raw(
    source: str | Path, kind: str, *, needed: Mapping[str, str | None], position: Position
) -> Iterator[Raw]:
    """Read a source a record at a time.

    source (str | Path): A file in UTF-8, which may be compressed by gzip; "-" is standard input.
    kind (str): "jsonl", "csv", "tsv", "text", "spacy" or "parquet".
    needed (Mapping[str, str | None]): The fields that will be asked for, by the name of the setting
        that names them; None is not asked for. Columns that are lists or the like are left out
        unless they are among them.
    position (Position): Is told where to find out how far reading has come.
    YIELDS (Raw): The records.
    RAISES (ValueError): If it is not a whole file of its kind, or a table lacks the column of
        `needed`. What is wrong with one record is not raised.
    """
    name = name_of(source)
    if kind == "parquet":
        yield from _read_parquet(Path(source), needed, position)
        return
    try:
        with _open(source, position) as file:
            if kind == "jsonl":
                yield from _read_jsonl(file)
            elif kind == "text":
                yield from _read_lines(file, str(needed["text_field"]))
            elif kind == "spacy":
                yield from _read_spacy(file, name, str(needed["text_field"]), position)
            else:
                yield from read_table(file, name, kind, needed)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{name}: is not a whole gzip file ({error}). Make it anew.") from error


def name_of(source: str | Path) -> str:
    """RETURNS (str): What to call a source in an error."""
    return "standard input" if source == STDIN else str(source)


def import_pyarrow() -> Any:
    """RETURNS (Any): The module pyarrow, with pyarrow.parquet.
    RAISES (ImportError): If it is not installed, with the extra that brings it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Parquet needs pyarrow, which cannot be imported ({error}). Install it: "
            "pip install 'spacy-embtune[parquet]'"
        ) from error
    return pyarrow


@contextmanager
def _open(source: str | Path, position: Position) -> Iterator[IO[bytes]]:
    """Open a file or standard input, uncompressed."""
    with ExitStack() as stack:
        stored: Any
        if source == STDIN:
            stored = sys.stdin.buffer
            if not hasattr(stored, "peek"):
                stored = io.BufferedReader(stored)
        else:
            stored = stack.enter_context(Path(source).open("rb"))
        size = _size(stored)
        if size:
            position._tell = lambda: stored.tell() / size
            stack.callback(setattr, position, "_tell", lambda: 1.0)
        # By its contents: standard input has no name, and names lie.
        if stored.peek(2)[:2] == GZIP:
            yield cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=stored)))
        else:
            yield stored


def _size(file: IO[bytes]) -> int:
    """RETURNS (int): The bytes of a regular file; 0 for what has no end in sight, as a pipe."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _read_jsonl(lines: Iterable[bytes]) -> Iterator[Raw]:
    number = 0
    for line_number, line in enumerate(lines, start=1):
        if line.strip():
            yield Raw(number, line_number, "line", _parse_json(line))
            number += 1


def _parse_json(line: bytes) -> Mapping[str, Any] | InvalidRecordError:
    try:
        text = files.decode(line)
        fields = json.loads(text)
    except InvalidRecordError as error:
        return error
    except (ValueError, RecursionError) as error:
        return InvalidRecordError(
            "the line is not JSON",
            f"is not JSON ({error}). Write one object a line, strings in double quotes, line "
            "breaks in strings as \\n.",
        )
    if not isinstance(fields, dict):
        return InvalidRecordError(
            "the line is not an object",
            f"is {shorten(text.strip())}, a {type(fields).__name__}. Write an object a line, such "
            'as {"text": "Kick-off at eight."}.',
        )
    return fields


def _read_lines(lines: Iterable[bytes], text_field: str) -> Iterator[Raw]:
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        fields: Mapping[str, Any] | InvalidRecordError
        try:
            fields = {text_field: files.decode(line).rstrip("\r\n")}
            if b"\0" in line:
                raise InvalidRecordError(
                    "the line is not text",
                    "holds a NUL character, which no text does. Give a file of plain text.",
                )
        except InvalidRecordError as error:
            fields = error
        yield Raw(number, number + 1, "line", fields)


def read_table(
    lines: Iterable[bytes], name: str, kind: str, needed: Mapping[str, str | None]
) -> Iterator[Raw]:
    is_checked = False
    for number, (where, fields) in enumerate(files.read_table(lines, Path(name), f".{kind}")):
        if not is_checked and not isinstance(fields, InvalidRecordError):
            _check_columns(fields, needed, name)
            is_checked = True
        yield Raw(number, int(where.rpartition(" ")[2]), "line", fields)


def _check_columns(columns: Collection[str], needed: Mapping[str, str | None], name: str) -> None:
    for setting, column in needed.items():
        if column is not None and column not in columns:
            raise ValueError(
                f"{name}: has no column {column!r}, only "
                f"{shorten(', '.join(map(repr, columns)), 200)}. Say which it is ({setting})."
            )


def _read_spacy(file: IO[bytes], name: str, text_field: str, position: Position) -> Iterator[Raw]:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    try:
        docs = DocBin().from_bytes(file.read())
    except (zlib.error, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{name}: is not a .spacy file ({shorten(str(error), 80)}). Give one that DocBin wrote."
        ) from error
    for number, doc in enumerate(docs.get_docs(Vocab())):
        position._tell = partial(truediv, number + 1, len(docs))
        fields = {key: value for key, value in doc.user_data.items() if isinstance(key, str)}
        fields |= {text_field: doc.text, "cats": dict(doc.cats)}
        yield Raw(number, number + 1, "document", fields)


def _read_parquet(
    path: Path, needed: Mapping[str, str | None], position: Position
) -> Iterator[Raw]:
    pyarrow = import_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, n = file.schema_arrow, file.metadata.num_rows
            _check_columns(schema.names, needed, str(path))
            # Vectors and the like, which nobody asks for, are left where they are.
            wanted = {*needed.values(), "cats", "label"}
            columns = [
                field.name
                for field in schema
                if field.name in wanted or not pyarrow.types.is_nested(field.type)
            ]
            number = 0
            for batch in file.iter_batches(PARQUET_BATCH, columns=columns):
                for fields in batch.to_pylist():
                    position._tell = partial(truediv, number + 1, n)
                    yield Raw(number, number + 1, "row", fields)
                    number += 1
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            # The disk's error, not the file's.
            raise
        raise ValueError(
            f"{path}: is not a whole Parquet file ({shorten(str(error), 80)}). Make it anew."
        ) from error
