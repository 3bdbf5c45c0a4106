"""Fields that a command does not use itself, on their way into its output."""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import numpy as np

from ._rows import InvalidRowError

# The column of CSV that names the cells that `escape_cells` changed.
ESCAPED = "escaped_cells"
_APOSTROPHE = "'"
# Spreadsheets read a cell that begins with one of these as a formula. The last four are the wide
# forms of the first four.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")
_ADDED = re.compile(f"{_APOSTROPHE}{_FORMULA.pattern}")


def rename_fields(names: Iterable[str], own: Collection[str]) -> dict[str, str]:
    """Choose the names that fields of DATA get in an output with columns of its own. A field with
    the name of such a column gets "_in_data" behind its name.

    >>> rename_fields(["url", "margin"], {"text", "margin"})
    {'url': 'url', 'margin': 'margin_in_data'}

    names (Iterable[str]): The names of the fields.
    own (Collection[str]): The names that the output uses itself.
    RETURNS (dict[str, str]): The new name of each field. No two are equal.
    """
    names = list(names)
    taken = {*own, *names}
    renamed = {}
    for name in names:
        new = name
        if name in own:
            while new in taken:
                new += "_in_data"
            taken.add(new)
        renamed[name] = new
    return renamed


def to_json_value(value: Any) -> Any:
    """Turn the value of a field into one that JSON can hold. JSON has neither NaN nor infinity, so
    these become None. Dates become text in ISO format.

    >>> to_json_value({"when": date(2026, 11, 25), "score": float("nan"), "tags": ("a", "b")})
    {'when': '2026-11-25', 'score': None, 'tags': ['a', 'b']}

    value (Any): The value.
    RETURNS (Any): A value of None, bool, int, float, str, list and dict only.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return to_json_value(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(to_json_value, value), key=repr)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf8", "backslashreplace")
    return str(value)


def to_json(value: Any) -> str:
    """Write the value of a field as JSON.

    >>> to_json(["Zoë", 1.0])
    '["Zoë", 1.0]'

    value (Any): The value.
    RETURNS (str): JSON on one line.
    """
    return json.dumps(to_json_value(value), ensure_ascii=False)


def to_cell(value: Any) -> Any:
    """Turn the value of a field into a cell of a table that has no lists.

    >>> to_cell(["a", "b"]), to_cell(2), to_cell(None)
    ('["a", "b"]', 2, None)

    value (Any): The value.
    RETURNS (Any): None, a bool, a number or a text. Lists and mappings become JSON.
    """
    value = to_json_value(value)
    return to_json(value) if isinstance(value, list | dict) else value


def to_arrow(values: Sequence[Any]) -> Any:
    """Turn the values of a field into a column of Arrow. The column has the type of the values, if
    it gives them back unchanged. Otherwise, as when some are numbers and some are texts, it holds
    each value as JSON.

    >>> str(to_arrow([1, None, 2]).type), to_arrow([1, "a"]).to_pylist()
    ('int64', ['1', '"a"'])

    values (Sequence[Any]): The values, None for a missing one.
    RETURNS (pyarrow.Array): The column.
    """
    import pyarrow

    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    plain = [_replace_halves(value) if isinstance(value, str) else value for value in plain]
    try:
        column = pyarrow.array(plain)
        if _can_be_written(column.type) and _are_equal(column.to_pylist(), plain):
            return column
    except (pyarrow.ArrowException, OverflowError, TypeError, UnicodeError, ValueError):
        pass
    return json_column(plain)


def json_column(values: Iterable[Any]) -> Any:
    """Turn the values of a field into a column of Arrow that holds each as JSON.

    >>> json_column([1, None, ["a"]]).to_pylist()
    ['1', None, '["a"]']

    values (Iterable[Any]): The values.
    RETURNS (pyarrow.Array): The column, of strings.
    """
    import pyarrow

    texts = [None if value is None else _replace_halves(to_json(value)) for value in values]
    return pyarrow.array(texts, pyarrow.string())


def _replace_halves(text: str) -> str:
    """RETURNS (str): The text with "?" for halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf8", "replace").decode("utf8")


def _can_be_written(type: Any) -> bool:
    """RETURNS (bool): Whether Parquet can hold the type. It has no mappings without keys."""
    import pyarrow

    if pyarrow.types.is_struct(type):
        return type.num_fields > 0 and all(_can_be_written(field.type) for field in type)
    if pyarrow.types.is_list(type):
        return _can_be_written(type.value_type)
    return True


def _are_equal(one: Any, other: Any) -> bool:
    """RETURNS (bool): Whether values are equal. NaN is equal to NaN, a list to a tuple, but True is
    not equal to 1."""
    if isinstance(one, list) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    if isinstance(one, dict) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_are_equal(one[k], other[k]) for k in one)
    if isinstance(one, bool) != isinstance(other, bool | np.bool_):
        return False
    return bool(one == other or (one != one and other != other))


def escape_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Make the texts of a row harmless for spreadsheets, which run a cell that begins with "=",
    "+", "-", "@", a tab or a line break as a formula. Such a text gets an apostrophe before it,
    and the cell `escaped_cells` names its column. Numbers, also as texts, stay as they are.

    >>> escape_cells({"text": "=1+1", "x": -0.5, "n": "-5"})
    {'text': "'=1+1", 'x': -0.5, 'n': '-5', 'escaped_cells': '["text"]'}

    row (Mapping[str, Any]): The cells by column.
    RETURNS (dict[str, Any]): The row. It has `escaped_cells` only if a cell changed.
    """
    escaped = {
        name: f"{_APOSTROPHE}{value}"
        for name, value in row.items()
        if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    }
    if not escaped:
        return dict(row)
    return {**row, **escaped, ESCAPED: to_json(list(escaped))}


def unescape_cells(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Undo what `escape_cells` did to a row.

    >>> unescape_cells({"text": "'=1+1", "n": "-5", "escaped_cells": '["text"]'})
    {'text': '=1+1', 'n': '-5'}

    fields (Mapping[str, Any]): The fields of a row of any file.
    RETURNS (Mapping[str, Any]): The fields without `escaped_cells`. A cell that lost its apostrophe
        since stays as it is.
    RAISES (InvalidRowError): If `escaped_cells` does not name columns.
    """
    if ESCAPED not in fields:
        return fields
    fields = dict(fields)
    cell = fields.pop(ESCAPED)
    if cell is None or cell == "" or cell != cell:
        return fields
    try:
        names = json.loads(cell) if isinstance(cell, str) else cell
        escaped = {name: fields[name] for name in names if name in fields}
    except (ValueError, TypeError) as error:
        raise InvalidRowError(
            f"{ESCAPED!r} does not name columns",
            f"{ESCAPED!r} is {cell!r}, but this column names the cells that begin with an "
            'apostrophe, as in ["text"]. Rename the column, or remove it.',
        ) from error
    for name, value in escaped.items():
        if isinstance(value, str) and _ADDED.match(value):
            fields[name] = value[1:]
    return fields
