"""The file formats of results. A format writes one chunk at a time, then joins all chunks.

A format gives the same bytes for the same chunks: it writes no dates, and nothing that depends on
which chunks an earlier run finished.
"""

import json
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import Record, import_pyarrow
from ._parts import Part

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


class Format(ABC):
    """The base class of file formats.

    suffix (str): The suffix of the file of a chunk.
    labels (tuple[str, ...]): The labels, the columns of the scores.
    """

    suffix: str

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels

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


class JsonLines(Format):
    """JSON Lines: id, text, cats if any are known, vectors as lists, scores by label."""

    suffix = ".jsonl"

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        with path.open("w", encoding="utf8", newline="\n") as file:
            for i, record in enumerate(chunk.records):
                cats = {"cats": record.cats} if record.cats else {}
                head = {"id": record.id, "text": record.text, **cats}
                fields = [json.dumps(head, ensure_ascii=False)[1:-1]]
                for key, rows in chunk.vectors.items():
                    fields.append(f'"{key}": {self._dump(key, rows[i])}')
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
    Texts are not written."""

    suffix = ".npz"

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        ids = [record.id for record in chunk.records]
        longest = max(ids, key=len)
        if len(longest) > MOST_ID_CHARACTERS:
            raise ValueError(
                f"The id {longest[:40]}... has {len(longest)} characters, but .npz takes at most "
                f"{MOST_ID_CHARACTERS}, because all strings of an array have the same length. Give "
                "shorter ids, read them from another field, or write .parquet."
            )
        arrays: dict[str, Any] = {"ids": np.asarray(ids), **chunk.vectors}
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
    a field for each label."""

    suffix = ".parquet"

    def __init__(self, labels: tuple[str, ...]) -> None:
        super().__init__(labels)
        self.pyarrow = import_pyarrow()

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        pyarrow = self.pyarrow
        columns = {
            "id": pyarrow.array([record.id for record in chunk.records], pyarrow.string()),
            "text": pyarrow.array([record.text for record in chunk.records], pyarrow.string()),
        }
        for key, rows in chunk.vectors.items():
            if key == "scores":
                scores = [pyarrow.array(column) for column in rows.T]
                columns[key] = pyarrow.StructArray.from_arrays(scores, list(self.labels))
            else:
                flat = pyarrow.array(rows.ravel())
                columns[key] = pyarrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        table = pyarrow.table(columns)
        with self._open(path, table.schema) as writer:
            writer.write_table(table)
        return {}

    def join(self, parts: Sequence[Part], path: Path) -> None:
        schema = self.pyarrow.parquet.read_schema(parts[0].path)
        with self._open(path, schema) as writer:
            group: list[Any] = []
            for part in parts:
                with self.pyarrow.parquet.ParquetFile(part.path) as file:
                    group.append(file.read())
                n_rows, n_bytes = (
                    sum(getattr(t, of) for t in group) for of in ("num_rows", "nbytes")
                )
                if n_rows >= ROWS_PER_GROUP or n_bytes >= BYTES_PER_GROUP or part is parts[-1]:
                    table = self.pyarrow.concat_tables(group)
                    writer.write_table(table, row_group_size=len(table))
                    group = []

    @contextmanager
    def _open(self, path: Path, schema: Any) -> Iterator[Any]:
        # Python's file gives better errors. A dictionary would not make vectors smaller.
        with (
            path.open("wb") as file,
            self.pyarrow.parquet.ParquetWriter(
                file, schema, compression="zstd", use_dictionary=False
            ) as writer,
        ):
            yield writer
