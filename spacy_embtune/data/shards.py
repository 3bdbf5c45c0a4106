"""Divide a corpus of any number of files into parts that can be read on their own.

Parquet is divided by rows, and plain lines, JSON lines, CSV and TSV by ranges of bytes that end
with a row. All other files, and files that are compressed, are one part each.
"""

import codecs
import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

from ._column_types import check_types
from ._columns import import_pyarrow
from ._delimited import LONGEST_CELL, start_table
from ._dialects import Lines
from ._input_files import InputFile, find_digest, find_files, find_version, is_corpus_of_files
from ._input_parts import InputPart, new_digest
from ._json import ARRAY_OF_OBJECTS
from ._rows import ReadSettings, check_columns
from ._sources import COMPRESSIONS, Source
from .label_log import read_header
from .label_settings import LabelSettings, check_label_settings
from .records import make_read_settings

__all__ = [
    "InputPart",
    "check_file",
    "check_part",
    "find_parts",
    "is_corpus_of_files",
    "shard_key",
]

# The number of rows of a part, if the file can be divided.
ROWS = 32_768
# A smaller file of text is one part, and is not read before its turn.
SMALL_BYTES = 2**20
# A file with a longer line is not a file of lines.
LONGEST_LINE = 2**26
# Encodings in which a line end is one byte that is part of no other character.
PLAIN_ENCODINGS = ("utf8", "ascii", "latin", "iso8859", "cp125", "windows125")
# The first bytes of files that are compressed, or in UTF-16 or UTF-32.
NOT_LINES = (
    *(start for one in COMPRESSIONS.values() for start in one.starts),
    *(codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE),
)
# Characters of names of files that are also in the names of shards.
NOT_KEPT = re.compile(r"[^A-Za-z0-9.]")


def shard_key(name: str) -> str:
    """Make of the name of a file the beginning of the names of its shards. Files are in the order
    of these keys, so that shards in the order of their names are in the order of the input.

    >>> shard_key("2024/part-1.jsonl")
    '2024_part_1.jsonl'

    name (str): The name of a file, relative to the directory of the corpus.
    RETURNS (str): The name with "_" for all characters but letters of ASCII, digits and dots.
    """
    return NOT_KEPT.sub("_", name)


def find_parts(
    data: str | os.PathLike[str],
    *,
    kind: str | None = None,
    rows: int = ROWS,
    text_field: str = "text",
    label_field: str | None = None,
    label_fields: Sequence[str] = (),
    label_separator: str | None = None,
    label_bins: Sequence[float] = (),
    id_field: str = "id",
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: str | None = None,
) -> list[InputPart]:
    """Divide a corpus into parts, in the order of the names of its files (see `shard_key`) and of
    their rows. Each file is read once: of lines above a megabyte, to find where rows begin, and of
    other files, to compute a digest. A file whose store gives a tag of its contents (the ETag of
    S3) needs no digest. `read_records` reads a part.

    Rows without an id get the number of rows before them in their file. If there are several files,
    the name of the file stands before it.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from spacy_embtune.data import read_records
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a", "b"):
    ...         _ = Path(folder, f"{name}.jsonl").write_text('{"text": "Good soup."}\\n')
    ...     parts = find_parts(folder)
    ...     [record.id for part in parts for record in read_records(part)]
    ['a.jsonl:0', 'b.jsonl:0']

    data (str | os.PathLike): A file, a directory, a pattern such as "corpus/*.parquet", or an
        address of one of these (s3://..., through fsspec).
    kind (str | None): The format of the files. None: their suffixes decide.
    rows (int): The most rows of a part, if the file can be divided.
    text_field, label_field, label_fields, label_separator, label_bins, id_field, delimiter,
        encoding, quotes: As for `read_records`.
    RETURNS (list[InputPart]): The parts. A Parquet file without rows has none.
    RAISES (ValueError): If there is no file, files have several formats, a table lacks a column, or
        tables have different columns.
    """
    if rows < 1:
        raise ValueError(f"The rows of a shard are {rows}: give a number of at least 1.")
    labels = check_label_settings(
        LabelSettings(label_field, label_fields, label_separator, label_bins)
    )
    settings = make_read_settings(
        labels,
        text_field=text_field,
        id_field=id_field,
        delimiter=delimiter,
        encoding=encoding,
        quotes=quotes,
    )
    data = os.fspath(data)
    files, kind = find_files(data, kind)
    has_prefix = is_corpus_of_files(data)
    parts: list[InputPart] = []
    columns: dict[str, tuple[Any, str]] = {}
    for file in sorted(files, key=lambda file: (shard_key(file.name), file.name)):
        whole = InputPart(
            file.address,
            file.name,
            kind,
            fingerprint="",
            id_prefix=f"{file.name}:" if has_prefix else "",
            version=file.version,
        )
        if kind == "parquet":
            found = list(_divide_parquet(whole, rows, settings, columns))
        else:
            found = _divide_lines(whole, file, rows, settings)
        if any(not part.is_bytes for part in found):
            digest = find_digest(file.address)
            found = [part._replace(fingerprint=digest) for part in found]
        parts += found
    return parts


def check_part(part: InputPart) -> None:
    """Check that the contents of the file of a part are still those that were divided. Ranges of
    bytes are checked when they are read.

    part (InputPart): The part.
    RAISES (ValueError): If the file has changed.
    RAISES (OSError): If it is not there.
    """
    if part.is_bytes or (version := find_version(part.address)) == part.version:
        return
    if _find_digest_of(part.address, version) != part.fingerprint:
        raise ValueError(
            f"{part.address}: the file has changed since the run began. Start the same command "
            "again when the file stays as it is."
        )


@lru_cache(maxsize=64)
def _find_digest_of(address: str, version: str) -> str:
    """RETURNS (str): The digest of a file of which this process may read many parts."""
    return find_digest(address)


def check_file(part: InputPart) -> None:
    """Check that this machine sees the file of a part.

    part (InputPart): The part.
    RAISES (ValueError): If the file has changed, or is at an address and not there.
    RAISES (OSError): If it is not there.
    """
    if part.is_bytes:
        find_version(part.address)
    else:
        check_part(part)


def _divide_parquet(
    whole: InputPart, rows: int, settings: ReadSettings, columns: dict[str, tuple[Any, str]]
) -> Iterator[InputPart]:
    """YIELDS (InputPart): Whole row groups, as many as have at most so many rows; of larger row
    groups, parts of equal size."""
    pyarrow = import_pyarrow()
    with ExitStack() as stack:
        try:
            file = stack.enter_context(
                pyarrow.parquet.ParquetFile(Source(whole).open_seekable(stack, "Parquet"))
            )
        except (pyarrow.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            # The shard is reported when it is its turn, so that others are not stopped.
            yield whole
            return
        check_columns(whole.address, file.schema_arrow.names, settings)
        check_types(whole.address, file.schema_arrow, columns)
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    start = end = 0
    for size in sizes:
        if end > start and end + size - start > rows:
            yield _range(whole, start, end)
            start = end
        end += size
        while end - start > rows:
            n_pieces = -(-(end - start) // rows)
            middle = start + -(-(end - start) // n_pieces)
            yield _range(whole, start, middle)
            start = middle
    if end > start:
        yield _range(whole, start, end)


def _range(whole: InputPart, start: int, end: int) -> InputPart:
    return whole._replace(
        start=start, end=end, n_rows=end - start, first_row=start, line_shift=start
    )


def _divide_lines(
    whole: InputPart, file: InputFile, rows: int, settings: ReadSettings
) -> list[InputPart]:
    """RETURNS (list[InputPart]): The parts of a file of lines; the whole file if it cannot be
    divided."""
    size = int(file.version.partition("-")[0]) if file.version[:1].isdigit() else SMALL_BYTES + 1
    if whole.kind not in ("jsonl", "text", "csv", "tsv") or size <= SMALL_BYTES:
        return [whole]
    if settings.encoding is not None and not settings.encoding.replace("_", "").replace(
        "-", ""
    ).lower().startswith(PLAIN_ENCODINGS):
        return [whole]
    try:
        return list(_Divider(whole, rows, settings).divide())
    except (_NotDivisible, csv.Error, UnicodeError):
        return [whole]


class _NotDivisible(Exception):
    """A file has no rows that are found without reading all that is before them."""


class _Divider:
    """Divides a file of lines.

    The lines of a table are read by the same parser as later, so that a line break within a cell
    ends no row.
    """

    def __init__(self, whole: InputPart, rows: int, settings: ReadSettings) -> None:
        self._whole = whole
        self._rows = rows
        self._settings = settings
        self._offset = 0
        self._n_lines = 0
        self._digest = new_digest()
        self._has_quotes = False

    def divide(self) -> Iterator[InputPart]:
        """YIELDS (InputPart): The parts. RAISES (_NotDivisible): If the file cannot be divided."""
        with ExitStack() as stack:
            source = Source(self._whole)
            if source.read_head().startswith(NOT_LINES):
                raise _NotDivisible
            lines = self._read(stack.enter_context(source.open()))
            if self._whole.kind in ("csv", "tsv"):
                yield from self._divide_table(lines)
            else:
                yield from self._divide_plain(lines)

    def _read(self, stored: Any) -> Iterator[bytes]:
        """YIELDS (bytes): The lines, counted. RAISES (_NotDivisible): If a line is not plain."""
        while line := stored.readline(LONGEST_LINE):
            is_cr = b"\r" in line and line.count(b"\r") > line.endswith(b"\r\n")
            if is_cr or len(line) >= LONGEST_LINE or b"\0" in line:
                raise _NotDivisible
            self._offset += len(line)
            self._n_lines += 1
            self._digest.update(line)
            yield line

    def _divide_plain(self, lines: Iterator[bytes]) -> Iterator[InputPart]:
        is_json = self._whole.kind == "jsonl"
        start = n_rows = first_row = first_line = 0
        for line in lines:
            if self._n_lines == 1 and is_json:
                first = line.decode(errors="replace")
                if ARRAY_OF_OBJECTS.match(first) or read_header(first) is not None:
                    raise _NotDivisible
            if line.isspace():
                continue
            n_rows += 1
            if n_rows == self._rows:
                # Plain lines are numbered with blank lines, JSON lines without.
                before = first_row if is_json else first_line
                yield self._cut(start, n_rows, before, first_line)
                first_row += n_rows
                start, n_rows, first_line = self._offset, 0, self._n_lines
        if n_rows:
            yield self._cut(start, n_rows, first_row if is_json else first_line, first_line)

    def _divide_table(self, lines: Iterator[bytes]) -> Iterator[InputPart]:
        usual = "\t" if self._whole.kind == "tsv" else ","
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
        with Source(self._whole).open_text(self._settings.encoding) as text:
            ahead = Lines(text.file)
            delimiter = start_table(ahead, self._settings, usual)
            has_separator_line = ahead.number > 0
        rows = self._read_rows(lines, delimiter, has_separator_line)
        if not any(any(map(str.strip, cells)) for cells in rows):
            raise _NotDivisible
        head_size, head_lines, head_digest = self._offset, self._n_lines, self._digest.copy()
        start, n_rows, first_row, first_line = head_size, 0, 0, head_lines
        for cells in rows:
            if not any(map(str.strip, cells)):
                continue
            n_rows += 1
            if n_rows == self._rows:
                part = self._cut(start, n_rows, first_row, first_line - head_lines)
                yield part._replace(head_size=head_size, delimiter=delimiter)
                self._digest = head_digest.copy()
                first_row += n_rows
                start, n_rows, first_line = self._offset, 0, self._n_lines
        if n_rows:
            part = self._cut(start, n_rows, first_row, first_line - head_lines)
            yield part._replace(head_size=head_size, delimiter=delimiter)

    def _read_rows(
        self, lines: Iterator[bytes], delimiter: str, has_separator_line: bool
    ) -> Iterator[list[str]]:
        """YIELDS (list[str]): The rows, the first of which names the columns, as `read_table` reads
        them. RAISES (_NotDivisible): If quotation marks may be read in two ways."""
        encoding, quotes = self._settings.encoding or "utf-8-sig", self._settings.quotes

        def decode() -> Iterator[str]:
            for line in lines:
                # With tabs, the reader finds out what quotation marks mean, from all before them.
                if b'"' in line and (b'\\"' in line or (quotes is None and (delimiter == "\t"))):
                    raise _NotDivisible
                yield line.decode(encoding, errors="surrogateescape")

        decoded = decode()
        if has_separator_line:
            next(decoded)
        if quotes == "literal":
            yield from (line.rstrip("\r\n").split(delimiter) for line in decoded)
        else:
            yield from csv.reader(decoded, delimiter=delimiter, strict=True)

    def _cut(self, start: int, n_rows: int, first_row: int, line_shift: int) -> InputPart:
        """RETURNS (InputPart): The part from a byte up to where the file has been read."""
        part = self._whole._replace(
            fingerprint=self._digest.hexdigest(),
            start=start,
            end=self._offset,
            n_rows=n_rows,
            first_row=first_row,
            line_shift=line_shift,
            # Its digest tells whether it was changed.
            version="",
        )
        self._digest = new_digest()
        return part
