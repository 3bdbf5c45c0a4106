"""Compute the metrics, the verdict and the notes of a report on pairs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._texts import count
from ..metrics import (
    RECALL_AT,
    Ratios,
    answer_ratios,
    compare_ratios,
    link_sides,
    pair_correlation,
)
from .types import Row, Verdict
from .verdict import FEWEST_DOCUMENTS, Finding, judge

_KEYS = (*(f"recall_at_{k}" for k in RECALL_AT), "mrr")


class Vectors(NamedTuple):
    """The vectors of the n distinct rows of one side.

    base (ndarray): Base vectors, shape (n, d).
    tuned (ndarray): Tuned vectors, shape (n, k).
    """

    base: NDArray[Any]
    tuned: NDArray[Any]


class SideMeasures(NamedTuple):
    """The metrics of a report on pairs.

    primary (list[tuple[str, list[Row]]]): From which side to which, with recall@k and MRR.
    base_is_chance (bool): Whether the base scores are those of candidates in random order.
    n_scored (int): The number of groups of linked pairs that the metrics are computed from.
    """

    primary: list[tuple[str, list[Row]]]
    base_is_chance: bool
    n_scored: int


def measure_sides(
    left: Vectors,
    right: Vectors,
    pairs: NDArray[Any],
    *,
    own: NDArray[Any] | None,
    names: tuple[str, str],
) -> SideMeasures:
    """Measure how early the rows of two sides find each other, by base and by tuned vectors.

    left, right (Vectors): The distinct rows of both sides.
    pairs (ndarray): The rows that belong together, shape (p, 2).
    own (ndarray | None): Rows of both sides that are the same, shape (s, 2).
    names (tuple[str, str]): The names of the sides.
    RETURNS (SideMeasures): The metrics.
    RAISES (ValueError): When a vector is not finite.
    """
    is_chance = left.base.shape[1] != right.base.shape[1]
    base, tuned = [left.base, right.base], [left.tuned, right.tuned]
    if is_chance:
        # Vectors that are all equal give the scores of a random order.
        base = [rows.any(axis=1, keepdims=True).astype("float32") for rows in base]
    units = link_sides(pairs, len(left.base), len(right.base))
    # The queries of the left side first, then those of the right side.
    before: list[Ratios] = []
    after: list[Ratios] = []
    for step in (1, -1):
        same = None
        if own is not None and len(own):
            queries, candidates = own[:, ::step].T
            same = np.full(len(base[::step][0]), -1)
            same[queries] = candidates
        for collected, vectors in ((before, base[::step]), (after, tuned[::step])):
            found = answer_ratios(
                vectors[0],
                vectors[1],
                pairs[:, ::step],
                same=same,
                units=units if step == 1 else units.swap(),
            )
            collected += [*found.recall.values(), found.mrr]
    result = compare_ratios(before, after)
    rows = []
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        beyond = "better" if result.better[i] else "worse" if result.worse[i] else None
        rows.append(Row(_KEYS[i % len(_KEYS)], a.value, b.value, result.each[i], beyond))
    n_scored = int((after[0].denominator > 0).sum())
    return SideMeasures(
        [
            (f"from {names[0]} to {names[1]}", rows[: len(_KEYS)]),
            (f"from {names[1]} to {names[0]}", rows[len(_KEYS) :]),
        ],
        is_chance,
        n_scored,
    )


def judge_sides(measures: SideMeasures, seen: tuple[int, int]) -> Verdict:
    """Give the verdict on a comparison by pairs.

    measures (SideMeasures): The metrics.
    seen (tuple[int, int]): The number of texts that training saw, and of all texts.
    RETURNS (Verdict): The verdict.
    """
    findings = [
        Finding(
            row.key,
            f"{row.title} {title}",
            row.interval.value,
            better=row.beyond_chance == "better",
            worse=row.beyond_chance == "worse",
        )
        for title, rows in measures.primary
        for row in rows
        if row.interval is not None
    ]
    if not findings:
        return Verdict("nothing to compare", "no pair that belongs together has two vectors.")
    if measures.n_scored < FEWEST_DOCUMENTS:
        return Verdict(
            "no evidence of a gain",
            f"only {count(measures.n_scored, 'group')} of linked pairs can be scored, too few to "
            f"tell. Take at least {FEWEST_DOCUMENTS}, better hundreds.",
        )
    verdict = judge(findings, n_scored=measures.n_scored, n_seen=seen[0], n_documents=seen[1])
    if measures.base_is_chance and verdict.kind == "helps":
        return verdict._replace(text=f"compared with chance, {verdict.text}")
    return verdict


def correlate_pairs(
    base: NDArray[Any], tuned: NDArray[Any], ends: NDArray[Any], scores: NDArray[Any]
) -> list[Row]:
    """Correlate the cosines of pairs with their scores.

    base, tuned (ndarray): The vectors of n rows.
    ends (ndarray of int): The two rows of each pair, shape (p, 2).
    scores (ndarray): The scores of the pairs, shape (p,).
    RETURNS (list[Row]): The correlations, without intervals.
    """
    found = []
    for vectors in (base, tuned):
        a, b = vectors[ends[:, 0]].astype(float), vectors[ends[:, 1]].astype(float)
        found.append(pair_correlation(a, b, scores))
    return [
        Row("spearman", found[0].spearman, found[1].spearman),
        Row("pearson", found[0].pearson, found[1].pearson),
    ]


def warn_of_seen_texts(n_seen: int, n_texts: int) -> list[str]:
    """Warn of texts that are not held out.

    n_seen, n_texts (int): The number of texts that training saw, and of all texts.
    RETURNS (list[str]): The warning, or none.
    """
    if not n_seen:
        return []
    return [
        f"{n_seen} of {n_texts} texts are texts that the model was trained on: new texts would "
        "score lower."
    ]


def describe_sides(
    left: Vectors,
    right: Vectors,
    pairs: NDArray[Any],
    measures: SideMeasures,
    names: Sequence[str],
) -> list[str]:
    """Describe what a report leaves out, and what its numbers mean.

    left, right, pairs, names: As in `measure_sides`.
    measures (SideMeasures): The metrics.
    RETURNS (list[str]): The notes.
    """
    notes = []
    if measures.base_is_chance:
        notes.append(
            f"Base vectors have {left.base.shape[1]} and {right.base.shape[1]} columns and so no "
            "cosines. The column 'chance' has the scores of candidates in random order."
        )
    for side, name in ((left, names[0]), (right, names[1])):
        n_empty = int((~side.base.any(axis=1)).sum())
        if n_empty:
            notes.append(f"{n_empty} of {len(side.base)} {name} have no vector and are left out.")
    if min(np.unique(ends).size for ends in pairs.T) < len(pairs):
        notes.append(
            "Some rows belong to several rows of the other side. Recall@k is the share of the "
            "right answers of a query, so that recall@1 cannot reach 1, and the intervals draw "
            "linked pairs together."
        )
    return notes
