"""Records of a file, one after the other: a text, what is known of its labels, where it stands."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from .._texts import shorten
from ..labels import validate_cats
from ._files import InvalidRecordError, check_text
from ._streams import STDIN, Position, Raw, import_pyarrow, name_of, read_raw

__all__ = ["Kind", "OnError", "Position", "Record", "read_records"]

logger = logging.getLogger(__name__)

Kind = Literal["jsonl", "csv", "tsv", "text", "spacy", "parquet"]
OnError = Literal["fail", "skip"]

SUFFIXES: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".spacy": "spacy",
    ".parquet": "parquet",
}


class Record(NamedTuple):
    """One document of a file.

    text (str): The text; empty if the record has none.
    cats (dict[str, float]): The value of each label of which something is known, 0..1.
    id (str): The record's own id, or else its number: how many records come before it in the file,
        and in a file of plain lines how many lines.
    meta (dict[str, Any]): Its other fields.
    line (int): The line that it starts in, from 1; without lines, its number, from 1.
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
    """Read a file, one record after the other: it is never in memory as a whole, unless it is a
    .spacy file. Blank lines are passed over.

    Labels are taken from the field "cats", a mapping from label to value, or from "label", one
    label or a list of them; in CSV and TSV from "label" alone, several with "|" between. A label
    that is not mentioned is unknown, not absent.

    source (str | Path): A file in UTF-8, which may be compressed by gzip; "-" is standard input.
    text_field (str): The field of the text. Null there is an empty text.
    label_field (str | None): The field of the labels, instead of "cats" and "label"; "" reads none.
    id_field (str): The field of the id, if there is one.
    kind (str | None): What the source is: "jsonl", "csv", "tsv", "text" (a text a line), "spacy" or
        "parquet". None: what its suffix says.
    on_error (str): What becomes of a record that cannot be read: "fail" or "skip".
    report (Callable | None): Takes a sentence on each record that is skipped; None logs it.
    position (Position | None): Is told where to find out how far reading has come.
    RETURNS (Iterator[Record]): The records, read as they are asked for.
    RAISES (ValueError): If there is no such file, or its kind is not known; when they are asked
        for, if the file is not what it should be, or, unless skipped, a record cannot be read: with
        its line, the cause and the cure. ImportError: if Parquet needs pyarrow.
    """
    if on_error not in get_args(OnError):
        raise ValueError(f'on_error is {on_error!r}: give "fail" or "skip".')
    if str(source) != STDIN:
        _check_file(Path(source))
    kind = _kind_of(source) if kind is None else kind
    if kind not in get_args(Kind):
        raise ValueError(f"The kind {kind!r} is not one of {', '.join(get_args(Kind))}.")
    source = STDIN if str(source) == STDIN else Path(source)
    if kind == "parquet":
        if source == STDIN:
            raise ValueError("Parquet cannot be read from standard input. Give a file.")
        import_pyarrow()
    if kind == "text" and label_field:
        raise ValueError("Plain lines have no labels: leave label_field out, or give JSON lines.")
    raws = read_raw(
        source,
        kind,
        needed={"text_field": text_field, "label_field": label_field or None},
        position=position or Position(),
    )
    fields = _Fields(text_field, label_field, id_field, in_cells=kind in ("csv", "tsv"))

    def generate() -> Iterator[Record]:
        for raw in raws:
            try:
                yield fields.parse(raw)
            except InvalidRecordError as error:
                message = f"{name_of(source)}, {raw.unit} {raw.line}: {error.detail}"
                if on_error == "fail":
                    raise ValueError(message) from error
                (report or logger.warning)(message)

    return generate()


def _kind_of(source: str | Path) -> Kind:
    if source == STDIN:
        raise ValueError(
            "Standard input does not say what it holds. Name its kind (--format): jsonl, csv, tsv, "
            "spacy, or text for a text a line."
        )
    path = Path(source)
    kind = find_kind(path)
    if kind is None:
        raise ValueError(
            f"{path}: the name does not say what the file is. Give one that ends in "
            f"{', '.join(SUFFIXES)}, also with .gz, or name its kind (--format)."
        )
    return kind


def find_kind(path: Path) -> Kind | None:
    """RETURNS (str | None): What the name of a file says that it is, if it says so."""
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    return SUFFIXES.get(suffix.lower())


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path}: is a directory. Give a file.")
    if not path.exists():
        raise ValueError(f"{path}: there is no such file. Check the spelling.")


class _Fields(NamedTuple):
    """Which fields of a record hold what; `read_records` describes them.

    in_cells (bool): Whether all fields are strings, as in CSV.
    """

    text: str
    label: str | None
    id: str
    in_cells: bool

    def parse(self, raw: Raw) -> Record:
        """RETURNS (Record): The record.
        RAISES (InvalidRecordError): If that is not what the fields are."""
        fields = raw.fields
        if isinstance(fields, InvalidRecordError):
            raise fields
        if self.text not in fields:
            raise InvalidRecordError(
                f"there is no {self.text!r}",
                f"there is no {self.text!r}, only {shorten(', '.join(map(repr, fields)), 200)}. "
                "Say which field holds the text (text_field, --text-field).",
            )
        text = fields[self.text]
        labels = self.label
        if labels is None:
            labels = "label" if self.in_cells or fields.get("cats") is None else "cats"
        used = {self.text, self.id, labels}
        if fields.get("cats") is None:
            used.add("cats")
        return Record(
            text="" if text is None else check_text(self.text, text),
            cats=self._parse_labels(labels, fields.get(labels)),
            id=_parse_id(self.id, fields.get(self.id), raw.number),
            meta={key: value for key, value in fields.items() if key not in used},
            line=raw.line,
        )

    def _parse_labels(self, name: str, value: Any) -> dict[str, float]:
        if value is None:
            return {}
        if isinstance(value, Mapping) or name == "cats":
            return _parse_cats(name, value)
        if self.in_cells:
            value = [label.strip() for label in value.split("|")]
        cats = {}
        for label in value if isinstance(value, list) else [value]:
            # Numbers name classes in many a data set.
            if isinstance(label, bool) or not isinstance(label, str | int):
                raise InvalidRecordError(
                    f"{name!r} is not a label",
                    f"{name!r} is {shorten(repr(value))}. Give a label, or a list of labels.",
                )
            if label != "":
                cats[check_text(name, str(label))] = 1.0
        return cats


def _parse_cats(name: str, value: Any) -> dict[str, float]:
    # A map of Parquet is a list of pairs; a struct has all fields in all rows, null where unknown.
    if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
        value = dict(value)
    if isinstance(value, Mapping):
        value = {label: number for label, number in value.items() if number is not None}
    try:
        validate_cats(value, where=name)
    except ValueError as error:
        raise InvalidRecordError(f"{name!r} are no labels", str(error)) from error
    return {check_text(name, label): float(number) for label, number in value.items()}


def _parse_id(name: str, value: Any, number: int) -> str:
    if value is None or value == "":
        return str(number)
    if not isinstance(value, str | int | float):
        raise InvalidRecordError(
            f"{name!r} is not an id",
            f"{name!r} is {shorten(repr(value))}, a {type(value).__name__}. Give a string or a "
            "number, or leave it out.",
        )
    return check_text(name, str(value))
