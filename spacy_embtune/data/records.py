"""Records: rows of fields interpreted as documents with a text, labels, an id and other fields."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

from .._texts import is_missing, shorten
from .cats import FIELDS, CatsReader
from .fields import (
    FORMATS,
    InputPart,
    InvalidRowError,
    Position,
    ReadSettings,
    Row,
    check_text,
    is_in_memory,
    missing_field,
    read_fields,
    resolve_kind,
    source_name,
)
from .label_settings import LabelSettings, check_label_settings, is_pattern
from .other_fields import unescape_cells
from .spans import SPANS_FIELD, read_spans

__all__ = ["Location", "OnError", "Position", "Record", "leave_out_invalid_spans", "read_records"]

logger = logging.getLogger(__name__)

OnError = Literal["fail", "skip"]

# Rows that are left out and logged one by one.
MOST_LOGGED = 20
# Prodigy's answers after which the spans of a row are no labels.
REFUSED = ("reject", "ignore")
# Fields whose lists and mappings are read.
NESTED = (
    *("cats", "label", "labels"),
    *("accept", "options", "data", "annotations", "annotation", "fields", "responses"),
    SPANS_FIELD,
)


class Location(NamedTuple):
    """The place of a sentence or a span in its document.

    >>> place = Location("7", "Kick-off at eight. Soup at nine.", 19, 32)
    >>> place.text[place.start : place.end]
    'Soup at nine.'

    document (str): The id of the document.
    text (str): The text of the document.
    start (int): The offset of the first character.
    end (int): The offset behind the last character.
    """

    document: str
    text: str
    start: int
    end: int


class Record(NamedTuple):
    """One document of a file, or one of its sentences or spans.

    >>> Record("Kick-off at eight.", {"SPORT": 1.0}, "0", {}, 1).cats
    {'SPORT': 1.0}

    text (str): The text; empty if the row has none.
    cats (dict[str, float]): The value of each known label, 0..1.
    id (str): The id in the file. If the file has none, the number of rows before this one, or, in a
        file of plain lines, the number of lines before this one.
    meta (dict[str, Any]): The other fields.
    line (int): The line in which the row starts, from 1. In files without lines, the number of the
        row, from 1.
    location (Location | None): The place of a sentence or a span in its document. None: the record
        is a whole document.
    """

    text: str
    cats: dict[str, float]
    id: str
    meta: dict[str, Any]
    line: int
    location: Location | None = None


def read_records(
    source: Any,
    *,
    text_field: str = "text",
    label_field: str | None = None,
    label_fields: Sequence[str] = (),
    label_separator: str | None = None,
    label_bins: Sequence[float] = (),
    id_field: str = "id",
    kind: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: str | None = None,
    on_error: OnError = "fail",
    report: Callable[[str], None] | None = None,
    position: Position | None = None,
) -> Iterator[Record]:
    """Read the documents of a file, or of a table in memory, one by one. Only a .spacy file and a
    spreadsheet are in memory as a whole. Blank lines are ignored.

    Labels are read from the field "cats", which maps each label to its value, or from "label" or
    "labels", which is one label or a list of labels. In CSV and TSV "|" separates several labels. A
    label that a row does not mention is unknown, not absent. Whole numbers (also 1.0) and truth
    values name a label: "1", "true". Exports of Prodigy, doccano, Label Studio and Argilla are
    recognised: a rejected label is absent, and what was ignored or skipped is unknown. Spans of a
    .spacy file are in the other field `spans`, as in files of Prodigy.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "data.jsonl")
    ...     _ = path.write_text('{"text": "Kick-off at eight.", "label": "SPORT", "id": "a1"}')
    ...     (record,) = read_records(path)
    >>> record.text, record.cats, record.id
    ('Kick-off at eight.', {'SPORT': 1.0}, 'a1')

    >>> list(read_records([{"text": "Kick-off at eight.", "label": "SPORT"}]))[0].cats
    {'SPORT': 1.0}

    source (Any): The path of a file, or its address (s3://..., through fsspec). gzip, bzip2, xz or
        zstd may have compressed it. "-" is standard input. Or a collection in memory: a data frame
        (pandas, polars, pyarrow), a dataset of the library `datasets`, a mapping from column to
        values, or an iterable of mappings or texts.
    text_field (str): The field of the text. If its value is null or NaN, the text is empty.
    label_field (str | None): The field of the labels, or the question of an annotation tool. None:
        "cats", "label", "labels", or the labels of an annotation tool. "": no labels are read.
    label_fields (Sequence[str]): Fields that are a label each, with the values 0 (absent), 1
        (present), a number between, or nothing (unknown). "*" and "?" stand for any characters.
    label_separator (str | None): What separates several labels in one string. None: "|" in CSV and
        TSV, and nothing in other files. "": nothing.
    label_bins (Sequence[float]): Limits between classes, if labels are numbers: [2, 4] makes the
        labels "<2", "2..4" and ">=4".
    id_field (str): The field of the id, which a row may lack.
    kind (str | None): The format: "jsonl", "json", "csv", "tsv", "text" (one text per line),
        "spacy", "parquet", "arrow" or "excel". None: the suffix of the name decides.
    delimiter (str | None): The character between the cells of CSV and TSV, or "tab". None: the
        first lines decide.
    encoding (str | None): The encoding of a file of text, such as "cp1252". None: UTF-8, or what a
        byte order mark says.
    quotes (str | None): Whether quotation marks around the cells of CSV and TSV enclose them
        ("csv") or are part of the texts ("literal"). None: "csv"; with tabs between the cells, the
        file decides.
    on_error (str): Whether a row that is invalid is an error ("fail") or is left out ("skip").
    report (Callable[[str], None] | None): Is called with a sentence on each row that is left out.
        None: the sentences on the first rows are logged as warnings, and at the end the number of
        rows by fault.
    position (Position | None): Is updated while the file is read, for a progress bar.
    RETURNS (Iterator[Record]): The records. Each is read when it is asked for.
    RAISES (ValueError): If there is no such file, its format is not known, or settings contradict
        each other. While records are read: if the file is damaged, a row is invalid and `on_error`
        is "fail", or the labels are really free text. The message has the line, the fault and how
        to correct it. ImportError: if Parquet needs pyarrow.
    """
    if on_error not in get_args(OnError):
        raise ValueError(f'on_error is {on_error!r}: give "fail" or "skip".')
    labels = check_label_settings(
        LabelSettings(label_field, label_fields, label_separator, label_bins)
    )
    if not is_in_memory(source):
        kind = resolve_kind(source, kind)
    if kind == "text" and any(labels):
        raise ValueError(
            "Plain lines have no labels apart from those of fastText. Leave label_field out, or "
            "give JSON lines."
        )
    settings = make_read_settings(
        labels,
        text_field=text_field,
        id_field=id_field,
        delimiter=source.delimiter or delimiter if isinstance(source, InputPart) else delimiter,
        encoding=encoding,
        quotes=quotes,
    )
    rows = read_fields(source, kind, settings=settings, position=position)
    cats = CatsReader(
        labels,
        has_string_cells=kind is not None and FORMATS[kind].has_string_cells,
        text_field=text_field,
        id_field=id_field,
    )
    id_prefix = source.id_prefix if isinstance(source, InputPart) else ""
    parser = _RecordParser(text_field, id_field, cats, id_prefix)
    name = source_name(source)

    def generate() -> Iterator[Record]:
        skipped = _SkippedRows(name) if report is None else None
        n = 0
        for row in rows:
            n += 1
            try:
                record = parser.parse(row)
            except InvalidRowError as error:
                message = f"{name}, {row.where}: {error.detail}"
                if on_error == "fail":
                    raise ValueError(message) from error
                if skipped is None:
                    report(message)  # type: ignore[misc]
                else:
                    skipped.add(message, error.fault)
            except ValueError as error:
                # The fault is in the whole column, so that no row can be left out.
                raise ValueError(f"{name}, {row.where}: {error}") from error
            else:
                yield record
        if skipped is not None:
            skipped.conclude(n)
        try:
            cats.conclude()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    return generate()


def make_read_settings(
    labels: LabelSettings,
    *,
    text_field: str,
    id_field: str,
    delimiter: str | None,
    encoding: str | None,
    quotes: str | None,
) -> ReadSettings:
    """Make the settings with which `read_records` reads the rows of a file.

    labels (LabelSettings): Where the labels are.
    text_field, id_field, delimiter, encoding, quotes: See `read_records`.
    RETURNS (ReadSettings): The settings.
    """
    required = {"text_field": text_field, "label_field": labels.label_field}
    given = [name for name in labels.label_fields if not is_pattern(name)]
    return ReadSettings(
        text_field=text_field,
        wanted=list(filter(None, (text_field, labels.label_field, id_field, *given))),
        one_of=FIELDS if labels.label_field is None and not labels.label_fields else (),
        required={setting: field for setting, field in required.items() if field},
        nested=(*NESTED, id_field),
        delimiter=delimiter,
        encoding=encoding,
        quotes=quotes,
    )


def leave_out_invalid_spans(
    records: Iterable[Record], report: Callable[[str], None]
) -> Iterator[Record]:
    """Leave out the records whose spans are invalid.

    >>> record = Record("Soup.", {}, "7", {"spans": [{"start": 0, "end": 99}]}, 1)
    >>> list(leave_out_invalid_spans([record], lambda message: print(message[:12])))
    document '7'
    []

    records (Iterable[Record]): The records.
    report (Callable[[str], None]): Is called with a sentence on each record that is left out.
    YIELDS (Record): The others.
    """
    for record in records:
        try:
            read_spans(record.meta, record.text)
        except InvalidRowError as error:
            report(f"document {record.id!r}: {error.detail}")
        else:
            yield record


class _SkippedRows:
    """Logs the rows of a source that are left out: the first ones, and at the end their number.

    name (str): The name of the source.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: Counter[str] = Counter()

    def add(self, message: str, fault: str) -> None:
        self.faults[fault] += 1
        if self.faults.total() <= MOST_LOGGED:
            logger.warning("%s", message)

    def conclude(self, n: int) -> None:
        """n (int): The number of rows, with those left out."""
        if self.faults:
            faults = "; ".join(f"{fault} ({n})" for fault, n in self.faults.most_common())
            left_out = self.faults.total()
            logger.warning("%s: left out %d of %d rows: %s.", self.name, left_out, n, faults)


class _RecordParser(NamedTuple):
    """Interprets the fields of a row.

    text_field, id_field: See `read_records`.
    cats (CatsReader): Reads the labels.
    id_prefix (str): What the ids of rows without an id begin with.
    """

    text_field: str
    id_field: str
    cats: CatsReader
    id_prefix: str

    def parse(self, row: Row) -> Record:
        """RETURNS (Record): The record of a row.
        RAISES (InvalidRowError): If the row is invalid."""
        if isinstance(row.fields, InvalidRowError):
            raise row.fields
        fields = self.cats.unwrap(unescape_cells(row.fields))
        if self.text_field not in fields:
            raise missing_field(
                self.text_field, fields, "Name the field of the text (text_field, --text-field)."
            )
        text = fields[self.text_field]
        cats, used = self.cats.read(fields)
        used = {self.text_field, self.id_field, *used}
        if fields.get("answer") in REFUSED:
            used.add(SPANS_FIELD)
        return Record(
            text="" if is_missing(text) else check_text(self.text_field, text),
            cats=cats,
            id=_parse_id(self.id_field, fields.get(self.id_field), f"{self.id_prefix}{row.number}"),
            meta={key: value for key, value in fields.items() if key not in used},
            line=row.line,
        )


def _parse_id(name: str, value: Any, default: str) -> str:
    if is_missing(value) or value == "":
        return default
    if not isinstance(value, str | int | float):
        raise InvalidRowError(
            f"{name!r} is not an id",
            f"{name!r} is {shorten(repr(value))}, a {type(value).__name__}. Give a string or a "
            "number, or leave the field out.",
        )
    return check_text(name, str(value))
