"""Write documents as a table for the labelling tool bulk, https://github.com/koaning/bulk."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from .._texts import shorten
from ..plots.arrays import Space, labels_of
from ..plots.colors import UNLABELLED, color_groups
from ..plots.neighbors import nearest_rows
from ..plots.projection import Projection, project
from ..reports.types import Documents
from ..types import Targets
from ._predictions import LabelPredictions, predict_labels
from ._suspects import find_suspects

Color = Literal["label", "predicted"]
COLORS: tuple[Color, ...] = get_args(Color)
SUFFIXES = (".csv", ".jsonl")

# bulk shows at most ten colours: these labels, other labels, and no label. None is shown in grey.
_MOST_COLORS = 8
_SEPARATOR = "|"
# Characters besides the line feed at which some readers of JSONL break lines.
_BREAKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}


class BulkTable(NamedTuple):
    """A table with one row per document.

    rows (list[dict[str, Any]]): The values of each row by column; None for a missing value.
    source (str): The source of predictions: "component", "probe" or "nobody", see
        `LabelPredictions`.
    n_suspects (int | None): How many documents have a label that is probably wrong; None if no
        label could be checked.
    """

    rows: list[dict[str, Any]]
    source: str
    n_suspects: int | None


def bulk_table(
    documents: Documents,
    projection: Projection | None = None,
    *,
    color: Color | None = None,
    n_neighbors: int = 0,
    suspects_from: Space = "base",
) -> BulkTable:
    """Make a table for labelling in bulk. Its columns, in this order:

        text                  the text of the document
        x, y                  its position in the projection of the tuned vectors
        color                 one of the most frequent labels, or a name for all others. bulk shows
                              the colour and does not save it. Left out if there is only one
        id                    the id of the document
        label                 the given label; a list if labels are not exclusive
        predicted, probability, margin
                              the prediction, see `LabelPredictions`
        suspect               whether the given label is probably wrong; None for documents without
                              labels, and if too few documents are labelled
        label_probability, expected
                              the probability of the given label, and the label expected instead,
                              from a classifier trained without the document, see `find_suspects`
        neighbors             the ids of the nearest documents by tuned vectors, if asked for
        cats                  what is known of the labels, for training on the table

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> cats = [{"A": 1.0}, {"B": 1.0}] * 10 + [{}]
    >>> vectors = np.asarray([[1.0, 0.1], [0.1, 1.0]] * 10 + [[1.0, 0.2]])
    >>> documents = Documents(
    ...     ids=[str(i) for i in range(21)],
    ...     texts=[f"text {i}" for i in range(21)],
    ...     labels=["A", "B"],
    ...     targets=make_targets(cats, ["A", "B"], exclusive=True),
    ...     base=vectors,
    ...     tuned=vectors,
    ...     probabilities=np.zeros((21, 0)),
    ...     predicted_labels=[],
    ... )
    >>> table = bulk_table(documents)
    >>> table.rows[20]["predicted"], table.source, table.n_suspects
    ('A', 'probe', 0)

    documents (Documents): The documents.
    projection (Projection | None): The positions of the documents, from `project`. None: PCA fitted
        on these documents.
    color (str | None): The colours show the given labels ("label") or the predicted labels
        ("predicted"). None: the given labels, if any is known.
    n_neighbors (int): How many neighbours to list.
    suspects_from (str): "base", or "tuned" if the component was not trained on these documents.
    RETURNS (BulkTable): The table.
    RAISES (ValueError): If fewer than 3 documents have vectors, or an argument is out of range.
    """
    if n_neighbors < 0:
        raise ValueError(f"n_neighbors is {n_neighbors}: give 0 or more.")
    if color not in (None, *COLORS):
        raise ValueError(f"color is {color!r}: give one of {', '.join(COLORS)}, or None.")
    n = len(documents.texts)
    xy = (project(documents) if projection is None else projection).tuned.xy
    carries, known = labels_of(documents)
    predictions = predict_labels(documents)
    suspects = find_suspects(documents, space=suspects_from)
    colors = _colors(documents, predictions, color)
    neighbors = nearest_rows(documents, "tuned", n_neighbors) if n_neighbors else None
    exclusive = documents.targets.exclusive
    values = np.asarray(documents.targets.values)
    rows = []
    for i in range(n):
        given = [documents.labels[j] for j in np.flatnonzero(carries[i])]
        row: dict[str, Any] = {
            "text": documents.texts[i],
            "x": _number(xy[i, 0]),
            "y": _number(xy[i, 1]),
        }
        if colors is not None:
            row["color"] = colors[i]
        row |= {
            "id": documents.ids[i],
            "label": _labels(given, exclusive=exclusive),
            "predicted": _labels(predictions.labels[i], exclusive=exclusive),
            "probability": _number(predictions.probability[i]),
            "margin": _number(predictions.margin[i]),
            "suspect": bool(suspects.is_suspect[i])
            if math.isfinite(suspects.probability[i])
            else None,
            "label_probability": _number(suspects.probability[i]),
            "expected": _labels(suspects.expected[i], exclusive=exclusive),
        }
        if neighbors is not None:
            row["neighbors"] = [documents.ids[j] for j in neighbors[i] if j >= 0]
        row["cats"] = {
            documents.labels[j]: round(float(values[i, j]), 6) for j in np.flatnonzero(known[i])
        }
        rows.append(row)
    is_checked = np.isfinite(suspects.probability).any()
    n_suspects = int(suspects.is_suspect.sum()) if is_checked else None
    return BulkTable(rows, predictions.source, n_suspects)


def write_bulk(table: BulkTable, path: str | Path) -> None:
    """Write a table as CSV or JSONL.

    JSONL holds all values. In CSV, a list is one cell with "|" between its items, and cats are left
    out. Texts are not changed, even if they begin with "=", "+", "-" or "@". bulk and pandas read
    them as text, but a spreadsheet would read them as formulas. In a spreadsheet, import all
    columns as text, or do not open a file with texts from an unknown source.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     write_bulk(BulkTable([{"text": "a", "label": ["A", "B"]}], "component", None), path)
    ...     path.read_text().split()
    ['text,label', 'a,A|B']

    table (BulkTable): The table.
    path (str | Path): A file that ends in .csv or .jsonl.
    RAISES (ValueError): If the file has another suffix, or a label or id contains "|", which would
        make CSV ambiguous. OSError: if the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: give a name that ends in {' or '.join(SUFFIXES)}.")
    if suffix == ".jsonl":
        with path.open("w", encoding="utf8", errors="replace", newline="\n") as file:
            for row in table.rows:
                file.write(json.dumps(row, ensure_ascii=False).translate(_BREAKS) + "\n")
        return
    columns = [name for name in (table.rows[0] if table.rows else {}) if name != "cats"]
    with path.open("w", encoding="utf8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in table.rows:
            writer.writerow([_cell(row[name], name) for name in columns])


def _cell(value: Any, column: str) -> Any:
    if column in ("label", "predicted", "expected", "neighbors"):
        parts = value if isinstance(value, list) else [] if value is None else [value]
        for part in parts:
            if _SEPARATOR in part:
                raise ValueError(
                    f"{shorten(part)!r} in the column {column!r} contains {_SEPARATOR!r}, which "
                    f"separates labels and ids in CSV. Write .jsonl instead."
                )
        return _SEPARATOR.join(parts)
    return value


def _labels(labels: Sequence[str], *, exclusive: bool) -> Any:
    return list(labels) if not exclusive else labels[0] if labels else None


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _colors(
    documents: Documents, predictions: LabelPredictions, color: Color | None
) -> list[str | None] | None:
    """RETURNS (list[str | None] | None): The name of the colour of each document, or None for grey.
    None instead of the list if there are fewer than two colours."""
    if color is None:
        known = np.asarray(documents.targets.known)
        color = "label" if known.any() else "predicted"
    if color == "predicted":
        documents = _with_predicted_labels(documents, predictions)
    groups = color_groups(documents, most=_MOST_COLORS)
    names: list[str | None] = list(groups.names)
    if len(names) < 2:
        return None
    if len(names) > 2 and names[0] == UNLABELLED and groups.n_grey:
        names[0] = None
    if {str(name).lower() for name in names if name is not None} <= {"true", "false"}:
        # pandas would read these names as booleans, for which bulk has no colours.
        names = [None if name is None else f"label {name}" for name in names]
    return [names[group] for group in groups.group]


def _with_predicted_labels(documents: Documents, predictions: LabelPredictions) -> Documents:
    """RETURNS (Documents): The documents, with their predicted labels in place of given ones."""
    labels = sorted({label for row in predictions.labels for label in row})
    column = {label: j for j, label in enumerate(labels)}
    values = np.zeros((len(documents.texts), len(labels)), dtype="float32")
    for i, row in enumerate(predictions.labels):
        for label in row:
            values[i, column[label]] = 1.0
    known = np.isfinite(predictions.probability)[:, None] * np.ones_like(values)
    targets: Any = Targets(values, known, documents.targets.exclusive)  # type: ignore[arg-type]
    return documents._replace(labels=labels, targets=targets)
