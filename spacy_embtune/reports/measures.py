"""Compute the metrics of a report for the base and the tuned vectors of documents."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from thinc.types import Floats2d

from ..metrics import (
    CARRIES,
    Predictions,
    Ratios,
    accuracy_ratios,
    auc_score,
    cluster_scores,
    compare_ratios,
    macro_f1_ratios,
    map_at_r_ratios,
    neighbour_overlap,
    p_at_1_ratios,
    predict_by_neighbour,
    predict_by_other_neighbour,
    predict_by_probe,
    query_scores,
    space_scores,
)
from ..types import Targets
from ._per_label import Side, score_labels
from .types import N_NEIGHBOURS, Documents, LabelRow, Row
from .verdict import warn_of_collapse


class Measures(NamedTuple):
    """The metrics of a report.

    primary (list[Row]): Retrieval within the documents, with intervals. With TRAIN also the scores
        of a nearest neighbour and of a linear probe that learn from TRAIN. Accuracy is primary only
        if labels exclude each other, because for other labels never predicting a rare label gives
        the best accuracy.
    secondary (list[Row]): Accuracy if it is not primary, clusters, and, with TRAIN, the AUC of the
        probe for labels that are not exclusive.
    on_train (list[Row]): Retrieval within TRAIN, with intervals.
    space (list[Row]): The shape of the space. Kept neighbours have a tuned value only.
    per_label (list[LabelRow]): The scores of each label that occurs.
    classifier (str): What predicts labels for `per_label`, see `Comparison`.
    warnings (list[str]): Signs of a collapsed space.
    n_scored (int): The number of documents that the primary metrics are computed from.
    """

    primary: list[Row]
    secondary: list[Row]
    on_train: list[Row]
    space: list[Row]
    per_label: list[LabelRow]
    classifier: Literal["probe", "neighbour"]
    warnings: list[str]
    n_scored: int


def measure(data: Documents, train: Documents | None) -> Measures:
    """Measure base and tuned vectors of documents.

    A label is left out if fewer than two documents carry it, or no document is known to lack it.
    Exclusive labels are left out of retrieval only.

    data (Documents): The documents that are scored.
    train (Documents | None): The documents that classifiers learn from, with the same labels. None:
        no classifiers are measured.
    RETURNS (Measures): The metrics.
    RAISES (ValueError): When a vector is not finite.
    """
    columns = count_labels(data).can_be_retrieved
    retrieval = _retrieval(data, columns)
    primary, secondary = [*retrieval], []
    probes: tuple[Predictions, ...] | None = None
    if train is not None and can_teach(train) and shares_labels(data, train):
        used = columns
        if data.targets.exclusive:
            used = (count_labels(data).carry > 0) | (count_labels(train).carry > 0)
        is_yes_or_no = not data.targets.exclusive or used.sum() == 2
        scores, probes = _classification(_select(data, used), _select(train, used))
        others = [] if data.targets.exclusive else [p for p in scores if p.key.endswith("accuracy")]
        primary += [p for p in scores if p.key not in {other.key for other in others}]
        secondary += [row._replace(beyond_chance=None) for row in _compare(others)]
        if is_yes_or_no:
            secondary.append(Row("probe_auc", auc_score(probes[0]), auc_score(probes[1])))
        probes = tuple(_put_back(probe, used) for probe in probes)
    on_train = []
    if train is not None:
        on_train = _compare(_retrieval(train, count_labels(train).can_be_retrieved))
    if probes is None:
        classifier: Literal["probe", "neighbour"] = "neighbour"
        probes = tuple(
            predict_by_other_neighbour(vectors, data.targets) for vectors in (data.base, data.tuned)
        )
    else:
        classifier = "probe"
    scored = [pair.base.denominator.any(axis=1) for pair in primary]
    space, warnings = _space(data)
    return Measures(
        primary=_compare(primary),
        secondary=[*secondary, *_clusters(data)],
        on_train=on_train,
        space=space,
        per_label=score_labels(data, *_sides(retrieval, columns, probes)),
        classifier=classifier,
        warnings=warnings,
        n_scored=int(np.any(scored, axis=0).sum()),
    )


class Occurrence(NamedTuple):
    """How many documents with a vector carry each label, and are known to lack it; shape (L,)."""

    carry: NDArray[np.intp]
    lack: NDArray[np.intp]

    @property
    def can_be_retrieved(self) -> NDArray[np.bool_]:
        """RETURNS (ndarray): Whether two documents carry a label and one is known to lack it, bool,
        shape (L,)."""
        return (self.carry >= 2) & (self.lack >= 1)


def count_labels(docs: Documents) -> Occurrence:
    """Count how often labels occur in documents that have a vector.

    docs (Documents): The documents.
    RETURNS (Occurrence): The counts.
    """
    has_vector = docs.base.any(axis=1)
    values, known = np.asarray(docs.targets.values), np.asarray(docs.targets.known) > 0
    carries = known & (values >= CARRIES)
    return Occurrence(carries[has_vector].sum(axis=0), (known & ~carries)[has_vector].sum(axis=0))


def can_teach(train: Documents) -> bool:
    """Find out whether a classifier can learn from documents.

    train (Documents): The documents.
    RETURNS (bool): Whether they have two classes: two exclusive labels, or a label that some
        documents carry and others lack.
    """
    counts = count_labels(train)
    if train.targets.exclusive:
        return int((counts.carry > 0).sum()) > 1
    return bool(((counts.carry > 0) & (counts.lack > 0)).any())


def shares_labels(data: Documents, train: Documents) -> bool:
    """Find out whether a classifier can be scored.

    data (Documents): The documents that are scored.
    train (Documents): The documents that the classifier learns from, with the same labels.
    RETURNS (bool): Whether both have a label in common that can be learned and scored.
    """
    taught, asked = count_labels(train), count_labels(data)
    if data.targets.exclusive:
        return bool(((taught.carry > 0) & (asked.carry > 0)).any())
    return bool(((taught.carry > 0) & (taught.lack > 0) & asked.can_be_retrieved).any())


class _Pair(NamedTuple):
    """The ratios of one metric for both kinds of vectors."""

    key: str
    base: Ratios
    tuned: Ratios


def _select(docs: Documents, columns: NDArray[np.bool_]) -> Documents:
    """RETURNS (Documents): The documents with some of their labels only."""
    values, known = (np.asarray(part)[:, columns] for part in docs.targets[:2])
    labels = [label for label, taken in zip(docs.labels, columns, strict=True) if taken]
    targets = Targets(cast(Floats2d, values), cast(Floats2d, known), docs.targets.exclusive)
    return docs._replace(labels=labels, targets=targets)


def _retrieval(docs: Documents, columns: NDArray[np.bool_]) -> list[_Pair]:
    targets = _select(docs, columns).targets
    base, tuned = (
        query_scores(vectors, targets.values, targets.known) for vectors in (docs.base, docs.tuned)
    )
    return [
        _Pair("p_at_1", p_at_1_ratios(base), p_at_1_ratios(tuned)),
        _Pair("map_at_r", map_at_r_ratios(base), map_at_r_ratios(tuned)),
    ]


def _classification(
    data: Documents, train: Documents
) -> tuple[list[_Pair], tuple[Predictions, ...]]:
    """RETURNS (tuple): Accuracy and macro-F1 of both classifiers, and the predictions of the probe
    from base and from tuned vectors."""
    sides = [
        (train.base, train.targets, data.base, data.targets),
        (train.tuned, train.targets, data.tuned, data.targets),
    ]
    knn = [predict_by_neighbour(*side) for side in sides]
    probe = [predict_by_probe(*side) for side in sides]
    pairs = []
    for name, (base, tuned) in (("knn", knn), ("probe", probe)):
        pairs.append(_Pair(f"{name}_accuracy", accuracy_ratios(base), accuracy_ratios(tuned)))
        pairs.append(_Pair(f"{name}_macro_f1", macro_f1_ratios(base), macro_f1_ratios(tuned)))
    return pairs, tuple(probe)


def _sides(
    retrieval: Sequence[_Pair], columns: NDArray[np.bool_], predictions: Sequence[Predictions]
) -> list[Side]:
    """RETURNS (list[Side]): The scores of each label by base and by tuned vectors.

    retrieval (Sequence[_Pair]): p@1 and MAP@R of the labels that are True in `columns`.
    predictions (Sequence[Predictions]): What a classifier predicts from base and tuned vectors.
    """
    sides = []
    for kind, predicted in zip(("base", "tuned"), predictions, strict=True):
        of_labels = []
        for pair in retrieval:
            ratios = getattr(pair, kind)
            totals = ratios.denominator.sum(axis=0)
            scores = np.full(columns.size, np.nan)
            scores[columns] = np.divide(
                ratios.numerator.sum(axis=0),
                totals,
                out=np.full_like(totals, np.nan),
                where=totals > 0,
            )
            of_labels.append(scores)
        sides.append(Side(of_labels[0], of_labels[1], predicted))
    return sides


def _put_back(predictions: Predictions, columns: NDArray[np.bool_]) -> Predictions:
    """RETURNS (Predictions): Predictions of some labels (True in `columns`) as those of all labels.
    The decision values are left out."""
    tested, carries, predicted = (
        np.zeros((len(predictions.tested), columns.size), dtype=bool) for _ in range(3)
    )
    tested[:, columns] = predictions.tested
    carries[:, columns] = predictions.carries
    predicted[:, columns] = predictions.predicted
    return Predictions(tested, carries, predicted, None, predictions.exclusive)


def _compare(pairs: Sequence[_Pair]) -> list[Row]:
    found = compare_ratios([pair.base for pair in pairs], [pair.tuned for pair in pairs])
    rows = []
    for i, (key, base, tuned) in enumerate(pairs):
        beyond = "better" if found.better[i] else "worse" if found.worse[i] else None
        rows.append(Row(key, base.value, tuned.value, found.each[i], beyond))
    return rows


def _clusters(docs: Documents) -> list[Row]:
    base, tuned = (cluster_scores(vectors, docs.targets) for vectors in (docs.base, docs.tuned))
    return [
        Row("silhouette", base.silhouette, tuned.silhouette),
        Row("cluster_agreement", base.agreement, tuned.agreement),
    ]


def _space(docs: Documents) -> tuple[list[Row], list[str]]:
    base, tuned = (space_scores(vectors, docs.targets) for vectors in (docs.base, docs.tuned))
    overlap = neighbour_overlap(docs.base, docs.tuned, N_NEIGHBOURS)
    rows = [
        Row("spread", base.spread, tuned.spread),
        Row("within_between", base.within, tuned.within),
        Row("effective_rank", base.effective_rank, tuned.effective_rank),
        Row("neighbour_overlap", None, overlap),
    ]
    has_base, has_tuned = docs.base.any(axis=1), docs.tuned.any(axis=1)
    warnings = warn_of_collapse(
        base,
        tuned,
        overlap,
        n_documents=int((has_base & has_tuned).sum()),
        n_neighbours=N_NEIGHBOURS,
    )
    n_lost = int((has_base & ~has_tuned).sum())
    if n_lost:
        warnings.insert(
            0,
            f"The tuned vectors of {n_lost} documents are all zeros, although their base vectors "
            "are not. These documents are left out of the tuned scores.",
        )
    return rows, warnings
