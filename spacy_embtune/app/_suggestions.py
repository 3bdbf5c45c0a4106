"""What to label next: typical and different texts at the start, undecided ones later."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats

N_SUGGESTED = 12
# The texts that typicality is measured with.
SAMPLE = 1_000
# How many of them count as near.
NEAR = 10
# How many undecided texts are candidates, and how many labelled texts are compared with.
CANDIDATES = 100
MOST_COMPARED = 500
# Texts that lie alone are left out of the undecided ones: the share of the least typical ones.
ALONE = 0.1


class Suggestion(NamedTuple):
    """A text to label next.

    row (int): The text.
    reason (str): Why, for a person to read.
    """

    row: int
    reason: str


def measure_typicality(vectors: NDArray[Any]) -> Floats:
    """Measure how many others each text has near it.

    vectors (ndarray): Unit vectors, float32, shape (n, d).
    RETURNS (Floats): The mean cosine to the 10 nearest of a sample of 1,000 texts, shape (n,).
    """
    n = len(vectors)
    chosen = np.random.default_rng(0).permutation(n)[:SAMPLE]
    sample = vectors[chosen]
    k = min(NEAR + 1, len(sample))
    found = np.empty(n)
    for start in range(0, n, SAMPLE):
        cosines = vectors[start : start + SAMPLE] @ sample.T
        found[start : start + SAMPLE] = np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1)
    return found


def suggest_typical(
    vectors: NDArray[Any], typicality: Floats, *, labelled: Sequence[int]
) -> list[Suggestion]:
    """Suggest texts that are typical, and unlike those that are labelled or suggested already.

    vectors (ndarray): Unit vectors, shape (n, d).
    typicality (Floats): The result of `measure_typicality`.
    labelled (Sequence[int]): The rows of labelled texts.
    RETURNS (list[Suggestion]): At most 12 texts.
    """
    return _choose_diverse(
        vectors, np.arange(len(vectors)), typicality, labelled, lambda row: "Typical of many texts"
    )


def suggest_uncertain(
    vectors: NDArray[Any],
    typicality: Floats,
    probabilities: Floats,
    labels: list[str],
    *,
    labelled: Sequence[int],
) -> list[Suggestion]:
    """Suggest texts whose label is undecided, unlike each other.

    vectors, typicality, labelled: As for `suggest_typical`.
    probabilities (Floats): Shape (n, L), with at least two labels.
    labels (list[str]): The L labels.
    RETURNS (list[Suggestion]): At most 12 texts.
    """
    two = np.sort(np.partition(probabilities, -2, axis=1)[:, -2:], axis=1)
    margin = two[:, 1] - two[:, 0]
    margin[list(labelled)] = np.inf
    margin[typicality < np.quantile(typicality, ALONE)] = np.inf
    candidates = np.argsort(margin, kind="stable")[:CANDIDATES]
    candidates = candidates[np.isfinite(margin[candidates])]

    def explain(row: int) -> str:
        best, second = np.argsort(-probabilities[row], kind="stable")[:2].tolist()
        return "Undecided: " + " or ".join(
            f"{labels[j]} {100 * probabilities[row, j]:.0f} %" for j in (best, second)
        )

    return _choose_diverse(vectors, candidates, 1.0 - margin, labelled, explain)


def _choose_diverse(
    vectors: NDArray[Any],
    candidates: NDArray[np.intp],
    worth: Floats,
    labelled: Sequence[int],
    explain: Any,
) -> list[Suggestion]:
    """Choose one text after the other: the one with the largest product of its worth and its
    distance to those chosen before."""
    known = np.asarray(labelled[-MOST_COMPARED:], dtype=np.intp)
    pool = vectors[candidates]
    nearest = np.zeros(len(candidates))
    if known.size:
        nearest = np.maximum(nearest, (pool @ vectors[known].T).max(axis=1))
    is_free = ~np.isin(candidates, np.asarray(labelled, dtype=np.intp))
    found: list[Suggestion] = []
    while len(found) < N_SUGGESTED and is_free.any():
        score = np.where(is_free, worth[candidates] * np.maximum(1.0 - nearest, 1e-6), -np.inf)
        at = int(score.argmax())
        is_free[at] = False
        nearest = np.maximum(nearest, pool @ pool[at])
        row = int(candidates[at])
        found.append(Suggestion(row, explain(row)))
    return found
