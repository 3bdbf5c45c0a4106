"""The file formats: a table of them, and one reader for each that is not a table in plain text.

JSON lines, CSV, TSV and plain lines are read line by line, and Parquet is read in batches. A .spacy
file can only be read as a whole.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import truediv
from typing import Any, NamedTuple

from .._texts import shorten
from ._rows import InvalidRowError, ReadSettings, Row, check_columns, decode_line
from ._sources import Source
from ._tables import read_csv, read_tsv

# Rows of a Parquet file in memory at a time.
PARQUET_BATCH = 1024


class Format(NamedTuple):
    """One file format.

    suffixes (tuple[str, ...]): The suffixes of file names, in lower case.
    read (Callable[[Source, ReadSettings], Iterator[Row]]): Reads a file of this format. Raises a
        ValueError if the file is damaged, and yields the error of a row that is invalid.
    has_field_names (bool): Whether the file names the field that holds the text. If not, each row
        has one text, which gets the name `ReadSettings.text_field`.
    has_string_cells (bool): Whether all values are strings.
    reads_stdin (bool): Whether standard input can be read.
    check_installed (Callable[[], object] | None): Raises an ImportError if an optional package is
        missing.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Source, ReadSettings], Iterator[Row]]
    has_field_names: bool = True
    has_string_cells: bool = False
    reads_stdin: bool = True
    check_installed: Callable[[], object] | None = None


def import_pyarrow() -> Any:
    """Import pyarrow, which is an optional dependency.

    RETURNS (Any): The module pyarrow, with pyarrow.parquet.
    RAISES (ImportError): If it is not installed. The message names the extra that installs it.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Parquet needs pyarrow, which cannot be imported ({error}). Install it: "
            "pip install 'spacy-embtune[parquet]'"
        ) from error
    return pyarrow


def read_jsonl(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file that has a JSON object per line. Blank lines are ignored."""
    number = 0
    with source.open() as file:
        for line_number, line in enumerate(file, start=1):
            if line.strip():
                yield Row(_parse_json(line, settings.example), number, line_number)
                number += 1


def _parse_json(line: bytes, example: str) -> Mapping[str, Any] | InvalidRowError:
    try:
        text = decode_line(line)
        fields = json.loads(text)
    except InvalidRowError as error:
        return error
    except (ValueError, RecursionError) as error:
        return InvalidRowError(
            "the line is not JSON",
            f"is not JSON ({error}). Write one object a line, strings in double quotes, line "
            "breaks in strings as \\n.",
        )
    if not isinstance(fields, dict):
        return InvalidRowError(
            "the line is not an object",
            f"is {shorten(text.strip())}, a {type(fields).__name__}. Write an object a line, such "
            f"as {example}.",
        )
    return fields


def read_lines(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file that has a text per line. Blank lines are ignored."""
    with source.open() as file:
        for number, line in enumerate(file):
            if line.strip():
                yield Row(_parse_line(line, settings.text_field), number, number + 1)


def _parse_line(line: bytes, text_field: str) -> Mapping[str, Any] | InvalidRowError:
    try:
        text = decode_line(line)
    except InvalidRowError as error:
        return error
    if "\0" in text:
        return InvalidRowError(
            "the line is not text",
            "holds a NUL character, so the file is not plain text. Give a file of plain text.",
        )
    return {text_field: text.rstrip("\r\n")}


def read_spacy(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file that `DocBin` wrote. The fields are the text, "cats", and the entries of
    `Doc.user_data` whose keys are strings."""
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    with source.open() as file:
        data = file.read()
        try:
            docs = DocBin().from_bytes(data)
        except (zlib.error, ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"{source.name}: is not a .spacy file ({shorten(str(error), 80)}). Give a file "
                "that DocBin wrote."
            ) from error
        for number, doc in enumerate(docs.get_docs(Vocab())):
            source.position.follow(partial(truediv, number + 1, len(docs)))
            fields = {key: value for key, value in doc.user_data.items() if isinstance(key, str)}
            fields |= {settings.text_field: doc.text, "cats": dict(doc.cats)}
            yield Row(fields, number, number + 1, "document")


def read_parquet(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a Parquet file."""
    pyarrow = import_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(source.path) as file:
            schema, n = file.schema_arrow, file.metadata.num_rows
            check_columns(source.name, schema.names, settings)
            wanted = {*settings.required.values(), *settings.nested}
            columns = [
                field.name
                for field in schema
                if field.name in wanted or not pyarrow.types.is_nested(field.type)
            ]
            number = 0
            for batch in file.iter_batches(PARQUET_BATCH, columns=columns):
                for fields in batch.to_pylist():
                    source.position.follow(partial(truediv, number + 1, n))
                    yield Row(fields, number, number + 1, "row")
                    number += 1
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            # An error of the disk, not of the file's contents.
            raise
        raise ValueError(
            f"{source.name}: is not a whole Parquet file ({shorten(str(error), 80)}). Create it "
            "again."
        ) from error


FORMATS: dict[str, Format] = {
    "jsonl": Format((".jsonl", ".ndjson"), read_jsonl),
    "csv": Format((".csv",), read_csv, has_string_cells=True),
    "tsv": Format((".tsv",), read_tsv, has_string_cells=True),
    "text": Format((".txt",), read_lines, has_field_names=False),
    "spacy": Format((".spacy",), read_spacy, has_field_names=False),
    "parquet": Format(
        (".parquet",), read_parquet, reads_stdin=False, check_installed=import_pyarrow
    ),
}
