"""Records: rows of fields interpreted as documents with a text, labels, an id and other fields."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from .._texts import is_missing, shorten
from .cats import CatsReader, LabelSettings
from .fields import (
    FORMATS,
    InvalidRowError,
    Position,
    ReadSettings,
    Row,
    check_text,
    missing_field,
    read_fields,
    resolve_kind,
    source_name,
)

__all__ = ["OnError", "Position", "Record", "read_records"]

logger = logging.getLogger(__name__)

OnError = Literal["fail", "skip"]

# Fields whose lists and mappings are read.
NESTED = (
    *("cats", "label", "labels"),
    *("accept", "options", "data", "annotations", "annotation", "fields", "responses"),
)


class Record(NamedTuple):
    """One document of a file.

    >>> Record("Kick-off at eight.", {"SPORT": 1.0}, "0", {}, 1).cats
    {'SPORT': 1.0}

    text (str): The text; empty if the row has none.
    cats (dict[str, float]): The value of each known label, 0..1.
    id (str): The id in the file. If the file has none, the number of rows before this one, or, in a
        file of plain lines, the number of lines before this one.
    meta (dict[str, Any]): The other fields.
    line (int): The line in which the row starts, from 1. In files without lines, the number of the
        row, from 1.
    """

    text: str
    cats: dict[str, float]
    id: str
    meta: dict[str, Any]
    line: int


def read_records(
    source: str | Path,
    *,
    text_field: str = "text",
    label_field: str | None = None,
    label_fields: Sequence[str] = (),
    label_separator: str | None = None,
    label_bins: Sequence[float] = (),
    id_field: str = "id",
    kind: str | None = None,
    on_error: OnError = "fail",
    report: Callable[[str], None] | None = None,
    position: Position | None = None,
) -> Iterator[Record]:
    """Read the documents of a file one by one. Only a .spacy file is in memory as a whole. Blank
    lines are ignored.

    Labels are read from the field "cats", which maps each label to its value, or from "label" or
    "labels", which is one label or a list of labels. In CSV and TSV "|" separates several labels. A
    label that a row does not mention is unknown, not absent. Whole numbers (also 1.0) and truth
    values name a label: "1", "true". Exports of Prodigy, doccano, Label Studio and Argilla are
    recognised: a rejected label is absent, and what was ignored or skipped is unknown.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "data.jsonl")
    ...     _ = path.write_text('{"text": "Kick-off at eight.", "label": "SPORT", "id": "a1"}')
    ...     list(read_records(path))
    [Record(text='Kick-off at eight.', cats={'SPORT': 1.0}, id='a1', meta={}, line=1)]

    source (str | Path): A file in UTF-8, which may be compressed by gzip; "-" is standard input.
    text_field (str): The field of the text. If its value is null, the text is empty.
    label_field (str | None): The field of the labels, or the question of an annotation tool. None:
        "cats", "label", "labels", or the labels of an annotation tool. "": no labels are read.
    label_fields (Sequence[str]): Fields that are a label each, with the values 0 (absent), 1
        (present), a number between, or nothing (unknown). "*" and "?" stand for any characters.
    label_separator (str | None): What separates several labels in one string. None: "|" in CSV and
        TSV, and nothing in other files. "": nothing.
    label_bins (Sequence[float]): Limits between classes, if labels are numbers: [2, 4] makes the
        labels "<2", "2..4" and ">=4".
    id_field (str): The field of the id, which a row may lack.
    kind (str | None): The format: "jsonl", "csv", "tsv", "text" (one text per line), "spacy" or
        "parquet". None: the suffix of the name decides.
    on_error (str): Whether a row that is invalid is an error ("fail") or is left out ("skip").
    report (Callable[[str], None] | None): Is called with a sentence on each row that is left out.
        None: the sentence is logged as a warning.
    position (Position | None): Is updated while the file is read, for a progress bar.
    RETURNS (Iterator[Record]): The records. Each is read when it is asked for.
    RAISES (ValueError): If there is no such file, its format is not known, or settings contradict
        each other. While records are read: if the file is damaged, a row is invalid and `on_error`
        is "fail", or the labels are really free text. The message has the line, the fault and how
        to correct it. ImportError: if Parquet needs pyarrow.
    """
    if on_error not in get_args(OnError):
        raise ValueError(f'on_error is {on_error!r}: give "fail" or "skip".')
    kind = resolve_kind(source, kind)
    labels = LabelSettings(label_field, label_fields, label_separator, label_bins)
    if kind == "text" and any(labels):
        raise ValueError("Plain lines have no labels. Leave label_field out, or give JSON lines.")
    required = {"text_field": text_field, "label_field": label_field}
    settings = ReadSettings(
        text_field=text_field,
        required={setting: field for setting, field in required.items() if field},
        nested=NESTED,
    )
    rows = read_fields(source, kind, settings=settings, position=position)
    cats = CatsReader(
        labels,
        has_string_cells=FORMATS[kind].has_string_cells,
        text_field=text_field,
        id_field=id_field,
    )
    parser = _RecordParser(text_field, id_field, cats)

    def generate() -> Iterator[Record]:
        for row in rows:
            try:
                record = parser.parse(row)
            except InvalidRowError as error:
                message = f"{source_name(source)}, {row.where}: {error.detail}"
                if on_error == "fail":
                    raise ValueError(message) from error
                (report or logger.warning)(message)
            except ValueError as error:
                # The fault is in the whole column, so that no row can be left out.
                raise ValueError(f"{source_name(source)}, {row.where}: {error}") from error
            else:
                yield record
        try:
            cats.conclude()
        except ValueError as error:
            raise ValueError(f"{source_name(source)}: {error}") from error

    return generate()


class _RecordParser(NamedTuple):
    """Interprets the fields of a row.

    text_field, id_field: See `read_records`.
    cats (CatsReader): Reads the labels.
    """

    text_field: str
    id_field: str
    cats: CatsReader

    def parse(self, row: Row) -> Record:
        """RETURNS (Record): The record of a row.
        RAISES (InvalidRowError): If the row is invalid."""
        if isinstance(row.fields, InvalidRowError):
            raise row.fields
        fields = self.cats.unwrap(row.fields)
        if self.text_field not in fields:
            raise missing_field(
                self.text_field, fields, "Name the field of the text (text_field, --text-field)."
            )
        text = fields[self.text_field]
        cats, used = self.cats.read(fields)
        used = {self.text_field, self.id_field, *used}
        return Record(
            text="" if is_missing(text) else check_text(self.text_field, text),
            cats=cats,
            id=_parse_id(self.id_field, fields.get(self.id_field), row.number),
            meta={key: value for key, value in fields.items() if key not in used},
            line=row.line,
        )


def _parse_id(name: str, value: Any, number: int) -> str:
    if is_missing(value) or value == "":
        return str(number)
    if not isinstance(value, str | int | float):
        raise InvalidRowError(
            f"{name!r} is not an id",
            f"{name!r} is {shorten(repr(value))}, a {type(value).__name__}. Give a string or a "
            "number, or leave the field out.",
        )
    return check_text(name, str(value))
