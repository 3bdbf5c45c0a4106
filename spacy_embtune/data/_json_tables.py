"""Tables that are one object of JSON, in the forms of pandas and of other programs."""

from collections.abc import Mapping
from typing import Any

from .._texts import shorten
from ._names import fold_name
from ._rows import ReadSettings, list_names


def is_record(value: Mapping[str, Any], settings: ReadSettings) -> bool:
    """RETURNS (bool): Whether an object is a record, because its text is a string."""
    text = fold_name(settings.text_field)
    return any(fold_name(key) == text and isinstance(value[key], str) for key in value)


def find_rows(name: str, value: Mapping[str, Any], settings: ReadSettings) -> Any:
    """RETURNS (Any): The rows of a table that is one object."""
    data, columns = value.get("data"), value.get("columns")
    if isinstance(columns, list) and isinstance(data, list):
        # {"columns": ["text", ...], "data": [["a", ...], ...]}
        return [
            dict(zip(columns, row, strict=True))
            if isinstance(row, list) and len(row) == len(columns)
            else row
            for row in data
        ]
    text = fold_name(settings.text_field)
    if value and all(isinstance(part, dict) for part in value.values()):
        if not any(fold_name(key) == text for key in value) and all(
            any(fold_name(key) == text for key in row) for row in value.values()
        ):
            # {"0": {"text": "a", ...}, ...}
            return list(value.values())
        # {"text": {"0": "a", ...}, ...}
        keys = dict.fromkeys(key for column in value.values() for key in column)
        return [{name: column.get(key) for name, column in value.items()} for key in keys]
    if any(fold_name(key) == text and isinstance(value[key], list) for key in value):
        return _join_columns(name, value)
    lists = [key for key, part in value.items() if _is_list_of_objects(part)]
    if data == []:
        lists.append("data")
    if len(lists) != 1:
        raise ValueError(
            f"{name}: is one object with {list_names(value)}, which is neither a record nor a "
            f"table. Give an array of objects, or an object a line, such as {settings.example}."
        )
    return value[lists[0]]


def _join_columns(name: str, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): The rows of {"text": ["a", ...], ...}."""
    lengths = {key: len(part) if isinstance(part, list) else None for key, part in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key!r}: {'no list' if n is None else n}" for key, n in lengths.items())
        raise ValueError(
            f"{name}: is one object with columns of different lengths ({shorten(shown, 200)}). "
            "Give each column a list with a value for each row."
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _is_list_of_objects(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(isinstance(row, dict) for row in part)
