"""`embtune export-encoder`: write the encoder of a pipeline as a sentence-transformers model."""

from pathlib import Path
from typing import Annotated

import typer

from .._files import atomic_directory
from . import _options
from ._common import check_directory, fail, good, load_pipeline, reporting_errors, warn


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
    check_directory(
        out, force=force, kind="an encoder", own="modules.json", inputs={"MODEL": model}
    )
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
        if pipe.encoder.encoder.pools_windows:
            warn(
                "Long texts will be cut",
                f"[{pipe.name}] averages the windows of long texts (pool_windows = true), which is "
                "not part of the directory. In this package, set it again beside the name.",
            )
        good(f"Wrote {out}", f'SentenceTransformer("{out}") opens it.')
