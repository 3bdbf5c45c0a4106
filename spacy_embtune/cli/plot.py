"""`embtune plot`: draw base and tuned vectors as pictures and as interactive pages."""

from contextlib import ExitStack
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
    fail,
    good,
    load_pipeline,
    reporting_errors,
    warn,
)

if TYPE_CHECKING:
    from ..plots import Projection
    from ..reports import Documents


class Method(StrEnum):
    """How vectors are projected to two dimensions."""

    pca = "pca"
    umap = "umap"


def plot(
    model: _options.Model,
    data: _options.Data,
    outs: Annotated[
        list[Path],
        typer.Argument(
            metavar="OUT...", help=".png, .svg, .pdf or .html; several are made of one projection"
        ),
    ],
    fit: _options.Fit = None,
    method: Annotated[
        Method, typer.Option(help="How to project vectors to two dimensions; UMAP needs umap-learn")
    ] = Method.pca,
    parts: Annotated[
        str, typer.Option(help="projection, similarity, neighbors, with commas; not of .html")
    ] = "projection,similarity,neighbors",
    title: Annotated[
        str | None, typer.Option(help="The heading", show_default="name of DATA")
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
    """Draw documents before and after tuning.

    A picture has three parts: the documents of DATA in two dimensions, the similarities of pairs
    with and without a common label, and the labels of nearest neighbours.

    OUT.html is an interactive page that needs no connection: hover, search, select with a lasso,
    and download the selected documents for labelling.

    Several files, such as OUT.png OUT.html, take hardly longer than one: the documents are encoded
    and projected once. If one of the files cannot be written, none is.
    """
    from ..plots import (
        PARTS,
        SUFFIXES,
        describe_seen,
        project,
        require_matplotlib,
        require_umap,
        save,
    )
    from ..plots import plot as draw

    for i, out in enumerate(outs):
        check_output(out, force=force, suffixes=[*SUFFIXES, ".html"])
        if out.resolve() in [other.resolve() for other in outs[:i]]:
            fail(f"{out} is named twice", "Give each file another name.")
    names = " and ".join(map(str, outs))
    chosen = [part for part in PARTS if part in (named.strip() for named in parts.split(","))]
    skipped = SkippedRecords()
    with reporting_errors(f"{names} {'was' if len(outs) == 1 else 'were'} not written"):
        if len(chosen) != len(parts.split(",")):
            fail("Unknown parts", f"--parts is {parts!r}: name some of {', '.join(PARTS)}.")
        if method is Method.umap:
            require_umap()
        if not all(map(_is_page, outs)):
            require_matplotlib()
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
        projection = project(documents, fitted, method=method.value)
        heading = ("Standard input" if data == "-" else Path(data).name) if title is None else title
        n, n_seen = len(documents.texts), int(_reading.find_seen(pipe, documents).sum())
        of_seen = describe_seen(n_seen, n, documents.row_name)
        with ExitStack() as files:
            # Files get their names together, once the last of them is complete.
            unfinished = {out: files.enter_context(atomic_path(out)) for out in outs}
            for out, path in unfinished.items():
                if _is_page(out):
                    _write_page(path, documents, projection, heading, n_seen)
                else:
                    note = of_seen if n_seen > _reading.FEW * n else None
                    save(draw(documents, projection, title=heading, note=note, parts=chosen), path)
    skipped.conclude()
    if n_seen:
        warn("Not all is held out", of_seen)
    good(f"Wrote {names}", f"{projection.note}.")


def _is_page(out: Path) -> bool:
    return out.suffix.lower() == ".html"


def _write_page(
    path: Path, documents: "Documents", places: "Projection", title: str, n_seen: int
) -> None:
    from ..plots import page

    base, tuned = places.base, places.tuned
    content = page(
        documents,
        base.xy,
        tuned.xy,
        title=title,
        # The page has no other place that shows what the axes were fitted on.
        base_axes=(f"{base.axes[0]} · {places.note}", base.axes[1]),
        tuned_axes=(f"{tuned.axes[0]} · {places.note}", tuned.axes[1]),
        n_seen=n_seen,
    )
    path.write_text(content, encoding="utf8")
