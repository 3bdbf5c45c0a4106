"""Choose the format of a result by the suffix of its name."""

from pathlib import Path

from spacy.language import Language

from ..pipeline import EmbTune, check_unit
from ._docbin import SpacyDocs
from ._formats import Format, JsonLines, Npz, Parquet

SUFFIXES = (".parquet", ".npz", ".spacy", ".jsonl")
DTYPES = ("float32", "float16")


def make_format(
    out: Path, nlp: Language, component: EmbTune, dtype: str = "float32", unit: str = "doc"
) -> Format:
    """Make the format of a result.

    out (Path): The name of the file.
    nlp (Language): The pipeline.
    component (EmbTune): Its component.
    dtype (str): The type of the vectors, one of `DTYPES`.
    unit (str): What a row is, see `unit_records`.
    RETURNS (Format): The format.
    RAISES (ValueError): When the suffix or the unit is not known, or the format has no vectors of
        this type or no rows of this unit.
    """
    suffix = out.suffix.lower()
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}: give {' or '.join(DTYPES)}.")
    if dtype != "float32" and suffix in (".spacy", ".jsonl"):
        raise ValueError(f"{suffix} has no vectors of {dtype}. Give .parquet or .npz, or float32.")
    if check_unit(unit) != "doc" and suffix == ".spacy":
        raise ValueError(
            f"{out}: a .spacy file has a Doc for each document, so it cannot have one for each "
            f"unit ({unit}): its sentences would lose their document. Give .parquet, .jsonl or "
            f".npz. Or set spans in the settings of [{component.name}], and store what "
            f"nlp.pipe gives: DocBin(store_user_data=True) holds the vectors of spans."
        )
    match suffix:
        case ".spacy":
            return SpacyDocs(nlp, component)
        case ".jsonl":
            return JsonLines(component.labels)
        case ".npz":
            return Npz(component.labels, dtype)
        case ".parquet":
            return Parquet(component.labels, dtype)
    raise ValueError(
        f"{out}: the format is not known. Give a name that ends in {', '.join(SUFFIXES)}."
    )
