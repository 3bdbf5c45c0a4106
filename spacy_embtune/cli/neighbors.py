"""`embtune neighbors`: show the documents nearest to a text by base and by tuned vectors."""

from typing import Annotated

import typer

from . import _options, _reading
from ._common import (
    OnError,
    SkippedRecords,
    fail,
    load_pipeline,
    reporting_errors,
    warn,
)


def neighbors(
    model: _options.Model,
    data: _options.Data,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A text, in quotes")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many to show")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table")] = False,
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
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
) -> None:
    """Show the documents nearest to a text, by base and by tuned vectors.

    Each document is shown with its cosine and its labels: "?" if no label is known, "-" if all
    known labels are absent.
    """
    import srsly
    from rich.console import Console

    from ..data import Record
    from ..plots import compare_neighbors
    from ..reports import documents

    if not query.strip():
        fail("No neighbours were found", "The query is empty: give a text.")
    skipped = SkippedRecords()
    with reporting_errors("No neighbours were found"):
        records = _reading.read_all(
            data,
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
        records = _reading.make_units(nlp, pipe, records, unit, on_error=on_error, report=skipped)
        corpus = _reading.make_documents(nlp, pipe, records)
        asked = documents(nlp, pipe.name, [Record(query, {}, "query", {}, 1)])
        found = compare_neighbors(corpus, asked, k)
        skipped.conclude()
        if len(found.base) < k:
            warn(f"There are only {len(found.base)} documents with a vector, not {k}")
        if as_json:
            typer.echo(srsly.json_dumps(found.to_dict(), indent=2))
        else:
            Console(highlight=False).print(found.to_table())
