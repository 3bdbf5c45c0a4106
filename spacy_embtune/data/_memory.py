"""Rows of what is in memory already: frames, datasets, mappings, texts."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from operator import truediv
from typing import Any

import numpy as np

from .._extras import import_extra
from .._texts import is_missing, shorten
from ._columns import ClassNames
from ._input_parts import InputPart
from ._rows import InvalidRowError, Position, ReadSettings, Row, check_columns
from ._sources import source_name


def is_in_memory(source: Any) -> bool:
    """Decide whether a source is a collection in memory, and not the name of a file.

    >>> is_in_memory("data.csv"), is_in_memory([{"text": "a"}])
    (False, True)
    """
    return not isinstance(source, str | os.PathLike | InputPart)


def read_memory(source: Any, settings: ReadSettings, position: Position) -> Iterator[Row]:
    """Read the rows of a collection: a data frame (pandas, polars, pyarrow and others that narwhals
    knows), a dataset of the library `datasets`, a mapping from column to values, or an iterable of
    mappings or texts.

    source (Any): The collection.
    settings (ReadSettings): Has the required columns, and the name that texts without one get.
    position (Position): Is updated if the collection has a length.
    RETURNS (Iterator[Row]): The rows. Missing values are None, and numpy's scalars are Python's.
    RAISES (ValueError): If it is no such collection, or a table lacks a required column.
    """
    name = source_name(source)
    n = len(source) if hasattr(source, "__len__") else None
    if _is_dataset(source):
        rows: Iterator[Any] = _read_dataset(name, source, settings)
    elif isinstance(source, Mapping):
        rows, n = _read_columns(name, source, settings)
    elif hasattr(type(source), "columns"):
        rows = _read_frame(name, source, settings)
    elif hasattr(source, "read") or not isinstance(source, Iterable):
        raise ValueError(
            f"{name}: {shorten(repr(source))} holds no records. Give the path of a file, a data "
            "frame, or a list of mappings."
        )
    else:
        rows = iter(source)
    return _number(rows, settings, position, n)


def _number(
    rows: Iterator[Any], settings: ReadSettings, position: Position, n: int | None
) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if n:
            position.follow(partial(truediv, number + 1, n))
        yield Row(_to_fields(row, settings), number, number + 1, "row")


def _to_fields(row: Any, settings: ReadSettings) -> Mapping[str, Any] | InvalidRowError:
    if isinstance(row, Mapping):
        return {str(key): _to_plain(value) for key, value in row.items()}
    if isinstance(row, str) or is_missing(row):
        return {settings.text_field: _to_plain(row)}
    return InvalidRowError(
        "it is not a record",
        f"is {shorten(repr(row))}, a {type(row).__name__}. Give a mapping, such as "
        f"{settings.example}, or a text.",
    )


def _to_plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if is_missing(value):
        return None
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value


def _is_dataset(source: Any) -> bool:
    # Without importing the library, which takes seconds.
    return type(source).__module__.partition(".")[0] == "datasets" and hasattr(
        source, "with_format"
    )


def _read_dataset(name: str, dataset: Any, settings: ReadSettings) -> Iterator[Any]:
    if isinstance(dataset, Mapping):
        raise ValueError(
            f"{name}: holds the splits {', '.join(map(repr, dataset))}. Give one of them."
        )
    features = dataset.features
    if features is not None:
        check_columns(name, list(features), settings)
        to_names = ClassNames(features.to_dict())
    else:
        to_names = ClassNames({})
    # Its own format may be arrays of numpy or torch.
    plain = dataset.with_format(None)
    return (to_names(dict(row)) for row in plain)


def _read_frame(name: str, source: Any, settings: ReadSettings) -> Iterator[Any]:
    narwhals = import_extra("narwhals", "Data frames need narwhals", extra="frames")
    frame: Any = narwhals.from_native(source, pass_through=True)
    if isinstance(frame, narwhals.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, narwhals.DataFrame):
        raise ValueError(
            f"{name}: is no data frame that narwhals knows. Give a list of mappings, or a frame of "
            "pandas, polars or pyarrow."
        )
    check_columns(name, frame.columns, settings)
    rows: Iterator[Any] = frame.iter_rows(named=True)
    return rows


def _read_columns(
    name: str, columns: Mapping[Any, Any], settings: ReadSettings
) -> tuple[Iterator[Any], int]:
    check_columns(name, list(columns), settings)
    values = {}
    for column, given in columns.items():
        if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
            raise ValueError(
                f"{name}: the column {column!r} is {shorten(repr(given))}, a "
                f"{type(given).__name__}. Give a list of values, or a list of mappings."
            )
        values[column] = list(given)
    lengths = {column: len(given) for column, given in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: the columns have different lengths, {lengths}. Make them equal.")
    rows = (dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))
    return rows, max(lengths.values(), default=0)
