"""The file formats of results. A format writes one chunk at a time, then joins all chunks.

A format gives the same bytes for the same chunks: it writes no dates, and nothing that depends on
which chunks an earlier run finished.
"""

import json
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import (
    Record,
    import_pyarrow,
    rename_fields,
    to_arrow,
    to_json,
)
from ._parts import Part
from ._schemas import Columns, convert, open_writer, unify

# The fields of a result that are not fields of DATA.
OWN = ("id", "text", "cats", "base", "tuned", "scores")

# A numpy array of strings uses the length of the longest string for each row.
MOST_ID_CHARACTERS = 256

# Parquet files with smaller row groups are slow to read. A row group is in memory as a whole.
ROWS_PER_GROUP = 16_384
BYTES_PER_GROUP = 2**26


class Chunk(NamedTuple):
    """Records with their vectors.

    records (list[Record]): The n records.
    vectors (dict[str, ndarray]): Vectors and scores by kind, float32, n rows each.
    """

    records: list[Record]
    vectors: dict[str, NDArray[Any]]


def other_fields(chunk: Chunk, i: int) -> dict[str, Any]:
    """Find the fields of a record that are neither its text nor its id or labels.

    chunk (Chunk): The chunk.
    i (int): Zero-based position of the record.
    RETURNS (dict[str, Any]): The values by the name that they get in the result. Vectors and scores
        of an earlier result are left out if the chunk has new ones.
    """
    meta = chunk.records[i].meta
    fields = {
        name: value
        for name, value in meta.items()
        if not (name in chunk.vectors and isinstance(value, list | tuple | dict | np.ndarray))
    }
    names = rename_fields(fields, OWN)
    return {names[name]: value for name, value in fields.items()}


class Format(ABC):
    """The base class of file formats.

    suffix (str): The suffix of the file of a chunk.
    keeps_fields (bool): Whether a result holds the other fields of records.
    labels (tuple[str, ...]): The labels, the columns of the scores.
    dtype (str): The type of the vectors: "float32" or "float16". Scores are float32.
    """

    suffix: str
    keeps_fields = True

    def __init__(self, labels: tuple[str, ...], dtype: str = "float32") -> None:
        self.labels = labels
        self.dtype = dtype

    def round(self, vectors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Round vectors to the type of this result.

        vectors (dict[str, ndarray]): Vectors and scores by kind, float32.
        RETURNS (dict[str, ndarray]): The vectors in the type, and the scores as they are.
        RAISES (ValueError): When a number is too large for the type.
        """
        if self.dtype == "float32":
            return vectors
        with np.errstate(over="ignore"):
            rounded = {
                key: rows if key == "scores" else rows.astype(self.dtype)
                for key, rows in vectors.items()
            }
        for key, rows in rounded.items():
            if not np.isfinite(rows).all():
                raise ValueError(
                    f"The {key} vectors have numbers above {np.finfo(self.dtype).max:g}, the most "
                    f"that {self.dtype} holds. Write float32."
                )
        return rounded

    @abstractmethod
    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        """Write a chunk.

        chunk (Chunk): The chunk.
        path (Path): The file.
        RETURNS (dict[str, Any]): What `join` needs to know of the chunk, JSON.
        RAISES (ValueError): When the format cannot hold the chunk.
        """

    def admit(self, part: Part) -> None:  # noqa: B027
        """Count a chunk, made by this run or an earlier one, towards the limits of the format.

        part (Part): The chunk.
        RAISES (ValueError): When the result would be too large for the format.
        """

    @abstractmethod
    def join(self, parts: Sequence[Part], path: Path) -> None:
        """Write the result.

        parts (Sequence[Part]): All chunks, at least one.
        path (Path): The file.
        """

    def describe_columns(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Describe the columns of the result of chunks.

        parts (Sequence[Part]): All chunks.
        RETURNS (dict[str, Any]): "columns", the types by name, empty if the format does not have
            types of columns; "as_json" and "large", see `Columns`.
        """
        return {"columns": {}, "as_json": [], "large": []}


class JsonLines(Format):
    """JSON Lines: id, text, cats if any are known, vectors as lists, scores by label, and the other
    fields."""

    suffix = ".jsonl"

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        with path.open("w", encoding="utf8", errors="replace", newline="\n") as file:
            for i, record in enumerate(chunk.records):
                cats = {"cats": record.cats} if record.cats else {}
                head = {"id": record.id, "text": record.text, **cats}
                fields = [json.dumps(head, ensure_ascii=False)[1:-1]]
                for key, rows in chunk.vectors.items():
                    fields.append(f'"{key}": {self._dump(key, rows[i])}')
                for name, value in other_fields(chunk, i).items():
                    fields.append(f"{to_json(name)}: {to_json(value)}")
                file.write(f"{{{', '.join(fields)}}}\n")
        return {}

    def _dump(self, key: str, row: NDArray[Any]) -> str:
        # Nine digits are enough for float32. As doubles they would be written with seventeen.
        numbers = [f"{number:.9g}" for number in row.tolist()]
        if key != "scores":
            return f"[{', '.join(numbers)}]"
        names = (json.dumps(label, ensure_ascii=False) for label in self.labels)
        return f"{{{', '.join(f'{n}: {x}' for n, x in zip(names, numbers, strict=True))}}}"

    def join(self, parts: Sequence[Part], path: Path) -> None:
        with path.open("wb") as out:
            for part in parts:
                with part.path.open("rb") as file:
                    shutil.copyfileobj(file, out)


class Npz(Format):
    """Arrays of numpy: `ids`, vectors and scores of n rows each, and the `labels` of the scores.
    Texts and other fields are not written, because all strings of an array have the same length."""

    suffix = ".npz"
    keeps_fields = False

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        ids = [record.id for record in chunk.records]
        longest = max(ids, key=len)
        if len(longest) > MOST_ID_CHARACTERS:
            raise ValueError(
                f"The id {longest[:40]}... has {len(longest)} characters, but .npz takes at most "
                f"{MOST_ID_CHARACTERS}, because all strings of an array have the same length. Give "
                "shorter ids, read them from another field, or write .parquet."
            )
        arrays: dict[str, Any] = {"ids": np.asarray(ids), **self.round(chunk.vectors)}
        with path.open("wb") as file:
            np.savez(file, **arrays)
        return {key: [array.dtype.str, *array.shape[1:]] for key, array in arrays.items()}

    def join(self, parts: Sequence[Part], path: Path) -> None:
        n = sum(part.n for part in parts)
        with zipfile.ZipFile(path, "w") as out:
            for key in parts[0].info:
                descriptions = [part.info[key] for part in parts]
                # The type of ids differs between chunks: the longest string decides.
                dtype = np.result_type(*{description[0] for description in descriptions})
                shape = (n, *descriptions[0][1:])
                with _member(out, key, dtype, shape) as file:
                    for part in parts:
                        with np.load(part.path) as arrays:
                            file.write(arrays[key].astype(dtype).tobytes())
            if "scores" in parts[0].info:
                labels = np.asarray(self.labels)
                with _member(out, "labels", labels.dtype, labels.shape) as file:
                    file.write(labels.tobytes())


def _member(
    archive: zipfile.ZipFile, name: str, dtype: "np.dtype[Any]", shape: tuple[int, ...]
) -> Any:
    """RETURNS (IO[bytes]): A file for the contents of an array in C order."""
    # ZipInfo uses a fixed date.
    file = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file


class Parquet(Format):
    """Parquet: columns `id` and `text`, vectors as lists of a fixed length, scores as a struct with
    a field for each label, and a column for each other field.

    The chunks may have other fields, or values of other types. The result then has the type that
    holds all values, or holds them as JSON if there is none.
    """

    suffix = ".parquet"

    def __init__(self, labels: tuple[str, ...], dtype: str = "float32") -> None:
        super().__init__(labels, dtype)
        self.pyarrow = import_pyarrow()

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        pyarrow = self.pyarrow
        columns = {
            "id": pyarrow.array([record.id for record in chunk.records], pyarrow.string()),
            "text": pyarrow.array([record.text for record in chunk.records], pyarrow.string()),
        }
        for key, rows in self.round(chunk.vectors).items():
            if key == "scores":
                scores = [pyarrow.array(column) for column in rows.T]
                columns[key] = pyarrow.StructArray.from_arrays(scores, list(self.labels))
            else:
                flat = pyarrow.array(rows.ravel())
                columns[key] = pyarrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        rows_of_fields = [other_fields(chunk, i) for i in range(len(chunk.records))]
        as_json, large = [], []
        for name in dict.fromkeys(chain.from_iterable(rows_of_fields)):
            values = [fields.get(name) for fields in rows_of_fields]
            columns[name] = to_arrow(values)
            if pyarrow.types.is_string(columns[name].type) and not _are_texts(values):
                as_json.append(name)
            if any(map(_is_large, values)):
                large.append(name)
        table = pyarrow.table(columns)
        with open_writer(path, table.schema) as writer:
            writer.write_table(table)
        return {"as_json": as_json, "large": large}

    def join(self, parts: Sequence[Part], path: Path) -> None:
        whole = self._unify(parts)
        with open_writer(path, whole.schema) as writer:
            group: list[Any] = []
            for part in parts:
                with self.pyarrow.parquet.ParquetFile(part.path) as file:
                    as_json = frozenset(part.info["as_json"])
                    group.append(convert(file.read(), whole, as_json))
                n_rows, n_bytes = (
                    sum(getattr(t, of) for t in group) for of in ("num_rows", "nbytes")
                )
                if n_rows >= ROWS_PER_GROUP or n_bytes >= BYTES_PER_GROUP or part is parts[-1]:
                    table = self.pyarrow.concat_tables(group)
                    writer.write_table(table, row_group_size=len(table))
                    group = []

    def describe_columns(self, parts: Sequence[Part]) -> dict[str, Any]:
        return self._unify(parts).describe()

    def _unify(self, parts: Sequence[Part]) -> Columns:
        read_schema = self.pyarrow.parquet.read_schema
        return unify([_columns_of(part, read_schema(part.path)) for part in parts])


def _are_texts(values: Sequence[Any]) -> bool:
    return all(value is None or isinstance(value, str) for value in values)


def _is_large(value: Any) -> bool:
    """RETURNS (bool): Whether the value is, or holds, a whole number that a float may not hold."""
    if isinstance(value, list | tuple | dict):
        return any(map(_is_large, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) > 2**53


def _columns_of(part: Part, schema: Any) -> Columns:
    """RETURNS (Columns): The columns of a chunk."""
    return Columns(schema, frozenset(part.info["as_json"]), frozenset(part.info["large"]))
