"""Check and collect cats: mappings from label to value, one for each document."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np

from ._arrays import TOLERANCE


def labels_in(cats: Iterable[Mapping[str, float]]) -> list[str]:
    """Collect all labels that are known to be present or absent in a document.

    >>> labels_in([{"SPORT": 1.0}, {"MUSIC": 0.0, "SPORT": 0.0}])
    ['MUSIC', 'SPORT']

    cats (Iterable[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (list[str]): The distinct labels, sorted.
    """
    return sorted({label for mapping in cats for label in mapping})


def validate_cats(cats: Mapping[str, float], *, where: str) -> None:
    """Check the labels of one document.

    >>> validate_cats({"SPORT": 2.0}, where="line 3")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: line 3: the label 'SPORT' has the value 2.0, outside 0..1. ...

    cats (Mapping[str, float]): A value from 0 (absent) to 1 (present) for each known label.
    where (str): The name of the document in error messages.
    RAISES (ValueError): If a label is not a string or empty, or a value is not a number in 0..1.
    """
    if not isinstance(cats, Mapping):
        raise ValueError(
            f"{where}: the labels are {cats!r}, a {type(cats).__name__}. Give a mapping from label "
            'to value, such as {"SPORT": 1.0, "MUSIC": 0.0}.'
        )
    for label, value in cats.items():
        if not isinstance(label, str) or not label:
            raise ValueError(
                f"{where}: the label {label!r} (value {value!r}) is not a non-empty string. Name "
                "each label by a string."
            )
        given = f"{where}: the label {label!r} has the value {value!r}"
        if not isinstance(value, Real | np.bool_):
            raise ValueError(
                f"{given}, a {type(value).__name__}. Give a number from 0.0 (absent) to 1.0 "
                "(present), or leave the label out if its value is not known."
            )
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(
                f"{given}, which is not finite. Leave the label out if its value is not known."
            )
        if not 0.0 <= number <= 1.0:
            raise ValueError(
                f"{given}, outside 0..1. Give 1.0 for present, 0.0 for absent, or a value between "
                "for a graded label."
            )


def is_exclusive(cats: Iterable[Mapping[str, float]]) -> bool:
    """Decide from the data whether each document carries exactly one label.

    >>> is_exclusive([{"SPORT": 1.0, "MUSIC": 0.0}, {"MUSIC": 1.0}, {}])
    True

    cats (Iterable[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (bool): True if there are at least two labels and the values of each document sum to 1.
        Documents without values are not checked. False if no document has values.
    """
    labels: set[str] = set()
    for mapping in cats:
        if mapping and abs(math.fsum(mapping.values()) - 1.0) > TOLERANCE:
            return False
        labels.update(mapping)
    return len(labels) >= 2


def describe_document(i: int) -> str:
    """RETURNS (str): The name of the i-th document (from 0) for error messages."""
    return f"document {i}"
