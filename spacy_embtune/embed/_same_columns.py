"""Give all shards of Parquet the same columns, so that every reader takes them as one table.

The types of columns that are not read from Parquet are known when the values have been read. So a
shard gets the types of its own values first. When all shards are there, those that differ are
written again with the types that hold the values of all. No vector is computed again.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from .._files import describe_file
from ..data import import_pyarrow
from ._schemas import Columns, convert, open_writer, unify
from ._shard_writer import entry_name
from ._storage import Storage

logger = logging.getLogger(__name__)

COPIED_BYTES = 2**20


class Rewriter(Protocol):
    """What writes shards again: an engine."""

    def rewrite(
        self, entries: Sequence[dict[str, Any]], columns: Columns
    ) -> Iterator[dict[str, Any]]:
        """Write shards again with other columns, see `rewrite`. YIELDS (dict[str, Any]): The new
        entry of each, in any order."""


def unify_shards(
    storage: Storage,
    entries: Sequence[dict[str, Any]],
    rewriter: Rewriter,
    check: Callable[[], None],
) -> list[str]:
    """Give all shards the same columns with the same types, in the same order. Shards in formats
    without types of columns stay as they are.

    storage (Storage): OUT.
    entries (Sequence[dict]): The entries of the shards, in order. Those of shards that are written
        again are changed here and in OUT.
    rewriter (Rewriter): Writes shards again.
    check (Callable[[], None]): Called after each shard that was written.
    RETURNS (list[str]): A sentence on each column whose type differed or that some shards lacked.
    RAISES (OSError): When a shard cannot be written.
    """
    full = [entry for entry in entries if entry["columns"]]
    kinds = {_kind(entry): entry for entry in reversed(full)}
    if len(kinds) < 2:
        return []
    found = unify([_read_columns(storage, entry) for entry in reversed(kinds.values())])
    sentences = _describe(full, found)
    columns = [(field.name, str(field.type)) for field in found.schema]
    different = [
        entry
        for entry in full
        if list(entry["columns"].items()) != columns or set(entry["as_json"]) != found.as_json
    ]
    if different:
        logger.info("%d shards get the columns of the others.", len(different))
    by_name = {entry["shard"]: entry for entry in different}
    for new in rewriter.rewrite(different, found):
        by_name[new["shard"]].update(new)
        check()
    return sentences


def _kind(entry: Mapping[str, Any]) -> str:
    return json.dumps([list(entry["columns"].items()), entry["as_json"], entry["large"]])


def _read_columns(storage: Storage, entry: Mapping[str, Any]) -> Columns:
    pyarrow = import_pyarrow()
    with storage.open(entry["shard"]) as file:
        schema = pyarrow.parquet.read_schema(file)
    return Columns(schema, frozenset(entry["as_json"]), frozenset(entry["large"]))


def _describe(entries: Sequence[Mapping[str, Any]], found: Columns) -> list[str]:
    """RETURNS (list[str]): The columns that differ, in words."""
    sentences = []
    for field in found.schema:
        kinds: dict[str, str] = {}
        for entry in entries:
            is_json = field.name in entry["as_json"]
            kind = "JSON" if is_json else entry["columns"].get(field.name, "missing")
            kinds.setdefault(kind, entry["shard"])
        if len(kinds) > 1:
            before = ", ".join(f"{kind} in {shard}" for kind, shard in kinds.items())
            now = "JSON" if field.name in found.as_json else str(field.type)
            sentences.append(
                f"The column {field.name!r} was {before}. It is {now} in all shards now."
            )
    return sentences


def rewrite(storage: Storage, entry: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Write a shard with other columns, and its entry behind it. If the run ends between the two,
    the next run finds that they do not belong together, and makes the shard again.

    storage (Storage): OUT.
    entry (Mapping[str, Any]): The entry of the shard.
    columns (Columns): The columns.
    RETURNS (dict[str, Any]): The new entry.
    RAISES (ValueError): When the shard is not the one of its entry, as after the loss of a worker
        that was writing it.
    RAISES (OSError): When it cannot be read or written.
    """
    pyarrow = import_pyarrow()
    name, as_json = entry["shard"], frozenset(entry["as_json"])
    with storage.workspace() as folder:
        before, after = folder / f"before-{name}", folder / name
        with storage.open(name) as stored, before.open("wb") as copy:
            shutil.copyfileobj(stored, copy, COPIED_BYTES)
        if describe_file(before)["sha256"] != entry["sha256"]:
            # Its columns may be the new ones, and values would be turned into JSON twice.
            raise ValueError(
                f"{storage.describe(name)} has changed while its columns were written. Start the "
                "same command again: it makes this shard again."
            )
        with (
            pyarrow.parquet.ParquetFile(before) as file,
            open_writer(after, columns.schema) as writer,
        ):
            for i in range(file.num_row_groups):
                table = convert(file.read_row_group(i), columns, as_json)
                writer.write_table(table, row_group_size=max(len(table), 1))
        new = {**entry, **describe_file(after), **columns.describe()}
        storage.put(after, name)
    storage.write(entry_name(name), json.dumps(new).encode())
    return new
