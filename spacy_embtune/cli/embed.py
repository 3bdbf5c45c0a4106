"""`embtune embed`: write the vectors of a corpus of any size."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import _options, _reading
from ._common import (
    OnError,
    SkippedRecords,
    check_output,
    good,
    load_pipeline,
    reporting_errors,
    warn,
)


def embed(
    model: _options.Model,
    data: _options.Data,
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".parquet, .npz, .spacy or .jsonl")],
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
    force: Annotated[
        bool,
        typer.Option("--force", "-F", help="Replace OUT, and chunks of other data or settings"),
    ] = False,
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
) -> None:
    """Write the vectors of all texts of DATA to OUT, in constant memory. The other fields of DATA
    are kept, except in .npz.

    Finished chunks are kept in the directory OUT.parts until OUT is complete. After Ctrl-C, a kill
    or a full disk the same command resumes where it stopped, and OUT is the same byte for byte.
    """
    from ..data import Position, read_records
    from ..embed import SUFFIXES, embed_corpus

    check_output(out, force=force, inputs=[data], suffixes=SUFFIXES)
    skipped, position = SkippedRecords(), Position()
    with reporting_errors(f"{out} was not written"):
        # .npz and .parquet contain no labels, so invalid labels are no error.
        keeps_labels = out.suffix.lower() in (".spacy", ".jsonl")
        labels: dict[str, Any] = {"label_field": ""}
        if keeps_labels:
            labels = _reading.label_settings(label_fields, label_separator, label_bins)
            labels["label_field"] = label_field
        records = read_records(
            data,
            text_field=text_field,
            **labels,
            id_field=id_field,
            kind=kind,
            delimiter=delimiter,
            encoding=encoding,
            quotes=quotes,
            on_error=on_error.value,
            report=skipped,
            position=position,
        )
        nlp, _ = load_pipeline(model, name, code=code, gpu_id=gpu_id)
        summary = embed_corpus(
            nlp,
            _reading.leave_out_invalid_spans(records, unit, on_error=on_error, report=skipped),
            out,
            name=name,
            what=[part.strip() for part in what.split(",")],
            chunk_size=chunk_size,
            batch_size=batch_size,
            force=force,
            progress=lambda: position.fraction,
            unit=unit,
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
