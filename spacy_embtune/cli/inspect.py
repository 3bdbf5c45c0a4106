"""`embtune inspect`: report what labelled data say about themselves, before training."""

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
    good,
    reporting_errors,
)


def inspect(
    data: _options.Data,
    against: Annotated[
        Path | None,
        typer.Option(metavar="TEST", help="Documents that must not be among those of DATA"),
    ] = None,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Encoder for near duplicates and suspect labels")
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    prompt: Annotated[
        str | None,
        typer.Option(help="Put before each text, as models like E5 want it", show_default=False),
    ] = None,
    max_seq_length: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens that the encoder reads of a text", show_default=False),
    ] = None,
    pool_windows: Annotated[
        bool,
        typer.Option("--pool-windows", help="Average the windows of texts that are longer"),
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that the encoder brings")
    ] = False,
    encode: Annotated[
        bool, typer.Option("--encode/--no-encode", help="Whether to encode the texts")
    ] = True,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Directory that keeps vectors across runs")
    ] = None,
    near: Annotated[
        float, typer.Option(help="Cosine from which on texts count as near duplicates")
    ] = 0.95,
    suspects: Annotated[
        bool | None,
        typer.Option(
            "--suspects/--no-suspects",
            help="Look for labels that are probably wrong. Default: if it takes seconds",
        ),
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the numbers here")] = None,
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
    force: Annotated[bool, typer.Option("--force", "-F", help="Replace files that exist")] = False,
) -> None:
    """Report what DATA say about themselves, before training.

    Shows how many documents carry each label, whether labels are exclusive and why, copies of texts
    and near duplicates, copies with contradicting labels, languages, texts that are empty or longer
    than the encoder reads, and labels that are probably wrong. With --against also texts that are
    in both files. Texts count as copies if they differ only in case and white space.
    """
    if json_path is not None:
        check_output(json_path, force=force, suffixes=[".json"], inputs=[data, against])
    skipped = SkippedRecords()
    read = partial(
        _reading.read_all,
        text_field=text_field,
        label_field=label_field,
        labels=_reading.label_settings(label_fields, label_separator, label_bins),
        delimiter=delimiter,
        encoding=encoding,
        quotes=quotes,
        id_field=id_field,
        on_error=on_error,
        report=skipped,
    )
    with reporting_errors("Nothing was inspected"):
        from ..encoder import EncoderSettings, TextEncoder
        from ..inspection import inspect_records

        records = read(data, kind=kind)
        others = None if against is None else read(against, kind=kind, is_second=True)
        settings = EncoderSettings(
            encoder,
            prompt=prompt,
            max_seq_length=max_seq_length,
            pool_windows=pool_windows,
            trust_remote_code=trust_remote_code,
        )
        found = inspect_records(
            records,
            against=others,
            encoder=TextEncoder.load(settings) if encode else None,
            cache_dir=cache_dir,
            near=near,
            suspects=suspects,
        )
        skipped.conclude()
        typer.echo(found.to_text())
    if json_path is not None:
        with reporting_errors(f"{json_path} was not written"):
            with atomic_path(json_path) as unfinished:
                content = json.dumps(found.to_dict(), indent=2, ensure_ascii=False)
                unfinished.write_text(f"{content}\n", encoding="utf8")
            good(f"Wrote {json_path}")
