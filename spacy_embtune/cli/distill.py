"""`embtune distill`: make a fast pipeline that gives the tuned vectors of a slow one."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from wasabi.util import wrap

from . import _options, _reading
from ._common import (
    OnError,
    SkippedRecords,
    check_directory,
    fail,
    good,
    load_any_pipeline,
    reporting_errors,
    warn,
)

if TYPE_CHECKING:
    from spacy.language import Language

    from ..data import Record
    from ..distillation import Distillation

# After so many seconds, vectors of the teacher are kept for the next run.
WORTH_KEEPING = 10.0


def distill(
    model: _options.Model,
    texts: Annotated[
        str, typer.Argument(metavar="TEXTS", help="Texts of the kind that OUT will see, unlabelled")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The directory of the pipeline")],
    student: Annotated[
        str, typer.Option(help="static: a table of vectors; layers:K: the first K layers")
    ] = "static",
    fidelity: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Agreement with MODEL that is good enough")
    ] = 0.95,
    seconds: Annotated[
        float, typer.Option(min=1.0, help="Bound for the training, without reading and encoding")
    ] = 120.0,
    labelled: Annotated[
        str | None,
        typer.Option(
            "--labelled", metavar="DATA", help="Held-out labelled documents to compare both on"
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="With --labelled: documents for classifiers to learn from"),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16", "int8"], typer.Option(help="Numbers of a table")
    ] = "float32",
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the encoder of OUT for SentenceTransformer(DIR)"),
    ] = None,
    export_model2vec: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the table for StaticModel.from_pretrained(DIR)"),
    ] = None,
    text_field: _options.TextField = "text",
    label_field: _options.LabelField = None,
    kind: _options.Kind = None,
    delimiter: _options.Delimiter = None,
    encoding: _options.Encoding = None,
    quotes: _options.Quotes = None,
    on_error: _options.OnErrorOption = OnError.fail,
    force: _options.Force = False,
    code: _options.Code = None,
    gpu_id: _options.GpuId = -1,
) -> None:
    """Write a fast pipeline to OUT that gives the tuned vectors and the labels of MODEL.

    The static student is a table of vectors for tokens, frequent words and pairs of words: a
    hundred times as fast, and near to MODEL where words tell the labels, as topics. Where the order
    of words matters, layers:3 is nearer, at about twice the speed of MODEL. One in ten of TEXTS is
    held out to measure how well both agree. Some thousand TEXTS are best.

    Vectors of MODEL are kept in the directory OUT.teacher until OUT is complete, so that the same
    command goes on after an interruption.
    """
    from .. import distillation
    from ..data import read_records

    for path, written, own in (
        (out, "a pipeline", "meta.json"),
        (export, "an encoder", "modules.json"),
        (export_model2vec, "a model of model2vec", "config.json"),
    ):
        if path is not None:
            inputs = {"MODEL": model, "TEXTS": texts, "DATA": labelled}
            check_directory(path, force=force, kind=written, own=own, inputs=inputs)
    with reporting_errors(f"{out} was not written"):
        n_layers = distillation.parse_student(student)
        if train is not None and labelled is None:
            fail(f"{out} was not written", "--train is for --labelled: give both, or none.")
        if n_layers and (export_model2vec is not None or dtype != "float32"):
            fail(f"{out} was not written", "--export-model2vec and --dtype need --student static.")
        nlp = load_any_pipeline(model, code=code, gpu_id=gpu_id)
        skipped = SkippedRecords()
        settings: dict[str, Any] = {"delimiter": delimiter, "encoding": encoding, "quotes": quotes}
        # Now, so that a wrong name is not found out in the end.
        compared = [
            _reading.read_all(
                source,
                text_field=text_field,
                label_field=label_field,
                id_field="id",
                kind=None,
                on_error=on_error,
                report=skipped,
                **settings,
            )
            for source in (labelled, train)
            if source is not None
        ]
        records = read_records(
            texts,
            text_field=text_field,
            label_field="",
            kind=kind,
            on_error=on_error.value,
            report=skipped,
            **settings,
        )
        work = out.with_name(f"{out.name}.teacher")
        with _explain_how_to_resume(work):
            found = distillation.distill(
                nlp,
                (record.text for record in records),
                student=student,
                fidelity=fidelity,
                seconds=seconds,
                dtype=dtype,
                work_dir=work,
                progress=True,
            )
            skipped.conclude()
            distillation.save_student(found, out)
        if export is not None:
            distillation.export_student(found, export)
        if export_model2vec is not None:
            distillation.export_model2vec(found, export_model2vec)
        shutil.rmtree(work, ignore_errors=True)
    _show(found, out)
    if compared:
        with reporting_errors("Nothing was compared"):
            _compare(nlp, found, *compared)


@contextlib.contextmanager
def _explain_how_to_resume(work: Path) -> Iterator[None]:
    begin = time.monotonic()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if time.monotonic() - begin < WORTH_KEEPING:
            shutil.rmtree(work, ignore_errors=True)
        elif (work / "vectors").is_dir():
            error.add_note(
                f"Vectors of MODEL are kept in {work}: the same command goes on from there."
            )
        raise


def _show(found: "Distillation", out: Path) -> None:
    """Print how well the students agree with their teachers."""
    from ..distillation import StaticStudent

    good(
        f"Wrote {out}",
        f"Teacher: {found.n_texts:,} texts in {found.teacher_seconds:.0f} s. Student: "
        f"{found.seconds:.0f} s.",
    )
    for name, fidelity in found.fidelity.items():
        numbers = [f"cosine {fidelity.cosine:.3f}"]
        if fidelity.overlap is not None:
            numbers.append(f"{fidelity.overlap:.0%} of the 10 nearest neighbours are the same")
        if fidelity.agreement is not None:
            numbers.append(f"{fidelity.agreement:.1%} of the labels are the same")
        typer.echo(wrap(f"{name}, {fidelity.n:,} texts held out: {', '.join(numbers)}.", indent=0))
        made = found.made[name]
        if found.dtype != "float32" and isinstance(made, StaticStudent):
            typer.echo(f"{found.dtype}: cosine with float32 {made.dtype_cosine:.5f} at worst.")
        verdict = found.verdicts[name]
        (good if verdict.is_good else warn)(
            "Good" if verdict.is_good else "Not good enough", verdict.words
        )


def _compare(
    nlp: "Language",
    found: "Distillation",
    records: "list[Record]",
    train: "list[Record] | None" = None,
) -> None:
    """Print base, tuned and student vectors compared by labels."""
    from ..distillation import compare_student

    for name in found.fidelity:
        compared = compare_student(nlp, found.nlp, records, train=train, name=name)
        typer.echo(f"\n{name}\n\n{compared.to_text()}")
