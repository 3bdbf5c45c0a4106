"""`embtune evaluate`: compare tuned with base vectors on held-out documents."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

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
)


def evaluate(
    model: _options.Model,
    data: _options.Data,
    train: Annotated[
        Path | None,
        typer.Option(help="Documents that the model was trained on, for classifiers to learn from"),
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the numbers here")] = None,
    markdown_path: Annotated[
        Path | None, typer.Option("--markdown", help="Write the table here, as .md")
    ] = None,
    per_label: Annotated[
        bool, typer.Option("--per-label", help="Show the scores of each label, too")
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option("--calibration", help="Show how well probabilities agree with the labels"),
    ] = False,
    unit: _options.Unit = "doc",
    name: _options.Name = None,
    text1_field: Annotated[
        str, typer.Option("--text1", metavar="FIELD", help="Pairs: field of the first text")
    ] = "text1",
    text2_field: Annotated[
        str, typer.Option("--text2", metavar="FIELD", help="Pairs: field of the second text")
    ] = "text2",
    score_field: Annotated[
        str, typer.Option("--score", metavar="FIELD", help="Pairs: field of the score, if any")
    ] = "score",
    score_range: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Pairs: lowest and highest score")
    ] = "0,1",
    text_field: _options.TextField = "text",
    label_field: _options.LabelField = None,
    label_fields: _options.LabelFields = None,
    label_separator: _options.LabelSeparator = None,
    label_bins: _options.LabelBins = None,
    kind: _options.Kind = None,
    delimiter: _options.Delimiter = None,
    encoding: _options.Encoding = None,
    quotes: _options.Quotes = None,
    on_error: _options.OnErrorOption = OnError.fail,
    force: Annotated[bool, typer.Option("--force", "-F", help="Replace files that exist")] = False,
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
) -> None:
    """Compare the tuned vectors of DATA with the base vectors of the encoder by the labels of DATA.

    p@1 and MAP@R measure how often the nearest neighbours within DATA share labels. With --train, a
    nearest neighbour and a linear probe learn from TRAIN and are scored on DATA. The table shows
    differences with 95 % intervals over the documents of DATA, and ends with a verdict.

    If DATA has two texts a row (text1 and text2) and no field of --text-field, it is a file of
    pairs. Then recall@k and MRR measure how early the two texts of a pair find each other among all
    texts of the other field. Pairs with a score of half of the range or more, or without a score,
    belong together.

    --per-label adds the scores of each label; the file of --json always has them. Labels that lost
    come first. Precision, recall and F1 are those of the linear probe with --train, otherwise of
    the nearest other document, and of the component's own predictions.

    --calibration adds how far the probabilities of the component are from how often they are right
    (expected calibration error, log loss), without the temperature that it has learned and with it;
    the file of --json always has them.
    """
    from wasabi.util import supports_ansi

    from ..reports import report, report_pairs

    for path, suffix in ((json_path, ".json"), (markdown_path, ".md")):
        if path is not None:
            check_output(path, force=force, suffixes=[suffix])
    shown = {"per_label": per_label, "calibration": calibration}
    skipped = SkippedRecords()
    read = partial(
        _reading.read_all,
        text_field=text_field,
        label_field=label_field,
        labels=_reading.label_settings(label_fields, label_separator, label_bins),
        id_field="id",
        delimiter=delimiter,
        encoding=encoding,
        quotes=quotes,
        on_error=on_error,
        report=skipped,
    )
    settings = {"delimiter": delimiter, "encoding": encoding, "quotes": quotes}
    with reporting_errors("Nothing was evaluated"):
        if _reading.is_pairs_file(
            data, kind, text_field=text_field, wanted=(text1_field, text2_field), **settings
        ):
            for option, is_given in (
                ("--train", train is not None),
                ("--per-label", per_label),
                ("--calibration", calibration),
                ("--unit", unit != "doc"),
            ):
                if is_given:
                    fail(f"{option} is not for pairs", f"{data} holds pairs. Leave {option} out.")
            examples = _reading.read_pairs(
                data,
                text1=text1_field,
                text2=text2_field,
                score=score_field,
                score_range=score_range,
                on_error=on_error,
                **settings,
            )
            nlp, pipe = load_pipeline(model, name, code=code, gpu_id=gpu_id)
            of_pairs = report_pairs(
                nlp, examples(nlp), name=pipe.name, side_names=(text1_field, text2_field)
            )
            typer.echo(of_pairs.to_text(colors=supports_ansi()))
            numbers, table = of_pairs.to_dict(), of_pairs.to_markdown()
        else:
            records = read(data, kind=kind)
            known = None if train is None else read(train, kind=kind, is_second=True)
            nlp, pipe = load_pipeline(model, name, code=code, gpu_id=gpu_id)
            to_units = partial(_reading.make_units, on_error=on_error, report=skipped)
            records = to_units(nlp, pipe, records, unit)
            if known is not None:
                known = to_units(nlp, pipe, known, unit)
            found = report(nlp, records, train=known, name=pipe.name)
            skipped.conclude()
            typer.echo(found.to_text(colors=supports_ansi(), **shown))
            numbers, table = found.to_dict(), found.to_markdown(**shown)
    if json_path is not None:
        _write(json_path, json.dumps(numbers, indent=2) + "\n")
    if markdown_path is not None:
        _write(markdown_path, table)


def _write(path: Path, content: str) -> None:
    with reporting_errors(f"{path} was not written"):
        with atomic_path(path) as unfinished:
            unfinished.write_text(content, encoding="utf8")
        good(f"Wrote {path}")
