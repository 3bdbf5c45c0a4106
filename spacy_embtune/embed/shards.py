"""Embed a corpus of many files, shard by shard, in this process or on the workers of Ray.

The unit of work is a shard: a part of the input and one file of OUT. What happens to one shard does
not affect another, so a run that ends early costs only the shards that were not finished.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from .._texts import shorten
from ..data import InputPart, find_parts, is_address, shard_key
from ..pipeline import find_component
from ._bar import Bar
from ._engines import Engine, LocalEngine, Outcome
from ._lock import locked
from ._make_format import SUFFIXES, make_format
from ._manifest import (
    FORMAT,
    MANIFEST,
    check_out,
    list_shards,
    remove_shards,
    start_out,
    write_object,
)
from ._ray import RayEngine, RayOptions
from ._same_columns import unify_shards
from ._shard_writer import Job, Shard
from ._storage import LocalStorage, Storage, open_storage
from ._vectors import Embedder

logger = logging.getLogger(__name__)

ENGINES = ("local", "ray")
# Characters of the name of a file that the names of its shards begin with.
LONGEST_KEY = 100
READ_SETTINGS: dict[str, Any] = {
    "text_field": "text",
    "label_field": None,
    "label_fields": [],
    "label_separator": None,
    "label_bins": [],
    "id_field": "id",
    "delimiter": None,
    "encoding": None,
    "quotes": None,
}


class ShardsSummary(NamedTuple):
    """The counts of a run.

    n (int): The number of rows in all finished shards.
    n_shards (int): The number of finished shards.
    n_kept (int): The number of rows that earlier runs finished.
    n_empty (int): The number of rows without text, which get vectors of zeros.
    n_skipped (int): The number of records that were left out because they are invalid.
    skipped (Sequence[str]): Messages about the first of them.
    seconds (float): The duration of this run.
    errors (Mapping[str, str]): What went wrong, by the part of the input that has no shard.
    left_out (Sequence[str]): The other fields of the records, if the format cannot hold them.
    differences (Sequence[str]): Sentences on columns whose types differed between shards, or that
        some lacked. All shards have them now, with one type.
    """

    n: int
    n_shards: int
    n_kept: int
    n_empty: int
    n_skipped: int
    skipped: Sequence[str]
    seconds: float
    errors: Mapping[str, str]
    left_out: Sequence[str]
    differences: Sequence[str]


def embed_shards(
    nlp: Language,
    data: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    what: Iterable[str] = ("tuned",),
    unit: str = "doc",
    suffix: str = ".parquet",
    dtype: str = "float32",
    shard_rows: int = 32_768,
    chunk_size: int = 4096,
    batch_size: int | None = None,
    kind: str | None = None,
    on_error: str = "fail",
    read: Mapping[str, Any] | None = None,
    engine: str = "local",
    ray: RayOptions | None = None,
    force: bool = False,
    progress: bool = False,
) -> ShardsSummary:
    """Write the vectors of a corpus of many files to a directory of shards, on this machine or on a
    cluster of Ray.

    Each part of the input becomes one file. A shard that is finished and undamaged is not made
    again: after an interruption, or when DATA has grown, the same call makes what is missing.
    `_manifest.json` lists the shards in the order of the input. A part that cannot be embedded is
    named in `errors` and does not stop the others. Shards of Parquet get the same columns.

    >>> import json
    >>> import numpy as np
    >>> import spacy
    >>> from tempfile import TemporaryDirectory
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.vocab.set_vector("bread", np.ones(2))
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1", "source": "vectors"}
    >>> pipe = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "in").mkdir()
    ...     _ = Path(folder, "in", "a.jsonl").write_text('{"text": "bread"}')
    ...     _ = Path(folder, "in", "b.jsonl").write_text('{"text": "bread"}')
    ...     out = Path(folder, "out")
    ...     summary = embed_shards(nlp, Path(folder, "in"), out, what=["base"], suffix=".jsonl")
    ...     shards = json.loads((out / "_manifest.json").read_text())["shards"]
    ...     print(summary.n, (out / shards[1]["shard"]).read_text().strip())
    2 {"id": "b.jsonl:0", "text": "bread", "base": [1, 1]}

    nlp (Language): The pipeline.
    data (str | Path): A file, a directory, a pattern, or an address, see `find_parts`.
    out (str | Path): The directory of the shards, or its address (s3://..., through fsspec).
    name (str | None): The name of the component. None: there must be exactly one.
    what (Iterable[str]): One or more of "base", "tuned" and "scores", see `embed_corpus`.
    unit (str): What a row is: "doc", "sents" or "spans:KEY", see `unit_records`.
    suffix (str): The format of the shards: ".parquet", ".npz", ".jsonl" or ".spacy", see
        `embed_corpus`.
    dtype (str): The type of the vectors in .parquet and .npz: "float32" or "float16".
    shard_rows (int): The most rows of the input that one shard has, where a file can be divided.
    chunk_size (int): Records in memory at a time.
    batch_size (int | None): Texts of 32 tokens per forward pass. None: the pipeline's setting.
    kind (str | None): The format of the input. None: the suffixes of the files decide.
    on_error (str): Whether an invalid record is an error of its shard ("fail") or is left out
        ("skip").
    read (Mapping[str, Any] | None): Other arguments of `read_records`: text_field, label_field,
        label_fields, label_separator, label_bins, id_field, delimiter, encoding, quotes. Labels
        are read only if `label_field` or `label_fields` is given.
    engine (str): "local", or "ray" for the workers of Ray.
    ray (RayOptions | None): Which cluster and how many workers. None: `RayOptions()`.
    force (bool): Whether to remove shards of other settings or other data from OUT.
    progress (bool): Whether to show a progress bar.
    RETURNS (ShardsSummary): The counts of this run.
    RAISES (ValueError): When a setting is invalid, there are no records, OUT holds something else,
        or the cluster cannot be used.
    RAISES (OSError): When OUT cannot be written.
    RAISES (ImportError): When a package is missing. The message names the extra.
    RAISES (KeyboardInterrupt): After Ctrl-C, with a note that tells how to go on.
    """
    started = time.monotonic()
    if engine not in ENGINES:
        raise ValueError(f"The engine is {engine!r}: give {' or '.join(ENGINES)}.")
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}: give a number of at least 1.")
    if suffix not in SUFFIXES:
        raise ValueError(f"The format {suffix!r} is not one of {', '.join(SUFFIXES)}.")
    component = find_component(nlp, name)
    embedder = Embedder(nlp, component, what, batch_size)
    make_format(Path(f"shard{suffix}"), nlp, component, dtype, unit)
    if not is_address(str(data)) and str(data) != "-":
        data = Path(data).absolute()
    data = str(data)
    storage = open_storage(str(out))
    _check_places(data, storage)
    options = {**READ_SETTINGS, "label_field": "", **(read or {})}
    unknown = sorted(options.keys() - READ_SETTINGS.keys())
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no argument of read_records that shards take.")
    if options["label_fields"] and not options["label_field"]:
        options["label_field"] = None
    settings = {
        "version": FORMAT,
        "pipeline": embedder.identify()[:16],
        "what": ",".join(embedder.what),
        "unit": unit,
        "format": suffix,
        "dtype": dtype,
        "on_error": on_error,
        "read": json.loads(json.dumps(options)),
    }
    job = Job(
        storage.address,
        suffix,
        name,
        embedder.what,
        unit,
        dtype,
        chunk_size,
        batch_size,
        {**options, "on_error": on_error},
    )
    parts = find_parts(data, kind=kind, rows=shard_rows, **options)
    if not parts:
        raise ValueError(f"{data}: there are no records. Give at least one.")
    shards = name_shards(parts, settings, suffix)
    runner: Engine = (
        LocalEngine(nlp, job) if engine == "local" else RayEngine(nlp, job, ray or RayOptions())
    )
    with locked(storage) as check:
        removed = check_out(storage, settings, shards, force=force)
        with runner.started(storage, shards):
            start_out(storage, settings, removed)
            outcomes = _run(runner, shards, unit, check, progress=progress)
            inputs = {"data": data, "kind": kind, "rows": shard_rows}
            return _conclude(storage, settings, shards, outcomes, started, inputs, runner, check)


def _check_places(data: str, storage: Storage) -> None:
    """RAISES (ValueError): When OUT is a file, or DATA is in OUT or OUT in DATA."""
    if not isinstance(storage, LocalStorage):
        return
    out = Path(storage.address)
    if out.is_file():
        raise ValueError(f"{out}: is a file. Give the name of a directory, such as vectors/.")
    if is_address(data):
        return
    source = Path(data)
    inner = out.resolve()
    if source.is_dir() and (inner == source.resolve() or source.resolve() in inner.parents):
        # Names that begin with "_" or "." are no input.
        below = inner.relative_to(source.resolve()).parts
        if not any(part.startswith((".", "_")) for part in below):
            raise ValueError(
                f"{out}: is in DATA ({source}), so that the next run would read it. Give a "
                "directory beside it."
            )
    if inner in source.resolve().parents:
        raise ValueError(f"{source}: is in OUT ({out}). Give a directory of its own for OUT.")


def name_shards(
    parts: Sequence[InputPart], settings: Mapping[str, Any], suffix: str
) -> list[Shard]:
    """Name the shards of parts. The name holds a digest of the part and of the settings, so that it
    is another one if the contents would be. The order of names is that of the parts.

    parts (Sequence[InputPart]): The parts, in order.
    settings (Mapping[str, Any]): What the shards are made with.
    suffix (str): The suffix of their files.
    RETURNS (list[Shard]): The shards.
    """
    names = dict.fromkeys(part.name for part in parts)
    n_alike = Counter(shard_key(name)[:LONGEST_KEY] for name in names)
    shards = []
    for part in parts:
        key = shard_key(part.name)[:LONGEST_KEY]
        if n_alike[key] > 1:
            key += f".{hashlib.sha256(part.name.encode()).hexdigest()[:8]}"
        # The directory may be reached by another path tomorrow.
        described = [part.without_place()._asdict(), settings]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        shards.append(Shard(f"{key}-{part.start:015d}-{digest[:16]}{suffix}", part))
    return shards


def _run(
    engine: Engine,
    shards: Sequence[Shard],
    unit: str,
    check: Callable[[], None],
    *,
    progress: bool,
) -> dict[str, Outcome]:
    """RETURNS (dict[str, Outcome]): What became of each shard."""
    outcomes: dict[str, Outcome] = {}
    sizes = [shard.part.n_rows for shard in shards]
    with Bar(progress) as bar:
        if unit == "doc" and None not in sizes:
            bar.expect(sum(size or 0 for size in sizes))
        try:
            for outcome in engine.run(shards, bar.advance):
                check()
                outcomes[outcome.shard.name] = outcome
                if outcome.entry is not None and outcome.entry["kept"]:
                    bar.skip(outcome.entry["n"])
                if outcome.error is not None:
                    logger.warning(
                        "%s was not embedded: %s",
                        outcome.shard.part.describe(),
                        shorten(outcome.error, 500),
                    )
        except (Exception, KeyboardInterrupt) as error:
            n = sum(outcome.entry is not None for outcome in outcomes.values())
            if n:
                error.add_note(
                    f"{n:,} of {len(shards):,} shards are finished: the same command makes the "
                    "others."
                )
            raise
    return outcomes


def _conclude(
    storage: Storage,
    settings: Mapping[str, Any],
    shards: Sequence[Shard],
    outcomes: Mapping[str, Outcome],
    started: float,
    inputs: Mapping[str, Any],
    engine: Engine,
    check: Callable[[], None],
) -> ShardsSummary:
    """Give the shards the same columns, write the manifest, and remove the shards of parts that
    have changed since an earlier run."""
    check()
    entries = [outcomes[shard.name].entry for shard in shards]
    finished = [entry for entry in entries if entry is not None]
    errors = {
        shard.part.describe(): error
        for shard in shards
        if (error := outcomes[shard.name].error) is not None
    }
    kept = sum(entry["n"] for entry in finished if entry["kept"])
    for entry in finished:
        del entry["kept"]
    for shard in shards:
        # The directory of the input may have moved since the shard was made.
        if (made := outcomes[shard.name].entry) is not None:
            made["part"] = shard.part._asdict()
    n = sum(entry["n"] for entry in finished)
    if not errors:
        names = {shard.name for shard in shards}
        remove_shards(storage, list_shards(storage, str(settings["format"])) - names)
    differences = unify_shards(storage, finished, engine, check)
    check()
    seconds = time.monotonic() - started
    environments = {json.dumps(entry["environment"], sort_keys=True) for entry in finished}
    write_object(
        storage,
        MANIFEST,
        {
            "version": FORMAT,
            "is_complete": not errors,
            "rows": n,
            "input": inputs,
            "settings": settings,
            "environments": [json.loads(one) for one in sorted(environments)],
            "seconds": round(seconds, 3),
            "errors": errors,
            "differences": differences,
            "shards": [
                {key: value for key, value in entry.items() if key != "environment"}
                for entry in finished
            ],
        },
    )
    if n == 0 and not errors:
        raise ValueError("There are no records, so there are no vectors. Give at least one.")
    skipped = [message for entry in finished for message in entry["skipped"]]
    return ShardsSummary(
        n=n,
        n_shards=sum(entry["n"] > 0 for entry in finished),
        n_kept=kept,
        n_empty=sum(entry["n_empty"] for entry in finished),
        n_skipped=sum(entry["n_skipped"] for entry in finished),
        skipped=skipped[:5],
        seconds=seconds,
        errors=errors,
        left_out=list(dict.fromkeys(name for entry in finished for name in entry["left_out"])),
        differences=differences,
    )
