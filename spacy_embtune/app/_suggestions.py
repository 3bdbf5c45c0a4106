"""What to label next: typical and different texts at the start, undecided ones later; and lists to
label many at once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._texts import count
from ..metrics.ranking import Floats
from ._space import Space

N_SUGGESTED = 12
# How many labelled texts typical ones are compared with.
MOST_COMPARED = 500
# Undecided texts with a larger cosine with one that is suggested already come after the others.
MUCH_ALIKE = 0.8
# A text is suggested with so many texts like it, to be labelled at once.
MOST_OTHERS = 19
# From this cosine on, texts say nearly the same in nearly the same words.
NEAR_COPY = 0.97


# The texts of a list of texts that look like one label, and how many it has at least.
N_IN_LIST, FEWEST_IN_LIST = 20, 3


class LabelList(NamedTuple):
    """Texts without a label that look like one label.

    label (str): The label.
    rows (list[int]): At most 20 texts, unlike each other.
    """

    label: str
    rows: list[int]


class Suggestion(NamedTuple):
    """A text to label next.

    row (int): The text.
    reason (str): Why, for a person to read.
    others (list[int]): Texts like it that have no label, at most 19, the nearest first.
    n_copies (int): How many of them, from the first on, say nearly the same.
    """

    row: int
    reason: str
    others: list[int]
    n_copies: int


def suggest_typical(space: Space, *, labelled: Sequence[int], n: int = N_SUGGESTED) -> list[int]:
    """Choose texts that are typical, and unlike those that are labelled or chosen already: those in
    the middle of each cluster without a labelled text, then others.

    space (Space): The texts.
    labelled (Sequence[int]): The rows of labelled texts.
    n (int): How many to choose.
    RETURNS (list[int]): At most n rows.
    """
    chosen = find_middles(space, labelled=labelled)[:n]
    everything = np.arange(len(space.vectors))
    known = [*labelled, *chosen]
    others = _choose_diverse(space.vectors, everything, space.typicality, known, n - len(chosen))
    return chosen + others


def find_middles(space: Space, *, labelled: Sequence[int]) -> list[int]:
    """Find the texts in the middle of clusters without a labelled text. To label them first saves
    labels where labels are topics, not where they are types of questions (benchmarks/README.md).

    space, labelled: As for `suggest_typical`.
    RETURNS (list[int]): The rows, that of the largest cluster first.
    """
    is_covered = np.zeros(len(space.middles), dtype=bool)
    is_covered[space.part[list(labelled)]] = True
    middles = space.middles[~is_covered[space.part[space.middles]]]
    return list(dict.fromkeys(middles.tolist()))


def suggest_uncertain(
    space: Space, probabilities: Floats, *, labelled: Sequence[int], n: int = N_SUGGESTED
) -> list[int]:
    """Choose the texts whose label is the least decided: with the smallest difference of the two
    largest probabilities ("margin sampling", Scheffer, Decomain and Wrobel 2001). A text much like
    one before it comes after the others. To prefer different ones beyond that needs more labels
    (benchmarks/README.md).

    space, labelled, n: As for `suggest_typical`.
    probabilities (Floats): Shape (n, L), with at least two labels.
    RETURNS (list[int]): At most n rows, the least decided first.
    """
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    margin = np.abs(two[:, 1] - two[:, 0])
    margin[list(labelled)] = np.inf
    order = [row for row in np.argsort(margin, kind="stable")[: 20 * n] if margin[row] < np.inf]
    chosen: list[int] = []
    alike: list[int] = []
    for row in map(int, order):
        is_new = not chosen or (space.vectors[chosen] @ space.vectors[row]).max() < MUCH_ALIKE
        (chosen if is_new else alike).append(row)
        if len(chosen) == n:
            break
    return [*chosen, *alike][:n]


def list_by_label(
    space: Space,
    predicted: NDArray[Any],
    confidence: Floats,
    labels: Sequence[str],
    *,
    labelled: Sequence[int],
    counts: Sequence[int],
) -> list[LabelList]:
    """List texts that look like one label, so that a person drops the few that do not belong and
    labels the others at once.

    The texts are those that are predicted with more than the median confidence of their label:
    less sure ones would have to be dropped one by one. They are unlike each other, because the
    nearest or the surest ones teach little.

    space (Space): The n texts.
    predicted (ndarray): The predicted label of each, an index into `labels`, shape (n,).
    confidence (Floats): Its probability, shape (n,).
    labels (Sequence[str]): The L labels.
    labelled (Sequence[int]): The rows of labelled texts, which are left out.
    counts (Sequence[int]): How many texts carry each label, shape (L,).
    RETURNS (list[LabelList]): A list for each label that has one, the label with the fewest texts
        first.
    """
    is_free = np.ones(len(space.vectors), dtype=bool)
    is_free[list(labelled)] = False
    ones = np.ones(len(space.vectors))
    found = []
    for j in np.argsort(counts, kind="stable").tolist():
        rows = np.flatnonzero(is_free & (predicted == j))
        if len(rows) < FEWEST_IN_LIST:
            continue
        rows = rows[confidence[rows] >= np.median(confidence[rows])]
        chosen = _choose_diverse(space.vectors, rows, ones, labelled, N_IN_LIST)
        found.append(LabelList(labels[j], chosen))
    return found


def _choose_diverse(
    vectors: NDArray[Any],
    candidates: NDArray[np.intp],
    worth: Floats,
    labelled: Sequence[int],
    n: int,
) -> list[int]:
    """Choose one text after the other: the one with the largest product of its worth and its
    distance to those chosen before."""
    known = np.asarray(labelled[-MOST_COMPARED:], dtype=np.intp)
    pool = vectors if len(candidates) == len(vectors) else vectors[candidates]
    nearest = np.zeros(len(candidates))
    if known.size:
        nearest = np.maximum(nearest, _largest_cosines(pool, vectors[known]))
    is_free = ~np.isin(candidates, np.asarray(labelled, dtype=np.intp))
    found: list[int] = []
    while len(found) < n and is_free.any():
        score = np.where(is_free, worth[candidates] * np.maximum(1.0 - nearest, 1e-6), -np.inf)
        at = int(score.argmax())
        is_free[at] = False
        nearest = np.maximum(nearest, pool @ pool[at])
        found.append(int(candidates[at]))
    return found


def _largest_cosines(pool: NDArray[Any], known: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The largest cosine of each row with known rows, shape (n,). In parts,
    because there may be 100,000 rows."""
    size = 8_192
    parts = [
        (pool[start : start + size] @ known.T).max(axis=1) for start in range(0, len(pool), size)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def add_others(
    space: Space,
    rows: Sequence[int],
    explain: Callable[[int], str],
    *,
    labelled: Sequence[int],
    predicted: NDArray[Any] | None,
) -> list[Suggestion]:
    """Find the texts that can be labelled together with each suggested text.

    space (Space): The texts.
    rows (Sequence[int]): The suggested texts.
    explain (Callable[[int], str]): Gives the reason of a suggestion.
    labelled (Sequence[int]): The rows of labelled texts, which are left out.
    predicted (ndarray | None): The predicted label of each text. Only texts with the same one are
        found. None: there are no predictions.
    RETURNS (list[Suggestion]): The suggestions.
    """
    if not rows:
        return []
    found = []
    cosines = space.vectors @ space.vectors[list(rows)].T
    cosines[list(labelled)] = -np.inf
    for at, row in enumerate(rows):
        near = cosines[:, at]
        near[row] = -np.inf
        if predicted is not None:
            near = np.where((predicted == predicted[row]) | (near >= NEAR_COPY), near, -np.inf)
        n = min(MOST_OTHERS, len(near) - 1)
        others = np.argpartition(-near, n)[:n] if n > 0 else np.zeros(0, dtype=np.intp)
        others = others[np.isfinite(near[others])]
        others = others[np.argsort(-near[others], kind="stable")]
        n_copies = int((near[others] >= NEAR_COPY).sum())
        reason = explain(row)
        if n_copies:
            reason += f" · {count(n_copies, 'near duplicate')}"
        found.append(Suggestion(row, reason, others.tolist(), n_copies))
    return found
