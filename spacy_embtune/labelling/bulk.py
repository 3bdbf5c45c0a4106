"""Documents as a table to label in bulk with, as https://github.com/koaning/bulk opens it."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from .._texts import shorten
from ..metrics.ranking import carried_labels
from ..plots.colors import UNLABELLED, color_groups
from ..plots.neighbors import Space, nearest_rows
from ..plots.projection import Projection, project
from ..report.types import Documents
from ..types import Targets
from .predictions import LabelPredictions, predict_labels
from .suspects import find_suspects

Color = Literal["label", "predicted"]
COLORS: tuple[Color, ...] = get_args(Color)
SUFFIXES = (".csv", ".jsonl")

# bulk has ten colours at most: these, other labels, and none of them. What has no colour is grey.
_MOST_COLORS = 8
_SEPARATOR = "|"
# What some readers of JSON lines break lines at, beside the line feed.
_BREAKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}


class BulkTable(NamedTuple):
    """A row for each document, and where its predictions come from.

    rows (list[dict[str, Any]]): The columns by name; None where there is nothing to say.
    source (str): Who predicted: "component", "probe" or "nobody", see `LabelPredictions`.
    n_suspects (int | None): How many documents have a label that is probably wrong; None if none
        could be checked.
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
    """Lay documents out for labelling in bulk. The columns, in order:

    text, x, y: the text, and where it lies in the tuned panel.
    color: the commonest labels by name, the others together; left out if there would be only one.
        bulk shows it, and leaves it out of what it saves.
    id, label: the document's, the latter as given; a list if labels do not exclude each other.
    predicted, probability, margin: see `LabelPredictions`.
    suspect: whether the given label is probably wrong; None where nobody could say: for a document
        without labels, and if there are too few to learn from.
    label_probability, expected: what a classifier that never saw the document gives to its label,
        and what it would say instead, see `find_suspects`.
    neighbors: if asked for, the ids of the nearest documents by tuned vectors.
    cats: what is known of the labels, so that the table can be trained on.

    documents (Documents): The documents.
    projection (Projection | None): Where they lie. None: PCA fitted on them.
    color (str | None): What to colour by, "label" or "predicted". None: by label if any is known.
    n_neighbors (int): How many neighbours to list.
    suspects_from (str): "base"; or "tuned" if the component was not trained on these documents.
    RETURNS (BulkTable): The table.
    RAISES (ValueError): If fewer than 3 documents have vectors, or an argument is out of range.
    """
    if n_neighbors < 0:
        raise ValueError(f"n_neighbors is {n_neighbors}: give 0 or more.")
    if color not in (None, *COLORS):
        raise ValueError(f"color is {color!r}: give one of {', '.join(COLORS)}, or None.")
    n = len(documents.texts)
    xy = (project(documents) if projection is None else projection).tuned.xy
    carries, known = carried_labels(documents.targets.values, documents.targets.known, n_docs=n)
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
    """Write a table as CSV or JSON lines.

    JSON lines hold everything as it is. In CSV, lists are one cell with "|" between, and cats are
    left out. Texts stay as they are, also those that begin with "=", "+", "-" or "@": bulk and
    pandas read them as text, but a spreadsheet would take them for formulas. Import such a file
    with all columns as text, or do not open it there if you do not know where the texts come from.

    table (BulkTable): The table.
    path (str | Path): A file in .csv or .jsonl.
    RAISES (ValueError): If the suffix is another, or "|" in a label or id would make CSV ambiguous.
        OSError: if it cannot be written.
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
                    f"stands between labels, or ids, in CSV. Write .jsonl."
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
    """RETURNS (list[str | None] | None): The colour of each document by name, as bulk can take it;
    None for grey; None for all if there are not two colours."""
    if color is None:
        known = np.asarray(documents.targets.known)
        color = "label" if known.any() else "predicted"
    if color == "predicted":
        documents = _as_if_given(documents, predictions)
    groups = color_groups(documents, most=_MOST_COLORS)
    names: list[str | None] = list(groups.names)
    if len(names) < 2:
        return None
    if len(names) > 2 and names[0] == UNLABELLED and groups.n_grey:
        names[0] = None
    if {str(name).lower() for name in names if name is not None} <= {"true", "false"}:
        # pandas would read them as booleans, of which bulk knows no colours.
        names = [None if name is None else f"label {name}" for name in names]
    return [names[group] for group in groups.of]


def _as_if_given(documents: Documents, predictions: LabelPredictions) -> Documents:
    labels = sorted({label for row in predictions.labels for label in row})
    column = {label: j for j, label in enumerate(labels)}
    values = np.zeros((len(documents.texts), len(labels)), dtype="float32")
    for i, row in enumerate(predictions.labels):
        for label in row:
            values[i, column[label]] = 1.0
    known = np.isfinite(predictions.probability)[:, None] * np.ones_like(values)
    targets: Any = Targets(values, known, documents.targets.exclusive)  # type: ignore[arg-type]
    return documents._replace(labels=labels, targets=targets)
