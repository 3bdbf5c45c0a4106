"""`embtune embed`: write the vectors of a corpus of any size."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import _options, _reading
from ._common import (
    OnError,
    SkippedRecords,
    check_output,
    fail,
    good,
    load_pipeline,
    reporting_errors,
    warn,
)

if TYPE_CHECKING:
    from ..embed import ShardsSummary

# Errors of shards that are printed.
MOST_ERRORS = 5


def _verify(out: str | None) -> None:
    """Prove that OUT holds each row once, and end the command. It runs before the arguments are
    checked, because it needs none of them."""
    if out is None:
        return
    from ..embed import verify_shards

    with reporting_errors(f"{out} is not complete"):
        found = verify_shards(out)
    left_out = f", {found.n_skipped:,} invalid records left out" if found.n_skipped else ""
    rows, shards = _count(found.n, "row"), _count(found.n_shards, "shard")
    good(f"Each row of DATA is there exactly once: {rows} in {shards}{left_out}")
    raise typer.Exit


def embed(
    model: _options.Model,
    data: _options.Data,
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help=".parquet, .npz, .spacy or .jsonl, or the directory of shards (OUT/, s3://...)",
        ),
    ],
    what: Annotated[
        str, typer.Option(help="base, tuned (vectors), scores (of labels), with commas")
    ] = "tuned",
    unit: _options.Unit = "doc",
    name: _options.Name = None,
    text_field: _options.TextField = "text",
    id_field: _options.IdField = "id",
    label_field: Annotated[
        str | None, typer.Option(help="Field of the labels, kept by .spacy and .jsonl")
    ] = None,
    label_fields: _options.LabelFields = None,
    label_separator: _options.LabelSeparator = None,
    label_bins: _options.LabelBins = None,
    kind: _options.Kind = None,
    delimiter: _options.Delimiter = None,
    encoding: _options.Encoding = None,
    quotes: _options.Quotes = None,
    on_error: _options.OnErrorOption = OnError.fail,
    chunk_size: Annotated[int, typer.Option(min=1, help="Records in memory at a time")] = 4096,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Texts of 32 tokens per pass of the encoder", show_default=False),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="Type of the vectors in .parquet and .npz"),
    ] = "float32",
    force: Annotated[
        bool,
        typer.Option("--force", "-F", help="Replace OUT, and chunks of other data or settings"),
    ] = False,
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
    out_format: Annotated[
        Literal["parquet", "npz", "jsonl", "spacy"], typer.Option(help="Format of shards")
    ] = "parquet",
    shard_rows: Annotated[
        int, typer.Option(min=1, help="Rows of DATA for a shard, where files can be divided")
    ] = 32_768,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where shards are made: in this process, or on the workers of Ray"),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Cluster of Ray, or auto. Default: RAY_ADDRESS, or this machine",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers of Ray. Default: as many as have room"),
    ] = None,
    cpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="Processors and threads of a worker. Default: 1")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="GPUs, or a share of one, of a worker. Default: 0")
    ] = None,
    shared_model: Annotated[
        bool, typer.Option("--shared-model", help="Workers read MODEL at its path on each machine")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for the cluster and its workers. Default: 60"),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="OUT/",
            is_eager=True,
            callback=_verify,
            help="Prove that shards hold each row of DATA exactly once, and do nothing else",
        ),
    ] = None,
) -> None:
    """Write the vectors of all texts of DATA to OUT, in constant memory. The other fields of DATA
    are kept, except in .npz.

    Finished chunks are kept in the directory OUT.parts until OUT is complete. After Ctrl-C, a kill
    or a full disk the same command resumes where it stopped, and OUT is the same byte for byte.

    DATA may be a directory or a pattern ('corpus/*.parquet'). OUT is then a directory: each part of
    DATA becomes a shard of its own, which is made once, by this process or by workers of Ray.
    """
    given = {
        "--address": address,
        "--workers": workers,
        "--cpus-per-worker": cpus_per_worker,
        "--gpus-per-worker": gpus_per_worker,
        "--shared-model": shared_model or None,
        "--wait": wait,
    }
    unused = [option for option, value in given.items() if value is not None]
    if engine == "local" and unused:
        fail(f"{unused[0]} is for the workers of Ray", "Add --engine ray, or leave it out.")
    read = {
        "text_field": text_field,
        "id_field": id_field,
        "delimiter": delimiter,
        "encoding": encoding,
        "quotes": quotes,
    }
    labels = _reading.label_settings(label_fields, label_separator, label_bins)
    chosen = [part.strip() for part in what.split(",")]
    if _is_sharded(data, out, engine):
        keeps_labels = out_format in ("spacy", "jsonl")
        settings: dict[str, Any] = {
            "name": name,
            "what": chosen,
            "unit": unit,
            "suffix": f".{out_format}",
            "dtype": dtype,
            "shard_rows": shard_rows,
            "chunk_size": chunk_size,
            "batch_size": batch_size,
            "kind": kind,
            "on_error": on_error.value,
            "read": {**read, **({**labels, "label_field": label_field} if keeps_labels else {})},
            "engine": engine,
            "force": force,
            "progress": True,
        }
        options = {
            "address": address,
            "workers": workers,
            "cpus_per_worker": 1.0 if cpus_per_worker is None else cpus_per_worker,
            "gpus_per_worker": gpus_per_worker or 0,
            "wait": 60.0 if wait is None else wait,
            "shared_model": model if shared_model else None,
        }
        _embed_shards(model, data, out, settings, options, code=code, gpu_id=gpu_id)
        return
    _embed_file(
        model,
        data,
        Path(out),
        {
            "name": name,
            "what": chosen,
            "chunk_size": chunk_size,
            "batch_size": batch_size,
            "force": force,
            "unit": unit,
            "dtype": dtype,
        },
        {**read, "kind": kind},
        {**labels, "label_field": label_field},
        on_error=on_error,
        code=code,
        gpu_id=gpu_id,
    )


def _is_sharded(data: str, out: str, engine: str) -> bool:
    """Decide whether OUT is a directory of shards.

    RETURNS (bool): Whether it is.
    RAISES (typer.Exit): When OUT is a file, but DATA or the engine needs a directory.
    """
    from ..data import is_address, is_corpus_of_files
    from ..embed import SUFFIXES

    with reporting_errors(f"{data} cannot be read"):
        is_many = is_corpus_of_files(data)
    is_named_file = out.lower().endswith(SUFFIXES) and not os.path.isdir(out)
    if out.endswith(("/", os.sep)) or (os.path.isdir(out) and (is_many or engine == "ray")):
        return True
    if is_address(out) and not is_named_file:
        return True
    if is_many or engine == "ray" or is_address(out):
        cause = (
            f"{data} is a directory or a pattern"
            if is_many
            else "--engine ray writes shards"
            if engine == "ray"
            else "An address holds shards"
        )
        fail(
            f"{out} cannot be written",
            f"{cause}, so OUT has to be a directory: give a name that ends in /, such as vectors/. "
            "(--out-format chooses the format of the shards.)",
        )
    return False


def _embed_shards(
    model: str,
    data: str,
    out: str,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    code: Path | None,
    gpu_id: int,
) -> None:
    """Write a directory of shards, see `embed_shards`. The options are those of `RayOptions`."""
    from ..embed import RayOptions, embed_shards

    with reporting_errors(f"{out} was not written"):
        if settings["engine"] == "ray":
            # Before the pipeline is loaded, which takes seconds.
            from ..embed import import_ray

            import_ray()
        nlp, _ = load_pipeline(model, settings["name"], code=code, gpu_id=gpu_id)
        text = code.read_text(encoding="utf8") if code is not None else None
        if options["shared_model"] and os.path.isdir(model):
            options = {**options, "shared_model": os.path.abspath(model)}
        summary = embed_shards(nlp, data, out, **settings, ray=RayOptions(**options, code=text))
    _tell(summary, out, str(settings["suffix"]))


def _tell(summary: "ShardsSummary", out: str, suffix: str) -> None:
    """Print what became of the shards. End the command with the code 1 if some have errors."""
    if summary.n_skipped:
        are = "s that are" if summary.n_skipped > 1 else " that is"
        warn(
            f"Left out {summary.n_skipped:,} record{are} invalid",
            "\n".join(f"Skipped {message}" for message in summary.skipped),
        )
    if summary.n_empty:
        warn(f"{_count(summary.n_empty, 'empty text')} got vectors of zeros")
    if summary.left_out:
        names = ", ".join(summary.left_out)
        warn(f"{suffix} holds no other fields", f"Left out: {names}. Join them by id.")
    if summary.differences:
        warn(
            "Columns differed between shards, and are the same in all of them now",
            "\n".join(summary.differences[:MOST_ERRORS]),
        )
    earlier = f", {summary.n_kept:,} of them finished earlier" if summary.n_kept else ""
    done = f"{_count(summary.n, 'text')} in {_count(summary.n_shards, 'shard')}"
    if summary.errors:
        lines = [f"{part}: {error}" for part, error in summary.errors.items()]
        more = [f"And {len(lines) - MOST_ERRORS} more."] if len(lines) > MOST_ERRORS else []
        fail(
            f"{_count(len(lines), 'part')} of DATA failed: {out} has {done}{earlier}",
            "\n".join(
                [
                    *lines[:MOST_ERRORS],
                    *more,
                    "Correct them, and start the same command again: it makes what is missing.",
                ]
            ),
        )
    good(f"Embedded {done} in {summary.seconds:.0f} s{earlier}: {out}")


def _embed_file(
    model: str,
    data: str,
    out: Path,
    settings: Mapping[str, Any],
    read: Mapping[str, Any],
    label_settings: Mapping[str, Any],
    *,
    on_error: OnError,
    code: Path | None,
    gpu_id: int,
) -> None:
    """Write one file, see `embed_corpus`."""
    from ..data import Position, read_records
    from ..embed import SUFFIXES, embed_corpus

    check_output(out, force=settings["force"], inputs=[data], suffixes=SUFFIXES)
    skipped, position = SkippedRecords(), Position()
    with reporting_errors(f"{out} was not written"):
        # .npz and .parquet contain no labels, so invalid labels are no error.
        keeps_labels = out.suffix.lower() in (".spacy", ".jsonl")
        labels = label_settings if keeps_labels else {"label_field": ""}
        records = read_records(
            data,
            **read,
            **labels,
            on_error=on_error.value,
            report=skipped,
            position=position,
        )
        nlp, _ = load_pipeline(model, settings["name"], code=code, gpu_id=gpu_id)
        summary = embed_corpus(
            nlp,
            _reading.leave_out_invalid_spans(
                records, settings["unit"], on_error=on_error, report=skipped
            ),
            out,
            **settings,
            progress=lambda: position.fraction,
        )
    skipped.conclude()
    if summary.n_empty:
        warn(f"{_count(summary.n_empty, 'empty text')} got vectors of zeros")
    if summary.left_out:
        names = ", ".join(summary.left_out)
        warn(f"{out.suffix} holds no other fields", f"Left out: {names}. Join them by id.")
    earlier = f", {summary.n_kept:,} of them finished earlier" if summary.n_kept else ""
    good(f"Embedded {_count(summary.n, 'text')} in {summary.seconds:.0f} s{earlier}: {out}")


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'s' * (n != 1)}"
