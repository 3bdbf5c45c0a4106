"""Read the files that commands are given, and turn their records into documents."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._common import OnError, fail, warn

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

    from ..data import Record
    from ..pipeline import EmbTune
    from ..reports import Documents

# With a smaller share of documents that were trained on, others are what one sees.
FEW = 0.05


def read_all(
    source: str | Path,
    *,
    text_field: str,
    label_field: str | None,
    id_field: str,
    kind: str | None,
    on_error: OnError,
    report: Callable[[str], None],
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: str | None = None,
    is_second: bool = False,
) -> "list[Record]":
    """Read a whole file, or end the command if there is nothing in it.

    is_second (bool): Whether the kind is that of DATA, and this is another file: then its name
        comes first.
    report (Callable): Takes a sentence on each record that is skipped.
    RETURNS (list[Record]): Its records; see `spacy_embtune.data.read_records`.
    """
    from ..data import find_kind, read_records

    if is_second:
        kind = find_kind(Path(source)) or kind
    records = list(
        read_records(
            source,
            text_field=text_field,
            label_field=label_field,
            id_field=id_field,
            kind=kind,
            delimiter=delimiter,
            encoding=encoding,
            quotes=quotes,
            on_error=on_error.value,
            report=report,
        )
    )
    if not records:
        fail(f"{source} holds no documents", "Give a file with at least one text.")
    return records


def read_with_fit(
    data: str, fit: Path | None, *, kind: str | None, label_field: str | None, **settings: Any
) -> "tuple[list[Record], list[Record] | None]":
    """Read DATA, and the documents that axes are fitted on, if they are others.

    settings: As for `read_all`.
    RETURNS (tuple): The records of both; None without the latter, whose labels are not read.
    """
    records = read_all(data, kind=kind, label_field=label_field, **settings)
    if fit is None:
        return records, None
    return records, read_all(fit, kind=kind, label_field="", is_second=True, **settings)


def make_documents(nlp: "Language", pipe: "EmbTune", records: "list[Record]") -> "Documents":
    """RETURNS (Documents): The records as the pipeline sees them. Prints what was found out about
    their labels, if that is not what the component says."""
    from ..reports import choose_labels, documents

    labels = choose_labels(pipe, [record.cats for record in records])
    if labels.note:
        warn("Labels", labels.note)
    return documents(nlp, pipe.name, records, labels=labels)


def fit_documents(nlp: "Language", pipe: "EmbTune", records: "list[Record]") -> "Documents":
    """RETURNS (Documents): The records that axes are fitted on, without labels."""
    from ..reports import documents

    unlabelled = [record._replace(cats={}) for record in records]
    return documents(nlp, pipe.name, unlabelled, progress="Encoding TRAIN")


def find_seen(pipe: "EmbTune", shown: "Documents") -> "NDArray[Any]":
    """RETURNS (ndarray): Which of the documents the component was trained on, as far as it knows,
    shape (n,)."""
    import numpy as np

    if pipe.seen is None:
        return np.zeros(len(shown.texts), dtype=bool)
    return pipe.seen.recognize(shown.texts)
