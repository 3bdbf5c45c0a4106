"""The commands of `python -m spacy embtune`. spaCy finds them by the entry point `spacy_cli`."""

import typer
from spacy.cli._util import app as spacy_app

from .bulk import bulk
from .convert import convert
from .distill import distill
from .embed import embed
from .evaluate import evaluate
from .export_encoder import export_encoder
from .inspect import inspect
from .label import label
from .neighbors import neighbors
from .plot import plot
from .tune import tune

__all__ = ["app"]

HELP = "Embed texts with a tuned pipeline, and compare tuned with base vectors."

app = typer.Typer(name="embtune", help=HELP, no_args_is_help=True, rich_markup_mode=None)
app.command("convert")(convert)
app.command("inspect")(inspect)
app.command("tune")(tune)
app.command("embed")(embed)
app.command("evaluate")(evaluate)
app.command("plot")(plot)
app.command("bulk")(bulk)
app.command("label")(label)
app.command("neighbors")(neighbors)
app.command("distill")(distill)
app.command("export-encoder")(export_encoder)

spacy_app.add_typer(app)
