"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ._common import OnError

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Directory or name of the trained pipeline")
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help=".jsonl, .json, .csv, .tsv, .txt, .spacy, .parquet, .arrow, .feather, .xlsx, also "
        "compressed (.gz .bz2 .xz .zst), a file or an address (s3://...), or - for stdin",
    ),
]
Fit = Annotated[
    Path | None,
    typer.Option(
        "--fit",
        metavar="TRAIN",
        help="Documents to fit the axes on, labelled or not. Default: DATA",
    ),
]
Name = Annotated[str | None, typer.Option(help="The component, if the pipeline has several")]
TextField = Annotated[str, typer.Option(help="Field or column of the text")]
LabelField = Annotated[
    str | None, typer.Option(help="Field of the labels, instead of cats and label")
]
LabelFields = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C",
        help="Fields that are a label each: 1, 0 or empty (unknown). Patterns: 'is_*'",
    ),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(help="What separates several labels in one cell. Default: | in CSV and TSV"),
]
LabelBins = Annotated[
    str | None,
    typer.Option(metavar="X,Y", help="Limits between classes, if labels are numbers: 2.5,3.5"),
]
IdField = Annotated[str, typer.Option(help="Field or column of the id, if there is one")]
Kind = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of DATA: jsonl, json, csv, tsv, text, spacy, parquet, arrow, excel",
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="Character between the cells of CSV and TSV, or tab", show_default="found out"
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of text files, such as cp1252", show_default="UTF-8, or by byte order mark"
    ),
]
Quotes = Annotated[
    Literal["csv", "literal"] | None,
    typer.Option(
        help="Whether quotation marks enclose the cells of CSV and TSV, or are part of the texts",
        show_default="csv; found out if there are tabs between cells",
    ),
]


def _check_unit(unit: str) -> str:
    """RETURNS (str): The value of --unit. RAISES (typer.BadParameter): If there is no such unit."""
    if unit == "doc":
        # The default needs no import.
        return unit
    from ..pipeline import check_unit

    try:
        return check_unit(unit)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Unit = Annotated[
    str,
    typer.Option(
        metavar="doc|sents|spans:KEY",
        callback=_check_unit,
        help="What a row is: a document, a sentence, or a labelled span under a key of doc.spans "
        "or of the field spans (spans:sc)",
    ),
]
OnErrorOption = Annotated[OnError, typer.Option(help="What to do with an invalid record")]
Force = Annotated[bool, typer.Option("--force", "-F", help="Replace OUT if it exists")]
Code = Annotated[
    Path | None, typer.Option("--code", "-c", help="Python file with functions of the config")
]
GpuId = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")]
