"""Prove that a directory of shards holds each row of its input exactly once."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..data import InputPart, find_parts, import_pyarrow, read_records
from ._manifest import MANIFEST, SETTINGS, list_shards, read_object
from ._shard_writer import digest_texts
from ._storage import Storage, open_storage

# The problems that an error names.
MOST_NAMED = 5
ROWS_AT_ONCE = 8192


class Verified(NamedTuple):
    """What `verify_shards` has found to be right.

    >>> Verified(n=10, n_shards=2, n_skipped=0).n
    10

    n (int): The number of rows of the shards.
    n_shards (int): The number of shards.
    n_skipped (int): The number of invalid records of the input, which have no row.
    """

    n: int
    n_shards: int
    n_skipped: int


def verify_shards(out: str, *, advance: Callable[[int], None] = lambda n: None) -> Verified:
    """Prove that a directory of shards holds each row of its input exactly once, in order. The
    input is divided and read again. Its ids and texts are compared with what the shards were made
    of, and, in .parquet and .jsonl, with the ids and texts in the shards. Of each shard the SHA-256
    is compared. No vector is computed.

    >>> verify_shards("no/such/directory")
    Traceback (most recent call last):
    ValueError: no/such/directory: has no _manifest.json, so no run of `embed` ended there. Run it.

    out (str): The directory, or its address.
    advance (Callable): Called with the number of rows that were compared since the last call.
    RETURNS (Verified): The counts.
    RAISES (ValueError): When the directory is not complete, a shard is damaged, missing or too
        much, or the input has changed. The message names the first problems.
    """
    storage = open_storage(out)
    manifest, settings = read_object(storage, MANIFEST), read_object(storage, SETTINGS)
    if manifest is None or settings is None:
        raise ValueError(f"{out}: has no {MANIFEST}, so no run of `embed` ended there. Run it.")
    problems = [f"{part}: {error}" for part, error in manifest["errors"].items()]
    if manifest["settings"] != settings:
        problems.append(f"{MANIFEST} and {SETTINGS} do not belong together.")
    inputs, suffix = manifest["input"], str(settings["format"])
    entries = manifest["shards"]
    names = [entry["shard"] for entry in entries if entry["n"]]
    for name in sorted(list_shards(storage, suffix) - {entry["shard"] for entry in entries}):
        problems.append(f"{storage.describe(name)} is not in {MANIFEST}: its rows are too many.")
    if len(set(names)) < len(names):
        problems.append(f"{MANIFEST} lists a shard twice.")
    parts = find_parts(inputs["data"], kind=inputs["kind"], rows=inputs["rows"], **settings["read"])
    made = [InputPart(**entry["part"]) for entry in entries]
    then = {part.without_place(): part.describe() for part in made}
    now = {part.without_place(): part.describe() for part in parts}
    if not problems and (list(then) != list(now) or len(made) != len(parts)):
        changed = sorted({{**then, **now}[part] for part in then.keys() ^ now.keys()})
        problems.append(
            f"DATA has changed since, or its shards are not in order: "
            f"{'; '.join(changed[:MOST_NAMED]) or 'order'}."
        )
    if not problems:
        for part, entry in zip(parts, entries, strict=True):
            problems += _compare(storage, part, entry, settings)
            advance(entry["n"])
    if problems:
        more = f" And {len(problems) - MOST_NAMED} more." if len(problems) > MOST_NAMED else ""
        raise ValueError(
            f"{out}: does not hold each row exactly once.\n"
            + "\n".join(problems[:MOST_NAMED])
            + f"{more}\nRun the same command of `embed` again: it makes what is missing or damaged."
        )
    n_skipped = sum(entry["n_skipped"] for entry in entries)
    return Verified(sum(entry["n"] for entry in entries), len(names), n_skipped)


def _compare(
    storage: Storage, part: InputPart, entry: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    """RETURNS (list[str]): What is wrong with a shard."""
    name = entry["shard"]
    read = {**settings["read"], "on_error": settings["on_error"]}
    digest = hashlib.sha256()
    records = read_records(part, **read, report=lambda message: None)
    n_read = sum(1 for _ in digest_texts(records, digest))
    if n_read != entry["n_read"] or digest.hexdigest() != entry["input"]:
        return [f"{part.describe()} has other ids or texts than when {name} was made."]
    if settings["unit"] == "doc" and entry["n"] != n_read:
        return [f"{name} has {entry['n']:,} rows for {n_read:,} records."]
    if not entry["n"]:
        return []
    try:
        if storage.sha256(name) != entry["sha256"]:
            return [f"{storage.describe(name)} is damaged."]
    except FileNotFoundError:
        return [f"{storage.describe(name)} is missing."]
    rows = _READERS.get(str(settings["format"]))
    if rows is None or settings["unit"] != "doc":
        return []
    digest, n_rows = hashlib.sha256(), 0
    for id_, text in rows(storage, name):
        digest.update(json.dumps([id_, text]).encode())
        n_rows += 1
    if n_rows != entry["n"] or digest.hexdigest() != entry["input"]:
        return [f"{storage.describe(name)} does not hold the ids and texts of its part."]
    return []


def _read_parquet(storage: Storage, name: str) -> Iterator[tuple[str, str]]:
    """YIELDS (tuple[str, str]): The id and the text of each row of a shard."""
    pyarrow = import_pyarrow()
    with storage.open(name) as stored, pyarrow.parquet.ParquetFile(stored) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=["id", "text"]):
            yield from zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True)


def _read_jsonl(storage: Storage, name: str) -> Iterator[tuple[str, str]]:
    with storage.open(name) as file:
        for line in file:
            row = json.loads(line)
            yield row["id"], row["text"]


_READERS: dict[str, Callable[[Storage, str], Iterator[tuple[str, str]]]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
}
