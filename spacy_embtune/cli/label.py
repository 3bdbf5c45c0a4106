"""`embtune label`: label texts in the browser."""

import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._extras import import_extra
from . import _options, _reading
from ._common import OnError, SkippedRecords, fail, good, load_pipeline, reporting_errors, warn

if TYPE_CHECKING:
    from spacy.language import Language

    from ..app import Session
    from ..pipeline import EmbTune


def label(
    data: _options.Data,
    log: Annotated[
        Path,
        typer.Argument(metavar="LABELS.jsonl", help="The log of labels, made or continued"),
    ],
    model: Annotated[
        str | None, typer.Option(help="A trained pipeline, to start with its tuned vectors")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="The encoder, if there is no --model", show_default="all-MiniLM-L6-v2"),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Labels to offer at the start")
    ] = None,
    several: Annotated[
        bool, typer.Option("--several", help="A text may carry several labels; for a new log")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: a free one")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open the page")
    ] = True,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            help="Directory that keeps vectors for the next start", show_default="LABELS.vectors"
        ),
    ] = None,
    tune_seconds: Annotated[
        int, typer.Option(min=1, help="How long the button Tune may take, in seconds")
    ] = 120,
    name: _options.Name = None,
    text_field: _options.TextField = "text",
    label_field: _options.LabelField = None,
    id_field: _options.IdField = "id",
    kind: _options.Kind = None,
    delimiter: _options.Delimiter = None,
    encoding: _options.Encoding = None,
    quotes: _options.Quotes = None,
    on_error: _options.OnErrorOption = OnError.fail,
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
) -> None:
    """Label texts in the browser, many at once.

    The page shows the texts of DATA as points. Select some, and give them a label. After each
    label, predictions, colours and positions are computed anew, and the page suggests what to label
    next. The page can be reached from this machine only. Ctrl-C ends it.

    Each label is on the disk before the page says "saved". LABELS.jsonl is labelled data for every
    other command. Labels that DATA has are recorded in it at the start.
    """
    from ..app import (
        make_command,
        make_pile,
        make_tuned_pile,
        pipeline_beside,
        serve_labelling,
    )
    from ..finetune import SentenceEncoder

    if model is not None and encoder is not None:
        fail("--model and --encoder exclude each other", "A pipeline has its own encoder.")
    if data == "-":
        fail("DATA is standard input", "Give a file, so that the page can be started again.")
    if log.suffix.lower() not in (".jsonl", ".ndjson"):
        fail(f"{log} cannot be written", "Give a name that ends in .jsonl.")
    if not log.parent.is_dir():
        fail(f"{log} cannot be written", f"There is no directory {log.parent}. Make it.")
    store = log.with_suffix(".vectors") if cache_dir is None else cache_dir
    offered = [part.strip() for part in (labels or "").split(",") if part.strip()]
    skipped = SkippedRecords()

    def ready(session: "Session") -> None:
        for note in session.notes():
            warn(note)

    def started(address: str) -> None:
        good(f"Open {address}", f"Labels are saved in {log}. Ctrl-C ends the page.")
        if browser:
            webbrowser.open(address)

    with reporting_errors("The page was not opened"):
        for module in ("starlette", "uvicorn"):
            import_extra(module, f"The page of `label` needs {module}", extra="label")
        # Before the log is made.
        records = _reading.read_all(
            data,
            text_field=text_field,
            label_field=label_field,
            id_field=id_field,
            kind=kind,
            delimiter=delimiter,
            encoding=encoding,
            quotes=quotes,
            on_error=on_error,
            report=skipped,
        )
        skipped.conclude()
        title = Path(data).name
        if model is not None:
            nlp, pipe = load_pipeline(model, name, code=code, gpu_id=gpu_id)
            make = partial(make_tuned_pile, records, nlp, pipe, title=title, store=store)
            encoder = _name_encoder(nlp, pipe)
        else:
            made = SentenceEncoder() if encoder is None else SentenceEncoder(encoder)
            make = partial(make_pile, records, made, title=title, store=store)
        command = make_command(
            log,
            pipeline_beside(log),
            data,
            encoder=encoder,
            seconds=tune_seconds,
            options={
                "text-field": text_field,
                "format": kind,
                "delimiter": delimiter,
                "encoding": encoding,
                "quotes": quotes,
                "on-error": on_error.value,
            },
        )
        serve_labelling(
            lambda progress: make(progress=progress),
            log,
            labels=offered,
            exclusive=not several,
            port=port,
            tune_with=command,
            store=store,
            started=started,
            ready=ready,
        )
    good(f"The labels are in {log}")


def _name_encoder(nlp: "Language", pipe: "EmbTune") -> str | None:
    """RETURNS (str | None): The name of the encoder of a pipeline, so that *Tune* begins with the
    same one. None if it has none that `tune` can use."""
    encoder = nlp.config["components"][pipe.name]["model"].get("encoder", {})
    is_known = encoder.get("@architectures", "").startswith("spacy-embtune.SentenceTransformer.")
    return encoder.get("name") if is_known else None
