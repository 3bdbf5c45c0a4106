"""Compute the metrics of a report for the base and the tuned vectors of documents."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from thinc.types import Floats2d

from ..labels import SparseTargets
from ..metrics import (
    PrecisionRecall,
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
    precision_recall,
    predict_by_neighbour,
    predict_by_other_neighbour,
    predict_by_probe,
    query_scores,
    space_scores,
)
from ..metrics.carriers import find_carriers
from ..types import Targets
from ._per_label import Side, calibrate_own, score_labels
from .types import N_NEIGHBOURS, Calibration, Documents, LabelRow, Row, Samples
from .verdict import warn_of_collapse

# A linear probe has a model for each label, so only so many labels get one.
MOST_PROBED = 200
_SEED = 0


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
    calibration (Calibration | None): How well the component's probabilities agree with the labels.
    samples (Samples): The metrics that are computed from a sample of the labels.
    warnings (list[str]): Signs of a collapsed space.
    n_scored (int): The number of documents that the primary metrics are computed from. Of
        sentences and spans, the number of documents that they are parts of.
    """

    primary: list[Row]
    secondary: list[Row]
    on_train: list[Row]
    space: list[Row]
    per_label: list[LabelRow]
    classifier: Literal["probe", "neighbour"]
    calibration: Calibration | None
    samples: Samples
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
    probes: tuple[PrecisionRecall, ...] | None = None
    n_probed = None
    if train is not None and can_teach(train) and shares_labels(data, train):
        used = columns
        if data.targets.exclusive:
            used = (count_labels(data).carry > 0) | (count_labels(train).carry > 0)
        is_yes_or_no = not data.targets.exclusive or used.sum() == 2
        probed = choose_probed(data, train, used)
        scores, found = _classification(data, train, used, probed)
        if probed.sum() < used.sum():
            n_probed = int(probed.sum()), int(used.sum())
        others = [] if data.targets.exclusive else [p for p in scores if p.key.endswith("accuracy")]
        primary += [p for p in scores if p.key not in {other.key for other in others}]
        secondary += [row._replace(beyond_chance=None) for row in _compare(others, data)]
        if is_yes_or_no:
            secondary.append(Row("probe_auc", auc_score(found[0]), auc_score(found[1])))
        probes = tuple(_put_back(precision_recall(probe), probed) for probe in found)
    on_train = []
    if train is not None:
        on_train = _compare(_retrieval(train, count_labels(train).can_be_retrieved), train)
    if probes is None:
        classifier: Literal["probe", "neighbour"] = "neighbour"
        probes = tuple(
            precision_recall(predict_by_other_neighbour(vectors, data.targets))
            for vectors in (data.base, data.tuned)
        )
    else:
        classifier = "probe"
    scored = [pair.base.denominator.sum(axis=1) > 0 for pair in primary]
    space, warnings = _space(data)
    clusters, n_clustered = _clusters(data)
    return Measures(
        primary=_compare(primary, data),
        secondary=[*secondary, *clusters],
        on_train=on_train,
        space=space,
        per_label=score_labels(data, *_sides(retrieval, columns, probes)),
        classifier=classifier,
        calibration=calibrate_own(data),
        samples=Samples(n_probed, n_clustered),
        warnings=warnings,
        n_scored=data.count_sources(np.any(scored, axis=0)),
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
    found = find_carriers(docs.targets, None, np.flatnonzero(docs.base.any(axis=1)))
    return Occurrence(found.counts(), found.counts_absent())


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
    labels = [label for label, taken in zip(docs.labels, columns, strict=True) if taken]
    if isinstance(docs.targets, SparseTargets):
        return docs._replace(labels=labels, targets=docs.targets.select_labels(columns))
    values, known = (np.asarray(part)[:, columns] for part in docs.targets[:2])
    targets = Targets(cast(Floats2d, values), cast(Floats2d, known), docs.targets.exclusive)
    return docs._replace(labels=labels, targets=targets)


def _retrieval(docs: Documents, columns: NDArray[np.bool_]) -> list[_Pair]:
    targets = _select(docs, columns).targets
    if isinstance(targets, SparseTargets):
        base, tuned = (query_scores(vectors, targets) for vectors in (docs.base, docs.tuned))
    else:
        base, tuned = (
            query_scores(vectors, targets.values, targets.known)
            for vectors in (docs.base, docs.tuned)
        )
    return [
        _Pair("p_at_1", p_at_1_ratios(base), p_at_1_ratios(tuned)),
        _Pair("map_at_r", map_at_r_ratios(base), map_at_r_ratios(tuned)),
    ]


def choose_probed(data: Documents, train: Documents, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose the labels that get a linear probe.

    data (Documents): The documents that are scored.
    train (Documents): The documents that the probes learn from.
    used (ndarray): The labels that classifiers are scored by, bool, shape (L,).
    RETURNS (ndarray): All of them, if there are at most `MOST_PROBED`; otherwise a sample of those
        that can be learned and scored, always the same one. Bool, shape (L,).
    """
    if used.sum() <= MOST_PROBED:
        return used
    taught, asked = count_labels(train), count_labels(data)
    can = used & (taught.carry > 0) & (asked.carry > 0)
    if not data.targets.exclusive:
        can &= taught.lack > 0
    columns = np.flatnonzero(can)
    if columns.size > MOST_PROBED:
        drawn = np.random.default_rng(_SEED).choice(columns, MOST_PROBED, replace=False)
        columns = np.sort(drawn)
    probed = np.zeros_like(used)
    probed[columns] = True
    return probed


def _classification(
    data: Documents, train: Documents, used: NDArray[np.bool_], probed: NDArray[np.bool_]
) -> tuple[list[_Pair], tuple[Predictions, ...]]:
    """RETURNS (tuple): Accuracy and macro-F1 of both classifiers, and the predictions of the probe
    from base and from tuned vectors.

    used (ndarray): The labels that the nearest neighbour predicts, bool, shape (L,).
    probed (ndarray): The labels that the probe predicts, bool, shape (L,).
    """
    knn = [predict_by_neighbour(*side) for side in _pair_up(data, train, used)]
    probe = [predict_by_probe(*side) for side in _pair_up(data, train, probed)]
    pairs = []
    for name, (base, tuned) in (("knn", knn), ("probe", probe)):
        pairs.append(_Pair(f"{name}_accuracy", accuracy_ratios(base), accuracy_ratios(tuned)))
        pairs.append(_Pair(f"{name}_macro_f1", macro_f1_ratios(base), macro_f1_ratios(tuned)))
    return pairs, tuple(probe)


def _pair_up(data: Documents, train: Documents, columns: NDArray[np.bool_]) -> list[Any]:
    """RETURNS (list): The arguments of a classifier for base and for tuned vectors, with some of
    the labels."""
    data, train = _select(data, columns), _select(train, columns)
    return [
        (train.base, train.targets, data.base, data.targets),
        (train.tuned, train.targets, data.tuned, data.targets),
    ]


def _sides(
    retrieval: Sequence[_Pair], columns: NDArray[np.bool_], predicted: Sequence[PrecisionRecall]
) -> list[Side]:
    """RETURNS (list[Side]): The scores of each label by base and by tuned vectors.

    retrieval (Sequence[_Pair]): p@1 and MAP@R of the labels that are True in `columns`.
    predicted (Sequence[PrecisionRecall]): How well a classifier predicts the labels from base and
        from tuned vectors.
    """
    sides = []
    for kind, of_classifier in zip(("base", "tuned"), predicted, strict=True):
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
        sides.append(Side(of_labels[0], of_labels[1], of_classifier))
    return sides


def _put_back(scores: PrecisionRecall, columns: NDArray[np.bool_]) -> PrecisionRecall:
    """RETURNS (PrecisionRecall): Scores of some labels (True in `columns`) as those of all
    labels."""
    n = np.zeros(columns.size, dtype=np.intp)
    n[columns] = scores.n
    precision, recall, f1 = (np.full(columns.size, np.nan) for _ in range(3))
    for whole, part in zip((precision, recall, f1), scores[:3], strict=True):
        whole[columns] = part
    return PrecisionRecall(precision, recall, f1, n)


def _compare(pairs: Sequence[_Pair], docs: Documents) -> list[Row]:
    found = compare_ratios(
        [pair.base for pair in pairs],
        [pair.tuned for pair in pairs],
        groups=docs.source_numbers(),
    )
    rows = []
    for i, (key, base, tuned) in enumerate(pairs):
        beyond = "better" if found.better[i] else "worse" if found.worse[i] else None
        rows.append(Row(key, base.value, tuned.value, found.each[i], beyond))
    return rows


def _clusters(docs: Documents) -> tuple[list[Row], tuple[int, int] | None]:
    """RETURNS (tuple): The rows; and how many classes k-means ran over, of how many, if it is a
    sample."""
    base, tuned = (cluster_scores(vectors, docs.targets) for vectors in (docs.base, docs.tuned))
    rows = [
        Row("silhouette", base.silhouette, tuned.silhouette),
        Row("cluster_agreement", base.agreement, tuned.agreement),
    ]
    is_sample = 0 < base.n_clusters < base.n_classes
    return rows, (base.n_clusters, base.n_classes) if is_sample else None


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
