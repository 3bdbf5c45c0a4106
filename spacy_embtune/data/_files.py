"""Files of records: JSONL, CSV and TSV, a record at a time, each with the line it stands in."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .._texts import shorten

SUFFIXES = (".jsonl", ".csv", ".tsv")
CSV_CURE = (
    "Put texts with commas, quotes or line breaks in double quotes, and double the quotes in them."
)


class InvalidRecordError(ValueError):
    """What is wrong with one record.

    kind (str): What it is, in words that fit every record of which it is true: to be counted.
    detail (str): What it is here, and what to do about it, as a sentence.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def check_text(name: str, text: Any) -> str:
    """Check a text of a record.

    name (str): The field that it stands in.
    text (Any): What stands there.
    RETURNS (str): The text, which can be written anywhere.
    RAISES (InvalidRecordError): If it is no string, or not all of one.
    """
    if not isinstance(text, str):
        raise InvalidRecordError(
            f"{name!r} is not a text",
            f"{name!r} is {shorten(repr(text))}, a {type(text).__name__}. Give a text.",
        )
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InvalidRecordError(
            f"{name!r} holds half a character",
            f"{name!r} holds half a character ({error}). Write characters beyond U+FFFF as they "
            "are, or as two \\u escapes.",
        ) from error
    return text


class Record(NamedTuple):
    """One record of a file.

    where (str): Where it stands, for errors and reports.
    fields (Mapping[str, Any] | InvalidRecordError): Its fields by name, or what is wrong with it.
    """

    where: str
    fields: Mapping[str, Any] | InvalidRecordError


def read_records(path: Path) -> Iterator[Record]:
    """Read a file a record at a time. Blank lines are passed over.

    path (Path): A file in UTF-8: .jsonl with an object a line, .csv (comma, double quotes) or .tsv
        (tab, no quotes) with the names of the columns in the first line; each also with .gz.
    YIELDS (Record): The records.
    RAISES (ValueError): If there is no such file, its suffix is another, its first line does not
        name columns, or it is not a whole gzip file. What is wrong with one record is not raised.
    """
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix]
    if suffixes[:1] == [".gz"] or not suffixes or suffixes[0].lower() not in SUFFIXES:
        raise ValueError(
            f"{path}: the name does not say what the file is. Give one that ends in "
            f"{', '.join(SUFFIXES)}, or one of these with .gz."
        )
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file. Give the path of a file of pairs.")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            kind = suffixes[0].lower()
            yield from _read_jsonl(file) if kind == ".jsonl" else read_table(file, path, kind)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: is not a whole gzip file ({error}). Make it anew.") from error


def _read_jsonl(lines: Iterable[bytes]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(decode(line))
            if not isinstance(fields, dict):
                fields = InvalidRecordError(
                    "the line is not an object",
                    f"is a {type(fields).__name__}. Write an object a line, such as "
                    '{"text1": "...", "text2": "...", "score": 1.0}.',
                )
        except InvalidRecordError as error:
            fields = error
        except (ValueError, RecursionError) as error:
            fields = InvalidRecordError(
                "the line is not JSON",
                f"is not JSON ({error}). Write one object a line, strings in double quotes.",
            )
        yield Record(f"line {number}", fields)


def read_table(file: Iterable[bytes], path: Path, kind: str) -> Iterator[Record]:
    lines = _Lines(file)
    # TSV has no quotes: a quotation mark is part of the text, and opens nothing.
    if kind == ".tsv":
        rows, cure = (
            csv.reader(lines, "excel-tab", quoting=csv.QUOTE_NONE),
            "Take tabs out of texts.",
        )
    else:
        rows, cure = csv.reader(lines, strict=True), CSV_CURE
    header: list[str] | None = None
    while True:
        where = f"line {lines.number + 1}"
        fields: Mapping[str, Any] | InvalidRecordError
        try:
            row = next(rows)
            if not any(map(str.strip, row)):
                continue
            if header is not None and len(row) != len(header):
                raise InvalidRecordError(
                    "the line has not as many fields as the first",
                    f"has {len(row)} fields, but the first line {len(header)}. {cure}",
                )
            fields = dict(zip(header or row, row, strict=True))
        except StopIteration:
            return
        except InvalidRecordError as error:
            fields = error
        except csv.Error as error:
            fields = InvalidRecordError("the line is broken", f"is broken ({error}). {cure}")
        if header is not None:
            yield Record(where, fields)
        elif isinstance(fields, InvalidRecordError):
            raise ValueError(f"{path}, {where}: {fields.detail}") from fields
        elif len(fields) < len(row):
            raise ValueError(
                f"{path}, {where}: two of the columns {row} have one name. Name each column in the "
                "first line."
            )
        else:
            header = row


class _Lines:
    """The lines of a file as text, and how many there were. Not a generator: that would end with
    its first error."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self.file = iter(file)
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self.file)
        self.number += 1
        return decode(line)


def decode(line: bytes) -> str:
    try:
        # A byte order mark stands at the start of many files from Windows.
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRecordError(
            "the line is not UTF-8", f"is not UTF-8 ({error}). Save the file as UTF-8."
        ) from error
