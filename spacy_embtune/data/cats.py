"""Labels of a row: fields in all the forms that programs write -> cats."""

import logging
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from .._texts import is_missing, shorten
from ..labels import MISSING_CELLS, LabelColumn, cell_name, label_name, validate_cats
from . import _annotations
from ._cells import parse_container, parse_number
from ._names import suggest_name
from ._rows import InvalidRowError, list_names
from .fields import check_text
from .label_settings import (
    LabelSettings,
    bin_name,
    check_label_settings,
    find_label_fields,
)

logger = logging.getLogger(__name__)

# The fields in which labels are looked for, in this order.
FIELDS = ("cats", "label", "labels")
_TRUTH = {"false": 0.0, "true": 1.0}
# Words that are names of labels here, and stand for nothing in other programs.
_WORDS_FOR_NOTHING = {"nan", "NaN", "NaT", "<NA>", "NA", "N/A", "n/a", "None", "NULL", "null"}
_THOUSANDS = re.compile(r"-?\d{1,3},\d{3}")
_WHOLE_WITH_COMMA = re.compile(r"-?\d+,0+")


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
        self._has_field = False
        self._names: Collection[str] = ()
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
        if not self._has_field:
            self._has_field = found is not None or self.settings.label_field in (None, *fields)
            self._names = fields.keys()
        if found is not None:
            return self._read_annotation(found)
        name = self.settings.label_field
        empty: list[str] = ["cats"] if fields.get("cats") is None else []
        if name is None:
            empty = [key for key in FIELDS if _holds_nothing(fields.get(key))]
            name = next((key for key in FIELDS if key not in empty), "label")
            if name == "cats" and self._is_other_column(fields):
                name = next((key for key in FIELDS[1:] if key not in empty), "label")
        return ReadCats(self._read_value(name, fields.get(name), is_single=True), {name, *empty})

    def _is_other_column(self, fields: Mapping[str, Any]) -> bool:
        """RETURNS (bool): Whether "cats" is a column of a table in plain text that is about
        something else than labels, because it holds no mapping and there is a column of labels."""
        cell = fields["cats"]
        is_plain = self.has_string_cells and not str(cell).lstrip().startswith(("{", "["))
        return is_plain and any(key in fields for key in FIELDS[1:])

    def conclude(self) -> None:
        """Check the file as a whole, at its end.

        RAISES (ValueError): If the column is no column of labels, or no row has the field of the
            labels or one of `label_fields`.
        """
        self._raise(self._column.conclude())
        if self._n_rows and self._not_found:
            raise ValueError(
                f"No record has a field {' or '.join(map(repr, self._not_found))}. Correct the "
                "names of the labels (label_fields, --label-fields)."
            )
        name = self.settings.label_field
        if name and self._n_rows and not self._has_field:
            raise ValueError(
                f"No record has a field {name!r}. The last has {list_names(self._names)}."
                f"{suggest_name(self._names, name)} Name the field of the labels (label_field, "
                "--label-field)."
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
        self._not_found = [n for n in self._not_found if not find_label_fields(columns, [n])]
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
            text = value.strip()
            if not text or text in MISSING_CELLS:
                return None
            number = _TRUTH.get(text.lower(), parse_number(text))
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
        is_cell = self.has_string_cells and isinstance(value, str)
        if isinstance(value, str):
            value = parse_container(value)
            if isinstance(value, str) and name != "cats" and not self.settings.label_bins:
                # The most common case.
                return self._read_names(name, value, is_cell=is_cell, is_single=is_single)
        elif hasattr(value, "tolist"):
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
        return self._read_names(name, value, is_cell=is_cell, is_single=is_single)

    def _read_names(
        self, name: str, value: Any, *, is_cell: bool, is_single: bool
    ) -> dict[str, float]:
        labels = self._split(value)
        names = [self._name(name, label, is_cell=is_cell) for label in labels]
        if len(names) == 1:
            self._notice_odd_name(name, names[0], is_cell=is_cell)
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

    def _read_list(self, name: str, values: Collection[Any]) -> dict[str, float]:
        cats = {}
        if len(values) > 2 and all(isinstance(v, int | float) and v in (0, 1) for v in values):
            raise InvalidRowError(
                f"{name!r} is a list of 0 and 1",
                f"{name!r} is {shorten(repr(list(values)))}, which does not say which labels these "
                'are. Give the names of the labels that are present, such as ["A", "B"], or one '
                "field for each label (label_fields, --label-fields).",
            )
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
            pairs = [
                (label.strip() if isinstance(label, str) else label_name(label), number)
                for label, number in value.items()
                if not is_missing(number)
            ]
            known = dict(pairs)
            if len(known) < len(pairs):
                raise InvalidRowError(
                    f"{name!r} has a label twice",
                    f"{name!r} is {shorten(repr(value), 100)}, in which two labels have the same "
                    "name up to white space at its ends. Remove one of them.",
                )
        try:
            validate_cats(known, where=name)
        except ValueError as error:
            raise InvalidRowError(f"{name!r} does not hold labels", str(error)) from error
        return {check_text(name, label): float(number) for label, number in known.items()}

    def _read_bin(self, name: str, value: Any) -> dict[str, float]:
        given = parse_number(value) if isinstance(value, str) else value
        try:
            number = math.nan if given is None or isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            number = math.nan
        if _is_empty(value) or (isinstance(value, str) and value.strip() in MISSING_CELLS):
            return {}
        if not math.isfinite(number):
            raise InvalidRowError(
                f"{name!r} is not a number",
                f"{name!r} is {shorten(repr(value))}, which cannot be divided into classes. Give "
                f"a number, or leave label_bins (--label-bins) out.{_explain_comma(value)}",
            )
        return {bin_name(number, self.settings.label_bins): 1.0}

    def _name(self, name: str, value: Any, *, is_cell: bool = False) -> str:
        label = cell_name(value) if is_cell else label_name(value)
        if label is None:
            raise InvalidRowError(f"{name!r} is not a label", _describe(name, value))
        return check_text(name, label.strip())

    def _notice_odd_name(self, name: str, label: str, *, is_cell: bool) -> None:
        if label in _WORDS_FOR_NOTHING:
            cure = "leave such cells empty" if is_cell else "write null"
            self._notify(
                f"{name!r} is {label!r}, which is read as the name of a label. If it stands for an "
                f"unknown label, {cure}."
            )
        elif is_cell and _WHOLE_WITH_COMMA.fullmatch(label):
            self._notify(
                f"{name!r} is {label!r}, which is read as the name of one label. If it is a number "
                "with a decimal comma, write it without the decimals. If it is several labels, "
                "name the separator (label_separator, --label-separator).",
                kind="decimal comma",
            )

    def _notify(self, notice: str, *, kind: str | None = None) -> None:
        """Log a notice, if none of its kind was logged. None: notices of its words."""
        kind = notice if kind is None else kind
        if kind not in self._notices:
            self._notices.add(kind)
            logger.warning(notice)

    def _raise(self, fault: str | None) -> None:
        if fault is not None:
            name = self.settings.label_field or "label"
            raise ValueError(f"{name!r} does not hold labels. {fault}")


def _explain_comma(value: Any) -> str:
    if not isinstance(value, str) or not _THOUSANDS.fullmatch(value.strip()):
        return ""
    text = value.strip()
    return f" A comma may mean {text.replace(',', '')} or {text.replace(',', '.')}: write one."


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
