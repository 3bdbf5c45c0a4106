"""Make a table for the labelling tool bulk, https://github.com/koaning/bulk."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..data import rename_fields
from ..labels import CARRIES, SparseTargets, known_rows
from ..metrics.ranking import unit_rows
from ..plots.arrays import Space
from ..plots.colors import UNLABELLED, color_groups
from ..plots.neighbors import nearest_rows
from ..plots.projection import Projection, project
from ..reports.types import Documents
from ._predictions import LabelPredictions, predict_labels
from ._suspects import find_suspects

Color = Literal["label", "predicted"]
COLORS: tuple[Color, ...] = get_args(Color)

# The colours show these labels, other labels, and no label.
_MOST_COLORS = 8

# Columns that only a table of `bulk_table` has, all of them.
_ONLY_HERE = {"predicted", "probability", "margin", "suspect", "label_probability", "expected"}
_OWN = {
    *("text", "x", "y", "projection_x", "projection_y", "color", "id", "label", "cats"),
    *("neighbors", "escaped_cells"),
    *_ONLY_HERE,
}
# bulk opens the files that the column `path` names, replaces `alpha`, `image` and `index`, and
# leaves them out of what it saves.
_RESERVED = {"path", "alpha", "image", "index"}


class Neighbors(NamedTuple):
    """The nearest other documents of n documents by tuned vectors, the nearest first.

    rows (ndarray): Their rows, shape (n, k). -1 where there is none.
    distances (ndarray): 1 minus the cosine, 0..2, float32, shape (n, k). 2 where there is none.
    """

    rows: NDArray[Any]
    distances: NDArray[Any]


class BulkTable(NamedTuple):
    """A table with one row per document.

    rows (list[dict[str, Any]]): The values of each row by column; None for a missing value.
    source (str): The source of predictions: "component", "probe" or "none", see
        `LabelPredictions`.
    n_suspects (int | None): How many documents have a label that is probably wrong; None if no
        label could be checked.
    colors (Sequence[str]): The label, or the group of labels, that each number of the column
        `color` stands for.
    neighbors (Neighbors | None): The nearest documents, if they were asked for.
    renamed (Mapping[str, str]): The new names of fields of the documents whose name the table or
        bulk uses itself.
    """

    rows: list[dict[str, Any]]
    source: str
    n_suspects: int | None
    colors: Sequence[str] = ()
    neighbors: Neighbors | None = None
    renamed: Mapping[str, str] = {}


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
        color                 the number of one of the most frequent labels, or of all others, in
                              `BulkTable.colors`. bulk takes numbers beside any version of pandas,
                              shows them as colours, and does not save them. None is shown in grey.
                              Left out if there is only one
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

    The other fields of the documents follow, such as a url. A field whose name is one of these
    columns, or one of path, alpha, image and index, which bulk uses itself, gets "_in_data" behind
    its name. If the documents come from a table that this function made, its columns are replaced.

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
    carried, cats = _given_labels(documents)
    predictions = predict_labels(documents)
    suspects = find_suspects(documents, space=suspects_from)
    colors = _colors(documents, predictions, color)
    neighbors = _find_neighbors(documents, n_neighbors) if n_neighbors else None
    names = _name_fields(documents)
    exclusive = documents.targets.exclusive
    rows = []
    for i in range(n):
        row: dict[str, Any] = {
            "text": documents.texts[i],
            "x": _number(xy[i, 0]),
            "y": _number(xy[i, 1]),
        }
        if colors is not None:
            row["color"] = colors.numbers[i]
        row |= {
            "id": documents.ids[i],
            "label": _labels(carried[i], exclusive=exclusive),
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
            row["neighbors"] = [documents.ids[j] for j in neighbors.rows[i] if j >= 0]
        row["cats"] = cats[i]
        for name, value in documents.fields_of(i).items():
            if name in names:
                row[names[name]] = value
        rows.append(row)
    is_checked = np.isfinite(suspects.probability).any()
    n_suspects = int(suspects.is_suspect.sum()) if is_checked else None
    return BulkTable(
        rows,
        predictions.source,
        n_suspects,
        () if colors is None else colors.names,
        neighbors,
        {name: new for name, new in names.items() if new != name},
    )


def _name_fields(documents: Documents) -> dict[str, str]:
    """RETURNS (dict[str, str]): The columns of the other fields of documents, by field."""
    names = list(dict.fromkeys(name for fields in documents.fields for name in fields))
    if _ONLY_HERE.issubset(names):
        names = [name for name in names if name not in _OWN]
    return rename_fields(names, _OWN | _RESERVED)


def _given_labels(documents: Documents) -> tuple[list[list[str]], list[dict[str, float]]]:
    """RETURNS (tuple): The labels that each document carries, and what is known of its labels. With
    very many exclusive labels, absent labels are left out where a present label implies them."""
    targets, labels = documents.targets, documents.labels
    if isinstance(targets, SparseTargets):
        at, columns, of_labels = targets.rows, targets.columns, targets.values
    else:
        at, columns = np.nonzero(np.asarray(targets.known) > 0)
        of_labels = np.asarray(targets.values)[at, columns]
    carried: list[list[str]] = [[] for _ in documents.texts]
    cats: list[dict[str, float]] = [{} for _ in documents.texts]
    if isinstance(targets, SparseTargets) and not targets.exclusive:
        for i in np.flatnonzero(targets.is_complete).tolist():
            cats[i] = dict.fromkeys(labels, 0.0)
    for i, j, value in zip(at.tolist(), columns.tolist(), of_labels.tolist(), strict=True):
        cats[i][labels[j]] = round(float(value), 6)
        if value >= CARRIES:
            carried[i].append(labels[j])
    return carried, cats


def _find_neighbors(documents: Documents, k: int) -> Neighbors:
    rows = nearest_rows(documents, "tuned", k)
    unit, found = unit_rows(documents.tuned)
    position = np.full(len(documents.texts), -1)
    position[found] = np.arange(found.size)
    distances = np.full(rows.shape, 2.0, dtype="float32")
    for i in found:
        near = rows[i] >= 0
        distances[i, near] = 1.0 - unit[position[rows[i][near]]] @ unit[position[i]]
    return Neighbors(rows, distances.clip(0.0, 2.0))


def _labels(labels: Sequence[str], *, exclusive: bool) -> Any:
    return list(labels) if not exclusive else labels[0] if labels else None


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


class _Colors(NamedTuple):
    """The numbers of colours, None for grey, and the name of each number."""

    numbers: list[int | None]
    names: list[str]


def _colors(
    documents: Documents, predictions: LabelPredictions, color: Color | None
) -> _Colors | None:
    """RETURNS (_Colors | None): The colour of each document. None if there are fewer than two."""
    if color is None:
        color = "label" if known_rows(documents.targets).any() else "predicted"
    if color == "predicted":
        documents = _with_predicted_labels(documents, predictions)
    groups = color_groups(documents, most=_MOST_COLORS)
    names = list(groups.names)
    if len(names) < 2:
        return None
    is_grey = len(names) > 2 and names[0] == UNLABELLED and bool(groups.n_grey)
    numbers = [int(group) - is_grey for group in groups.group]
    return _Colors([n if n >= 0 else None for n in numbers], names[is_grey:])


def _with_predicted_labels(documents: Documents, predictions: LabelPredictions) -> Documents:
    """RETURNS (Documents): The documents, with their predicted labels in place of given ones."""
    labels = sorted({label for row in predictions.labels for label in row})
    column = {label: j for j, label in enumerate(labels)}
    at = [(i, column[label]) for i, row in enumerate(predictions.labels) for label in row]
    entries = np.asarray(at, dtype=np.intp).reshape(-1, 2)
    targets = SparseTargets(
        entries[:, 0],
        entries[:, 1],
        np.ones(len(entries), dtype="float32"),
        np.isfinite(predictions.probability),
        len(labels),
        documents.targets.exclusive,
    )
    return documents._replace(labels=labels, targets=targets)
