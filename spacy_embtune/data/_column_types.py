"""The types of the columns of several Parquet files, compared before any row is read."""

from typing import Any

from ._columns import import_pyarrow


def check_types(name: str, schema: Any, columns: dict[str, tuple[Any, str]]) -> None:
    """Check that a Parquet file has the columns of the files before it. Types whose values are
    read alike, such as whole numbers of 32 and of 64 bits, are not told apart.

    columns (dict[str, tuple[DataType, str]]): The types of the columns of the files before it, each
        with the name of a file. Filled here.
    RAISES (ValueError): If the columns or their types differ.
    """
    types = {field.name: field.type for field in schema}
    if not columns:
        columns.update({column: (type_, name) for column, type_ in types.items()})
        return
    first = next(iter(columns.values()))[1]
    for column in sorted({*types, *columns}):
        here, (there, where) = types.get(column), columns.get(column, (None, first))
        kinds = {_describe_type(here), _describe_type(there)}
        if len(kinds - {"null"}) > 1:
            raise ValueError(
                f"{name}: the column {column!r} is {here or 'missing'}, but in {where} it is "
                f"{there or 'missing'}. Files of one corpus need the same columns with the same "
                "types. Convert them, or embed them into directories of their own."
            )
        if here is not None and _describe_type(there) == "null":
            # A column without any value has the type that others have.
            columns[column] = (here, name)


def _describe_type(type_: Any) -> str:
    """RETURNS (str): The type of a column of Parquet in words that are the same for types whose
    values are read alike. "missing" for no column."""
    types = import_pyarrow().types
    if type_ is None:
        return "missing"
    if types.is_dictionary(type_):
        return _describe_type(type_.value_type)
    if str(type_) in ("string", "large_string", "string_view"):
        return "string"
    if types.is_integer(type_):
        return "integer"
    if types.is_floating(type_):
        return "floating"
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return f"list of {_describe_type(type_.value_type)}"
    return str(type_)
