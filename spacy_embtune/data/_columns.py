"""Readers of the columnar formats of Apache Arrow: Parquet, Arrow and Feather."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import accumulate
from operator import truediv
from typing import Any

from .._extras import import_extra
from .._texts import shorten
from ._rows import ReadSettings, Row, check_columns
from ._sources import Source, look_ahead

# Rows of a table in memory at a time.
BATCH_ROWS = 1024
FILE_START = b"ARROW1"


def import_pyarrow() -> Any:
    """Import pyarrow, which is an optional dependency.

    >>> import_pyarrow().__name__
    'pyarrow'

    RETURNS (Any): The module pyarrow, with pyarrow.parquet.
    RAISES (ImportError): If it is not installed. The message names the extra that installs it.
    """
    need = "Parquet and Arrow need pyarrow"
    import_extra("pyarrow.parquet", need, extra="parquet")
    return import_extra("pyarrow", need, extra="parquet")


def read_parquet(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a Parquet file."""
    pyarrow = import_pyarrow()
    with (
        _explaining_damage(source, "Parquet", pyarrow),
        ExitStack() as stack,
        pyarrow.parquet.ParquetFile(source.open_seekable(stack, "Parquet")) as file,
    ):
        schema = file.schema_arrow
        check_columns(source.name, schema.names, settings)
        columns = choose_columns(schema, settings)
        part = source.part
        if part is None or part.end is None:
            batches = file.iter_batches(BATCH_ROWS, columns=columns)
            n = file.metadata.num_rows
        else:
            batches = _read_range(file, columns, part.start, part.end)
            n = part.end - part.start
        yield from read_batches(source, batches, schema, n)


def _read_range(file: Any, columns: list[str], start: int, end: int) -> Iterator[Any]:
    """YIELDS (pyarrow.RecordBatch): The rows of a Parquet file from one row up to another. Only the
    row groups that hold some of them are read."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    ends = list(accumulate(sizes))
    groups = [i for i, size in enumerate(sizes) if ends[i] > start and ends[i] - size < end]
    at = ends[groups[0]] - sizes[groups[0]] if groups else 0
    for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns):
        first, last = max(start - at, 0), min(end - at, batch.num_rows)
        if first < last:
            yield batch.slice(first, last - first)
        at += batch.num_rows
        if at >= end:
            return


def read_arrow(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file of Arrow's formats: Feather, or its equal the IPC file, or an IPC stream."""
    pyarrow = import_pyarrow()
    with _explaining_damage(source, "Arrow", pyarrow), source.open() as file:
        head, stream = look_ahead(file)
        if head.startswith(FILE_START):
            # The index of such a file is at its end. A file that is not compressed is not copied.
            whole = pyarrow.memory_map(str(source.path)) if source.is_plain else stream.read()
            reader = pyarrow.ipc.open_file(whole)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        else:
            reader = pyarrow.ipc.open_stream(stream)
            batches = iter(reader)
        schema = reader.schema
        check_columns(source.name, schema.names, settings)
        columns = choose_columns(schema, settings)
        parts = (batch.select(columns) for batch in batches)
        yield from read_batches(source, parts, schema, None)


def read_batches(
    source: Source, batches: Iterable[Any], schema: Any, n: int | None
) -> Iterator[Row]:
    """Read the rows of record batches.

    source (Source): The file.
    batches (Iterable[pyarrow.RecordBatch]): The batches.
    schema (pyarrow.Schema): Its metadata may name classes.
    n (int | None): The number of rows. None: the bytes say how far the file is read.
    YIELDS (Row): The rows.
    """
    to_names = ClassNames(read_features(schema.metadata))
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            for fields in batch.slice(start, BATCH_ROWS).to_pylist():
                if n:
                    source.position.follow(partial(truediv, number + 1, n))
                yield Row(to_names(fields), number, number + 1, "row")
                number += 1


def choose_columns(schema: Any, settings: ReadSettings) -> list[str]:
    """Choose the columns to read: all but those of vectors, unless the caller asks for them.

    schema (pyarrow.Schema): The columns of the table.
    settings (ReadSettings): Has the columns that the caller asks for.
    RETURNS (list[str]): Their names.
    """
    known = settings.known
    return [
        field.name
        for field, name in zip(schema, settings.rename(schema.names), strict=True)
        if name in known or not _holds_vectors(field.type)
    ]


def _holds_vectors(type_: Any) -> bool:
    types = import_pyarrow().types
    if hasattr(type_, "storage_type"):
        return _holds_vectors(type_.storage_type)
    if not (types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)):
        return False
    return types.is_floating(type_.value_type) or _holds_vectors(type_.value_type)


def read_features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """Read what the library `datasets` says about the columns of a file that it wrote.

    metadata (Mapping[bytes, bytes] | None): The metadata of the schema.
    RETURNS (Mapping[str, Any]): The features, by column; empty if another program wrote the file.
    """
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (LookupError, ValueError, TypeError):
        return {}
    return features if isinstance(features, Mapping) else {}


class ClassNames:
    """Puts the names of classes in the place of their numbers, where `datasets` knows the names.

    >>> to_names = ClassNames({"label": {"names": ["NO", "YES"], "_type": "ClassLabel"}})
    >>> to_names({"text": "a", "label": 1}), to_names({"text": "b", "label": -1})
    ({'text': 'a', 'label': 'YES'}, {'text': 'b', 'label': None})
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        """features (Mapping[str, Any]): The features of a dataset, as dictionaries."""
        self._names: dict[str, list[str]] = {}
        for column, feature in features.items():
            inner = feature
            if isinstance(inner, Mapping):
                inner = inner.get("feature", inner)
            elif isinstance(inner, list) and len(inner) == 1:
                inner = inner[0]
            if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel":
                names = inner.get("names")
                if isinstance(names, list):
                    self._names[column] = [str(name) for name in names]

    def __call__(self, fields: dict[str, Any]) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The fields of a row. -1 stands for an unknown class."""
        for column, names in self._names.items():
            if column in fields:
                value = fields[column]
                if isinstance(value, list):
                    named = [self._name(number, names) for number in value]
                    fields[column] = [name for name in named if name is not None]
                else:
                    fields[column] = self._name(value, names)
        return fields

    def _name(self, number: Any, names: list[str]) -> Any:
        if not isinstance(number, int) or number >= len(names):
            return number
        return names[number] if number >= 0 else None


@contextmanager
def _explaining_damage(source: Source, what: str, pyarrow: Any) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            # An error of the disk, not of the file's contents.
            raise
        raise ValueError(
            f"{source.name}: is not a whole {what} file ({shorten(str(error), 80)}). Create it "
            "again."
        ) from error
