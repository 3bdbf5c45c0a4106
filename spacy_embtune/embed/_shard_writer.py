"""Write one shard: read its part of the input, embed it, and put the file into OUT whole.

    OUT/a.jsonl-000000000000000-0123456789abcdef.parquet           the rows of one part
    OUT/_shards/a.jsonl-000000000000000-0123456789abcdef.parquet.json   its entry, written after it

A shard is finished if its entry exists and its contents have the size and SHA-256 of the entry.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from .._files import describe_file
from ..data import InputPart, Record, check_part, leave_out_invalid_spans, read_records
from ..pipeline import find_component, unit_records
from ._chunks import divide, memory_zone
from ._formats import Chunk
from ._make_format import make_format
from ._parts import Part
from ._storage import SHARDS, open_storage
from ._vectors import Embedder

logger = logging.getLogger(__name__)

# Messages about invalid records that an entry keeps.
MOST_MESSAGES = 5


class Job(NamedTuple):
    """What all shards of a run have in common. A job is sent to workers.

    out (str): The path or address of the directory of the shards.
    suffix (str): The suffix of shards, which is their format.
    name (str | None): The name of the component.
    what (tuple[str, ...]): The kinds of arrays to compute.
    unit (str): What a row is, see `unit_records`.
    dtype (str): The type of the vectors.
    chunk_size (int): Records in memory at a time.
    batch_size (int | None): Texts of 32 tokens per forward pass.
    read (dict[str, Any]): Arguments of `read_records`.
    """

    out: str
    suffix: str
    name: str | None
    what: tuple[str, ...]
    unit: str
    dtype: str
    chunk_size: int
    batch_size: int | None
    read: dict[str, Any]


class Shard(NamedTuple):
    """A part of the input and the file that its rows go to.

    name (str): The name of the file in OUT.
    part (InputPart): The part of the input.
    """

    name: str
    part: InputPart


def entry_name(shard: str) -> str:
    """RETURNS (str): The name of the entry of a shard in OUT."""
    return f"{SHARDS}/{shard}.json"


def digest_texts(records: Iterable[Record], digest: Any) -> Iterator[Record]:
    """YIELDS (Record): The records. Their ids and texts are added to a digest."""
    for record in records:
        digest.update(json.dumps([record.id, record.text]).encode())
        yield record


class ShardWriter:
    """Writes shards with one pipeline.

    storage (Storage): The directory of the shards.
    """

    def __init__(self, nlp: Language, job: Job) -> None:
        """Initialize the writer.

        nlp (Language): The pipeline.
        job (Job): What all shards have in common.
        RAISES (ValueError): When the pipeline cannot compute what is asked for.
        """
        self.storage = open_storage(job.out)
        self._nlp = nlp
        self._job = job
        self._component = find_component(nlp, job.name)
        self._embedder = Embedder(nlp, self._component, job.what, job.batch_size)
        # Errors in the settings are raised now.
        self._make_format()

    def identify(self) -> str:
        """RETURNS (str): What the pipeline is recognised by, see `Embedder`."""
        return self._embedder.identify()

    def environment(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): Versions, device and precision, see `Embedder`."""
        return self._embedder.environment()

    def find(self, shard: Shard) -> dict[str, Any] | None:
        """Look for a finished shard.

        shard (Shard): The shard.
        RETURNS (dict[str, Any] | None): Its entry. None if it is missing or damaged.
        """
        entry = read_entry(self.storage.read(entry_name(shard.name)))
        if entry is None:
            return None
        if entry["n"] == 0:
            return entry
        try:
            if self.storage.sha256(shard.name) == entry["sha256"]:
                return entry
        except FileNotFoundError:
            pass
        logger.warning("%s is damaged and is made again.", self.storage.describe(shard.name))
        return None

    def write(self, shard: Shard, advance: Callable[[int], None]) -> dict[str, Any]:
        """Write a shard, unless it is finished.

        shard (Shard): The shard.
        advance (Callable): Called with the number of texts that were embedded since the last call.
        RETURNS (dict[str, Any]): Its entry, JSON. "kept" tells whether an earlier run finished it.
        RAISES (ValueError): When the part cannot be read or embedded.
        RAISES (OSError): When the part is not there, or the shard cannot be written.
        """
        kept = self.find(shard)
        if kept is not None:
            return {**kept, "kept": True}
        check_part(shard.part)
        self.storage.remove(entry_name(shard.name))
        entry = self._write(shard, advance)
        self.storage.write(entry_name(shard.name), json.dumps(entry).encode())
        return {**entry, "kept": False}

    def _write(self, shard: Shard, advance: Callable[[int], None]) -> dict[str, Any]:
        started = time.monotonic()
        job, nlp = self._job, self._nlp
        skipped = _Skipped()
        digest = hashlib.sha256()
        counts = {"n": 0, "n_read": 0, "n_empty": 0}
        left_out: dict[str, None] = {}
        found: dict[str, Any] = {"size": 0, "sha256": "", "columns": {}, "as_json": [], "large": []}

        def read() -> Iterator[Record]:
            for record in read_records(shard.part, **job.read, report=skipped.add_row):
                counts["n_read"] += 1
                yield record

        records: Iterable[Record] = digest_texts(read(), digest)
        if job.read.get("on_error") == "skip" and job.unit.startswith("spans:"):
            records = leave_out_invalid_spans(records, skipped.add)
        with self.storage.workspace() as folder:
            form = self._make_format()
            parts: list[Part] = []
            for chunk in divide(unit_records(nlp, records, job.unit), job.chunk_size):
                counts["n"] += len(chunk)
                counts["n_empty"] += sum(not record.text.strip() for record in chunk)
                if not form.keeps_fields:
                    left_out.update(dict.fromkeys(name for r in chunk for name in r.meta))
                path = folder / f"{len(parts):06d}{form.suffix}"
                with memory_zone(nlp):
                    vectors = self._embedder.embed([r.text for r in chunk], advance)
                    info = form.write_part(Chunk(chunk, vectors), path)
                parts.append(Part(path, len(chunk), info))
                form.admit(parts[-1])
            self._check_count(shard.part, counts["n_read"] + skipped.n_rows)
            if parts:
                whole = folder / f"whole{form.suffix}"
                form.join(parts, whole)
                found = {**describe_file(whole), **form.describe_columns(parts)}
                self.storage.put(whole, shard.name)
        return {
            "shard": shard.name,
            "part": shard.part._asdict(),
            **counts,
            "n_skipped": skipped.n,
            "skipped": skipped.messages,
            "input": digest.hexdigest(),
            **found,
            "left_out": list(left_out),
            "environment": self.environment(),
            "seconds": round(time.monotonic() - started, 3),
        }

    def _make_format(self) -> Any:
        job = self._job
        return make_format(
            Path(f"shard{job.suffix}"), self._nlp, self._component, job.dtype, job.unit
        )

    def _check_count(self, part: InputPart, n_rows: int) -> None:
        """RAISES (ValueError): When the part had another number of rows when it was divided."""
        if part.n_rows is not None and part.n_rows != n_rows:
            raise ValueError(
                f"{part.describe()}: has {n_rows:,} rows, but {part.n_rows:,} were found when the "
                "file was divided. Files whose rows cannot be found in this way have to be smaller "
                "than a megabyte, compressed, or Parquet."
            )


class _Skipped:
    """Counts the records of a part that are left out, and keeps the first messages.

    n (int): The number of records that were left out.
    n_rows (int): The number of rows that gave no record.
    messages (list[str]): The first messages.
    """

    def __init__(self) -> None:
        self.n = 0
        self.n_rows = 0
        self.messages: list[str] = []

    def add_row(self, message: str) -> None:
        """Count a row that gives no record."""
        self.n_rows += 1
        self.add(message)

    def add(self, message: str) -> None:
        """Count a record."""
        self.n += 1
        if len(self.messages) < MOST_MESSAGES:
            self.messages.append(message)


def read_entry(content: bytes | None) -> dict[str, Any] | None:
    """RETURNS (dict[str, Any] | None): The entry of a shard; None if it is missing or not whole."""
    try:
        entry = json.loads(content or b"")
    except ValueError:
        return None
    needed = {"shard", "part", "n", "sha256", "input", "columns", "as_json", "large"}
    return entry if isinstance(entry, dict) and entry.keys() >= needed else None
