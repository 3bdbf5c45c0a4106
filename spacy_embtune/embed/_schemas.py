"""Columns of several Parquet tables brought together: one type for each that holds all values."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..data import import_pyarrow, json_column


class Columns(NamedTuple):
    """The columns of a table.

    schema (pyarrow.Schema): Their names and types.
    as_json (frozenset[str]): The names of those that hold each value as JSON.
    large (frozenset[str]): The names of those with whole numbers that a float may not hold.
    """

    schema: Any
    as_json: frozenset[str] = frozenset()
    large: frozenset[str] = frozenset()

    def describe(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The columns as JSON: types by name, and the two lists."""
        return {
            "columns": {field.name: str(field.type) for field in self.schema},
            "as_json": sorted(self.as_json),
            "large": sorted(self.large),
        }


@contextmanager
def open_writer(path: Path, schema: Any) -> Iterator[Any]:
    """Write a Parquet file.

    path (Path): The file.
    schema (pyarrow.Schema): Its columns.
    YIELDS (pyarrow.parquet.ParquetWriter): The writer.
    """
    # Python's file gives better errors. A dictionary would not make vectors smaller.
    with (
        path.open("wb") as file,
        import_pyarrow().parquet.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=False
        ) as writer,
    ):
        yield writer


def unify(tables: Sequence[Columns]) -> Columns:
    """Find columns that hold the values of several tables.

    tables (Sequence[Columns]): The columns of each.
    RETURNS (Columns): All columns, in the order in which they first appear. A column whose values
        have no common type, as texts and numbers, holds JSON.
    """
    pyarrow = import_pyarrow()
    as_json = {name for table in tables for name in table.as_json}
    large = frozenset(name for table in tables for name in table.large)
    types: dict[str, Any] = {}
    for table in tables:
        for field in table.schema:
            name, type = field.name, field.type
            earlier = types.get(name, type)
            common = _common_type(pyarrow, earlier, type)
            # Floats may not hold large whole numbers.
            is_changed = not {common, pyarrow.null()}.issuperset((earlier, type))
            if common is None or (is_changed and name in large):
                as_json.add(name)
            types[name] = pyarrow.string() if name in as_json else common
    return Columns(pyarrow.schema(list(types.items())), frozenset(as_json), large)


def _common_type(pyarrow: Any, one: Any, other: Any) -> Any:
    """RETURNS (DataType | None): The type that holds the values of two columns; None if there is
    none, as for texts and numbers."""
    types = pyarrow.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    for number, float_type in ((one, other), (other, one)):
        if types.is_integer(number) and types.is_floating(float_type):
            return float_type
    if types.is_list(one) and types.is_list(other):
        item = _common_type(pyarrow, one.value_type, other.value_type)
        field = one.value_field
        return None if item is None else pyarrow.list_(field.with_type(item))
    if types.is_struct(one) and types.is_struct(other):
        if [field.name for field in one] != [field.name for field in other]:
            return None
        pairs = zip(one, other, strict=True)
        fields = [(a.name, _common_type(pyarrow, a.type, b.type)) for a, b in pairs]
        is_known = all(type is not None for _, type in fields)
        return pyarrow.struct(fields) if is_known else None
    return None


def convert(table: Any, to: Columns, as_json: frozenset[str]) -> Any:
    """Give a table the columns that `unify` found.

    table (pyarrow.Table): The table.
    to (Columns): The columns.
    as_json (frozenset[str]): The names of the columns of the table that hold JSON already.
    RETURNS (pyarrow.Table): The table with these columns. What it lacks is null.
    """
    pyarrow = import_pyarrow()
    columns = []
    for field in to.schema:
        if field.name not in table.schema.names:
            columns.append(pyarrow.nulls(len(table), field.type))
        elif field.name in to.as_json - as_json:
            columns.append(json_column(table[field.name].to_pylist()))
        else:
            columns.append(table[field.name].cast(field.type))
    return pyarrow.table(columns, schema=to.schema)
