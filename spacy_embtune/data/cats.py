"""The labels of a row of fields, as cats."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._texts import shorten
from ..labels import validate_cats
from ._rows import InvalidRowError
from .fields import check_text


class FoundCats(NamedTuple):
    """The labels of a row.

    cats (dict[str, float]): The value of each known label, 0..1.
    used (set[str]): The fields that were interpreted, or that hold nothing.
    """

    cats: dict[str, float]
    used: set[str]


def cats_from_fields(
    fields: Mapping[str, Any], label_field: str | None = None, *, has_string_cells: bool = False
) -> FoundCats:
    """Read the labels of a row from the field "cats", which maps each label to its value, or from
    "label", which is one label or a list of labels. A label that the row does not mention is
    unknown, not absent.

    >>> cats_from_fields({"text": "Kick-off at eight.", "label": "SPORT"}).cats
    {'SPORT': 1.0}

    fields (Mapping[str, Any]): The fields of the row.
    label_field (str | None): The field of the labels. None: "cats" or "label". "": no labels are
        read.
    has_string_cells (bool): Whether all values are strings, as in CSV. Labels are then read from
        "label" only, and "|" separates several labels.
    RETURNS (FoundCats): The labels, and the fields that hold them.
    RAISES (InvalidRowError): If the field does not hold labels.
    """
    if label_field is None:
        has_cats = not has_string_cells and fields.get("cats") is not None
        label_field = "cats" if has_cats else "label"
    used = {label_field}
    if fields.get("cats") is None:
        used.add("cats")
    return FoundCats(_parse_labels(label_field, fields.get(label_field), has_string_cells), used)


def _parse_labels(name: str, value: Any, has_string_cells: bool) -> dict[str, float]:
    if value is None:
        return {}
    if isinstance(value, Mapping) or name == "cats":
        return _parse_cats(name, value)
    if has_string_cells:
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
