"""Records: rows of fields interpreted as documents with a text, labels, an id and other fields."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from .._texts import shorten
from ..labels import validate_cats
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
from .other_fields import unescape_cells

__all__ = ["OnError", "Position", "Record", "read_records"]

logger = logging.getLogger(__name__)

OnError = Literal["fail", "skip"]


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
    id_field: str = "id",
    kind: str | None = None,
    on_error: OnError = "fail",
    report: Callable[[str], None] | None = None,
    position: Position | None = None,
) -> Iterator[Record]:
    """Read the documents of a file one by one. Only a .spacy file is in memory as a whole. Blank
    lines are ignored.

    Labels are read from the field "cats", which maps each label to its value, or from "label",
    which is one label or a list of labels. In CSV and TSV they are read from "label" only, and "|"
    separates several labels. A label that a row does not mention is unknown, not absent.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "data.jsonl")
    ...     _ = path.write_text('{"text": "Kick-off at eight.", "label": "SPORT", "id": "a1"}')
    ...     list(read_records(path))
    [Record(text='Kick-off at eight.', cats={'SPORT': 1.0}, id='a1', meta={}, line=1)]

    source (str | Path): A file in UTF-8, which may be compressed by gzip; "-" is standard input.
    text_field (str): The field of the text. If its value is null, the text is empty.
    label_field (str | None): The field of the labels. None: "cats" or "label". "": no labels are
        read.
    id_field (str): The field of the id, which a row may lack.
    kind (str | None): The format: "jsonl", "csv", "tsv", "text" (one text per line), "spacy" or
        "parquet". None: the suffix of the name decides.
    on_error (str): Whether a row that is invalid is an error ("fail") or is left out ("skip").
    report (Callable[[str], None] | None): Is called with a sentence on each row that is left out.
        None: the sentence is logged as a warning.
    position (Position | None): Is updated while the file is read, for a progress bar.
    RETURNS (Iterator[Record]): The records. Each is read when it is asked for.
    RAISES (ValueError): If there is no such file, or its format is not known. While records are
        read: if the file is damaged, or a row is invalid and `on_error` is "fail". The message has
        the line, the fault and how to correct it. ImportError: if Parquet needs pyarrow.
    """
    if on_error not in get_args(OnError):
        raise ValueError(f'on_error is {on_error!r}: give "fail" or "skip".')
    kind = resolve_kind(source, kind)
    if kind == "text" and label_field:
        raise ValueError("Plain lines have no labels. Leave label_field out, or give JSON lines.")
    required = {"text_field": text_field, "label_field": label_field}
    settings = ReadSettings(
        text_field=text_field,
        required={setting: field for setting, field in required.items() if field},
        nested=("cats", "label"),
    )
    rows = read_fields(source, kind, settings=settings, position=position)
    parser = _RecordParser(
        text_field, label_field, id_field, has_string_cells=FORMATS[kind].has_string_cells
    )

    def generate() -> Iterator[Record]:
        for row in rows:
            try:
                record = parser.parse(row)
            except InvalidRowError as error:
                message = f"{source_name(source)}, {row.where}: {error.detail}"
                if on_error == "fail":
                    raise ValueError(message) from error
                (report or logger.warning)(message)
            else:
                yield record

    return generate()


class _RecordParser(NamedTuple):
    """Interprets the fields of a row.

    text_field, label_field, id_field: See `read_records`.
    has_string_cells (bool): Whether all values are strings, as in CSV.
    """

    text_field: str
    label_field: str | None
    id_field: str
    has_string_cells: bool

    def parse(self, row: Row) -> Record:
        """RETURNS (Record): The record of a row.
        RAISES (InvalidRowError): If the row is invalid."""
        fields = row.fields
        if isinstance(fields, InvalidRowError):
            raise fields
        fields = unescape_cells(fields)
        if self.text_field not in fields:
            raise missing_field(
                self.text_field, fields, "Name the field of the text (text_field, --text-field)."
            )
        text = fields[self.text_field]
        label_field = self.label_field
        if label_field is None:
            has_cats = not self.has_string_cells and fields.get("cats") is not None
            label_field = "cats" if has_cats else "label"
        used = {self.text_field, self.id_field, label_field}
        if fields.get("cats") is None:
            used.add("cats")
        return Record(
            text="" if text is None else check_text(self.text_field, text),
            cats=self._parse_labels(label_field, fields.get(label_field)),
            id=_parse_id(self.id_field, fields.get(self.id_field), row.number),
            meta={key: value for key, value in fields.items() if key not in used},
            line=row.line,
        )

    def _parse_labels(self, name: str, value: Any) -> dict[str, float]:
        if value is None:
            return {}
        if isinstance(value, Mapping) or name == "cats":
            return _parse_cats(name, value)
        if self.has_string_cells:
            value = [label.strip() for label in value.split("|")]
        cats = {}
        for label in value if isinstance(value, list) else [value]:
            # Many data sets name their classes by numbers.
            if isinstance(label, bool) or not isinstance(label, str | int):
                raise InvalidRowError(
                    f"{name!r} is not a label",
                    f"{name!r} is {shorten(repr(value))}. Give a label, or a list of labels.",
                )
            if label != "":
                cats[check_text(name, str(label))] = 1.0
        return cats


def _parse_cats(name: str, value: Any) -> dict[str, float]:
    # Parquet gives a map as a list of tuples. Its structs have every field in every row, and null
    # stands for an unknown value.
    if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
        value = dict(value)
    if isinstance(value, Mapping):
        value = {label: number for label, number in value.items() if number is not None}
    try:
        validate_cats(value, where=name)
    except ValueError as error:
        raise InvalidRowError(f"{name!r} does not hold labels", str(error)) from error
    return {check_text(name, label): float(number) for label, number in value.items()}


def _parse_id(name: str, value: Any, number: int) -> str:
    if value is None or value == "":
        return str(number)
    if not isinstance(value, str | int | float):
        raise InvalidRowError(
            f"{name!r} is not an id",
            f"{name!r} is {shorten(repr(value))}, a {type(value).__name__}. Give a string or a "
            "number, or leave the field out.",
        )
    return check_text(name, str(value))
