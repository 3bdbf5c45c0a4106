"""`embtune sweep`: search hyperparameters of a head by cross-validation."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._files import atomic_path
from . import _options, _reading
from ._common import (
    OnError,
    SkippedRecords,
    check_output,
    fail,
    good,
    reporting_errors,
)

if TYPE_CHECKING:
    from ..tuning import Sweep


def sweep(
    config_path: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="Config for spacy train, tried first"),
    ],
    train: Annotated[
        str, typer.Argument(metavar="TRAIN", help="Labelled documents: .spacy, .jsonl, .csv ...")
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Config to write, with the best settings")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit of the search")] = 60.0,
    folds: Annotated[int, typer.Option(min=2, help="Number of parts of the cross-validation")] = 4,
    seed: Annotated[int, typer.Option(help="Random seed of parts, order and weights")] = 0,
    name: Annotated[str | None, typer.Option(help="The component, if there are several")] = None,
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
    force: _options.Force = False,
    code: _options.Code = None,
) -> None:
    """Search for the head, loss and optimizer settings that suit the labels of TRAIN.

    Texts are encoded once. Each setting learns from all parts of TRAIN but one, and is scored on
    that part by the mean of p@1 and MAP@R. The settings of CONFIG are tried first and marked "*".
    The best settings are written to OUT as a complete config.
    """
    from spacy.cli._util import import_code
    from spacy.util import load_config

    from ..tuning import sweep_config, write_candidate

    if out is not None:
        check_output(out, force=force, suffixes=[".cfg"])
    skipped = SkippedRecords()
    with reporting_errors("Nothing was found"):
        if not config_path.is_file():
            fail("Nothing was found", f"There is no config {config_path}.")
        import_code(code)
        # Variables are kept for the config that is written.
        config = load_config(config_path, interpolate=False)
        records = _reading.read_all(
            train,
            text_field=text_field,
            label_field=label_field,
            labels=_reading.label_settings(label_fields, label_separator, label_bins),
            id_field="id",
            kind=kind,
            delimiter=delimiter,
            encoding=encoding,
            quotes=quotes,
            on_error=on_error,
            report=skipped,
        )
        skipped.conclude()
        component, found = _with_progress(
            sweep_config, config, records, name=name, seconds=seconds, n_folds=folds, seed=seed
        )
        _show(found)
        best = write_candidate(config, component, found.best)
    if out is not None:
        with reporting_errors(f"{out} was not written"):
            with atomic_path(out) as unfinished:
                best.to_disk(unfinished)
            good(f"Wrote {out}", f"python -m spacy train {out} --output training ...")


def _with_progress(function: Any, *args: Any, **settings: Any) -> Any:
    from tqdm import tqdm

    from .._progress import progress_interval

    bars: list[Any] = []

    def progress(done: int, total: int) -> None:
        # Encoding the texts has its own progress bar, which is closed by now.
        if not bars:
            title, interval = "Trying settings", progress_interval()
            bars.append(tqdm(desc=title, total=total, leave=False, mininterval=interval))
        bars[0].update(done - bars[0].n)

    try:
        return function(*args, **settings, progress=progress)
    finally:
        for bar in bars:
            bar.close()


def _show(found: "Sweep") -> None:
    from rich.console import Console
    from rich.table import Table

    from ..tuning import summarize

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for title in ("", "head", "loss", "width", "drop", "rate", "steps", "score"):
        numeric = title in ("width", "drop", "rate", "steps")
        fold = title == "loss"
        table.add_column(
            title, justify="right" if numeric else "left", no_wrap=not fold, overflow="fold"
        )
    for row in summarize(found):
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    base = sum(found.base) / len(found.base)
    gain, error = found.gain()
    n_tried = len({id(trial.candidate) for trial in found.trials})
    sentence = (
        f"{n_tried} settings tried; base vectors {base:.3f}; * marks those of CONFIG; ± is the "
    )
    sentence += "standard error over parts. "
    if found.best.is_own:
        sentence += "Nothing was better."
    else:
        sentence += f"The best is better by {gain:.3f} ± {error:.3f}"
        sentence += ", " if found.is_evident() else ", which is no evidence of a gain, "
        sentence += f"and the best of {n_tried} scores higher here than on new data."
    if found.n_left:
        left = "1 more setting" if found.n_left == 1 else f"{found.n_left} more settings"
        sentence += f" {left} need more --seconds."
    console.print(f"\n{textwrap.fill(sentence, min(console.width, 80))}", soft_wrap=True)
