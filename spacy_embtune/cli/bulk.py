"""`embtune bulk`: write a table for bulk labelling."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._files import atomic_path
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
from .plot import Method

if TYPE_CHECKING:
    from ..pipeline import EmbTune
    from ..reports import Documents

SOURCES = {
    "probe": "It was trained on pairs only. Predicted labels come from a classifier that learned "
    "from the tuned vectors of the labelled documents of DATA.",
    "none": "It was trained on pairs only, and too few documents of DATA are labelled for a "
    "classifier: there are no predicted labels.",
}


# The default of embedding-atlas.
MOST_NEIGHBORS = 15


class Color(StrEnum):
    """What the colours of points show."""

    label = "label"
    predicted = "predicted"


class Space(StrEnum):
    """The vectors that wrong labels are found with."""

    base = "base"
    tuned = "tuned"


def bulk(
    model: _options.Model,
    data: _options.Data,
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".csv, .jsonl, .xlsx or .parquet")],
    fit: _options.Fit = None,
    method: Annotated[
        Method, typer.Option(help="How to project vectors to two dimensions; UMAP needs umap-learn")
    ] = Method.pca,
    color: Annotated[
        Color | None,
        typer.Option(help="What colours show", show_default="label, if any is known"),
    ] = None,
    neighbors: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="List the ids of this many nearest documents (tuned)",
            show_default="15 in .parquet, else 0",
        ),
    ] = None,
    suspects_from: Annotated[
        Space | None,
        typer.Option(
            help="Vectors to find wrong labels with",
            show_default="tuned if the labelled texts of DATA were not trained on, else base",
        ),
    ] = None,
    unit: _options.Unit = "doc",
    name: _options.Name = None,
    text_field: _options.TextField = "text",
    label_field: _options.LabelField = None,
    label_fields: _options.LabelFields = None,
    label_separator: _options.LabelSeparator = None,
    label_bins: _options.LabelBins = None,
    id_field: _options.IdField = "id",
    kind: _options.Kind = None,
    delimiter: _options.Delimiter = None,
    encoding: _options.Encoding = None,
    quotes: _options.Quotes = None,
    on_error: _options.OnErrorOption = OnError.fail,
    force: _options.Force = False,
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
) -> None:
    """Write a table for bulk labelling.

    koaning/bulk opens it (python -m bulk text OUT). Its columns are text, x, y, color, the given
    label, the predicted label with its probability and its margin to the second, and whether the
    given label is suspect: a classifier that did not see the document contradicts it. Sort by
    margin to find the documents to label next.

    The other fields of DATA follow. embedding-atlas opens OUT.parquet with --text text
    --x projection_x --y projection_y --neighbors neighbors, and a spreadsheet opens OUT.xlsx. In
    CSV a text that a spreadsheet would run as a formula, such as =1+1, gets an apostrophe before
    it. The commands of embtune remove it when they read the file.
    """
    from ..labelling import SUFFIXES, bulk_table, require_writer, write_bulk
    from ..plots import project, require_umap

    check_output(out, force=force, inputs=[data, fit], suffixes=SUFFIXES)
    skipped = SkippedRecords()
    with reporting_errors(f"{out} was not written"):
        if method is Method.umap:
            require_umap()
        require_writer(out)
        records, learned = _reading.read_with_fit(
            data,
            fit,
            text_field=text_field,
            label_field=label_field,
            labels=_reading.label_settings(label_fields, label_separator, label_bins),
            id_field=id_field,
            kind=kind,
            delimiter=delimiter,
            encoding=encoding,
            quotes=quotes,
            on_error=on_error,
            report=skipped,
        )
        nlp, pipe = load_pipeline(model, name, code=code, gpu_id=gpu_id)
        to_units = partial(_reading.make_units, on_error=on_error, report=skipped)
        records = to_units(nlp, pipe, records, unit)
        if learned is not None:
            learned = to_units(nlp, pipe, learned, unit)
        documents = _reading.make_documents(nlp, pipe, records)
        fitted = None if learned is None else _reading.fit_documents(nlp, pipe, learned)
        if neighbors is None:
            # embedding-atlas shows the neighbours of a document.
            is_atlas = out.suffix.lower() == ".parquet"
            neighbors = min(MOST_NEIGHBORS, len(records) - 1) if is_atlas else 0
        if suspects_from is None:
            suspects_from = _choose_space(pipe, documents)
        table = bulk_table(
            documents,
            project(documents, fitted, method=method.value),
            color=None if color is None else color.value,
            n_neighbors=neighbors,
            suspects_from=suspects_from.value,
        )
        with atomic_path(out) as unfinished:
            write_bulk(table, unfinished)
    skipped.conclude()
    if table.source != "component":
        warn("The component does not predict labels", SOURCES[table.source])
    if table.renamed:
        names = ", ".join(f"{name} is now {new}" for name, new in table.renamed.items())
        warn("Some fields of DATA have the name of a column of this table or of bulk", names)
    n = len(table.rows)
    if neighbors >= n:
        warn(f"There are only {n - 1:,} other documents, not {neighbors:,}")
    suspects = ""
    if table.n_suspects is not None:
        suspects = f", {table.n_suspects:,} of them with a suspect label"
    elif any(row["cats"] for row in table.rows):
        suspects = "; too few are labelled to check their labels"
    numbers = [f"{number} {name}" for number, name in enumerate(table.colors)]
    has_color = table.colors and out.suffix.lower() != ".parquet"
    colors = f"Colours: {', '.join(numbers)}." if has_color else ""
    good(f"Wrote {documents.describe_rows()}{suspects}: {out}", colors)


def _choose_space(pipe: "EmbTune", documents: "Documents") -> Space:
    from ..labels import known_rows

    labelled = known_rows(documents.targets)
    if pipe.seen is None or not labelled.any():
        return Space.base
    n_seen = _reading.find_seen(pipe, documents)[labelled].sum()
    return Space.base if n_seen > _reading.FEW * labelled.sum() else Space.tuned
