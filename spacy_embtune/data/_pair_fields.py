"""The fields of a pair of texts, and what they mean."""

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

from .._texts import fold_text, shorten
from ._cells import parse_number
from .doc_pairs import check_score
from .fields import InvalidRowError, check_text, missing_field

# Two texts, with or without a score.
Pair: TypeAlias = tuple[str, str, float] | tuple[str, str] | Mapping[str, Any]
# The fields of a pair, or the error in it.
Fields: TypeAlias = Mapping[str, Any] | InvalidRowError

# Names of fields that number texts or pairs, and so are no scores.
_IDS = re.compile(r"(.*[_. -])?ids?\d*([_. -].*)?", re.IGNORECASE)


class PairFields(NamedTuple):
    """The names of the fields of a pair.

    text1, text2 (str): The fields of the two texts.
    score (str | None): The field of the score. None: pairs have no scores.
    """

    text1: str
    text2: str
    score: str | None


def check_score_range(score_range: Sequence[float]) -> tuple[float, float]:
    """Check a range of scores.

    >>> check_score_range([0, 5])
    (0.0, 5.0)

    score_range (Sequence[float]): The lowest and the highest score.
    RETURNS (tuple[float, float]): The lowest and the highest score.
    RAISES (ValueError): If it is not two finite numbers in ascending order.
    """
    try:
        low, high = map(float, score_range)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"score_range is {score_range!r}: give the lowest and the highest score, such as "
            "[0.0, 5.0]."
        )
    return low, high


def parse_pair(
    fields: Mapping[str, Any], names: PairFields | None, score_range: tuple[float, float]
) -> tuple[str, str, float | None]:
    """Interpret the fields of a pair.

    names (PairFields | None): The names of the fields. None: the standard names, where each pair
        may have a score or not.
    RETURNS (tuple[str, str, float | None]): Two texts, and their score in 0..1.
    RAISES (InvalidRowError): If the pair is invalid.
    """
    if names is None:
        names = _standard_names(fields)
    for name in filter(None, names):
        if name not in fields:
            cure = "Name the fields to read (text1, text2, score)"
            cure += "; score = null if there are no scores." if name == names.score else "."
            raise missing_field(name, fields, cure)
    first, second = fields[names.text1], fields[names.text2]
    _check_not_empty(names.text1, first)
    _check_not_empty(names.text2, second)
    if fold_text(first) == fold_text(second):
        raise InvalidRowError(
            "a text is paired with itself",
            f"{shorten(first)!r} is paired with itself, which teaches nothing. Leave the pair out.",
        )
    if names.score is None:
        return first, second, None
    return first, second, _parse_score(fields[names.score], *score_range)


def find_others(fields: Mapping[str, Any], names: PairFields) -> list[str]:
    """RETURNS (list[str]): The fields that are neither those of a pair nor ids, quoted. One of them
    may be the score under another name."""
    others = (name for name in fields if name not in names)
    return sorted(repr(name) for name in others if not _IDS.fullmatch(str(name)))


def _standard_names(fields: Mapping[str, Any]) -> PairFields:
    """RETURNS (PairFields): The standard names; no score if the pair has none.
    RAISES (InvalidRowError): If the pair has other fields, but no "score"."""
    others = find_others(fields, PairFields("text1", "text2", "score"))
    if "score" not in fields and others:
        # If the score had another name and were ignored, all pairs would get the similarity 1.
        raise InvalidRowError(
            "there is no 'score'",
            f"there is no 'score', but {', '.join(others)}. Name the score 'score', or leave the "
            "other fields out.",
        )
    return PairFields("text1", "text2", None if fields.get("score") is None else "score")


def _parse_score(score: Any, low: float, high: float) -> float:
    """RETURNS (float): The score, rescaled from low..high to 0..1."""
    if isinstance(score, str):
        # The cells of CSV and TSV are strings.
        number_in_cell = parse_number(score)
        score = score if number_in_cell is None else number_in_cell
    try:
        number = check_score(score, low=low, high=high)
    except ValueError as error:
        if isinstance(score, bool) or not isinstance(score, Real):
            fault = "is not a number"
        else:
            fault = "is NaN" if score != score else "is out of range"
        raise InvalidRowError(f"the score {fault}", str(error)) from error
    return min(max((number - low) / (high - low), 0.0), 1.0)


def _check_not_empty(name: str, text: Any) -> None:
    if not check_text(name, text).strip():
        raise InvalidRowError(
            f"{name!r} is empty", f"{name!r} is an empty text. Leave the pair out."
        )


def to_fields(pair: Any) -> Fields:
    if isinstance(pair, Mapping):
        return pair
    if isinstance(pair, tuple | list) and len(pair) in (2, 3):
        return dict(zip(("text1", "text2", "score"), pair, strict=False))
    return InvalidRowError(
        "it is not a pair",
        f"is {shorten(repr(pair))}. Give two texts, or two texts and a score.",
    )
