"""`embtune export-encoder`: write the encoder of a pipeline as a sentence-transformers model."""

from pathlib import Path
from typing import Annotated

import typer

from .._files import atomic_directory
from . import _options
from ._common import fail, good, load_pipeline, reporting_errors


def export_encoder(
    model: _options.Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The directory to write")],
    name: _options.Name = None,
    force: Annotated[bool, typer.Option("--force", "-F", help="Replace OUT if it exists")] = False,
    code: _options.Code = None,
) -> None:
    """Write the encoder of a pipeline, finetuned or not, as a sentence-transformers directory.

    SentenceTransformer("OUT") opens it, and so does the encoder setting `name`. The head of the
    component is not included.
    """
    _check(out, model, force=force)
    with reporting_errors(f"{out} was not written"):
        _, pipe = load_pipeline(model, name, code=code)
        if pipe.encoder is None:
            fail(
                f"{out} was not written",
                f"[{pipe.name}] has no sentence-transformers model: its encoder pools vectors of "
                "the pipeline.",
            )
        with atomic_directory(out) as unfinished:
            pipe.encoder.to_directory(unfinished)
        good(f"Wrote {out}", f'SentenceTransformer("{out}") opens it.')


def _check(out: Path, model: str, *, force: bool) -> None:
    """End the command if OUT must not be replaced by an encoder."""
    if out.exists() and not force:
        fail(f"{out} exists already", "Give another name, or replace it: --force.")
    if out.is_file():
        fail(f"{out} cannot be written", "It is a file. Give the name of a directory.")
    place = out.resolve()
    if not place.parent.is_dir():
        fail(f"{out} cannot be written", f"There is no directory {place.parent}. Make it.")
    if place.is_dir() and any(place.iterdir()) and not (place / "modules.json").is_file():
        fail(
            f"{out} cannot be written",
            "It holds something else than an encoder and is not replaced. Give another name.",
        )
    source = Path(model).resolve()
    if place == source or place in source.parents:
        fail(f"{out} cannot be written", "MODEL is in it. Give another name.")
