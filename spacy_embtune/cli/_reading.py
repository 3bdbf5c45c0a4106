"""Read the files that commands are given, and turn their records into documents."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._common import OnError, fail, warn

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

    from ..data import PairsReader, Record
    from ..pipeline import EmbTune
    from ..reports import Documents

# A smaller share of documents that the model was trained on is ignored in headings and defaults.
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
    labels: Mapping[str, Any] | None = None,
    is_second: bool = False,
) -> "list[Record]":
    """Read all records of a file, or end the command if there are none. The other arguments are
    those of `read_records`.

    source (str | Path): The file, or "-" for standard input.
    report (Callable): Called with a message for each record that is skipped.
    is_second (bool): Whether `kind` is the format of DATA and this is another file. Its suffix is
        then more important than `kind`.
    labels (Mapping[str, Any] | None): The result of `label_settings`.
    RETURNS (list[Record]): The records.
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
            **(labels or {}),
        )
    )
    if not records:
        fail(f"{source} holds no documents", "Give a file with at least one text.")
    return records


def is_pairs_file(
    source: str,
    kind: str | None,
    *,
    text_field: str,
    wanted: tuple[str, str],
    delimiter: str | None,
    encoding: str | None,
    quotes: str | None,
) -> bool:
    """Find out whether a file holds pairs of texts. Standard input never does.

    source (str): The file.
    kind (str | None): Its format. None: the suffix decides.
    text_field (str): The field of the text in a file of documents.
    wanted (tuple[str, str]): The fields of the two texts of a pair.
    delimiter, encoding, quotes (str | None): As in `read_records`.
    RETURNS (bool): Whether the first valid row has the fields of two texts, and not the field of a
        text. False if the file cannot be read; reading its documents then says why.
    """
    from ..data import FORMATS, InvalidRowError, find_kind, read_fields
    from ..data.fields import ReadSettings

    found = find_kind(source)
    if kind not in (None, found) or found is None or not FORMATS[found].has_field_names:
        return False
    settings = ReadSettings(
        text_field=text_field,
        wanted=[text_field, *wanted],
        nested=list(wanted),
        delimiter=delimiter,
        encoding=encoding,
        quotes=quotes,
    )
    try:
        for row in read_fields(source, found, settings=settings):
            if not isinstance(row.fields, InvalidRowError):
                return text_field not in row.fields and all(name in row.fields for name in wanted)
    except (ValueError, OSError, ImportError):
        pass
    return False


def read_pairs(
    source: str, *, score_range: str, on_error: OnError, **settings: Any
) -> "PairsReader":
    """Make a reader of a file of pairs.

    source (str): The file.
    score_range (str): The lowest and the highest score, with a comma between them.
    on_error (OnError): What to do with an invalid pair.
    settings: The other settings of `PairsReader`.
    RETURNS (PairsReader): The reader.
    RAISES (ValueError): If the range is not valid.
    """
    from ..data import PairsReader

    try:
        low_high = [float(part) for part in score_range.split(",")]
    except ValueError:
        fail(f"--score-range is {score_range!r}", "Give two numbers, such as 0,5.")
    return PairsReader(
        source, score_range=low_high, skip_invalid=on_error is not OnError.fail, **settings
    )


def label_settings(
    label_fields: str | None, label_separator: str | None, label_bins: str | None
) -> dict[str, Any]:
    """Turn options into arguments of `read_records`.

    label_fields (str | None): Names or patterns, with commas between them.
    label_separator (str | None): The separator.
    label_bins (str | None): Numbers, with commas between them.
    RETURNS (dict[str, Any]): The arguments.
    """
    return {
        "label_fields": _split(label_fields),
        "label_separator": label_separator,
        "label_bins": _split(label_bins),
    }


def _split(option: str | None) -> list[str]:
    return [] if option is None else [part.strip() for part in option.split(",") if part.strip()]


def read_with_fit(
    data: str, fit: Path | None, *, kind: str | None, label_field: str | None, **settings: Any
) -> "tuple[list[Record], list[Record] | None]":
    """Read DATA and TRAIN, the documents that axes are fitted on.

    data (str): DATA.
    fit (Path | None): TRAIN. None: axes are fitted on DATA.
    settings: As for `read_all`.
    RETURNS (tuple[list[Record], list[Record] | None]): The records of DATA, and those of TRAIN
        without their labels.
    """
    records = read_all(data, kind=kind, label_field=label_field, **settings)
    if fit is None:
        return records, None
    settings.pop("labels", None)
    return records, read_all(fit, kind=kind, label_field="", is_second=True, **settings)


def leave_out_invalid_spans(
    records: "Iterable[Record]", unit: str, *, on_error: OnError, report: Callable[[str], None]
) -> "Iterable[Record]":
    """Leave out documents with invalid spans, if invalid records are to be skipped and units are
    spans. Otherwise invalid spans are an error of `unit_records`.

    records (Iterable[Record]): The documents.
    unit (str): The option --unit.
    on_error (OnError): What to do with an invalid record.
    report (Callable): Called with a message for each document that is skipped.
    RETURNS (Iterable[Record]): The documents.
    """
    from ..data import leave_out_invalid_spans

    if on_error is OnError.skip and unit.startswith("spans:"):
        return leave_out_invalid_spans(records, report)
    return records


def make_units(
    nlp: "Language",
    pipe: "EmbTune",
    records: "list[Record]",
    unit: str,
    *,
    on_error: OnError,
    report: Callable[[str], None],
) -> "list[Record]":
    """Turn the records of documents into those of their sentences or spans, or end the command if
    there are none.

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    records (list[Record]): The documents.
    unit (str): The option --unit.
    on_error, report: As for `leave_out_invalid_spans`.
    RETURNS (list[Record]): The units; the documents themselves if the unit is "doc".
    """
    from .. import reports

    valid = leave_out_invalid_spans(records, unit, on_error=on_error, report=report)
    units = reports.make_units(nlp, pipe, valid, unit)
    if not units:
        fail(f"The documents have no units ({unit})", "Give a file with texts or labelled spans.")
    return units


def make_documents(nlp: "Language", pipe: "EmbTune", records: "list[Record]") -> "Documents":
    """Compute the vectors of records. Print a warning if their labels do not fit the settings of
    the component.

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    records (list[Record]): The records.
    RETURNS (Documents): The documents with their vectors.
    """
    from ..reports import choose_labels, documents, labels_of_others

    cats = [record.cats for record in records]
    labels = choose_labels(pipe, cats, others=labels_of_others(nlp, pipe))
    if labels.note:
        warn("Labels", labels.note)
    return documents(nlp, pipe.name, records, labels=labels)


def fit_documents(nlp: "Language", pipe: "EmbTune", records: "list[Record]") -> "Documents":
    """Compute the vectors of TRAIN, the documents that axes are fitted on.

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    records (list[Record]): The records.
    RETURNS (Documents): The documents with their vectors, without labels.
    """
    from ..reports import documents

    unlabelled = [record._replace(cats={}) for record in records]
    return documents(nlp, pipe.name, unlabelled, progress="Encoding TRAIN")


def find_seen(pipe: "EmbTune", shown: "Documents") -> "NDArray[Any]":
    """Find the documents that the component was trained on.

    pipe (EmbTune): The component.
    shown (Documents): The n documents.
    RETURNS (ndarray): Whether the component remembers each document, bool, shape (n,).
    """
    import numpy as np

    if pipe.seen is None:
        return np.zeros(len(shown.texts), dtype=bool)
    return shown.is_seen(pipe.seen)
