"""Score predicted cats as spaCy does, for more labels than its loops over documents and labels can
take."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.training import Example

from ..labels import make_sparse_targets
from ..metrics import read_entries, row_blocks

# How many probabilities of single labels are in memory at a time: 128 MB.
_COLUMN_ENTRIES = 2**25


def score_many_cats(
    examples: Sequence[Example],
    probabilities: Any,
    labels: Sequence[str],
    *,
    exclusive: bool,
    threshold: float,
) -> dict[str, Any]:
    """Compute the scores of `spacy.scorer.Scorer.score_cats` from probabilities, in memory that
    grows with what is known.

    examples (Sequence[Example]): The n documents. Labels are read from `reference`.
    probabilities (Rows): The probabilities of the labels, shape (n, L).
    labels (Sequence[str]): The L labels.
    exclusive (bool): Whether a document carries exactly one of them.
    threshold (float): The probability from which a label counts as predicted, if labels are not
        exclusive.
    RETURNS (dict[str, Any]): The scores, with the names that spaCy gives them.
    """
    gold = [example.reference.cats for example in examples]
    # Not as exclusive labels: spaCy reads only what is written.
    known = make_sparse_targets(gold, labels, exclusive=False)
    if exclusive:
        counts = _count_classes(gold, probabilities, labels)
        areas = _areas_of_classes(probabilities, known)
        name, description = "macro_f", "macro F"
    else:
        p = read_entries(probabilities, known.rows, known.columns)
        predicted, carried = p >= threshold, known.values > 0
        counts = np.stack(
            [
                np.bincount(known.columns[chosen], minlength=len(labels))
                for chosen in (predicted & carried, predicted & ~carried, ~predicted & carried)
            ]
        )
        areas = _areas_of_labels(p, known)
        name, description = "macro_auc", "macro AUC"
    micro = _precision_recall_f(counts.sum(axis=1, keepdims=True))[:, 0]
    each = _precision_recall_f(counts)
    macro = each.sum(axis=1) / (len(labels) + 1e-100)
    scores: dict[str, Any] = {"score": None, "score_desc": description}
    for prefix, values in (("micro", micro), ("macro", macro)):
        scores.update(zip((f"{prefix}_{x}" for x in "prf"), values.tolist(), strict=True))
    scores["macro_auc"] = float(np.nansum(areas) / (len(labels) + 1e-100))
    rows = each.T.tolist()
    scores["f_per_type"] = {
        label: dict(zip("prf", row, strict=True)) for label, row in zip(labels, rows, strict=True)
    }
    scores["auc_per_type"] = {
        label: None if np.isnan(area) else area
        for label, area in zip(labels, areas.tolist(), strict=True)
    }
    scores["score"] = scores[name]
    return {f"cats_{key}": value for key, value in scores.items()}


def _count_classes(gold: Sequence[Any], p: Any, labels: Sequence[str]) -> NDArray[Any]:
    """RETURNS (ndarray): True positives, false positives and false negatives of each label, shape
    (3, L), if the most probable label is predicted."""
    column = {label: j for j, label in enumerate(labels)}
    best = np.zeros(len(gold), dtype=np.intp)
    for block in row_blocks(len(gold), len(labels)):
        best[block] = np.asarray(p[block]).argmax(axis=1)
    counts = np.zeros((3, len(labels)), dtype=np.intp)
    for cats, predicted in zip(gold, best.tolist(), strict=True):
        known = {label: value for label, value in cats.items() if label in column}
        carried = column[max(known, key=lambda label: known[label])] if known else None
        if carried == predicted:
            counts[0, predicted] += 1
        else:
            counts[1, predicted] += 1
            if carried is not None:
                counts[2, carried] += 1
    return counts


def _precision_recall_f(counts: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): Precision, recall and F of true positives, false positives and false
    negatives, with spaCy's protection from division by zero; shape (3, k)."""
    right, surplus, missed = counts
    precision = right / (right + surplus + 1e-100)
    recall = right / (right + missed + 1e-100)
    return np.stack([precision, recall, 2 * precision * recall / (precision + recall + 1e-100)])


def _areas_of_labels(p: NDArray[Any], known: Any) -> NDArray[Any]:
    """RETURNS (ndarray): The area under the ROC curve of each label over the documents in which it
    is known, shape (L,); NaN where the known values are not two."""
    areas = np.full(known.n_labels, np.nan)
    order = np.argsort(known.columns, kind="stable")
    columns = known.columns[order]
    for of_label in np.split(order, np.flatnonzero(np.diff(columns)) + 1):
        if of_label.size:
            areas[known.columns[of_label[0]]] = _area(p[of_label], known.values[of_label])
    return areas


def _areas_of_classes(p: Any, known: Any) -> NDArray[Any]:
    """RETURNS (ndarray): As `_areas_of_labels`, over all documents: a label that is not known
    counts as absent."""
    n = known.shape[0]
    areas = np.full(known.n_labels, np.nan)
    order = np.argsort(known.columns[known.values > 0], kind="stable")
    rows, columns = (part[known.values > 0][order] for part in (known.rows, known.columns))
    values = known.values[known.values > 0][order]
    carried = np.unique(columns)
    size = max(1, _COLUMN_ENTRIES // max(1, n))
    for start in range(0, carried.size, size):
        some = carried[start : start + size]
        of_some = np.empty((n, some.size), dtype="float32")
        for block in row_blocks(n, known.n_labels):
            of_some[block] = np.asarray(p[block])[:, some]
        for j, column in enumerate(some.tolist()):
            at = slice(*np.searchsorted(columns, [column, column + 1]))
            truth = np.zeros(n, dtype="float32")
            truth[rows[at]] = values[at]
            areas[column] = _area(of_some[:, j], truth)
    return areas


def _area(p: NDArray[Any], truth: NDArray[Any]) -> float:
    """RETURNS (float): How often a document with the higher of two values has the higher
    probability; NaN if there are not two values."""
    from scipy.stats import rankdata

    values = np.unique(truth)
    if values.size != 2:
        return float("nan")
    upper = truth == values[1]
    n = int(upper.sum())
    ranks = rankdata(p)[upper].sum() - n * (n + 1) / 2
    return float(ranks / (n * (truth.size - n)))
