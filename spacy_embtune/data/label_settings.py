"""Settings that say where the labels of a row are, and how they are written."""

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import NamedTuple


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
    """RETURNS (bool): Whether the name of a field fits a pattern of `label_fields`."""
    # Of the special characters of file names, only these two have a meaning here.
    return fnmatchcase(column, pattern.replace("[", "[[]"))


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
