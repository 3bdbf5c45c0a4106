"""Write one HTML file to explore documents in a browser. It works offline and sends no requests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Location, rename_fields, to_json
from ..labels import CARRIES
from ..reports.types import Documents
from .arrays import dense_targets
from .assembly import assemble_page, read_web, to_steps

# The fields of a downloaded document that are not fields of DATA.
OWN = ("id", "text", "cats", "predicted")
# How much of a document the page shows before and behind a sentence or span of it, in characters.
CONTEXT = 120


def page(
    documents: Documents,
    base_xy: NDArray[Any],
    tuned_xy: NDArray[Any],
    *,
    title: str,
    base_axes: tuple[str, str],
    tuned_axes: tuple[str, str],
    n_seen: int = 0,
) -> str:
    """Make a page that shows documents as points. The reader can switch between base vectors and
    tuned vectors, search the texts, select documents and download them.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> axes = ("PC 1", "PC 2")
    >>> html = page(documents, vectors, vectors, title="Three", base_axes=axes, tuned_axes=axes)
    >>> html.startswith("<!DOCTYPE html>")
    True

    documents (Documents): The n documents. Their texts, ids and labels may hold any characters.
    base_xy (ndarray): The positions of the documents by base vectors, shape (n, 2). A document
        whose position is not finite (because it has no vector) is left out, and counted.
    tuned_xy (ndarray): The positions of the documents by tuned vectors, shape (n, 2).
    title (str): The title.
    base_axes (tuple[str, str]): The labels of the axes of `base_xy`, for example "PC 1 (12 % of the
        variance)".
    tuned_axes (tuple[str, str]): The labels of the axes of `tuned_xy`.
    n_seen (int): How many of the documents the component was trained on. The subtitle says it.
    RETURNS (str): The page, to be written as UTF-8.
    RAISES (ValueError): If the shapes do not fit, values or probabilities are not finite, or no
        document has a position.
    """
    base, tuned = np.asarray(base_xy, dtype="float64"), np.asarray(tuned_xy, dtype="float64")
    _check(documents, base, tuned)
    shown = np.flatnonzero(np.isfinite(base).all(axis=1) & np.isfinite(tuned).all(axis=1))
    n_left_out = len(documents.ids) - shown.size
    if not shown.size:
        raise ValueError(
            f"There is nothing to show: none of the {n_left_out} documents has a position in both "
            "base_xy and tuned_xy. Give documents whose texts have words that the encoder knows."
        )
    content = {
        "title": title,
        "subtitle": _subtitle(documents, shown, n_left_out, n_seen),
        "axes": {"base": base_axes, "tuned": tuned_axes},
        "base": to_steps(base[shown]),
        "tuned": to_steps(tuned[shown]),
        **_content(documents, shown),
    }
    actions = read_web("actions.html")
    return assemble_page(content, title=title, actions=actions, keys="").html


def _check(documents: Documents, base: NDArray[Any], tuned: NDArray[Any]) -> None:
    n = len(documents.ids)
    for name, xy in (("base_xy", base), ("tuned_xy", tuned)):
        if xy.shape != (n, 2):
            raise ValueError(
                f"{name} has shape {xy.shape}, but there are {n} documents: give one x and one y "
                f"for each, shape {(n, 2)}."
            )
    targets = dense_targets(documents)
    values, known = np.asarray(targets.values), np.asarray(targets.known)
    if not np.isfinite(values[known > 0]).all():
        raise ValueError(
            "Known values of labels must be finite. Use make_targets to make the targets."
        )
    if not np.isfinite(np.asarray(documents.probabilities)).all():
        raise ValueError(
            "Some predicted probabilities are not finite, because the training has diverged. Train "
            "again with a lower learning rate."
        )


def _subtitle(documents: Documents, shown: NDArray[np.intp], n_left_out: int, n_seen: int) -> str:
    n_labels = len(documents.labels)
    is_shown = np.zeros(len(documents.ids), dtype=bool)
    is_shown[shown] = True
    parts = [documents.describe_rows(is_shown)]
    if n_labels:
        parts.append(f"{n_labels} label{'s' * (n_labels != 1)}")
    if n_left_out:
        parts.append(f"{n_left_out:,} without a vector left out")
    if n_seen:
        parts.append(f"not held out: {n_seen:,} of them trained on")
    return " · ".join(parts)


def _content(documents: Documents, shown: NDArray[np.intp]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The documents with their labels and predictions, as `Corpus` in
    data.js reads them. A label is written as its position in `names`."""
    exclusive = documents.targets.exclusive
    targets = dense_targets(documents)
    known = np.asarray(targets.known) > 0
    values = np.where(known, np.asarray(targets.values), 0.0)
    # The most frequent label comes first, as in figures, and gets the most distinct colour.
    order = np.argsort(-(values >= CARRIES).sum(axis=0), kind="stable")
    known, values = known[shown][:, order], values[shown][:, order]
    names = [documents.labels[j] for j in order]
    names += [label for label in documents.predicted_labels if label not in set(names)]
    position = {label: j for j, label in enumerate(names)}
    predictable = [position[label] for label in documents.predicted_labels]
    probabilities = np.asarray(documents.probabilities)[shown]
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    patterns, pattern = np.unique(known, axis=0, return_inverse=True)
    columns = range(len(documents.labels))
    return {
        "exclusive": exclusive,
        "names": names,
        "n_given": len(documents.labels),
        "predictable": predictable,
        "ids": [documents.ids[i] for i in shown],
        "texts": [documents.texts[i] for i in shown],
        "contexts": [_context(documents.locations[i]) for i in shown]
        if documents.locations
        else None,
        "fields": [_to_members(documents.fields_of(i)) for i in shown],
        "patterns": [np.flatnonzero(row).tolist() for row in patterns],
        "known": pattern.ravel().tolist(),
        "values": [_sparse(row, columns) for row in values],
        # The rarest label comes first. It gives the document its colour.
        "given": [_carried(row, columns, exclusive=exclusive)[::-1] for row in values],
        "probabilities": [_sparse(row, predictable) for row in probabilities],
        "predicted": [
            _carried(row[ranks], [predictable[j] for j in ranks], exclusive=exclusive)
            for row, ranks in zip(probabilities, ranked, strict=True)
        ],
    }


def _context(place: Location) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): The text of the document before and behind a part of it, with "…"
    where it goes on."""
    text, start, end = place.text, place.start, place.end
    before, behind = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
    return (
        f"…{before}" if start > CONTEXT else before,
        f"{behind}…" if len(text) - end > CONTEXT else behind,
    )


def _to_members(fields: Mapping[str, Any]) -> str:
    """RETURNS (str): The other fields of a document as members of a JSON object. The page downloads
    them as they are, because JavaScript would round large numbers."""
    names = rename_fields(fields, OWN)
    return ",".join(f"{to_json(names[name])}:{to_json(value)}" for name, value in fields.items())


def _sparse(row: NDArray[Any], positions: Sequence[int]) -> list[float]:
    """RETURNS (list[float]): Position, number, position, number, ... without numbers that round to
    0."""
    rounded = np.round(row.astype("float64"), 4)
    return [
        part for j in np.flatnonzero(rounded).tolist() for part in (positions[j], float(rounded[j]))
    ]


def _carried(row: NDArray[Any], positions: Sequence[int], *, exclusive: bool) -> list[int]:
    """RETURNS (list[int]): The labels that a document carries: the one with the largest value if
    labels are exclusive, else all with a value of at least 0.5."""
    if exclusive:
        return [positions[int(row.argmax())]] if row.size and row.max() > 0 else []
    return [positions[j] for j in np.flatnonzero(row >= CARRIES).tolist()]
