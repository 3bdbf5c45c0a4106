"""Files of every format, and tables in memory, as rows of fields. Only this module and its helpers
open and parse files.

`_formats.py` has the table of formats: a new format is one reader and one line of that table.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from .._texts import shorten
from ._columns import import_pyarrow
from ._formats import FORMATS, Format
from ._input_parts import InputPart
from ._memory import is_in_memory, read_memory
from ._names import FieldNames, suggest_name
from ._remote import file_name, is_address
from ._rows import InvalidRowError, Position, ReadSettings, Row, list_names
from ._sources import COMPRESSION_SUFFIXES, STDIN, Source, check_exists, source_name

__all__ = [
    "FORMATS",
    "STDIN",
    "Format",
    "InputPart",
    "InvalidRowError",
    "Position",
    "ReadSettings",
    "Row",
    "check_text",
    "find_kind",
    "import_pyarrow",
    "is_address",
    "is_in_memory",
    "list_suffixes",
    "missing_field",
    "read_fields",
    "resolve_kind",
    "source_name",
]


def read_fields(
    source: Any,
    kind: str | None = None,
    *,
    settings: ReadSettings | None = None,
    position: Position | None = None,
) -> Iterator[Row]:
    """Read a file or a table row by row. Only a .spacy file and a spreadsheet are in memory as a
    whole.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "data.csv")
    ...     _ = path.write_text("text,label\\nKick-off at eight.,SPORT\\n")
    ...     rows = list(read_fields(path))
    >>> rows[0].fields
    {'text': 'Kick-off at eight.', 'label': 'SPORT'}
    >>> rows[0].where
    'line 2'

    source (Any): The path of a file, or its address (s3://..., through fsspec). gzip, bzip2, xz or
        zstd may have compressed it. "-" is standard input. Or a part of a file. Or a collection in
        memory: a data frame (pandas, polars, pyarrow), a dataset of the library `datasets`, a
        mapping from column to values, or an iterable of mappings or texts.
    kind (str | None): The format of the file, a key of `FORMATS`. None: the suffix decides.
    settings (ReadSettings | None): The fields that the caller needs, and what it knows about the
        file. None: nothing in particular.
    position (Position | None): Is updated while the source is read.
    RETURNS (Iterator[Row]): The rows. A row that is invalid has its error in place of its fields.
    RAISES (ValueError): If there is no such file, or its format is not known. While rows are read:
        if the file is damaged, or a table lacks a required column. ImportError: if the format needs
        a package that is not installed.
    """
    settings = ReadSettings() if settings is None else settings
    if is_in_memory(source):
        if kind is not None:
            raise ValueError(f"kind is {kind!r}, but a {source_name(source)} has no file format.")
        rows = read_memory(source, settings, Position() if position is None else position)
        return _rename_fields(rows, settings)
    kind = resolve_kind(source, kind)
    opened = Source(source, position)
    format = FORMATS[kind]
    if opened.is_stdin and not format.reads_stdin:
        raise ValueError(
            f"{kind.capitalize()} cannot be read from standard input. Give the path of a file."
        )
    if format.check_installed is not None:
        format.check_installed()
    rows = format.read(opened, settings)
    if isinstance(source, InputPart):
        rows = _renumber(rows, source)
    return _rename_fields(rows, settings)


def _renumber(rows: Iterator[Row], part: InputPart) -> Iterator[Row]:
    """YIELDS (Row): The rows of a part with their numbers in the file."""
    for row in rows:
        yield row._replace(number=row.number + part.first_row, line=row.line + part.line_shift)


def _rename_fields(rows: Iterator[Row], settings: ReadSettings) -> Iterator[Row]:
    names = FieldNames(settings.wanted, settings.one_of)
    for row in rows:
        fields = row.fields
        if isinstance(fields, InvalidRowError):
            yield row
            continue
        renamed = names.rename(fields)
        yield row if renamed is fields else row._replace(fields=renamed)


def find_kind(path: str | Path) -> str | None:
    """Find the format that the name of a file stands for.

    >>> find_kind("data.jsonl.gz"), find_kind("data.docx")
    ('jsonl', None)

    path (str | Path): The file. It need not exist.
    RETURNS (str | None): A key of `FORMATS`; None if the suffix is not known.
    """
    path = Path(file_name(str(path)))
    is_compressed = path.suffix.lower() in COMPRESSION_SUFFIXES
    suffix = Path(path.stem).suffix if is_compressed else path.suffix
    for kind, format in FORMATS.items():
        if suffix.lower() in format.suffixes:
            return kind
    return None


def resolve_kind(source: str | Path | InputPart, kind: str | None = None) -> str:
    """Check that a source exists, and decide its format.

    >>> resolve_kind("-", "csv")
    'csv'

    source (str | Path | InputPart): A path, "-" for standard input, or a part of a file, which
        knows its format.
    kind (str | None): The format, a key of `FORMATS`. None: the suffix of the name decides.
    RETURNS (str): A key of `FORMATS`.
    RAISES (ValueError): If there is no such file, or the suffix or the format is not known.
    """
    if isinstance(source, InputPart):
        check_exists(source.address)
        return source.kind
    check_exists(source)
    if kind is None:
        kind = find_kind(source)
    if kind in FORMATS:
        return kind
    if kind is not None:
        raise ValueError(f"The kind {kind!r} is not one of {', '.join(FORMATS)}.")
    if str(source) == STDIN:
        raise ValueError(
            "Standard input does not say what it holds. Name its format (--format): "
            f"{', '.join(FORMATS)} (text is one text per line)."
        )
    raise ValueError(
        f"{source}: the name does not say what the file is. Give a file that ends in "
        f"{list_suffixes()}, also with .gz, .bz2, .xz or .zst, or name its format (--format)."
    )


def list_suffixes(kinds: Collection[str] | None = None) -> str:
    """List the suffixes of formats, for error messages.

    >>> list_suffixes(["jsonl", "csv"])
    '.jsonl, .ndjson, .csv'

    kinds (Collection[str] | None): Keys of `FORMATS`. None: all formats.
    RETURNS (str): The suffixes, with commas between them.
    """
    return ", ".join(
        suffix
        for kind, format in FORMATS.items()
        if kinds is None or kind in kinds
        for suffix in format.suffixes
    )


def check_text(name: str, value: Any) -> str:
    """Check that the value of a field is a text that can be written to a file.

    >>> check_text("title", "A man eats.")
    'A man eats.'

    name (str): The name of the field, for errors.
    value (Any): The value.
    RETURNS (str): The text.
    RAISES (InvalidRowError): If the value is not a string, or holds half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise InvalidRowError(
            f"{name!r} is not a text",
            f"{name!r} is {shorten(repr(value))}, a {type(value).__name__}. Give a text.",
        )
    try:
        value.encode("utf8")
    except UnicodeEncodeError as error:
        raise InvalidRowError(
            f"{name!r} holds half a character",
            f"{name!r} holds half a character ({error}). Write characters beyond U+FFFF as they "
            "are, or as two \\u escapes.",
        ) from error
    return value


def missing_field(name: str, fields: Mapping[str, Any], cure: str) -> InvalidRowError:
    """Create the error of a row that lacks a field.

    >>> missing_field("text", {"txt": "A man eats."}, "Name the field of the text.").detail
    "there is no 'text', only 'txt'. Perhaps it is 'txt'. Name the field of the text."

    name (str): The field.
    fields (Mapping[str, Any]): The fields of the row.
    cure (str): A sentence on what to do.
    RETURNS (InvalidRowError): The error, to be raised.
    """
    fault = f"there is no {name!r}"
    return InvalidRowError(
        fault, f"{fault}, only {list_names(fields)}.{suggest_name(fields, name)} {cure}"
    )
