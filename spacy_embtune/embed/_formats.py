"""What a result is written as: a chunk at a time, and then all chunks as one file, as a stream.

Each format writes the same bytes of the same chunks: no dates, and nothing that depends on which of
them were finished earlier.
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

# Names longer than that would make each row of an array of names as long.
MOST_ID_CHARACTERS = 256

# Smaller groups make a Parquet file slow to read; larger ones are in memory at a time.
ROWS_PER_GROUP = 16_384
BYTES_PER_GROUP = 2**26


class Chunk(NamedTuple):
    """Records with their vectors.

    records (list[Record]): The n records.
    vectors (dict[str, ndarray]): What was asked for, float32, each of n rows.
    """

    records: list[Record]
    vectors: dict[str, NDArray[Any]]


class Format(ABC):
    """One kind of result.

    suffix (str): What the contents of a chunk are.
    labels (tuple[str, ...]): The columns of the scores.
    """

    suffix: str

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels

    @abstractmethod
    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        """Write a chunk.

        RETURNS (dict[str, Any]): What to know of it when the result is put together, JSON.
        RAISES (ValueError): If the format cannot hold it.
        """

    def admit(self, part: Part) -> None:  # noqa: B027
        """Take note of a chunk, whether it was made now or earlier.

        RAISES (ValueError): If the format cannot hold so much.
        """

    @abstractmethod
    def join(self, parts: Sequence[Part], path: Path) -> None:
        """Write the result of all chunks, at least one."""


class JsonLines(Format):
    """An object a line: id, text, cats if something is known of them, and the vectors as lists; the
    scores by label."""

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
        # Nine digits tell any two float32 apart; as doubles they would have seventeen.
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
    """numpy's arrays: `ids`, those asked for, each of n rows, and the `labels` of the scores. Its
    texts are found by their ids, or rows."""

    suffix = ".npz"

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        ids = [record.id for record in chunk.records]
        longest = max(ids, key=len)
        if len(longest) > MOST_ID_CHARACTERS:
            raise ValueError(
                f"The id {longest[:40]}... has {len(longest)} characters, and .npz takes "
                f"{MOST_ID_CHARACTERS}, as all names in an array are of one length. Give shorter "
                "ids, or another field for them, or write .parquet."
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
                # Of ids, the longest: the others are filled up.
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
    """RETURNS (IO[bytes]): Where to write the contents of an array, in the order of C."""
    # With the date that ZipInfo starts from: always the same.
    file = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file


class Parquet(Format):
    """Columns `id` and `text`, the vectors as lists of a fixed length, the scores as a struct of
    the labels."""

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
        # A file of Python's, for its errors. Vectors hold no repetitions for a dictionary to save.
        with (
            path.open("wb") as file,
            self.pyarrow.parquet.ParquetWriter(
                file, schema, compression="zstd", use_dictionary=False
            ) as writer,
        ):
            yield writer
