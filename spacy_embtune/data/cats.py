"""Labels of a row: fields in all the forms that programs write -> cats."""

import json
import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, NamedTuple

from .._texts import is_missing, shorten
from ..labels import MISSING_CELLS, LabelColumn, cell_name, label_name, validate_cats
from . import _annotations
from ._rows import InvalidRowError, list_names
from .fields import check_text

logger = logging.getLogger(__name__)

# The fields in which labels are looked for, in this order.
FIELDS = ("cats", "label", "labels")
# A list of strings as pandas or JSON write it into a cell.
_STRING = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_LIST_IN_CELL = re.compile(rf"\[\s*(?:{_STRING}\s*(?:,\s*{_STRING}\s*)*)?\]")
_VALUES = {"": None, "0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}


class LabelSettings(NamedTuple):
    """Where the labels of a row are, and how they are written.

    label_field (str | None): The field of the labels. None: the first of "cats", "label" and
        "labels" that a row has, or the labels of an annotation tool. "": no labels are read.
    label_fields (Sequence[str]): Fields that are a label each, with the values 0 (absent), 1
        (present), a number between, or nothing (unknown). "*" and "?" stand for any characters.
    label_separator (str | None): What separates several labels in one string. None: "|" in tables
        in plain text, and nothing in other files. "": nothing.
    label_bins (Sequence[float]): The limits between the classes that numbers are divided into.
    """

    label_field: str | None = None
    label_fields: Sequence[str] = ()
    label_separator: str | None = None
    label_bins: Sequence[float] = ()


def check_label_settings(settings: LabelSettings) -> LabelSettings:
    """Check that the settings of labels do not contradict each other.

    >>> check_label_settings(LabelSettings(label_bins=(2, 4))).label_bins
    (2.0, 4.0)

    settings (LabelSettings): The settings.
    RETURNS (LabelSettings): The settings with numbers as floats and fields as a tuple.
    RAISES (ValueError): If two of them exclude each other, or one is invalid.
    """
    field, fields, separator, bins = settings
    if isinstance(fields, str) or not all(isinstance(name, str) and name for name in fields):
        raise ValueError(f"label_fields is {fields!r}: give a list of names of fields.")
    fields = tuple(fields)
    try:
        limits = tuple(float(limit) for limit in bins)
    except (TypeError, ValueError) as error:
        raise ValueError(f"label_bins is {bins!r}: give a list of numbers.") from error
    if not all(math.isfinite(limit) for limit in limits) or any(
        a >= b for a, b in pairwise(limits)
    ):
        raise ValueError(f"label_bins is {list(bins)!r}: give finite numbers in ascending order.")
    given = {
        "label_field": field is not None,
        "label_fields": bool(fields),
        "label_separator": separator is not None,
        "label_bins": bool(limits),
    }
    for one, other in (
        ("label_field", "label_fields"),
        ("label_fields", "label_separator"),
        ("label_fields", "label_bins"),
        ("label_separator", "label_bins"),
    ):
        if given[one] and given[other]:
            raise ValueError(f"{one} and {other} exclude each other. Give one of the two.")
    if field == "" and (separator is not None or limits):
        raise ValueError(
            'label_field is "", so that no labels are read. Leave label_separator and label_bins '
            "out, or name the field of the labels."
        )
    return LabelSettings(field, fields, separator, limits)


def find_label_fields(columns: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Find the fields that are a label each.

    >>> find_label_fields(["text", "is_sport", "is_food"], ["is_*"])
    ['is_sport', 'is_food']

    columns (Iterable[str]): The names of fields.
    wanted (Sequence[str]): Names or patterns, see `LabelSettings.label_fields`.
    RETURNS (list[str]): The fields that have one of the names or fit one of the patterns.
    """
    return [
        column
        for column in columns
        if any(column == name or (is_pattern(name) and _fits(column, name)) for name in wanted)
    ]


def is_pattern(name: str) -> bool:
    """RETURNS (bool): Whether a name in `label_fields` is a pattern."""
    return "*" in name or "?" in name


def _fits(column: str, pattern: str) -> bool:
    # Of the special characters of file names, only these two have a meaning here.
    return fnmatchcase(column, pattern.replace("[", "[[]"))


class ReadCats(NamedTuple):
    """The labels of a row.

    cats (dict[str, float]): The value of each known label, 0..1.
    used (Collection[str]): The fields that the labels were read from.
    """

    cats: dict[str, float]
    used: Collection[str]


class CatsReader:
    """Reads the labels of the rows of one file.

    >>> reader = CatsReader(LabelSettings())
    >>> reader.read({"text": "Kick-off at eight.", "label": 1.0}).cats
    {'1': 1.0}
    >>> reader.read({"text": "Soup.", "label": "SPORT", "answer": "reject"}).cats
    {'SPORT': 0.0}

    settings (LabelSettings): Where labels are.
    has_string_cells (bool): Whether all values are strings, as in CSV.
    text_field, id_field (str): The fields of text and id, which are no labels.
    RAISES (ValueError): If settings exclude each other.
    """

    def __init__(
        self,
        settings: LabelSettings,
        *,
        has_string_cells: bool = False,
        text_field: str = "text",
        id_field: str = "id",
    ) -> None:
        self.settings = check_label_settings(settings)
        self.has_string_cells = has_string_cells
        self.not_labels = (text_field, id_field)
        self._column = LabelColumn()
        self._notices: set[str] = set()
        self._not_found = list(self.settings.label_fields)
        self._n_rows = 0
        self._question: str | None = None

    def unwrap(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Find the text and other fields of a row of an annotation tool.

        fields (Mapping[str, Any]): The fields as the file has them.
        RETURNS (Mapping[str, Any]): The fields, with those of nested objects beside them.
        """
        return _annotations.unwrap(fields, text_field=self.not_labels[0])

    def read(self, fields: Mapping[str, Any]) -> ReadCats:
        """Read the labels of a row.

        fields (Mapping[str, Any]): The fields, as `unwrap` returns them.
        RETURNS (ReadCats): The labels.
        RAISES (InvalidRowError): If they are invalid. ValueError: if the whole column is no column
            of labels, or a table lacks a field of `label_fields`.
        """
        self._n_rows += 1
        if self.settings.label_fields:
            return self._read_columns(fields)
        if self.settings.label_field == "":
            return ReadCats({}, ())
        found = _annotations.find_labels(
            fields, self.settings.label_field, other_fields=self.not_labels
        )
        if found is not None:
            return self._read_annotation(found)
        name = self.settings.label_field
        empty: list[str] = ["cats"] if fields.get("cats") is None else []
        if name is None:
            empty = [key for key in FIELDS if _holds_nothing(fields.get(key))]
            # A cell of a table in plain text cannot hold a mapping.
            usable = FIELDS[1:] if self.has_string_cells else FIELDS
            name = next((key for key in usable if key not in empty), "label")
        return ReadCats(self._read_value(name, fields.get(name), is_single=True), {name, *empty})

    def conclude(self) -> None:
        """Check the file as a whole, at its end.

        RAISES (ValueError): If the column is no column of labels, or no row has a field of
            `label_fields`.
        """
        self._raise(self._column.conclude())
        if self._n_rows and self._not_found:
            raise ValueError(
                f"No record has a field {' or '.join(map(repr, self._not_found))}. Correct the "
                "names of the labels (label_fields, --label-fields)."
            )

    def _read_annotation(self, found: "_annotations.Found") -> ReadCats:
        for notice in found.notices:
            self._notify(notice)
        question = found.question
        if question is not None and self.settings.label_field is None:
            if self._question is not None and question != self._question:
                raise InvalidRowError(
                    "the labels answer several questions",
                    f"has labels of {question!r}, but earlier records of {self._question!r}. Name "
                    "the question to read (label_field, --label-field).",
                )
            self._question = question
        if not found.answers:
            return ReadCats({}, found.used)
        totals: dict[str, float] = {}
        for answer in found.answers:
            cats = self._read_value(found.name, answer, is_single=len(found.answers) == 1)
            for label, value in cats.items():
                totals[label] = totals.get(label, 0.0) + value
        # Several people may have answered. The value of a label is the share of them who chose it.
        cats = {label: total / len(found.answers) for label, total in totals.items()}
        if found.is_rejected:
            cats = {label: 1.0 - value for label, value in cats.items()}
        options = [self._name(found.name, option) for option in found.options]
        return ReadCats({**dict.fromkeys(filter(None, options), 0.0), **cats}, found.used)

    def _read_columns(self, fields: Mapping[str, Any]) -> ReadCats:
        wanted = self.settings.label_fields
        columns = [c for c in find_label_fields(fields, wanted) if c not in self.not_labels]
        self._not_found = [
            name
            for name in self._not_found
            if not any(c == name or (is_pattern(name) and _fits(c, name)) for c in columns)
        ]
        if self.has_string_cells and self._not_found:
            raise ValueError(
                f"There is no column {' or '.join(map(repr, self._not_found))}, only "
                f"{list_names(fields)}. Correct the names of the labels (label_fields, "
                "--label-fields)."
            )
        cats = {}
        for column in columns:
            value = self._read_number_of_label(column, fields[column])
            if value is not None:
                cats[check_text("label_fields", column)] = value
        return ReadCats(cats, columns)

    def _read_number_of_label(self, column: str, value: Any) -> float | None:
        if is_missing(value):
            return None
        number: Any = value
        if isinstance(value, str):
            if value.strip() in MISSING_CELLS:
                return None
            text = value.strip().lower()
            try:
                number = _VALUES[text] if text in _VALUES else float(text)
            except ValueError:
                number = math.nan
            if number is None:
                return None
        try:
            number = float(number)
        except (TypeError, ValueError):
            number = math.nan
        if not 0.0 <= number <= 1.0:
            raise InvalidRowError(
                f"{column!r} is not the value of a label",
                f"{column!r} is {shorten(repr(value))}. Give 1 where a document has the label, 0 "
                "where it does not, and nothing where that is not known. (If the field holds "
                "names of labels, name it with label_field, --label-field.)",
            )
        return float(number)

    def _read_value(self, name: str, value: Any, *, is_single: bool = False) -> dict[str, float]:
        """RETURNS (dict[str, float]): The labels that a value names."""
        if self.has_string_cells and isinstance(value, str):
            value = _parse_cell(value)
        if hasattr(value, "tolist") and not isinstance(value, str):
            # An array or a number of numpy.
            value = value.tolist()
        if is_missing(value):
            return {}
        if isinstance(value, list) and value and all(isinstance(pair, tuple) for pair in value):
            # Parquet gives a map as a list of tuples.
            value = dict(value)
        if name == "cats" and not isinstance(value, Mapping | list | tuple):
            return self._read_mapping(name, value)
        if isinstance(value, Mapping):
            chosen = _annotations.choices_of(value)
            if chosen is None:
                return self._read_mapping(name, value)
            value = chosen
        if self.settings.label_bins:
            return self._read_bin(name, value)
        if isinstance(value, list | tuple | set | frozenset):
            return self._read_list(name, value)
        labels = self._split(value)
        names = [self._name(name, label) for label in labels]
        if is_single and len(labels) == 1 and names[0]:
            self._raise(self._column.add(names[0]))
        return {label: 1.0 for label in names if label}

    def _split(self, value: Any) -> list[Any]:
        separator = self.settings.label_separator
        if separator is None:
            separator = "|" if self.has_string_cells else ""
        if not separator or not isinstance(value, str):
            return [value]
        return [part.strip() for part in value.split(separator)]

    def _read_list(self, name: str, values: Iterable[Any]) -> dict[str, float]:
        cats = {}
        for value in values:
            if isinstance(value, Mapping) and "label" in value:
                # The output of a classifier: a score for each label.
                score = value.get("score", 1.0)
                if not is_missing(score):
                    cats.update(self._read_mapping(name, {value["label"]: score}))
                continue
            label = None if is_missing(value) else self._name(name, value)
            if label:
                cats[label] = 1.0
        return cats

    def _read_mapping(self, name: str, value: Any) -> dict[str, float]:
        if self.settings.label_bins:
            raise InvalidRowError(
                f"{name!r} is not a number",
                f"{name!r} has labels already. Leave label_bins (--label-bins) out, or name the "
                "field of the numbers (label_field, --label-field).",
            )
        known: Any = value
        if isinstance(value, Mapping):
            # The structs of Parquet have every field in every row, and null stands for unknown.
            known = {
                label if isinstance(label, str) else label_name(label): number
                for label, number in value.items()
                if not is_missing(number)
            }
        try:
            validate_cats(known, where=name)
        except ValueError as error:
            raise InvalidRowError(f"{name!r} does not hold labels", str(error)) from error
        return {check_text(name, label): float(number) for label, number in known.items()}

    def _read_bin(self, name: str, value: Any) -> dict[str, float]:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if _is_empty(value) or (isinstance(value, str) and value.strip() in MISSING_CELLS):
            return {}
        if not math.isfinite(number):
            raise InvalidRowError(
                f"{name!r} is not a number",
                f"{name!r} is {shorten(repr(value))}, which cannot be divided into classes. Give "
                "a number, or leave label_bins (--label-bins) out.",
            )
        return {bin_name(number, self.settings.label_bins): 1.0}

    def _name(self, name: str, value: Any) -> str:
        label = cell_name(value) if self._is_cell(value) else label_name(value)
        if label is None:
            raise InvalidRowError(f"{name!r} is not a label", _describe(name, value))
        return check_text(name, label)

    def _is_cell(self, value: Any) -> bool:
        return self.has_string_cells and isinstance(value, str)

    def _notify(self, notice: str) -> None:
        if notice not in self._notices:
            self._notices.add(notice)
            logger.warning(notice)

    def _raise(self, fault: str | None) -> None:
        if fault is not None:
            name = self.settings.label_field or "label"
            raise ValueError(f"{name!r} does not hold labels. {fault}")


def bin_name(number: float, limits: Sequence[float]) -> str:
    """Name the class that a number belongs to. A limit belongs to the class above it.

    >>> [bin_name(number, [2, 4]) for number in (1, 2, 5)]
    ['<2', '2..4', '>=4']

    number (float): The number.
    limits (Sequence[float]): The limits, ascending.
    RETURNS (str): The name.
    """
    place = sum(number >= limit for limit in limits)
    names = [f"{limit:g}" for limit in limits]
    if place == 0:
        return f"<{names[0]}"
    if place == len(limits):
        return f">={names[-1]}"
    return f"{names[place - 1]}..{names[place]}"


def _parse_cell(cell: str) -> Any:
    """RETURNS (Any): The list or the choices that a cell holds as text, else the cell."""
    cell = cell.strip()
    if cell.startswith("{") and '"choices"' in cell:
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    if _LIST_IN_CELL.fullmatch(cell):
        return [quoted[1:-1] for quoted in re.findall(_STRING, cell)]
    return cell


def _holds_nothing(value: Any) -> bool:
    return _is_empty(value) or (isinstance(value, Mapping | list) and not value)


def _is_empty(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value)


def _describe(name: str, value: Any) -> str:
    given = f"{name!r} is {shorten(repr(value))}"
    if isinstance(value, list | tuple) and len(value) == 3:
        return (
            f"{given}, a part of the text with a label. Give labels of whole texts (export a "
            "project for text classification, not for sequence labelling)."
        )
    if isinstance(value, float) and math.isfinite(value):
        return (
            f"{given}, a number with a fraction. Divide numbers into classes (label_bins, "
            '--label-bins), or give scores with their label: {"cats": {"A": 0.5}}.'
        )
    return f"{given}. Give a label, or a list of labels."
