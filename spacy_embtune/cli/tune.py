"""`embtune tune`: the best pipeline that some labels, a pile of texts and a time can give."""

import contextlib
import signal
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options, _parent, _reading
from ._common import (
    OnError,
    SkippedRecords,
    check_directory,
    fail,
    good,
    reporting_errors,
    warn,
)

# With fewer documents that were held out, the picture shows those that were learned from.
LEAST_DRAWN = 30
# The first line of a log of labels has fewer bytes.
LONGEST_HEADER = 1000

if TYPE_CHECKING:
    from rich.console import Group

    from ..tuning import Attempt, Tuned


def tune(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Labelled texts: .csv, .jsonl, .xlsx, .spacy ...")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The directory of the pipeline")],
    unlabelled: Annotated[
        str | None,
        typer.Option(metavar="PILE", help="More texts of this kind. Their labels are ignored"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="How long it may take")] = 120.0,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C", help="Labels; with these, DATA may have no labelled text at all"
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="A sentence-transformers model: a name or a directory")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Config for spacy train, in which head, loss and steps are chosen"),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting of the config, such as nlp.lang=de"
        ),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names/--no-names", help="Learn the names of labels as texts")
    ] = True,
    seed: Annotated[
        int | None, typer.Option(help="Random seed of folds and training", show_default="0")
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot/--no-plot", help="Write OUT/embtune.png (extra plot)")
    ] = True,
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
    end_with_stdin: Annotated[bool, typer.Option("--end-with-stdin", hidden=True)] = False,
) -> None:
    """Find the best pipeline for the labels of DATA, in a given time, and write it to OUT.

    It tries one method after the other: a linear classifier, the names of labels, heads on top of
    the encoder, the last layers of the encoder, the texts of PILE, all layers. Each is judged by
    documents that it did not learn from, and is kept if it is expected to be better. OUT holds the
    pipeline, README.md with what was tried and how good it is, and config.cfg, with which `spacy
    train` makes the same pipeline (not if the nearest name was kept). Ctrl-C ends the search and
    keeps the best so far.
    """
    if end_with_stdin:
        _parent.end_with_stdin()
    from spacy.cli._util import import_code

    from .. import tuning

    check_directory(
        out,
        force=force,
        kind="a pipeline",
        own="meta.json",
        inputs={"DATA": data, "PILE": unlabelled},
    )
    with reporting_errors(f"{out} was not written"):
        if config is not None and not config.is_file():
            fail(f"{out} was not written", f"There is no config {config}.")
        settings = _parse_settings(setting or [], out)
        import_code(code)
        skipped = SkippedRecords()
        reading: dict[str, Any] = {
            "text_field": text_field,
            "delimiter": delimiter,
            "encoding": encoding,
            "quotes": quotes,
        }
        # A log of `label` has one form, so options that say how a file is read are for PILE.
        is_log = _is_label_log(data)
        reading_data = {"text_field": "text"} if is_log else reading
        kind_of_data, kind_of_pile = (None, kind) if is_log else (kind, None)
        records = _reading.read_all(
            data,
            label_field=label_field,
            labels=_reading.label_settings(label_fields, label_separator, label_bins),
            id_field="id",
            kind=kind_of_data,
            on_error=on_error,
            report=skipped,
            **reading_data,
        )
        pile: list[str] = []
        if unlabelled is not None:
            found = _reading.read_all(
                unlabelled,
                label_field="",
                id_field="id",
                kind=kind_of_pile,
                on_error=on_error,
                report=skipped,
                **reading,
            )
            pile = [record.text for record in found]
        skipped.conclude()
        reader = {
            **{key: value for key, value in reading_data.items() if value not in (None, "text")},
            "label_field": label_field,
            "kind": kind_of_data,
            **_reading.label_settings(label_fields, label_separator, label_bins),
        }
        reader_of_pile: dict[str, Any] = {**reading, "kind": kind_of_pile}
        if on_error is OnError.skip:
            reader["on_error"] = reader_of_pile["on_error"] = "skip"
        paths = {"train": data} | ({} if unlabelled is None else {"unlabelled": unlabelled})
        with _Table() as table:
            tuned = tuning.tune(
                records,
                unlabelled=pile,
                label_texts="names" if names else None,
                names=[name.strip() for name in (labels or "").split(",") if name.strip()],
                encoder=encoder,
                config=config,
                settings=settings,
                seconds=seconds,
                seed=seed,
                paths=paths,
                reader={key: value for key, value in reader.items() if value is not None},
                unlabelled_reader={
                    key: value
                    for key, value in reader_of_pile.items()
                    if value not in (None, "text")
                },
                progress=table.show,
            )
        with _without_interrupts():
            tuned.to_disk(out)
    if plot:
        _plot(tuned, records, out / "embtune.png")
    if tuned.is_interrupted:
        warn("Interrupted", "The best pipeline so far is kept.")
    for note in tuned.receipt["notes"]:
        warn("Note", note)
    good(
        f"Wrote {out}: {tuned.receipt['kept_title']}",
        f"{out / 'README.md'} says how good it is. Next: python -m spacy embtune bulk {out} ...",
    )


def _is_label_log(data: str) -> bool:
    """RETURNS (bool): Whether a file is a log of `embtune label`."""
    from ..data import read_header

    if not Path(data).is_file():
        return False
    with open(data, "rb") as file:
        return read_header(file.readline(LONGEST_HEADER).decode("utf8", "replace")) is not None


def _parse_settings(given: list[str], out: Path) -> dict[str, Any]:
    """RETURNS (dict): Dotted name -> value. Values are JSON; anything else is a text."""
    import srsly

    settings: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or "." not in name:
            fail(
                f"{out} was not written",
                f"--set {one}: give a dotted name and a value: --set nlp.lang=de.",
            )
        try:
            settings[name.strip()] = srsly.json_loads(value)
        except ValueError:
            settings[name.strip()] = value
    return settings


def _plot(tuned: "Tuned", records: Any, path: Path) -> None:
    """Draw documents by base and by tuned vectors: those that were held out, if they are enough."""
    labelled = [record for record in records if record.cats and record.text.strip()]
    try:
        _draw(tuned, labelled, path)
    except (ImportError, ValueError) as error:
        warn("No picture", str(error))


def _draw(tuned: "Tuned", labelled: Any, path: Path) -> None:
    from ..plots import plot as draw
    from ..plots import save
    from ..reports import documents

    shown, note = tuned.held_out, "Documents that the vectors did not learn from."
    if shown is None or len(shown.ids) < LEAST_DRAWN:
        if len(labelled) < 3:
            return
        shown = documents(tuned.nlp, None, labelled, progress=None)
        note = "The pipeline has learned from these documents: new ones lie less apart."
    save(draw(shown, note=note), path)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Finish what is written in spite of a second Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cell(value: float, error: float) -> str:
    """RETURNS (str): A score with its standard error, in 11 characters."""
    return f"{value:.3f} ±{f'{error:.3f}'.lstrip('0')}"


class _Table:
    """A table of what was tried, that grows while it is tried."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.rows: dict[str, Attempt] = {}
        self.console = Console(stderr=True, highlight=False)
        self.live = Live(console=self.console, refresh_per_second=4, transient=False)

    def __enter__(self) -> "_Table":
        if self.console.is_terminal:
            self.live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.console.is_terminal:
            self.live.update(self._table(), refresh=True)
            self.live.__exit__(*exception)
        elif self.rows:
            self.console.print(self._table())

    def show(self, attempt: "Attempt") -> None:
        """Show an attempt.

        attempt (Attempt): The attempt, running or decided.
        """
        self.rows[attempt.key] = attempt
        if self.console.is_terminal:
            self.live.update(self._table())
        elif attempt.decision == "running" and not attempt.n_folds:
            # Of a program that reads along, such as the page of `label`.
            self.console.print(f"Trying: {attempt.title}")
        elif attempt.decision == "kept":
            self.console.print(f"Kept: {attempt.title}")

    def _table(self) -> "Group":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
        table.add_column("", no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        for title in ("accuracy", "p@1", "MAP@R", ""):
            table.add_column(title, no_wrap=True)
        reasons = []
        for attempt in self.rows.values():
            scores = [*attempt.scores, None, None, None, None][:4]
            cells = [
                "" if one is None or not one.is_known else _cell(one.value, one.error)
                for one in (scores[0], scores[2], scores[3])
            ]
            style = {"kept": "bold", "running": ""}.get(attempt.decision, "dim")
            seconds = f"{attempt.seconds:.1f}" if attempt.decision != "left out" else ""
            table.add_row(attempt.title, seconds, *cells, attempt.decision, style=style)
            if attempt.reason:
                reason = textwrap.shorten(attempt.reason, 200)
                reasons.append(Text(f"{attempt.title}: {reason}", style="dim"))
        return Group(table, Text(), *reasons)
