"""What is learned from the labels given so far: predictions, positions, and how good they are."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..finetune import ContrastiveTuner
from ..metrics.ranking import Floats, Ints
from ..plots import project_onto
from ._ridge import fit_ridge, to_probabilities
from ._suggestions import Suggestion, suggest_typical, suggest_uncertain

# With fewer labelled texts, the accuracy says nothing.
FEWEST_TO_MEASURE = 10
# Labelled texts for each label from which on suggestions are uncertain texts, not typical ones.
TYPICAL_PER_LABEL = 5
# From this probability on, a prediction out of fold contradicts a given label.
CONTRADICTS = 0.8
MOST_SUSPECTS = 3
# The quantile of the normal distribution for an interval of 95 %.
Z = 1.959964


class Accuracy(NamedTuple):
    """How good predictions are: the share of labelled texts that a classifier without them
    predicts right.

    share, low, high (float): The share with its 95 % interval (Wilson 1927), 0..1.
    n (int): The number of texts.
    """

    share: float
    low: float
    high: float
    n: int


class Learned(NamedTuple):
    """What is learned. Arrays have n rows, one for each text.

    labels (list[str]): The L labels that are predicted; empty if there are fewer than two.
    predicted (Ints): The most probable label of each text, an index into `labels`.
    confidence (Floats): Its probability, 0..1.
    accuracy (Accuracy | None): None with few labelled texts.
    suggestions (list[Suggestion]): What to label next, the best first.
    """

    labels: list[str]
    predicted: Ints
    confidence: Floats
    accuracy: Accuracy | None
    suggestions: list[Suggestion]


def learn(
    vectors: NDArray[Any],
    cats: Mapping[int, Mapping[str, float]],
    *,
    exclusive: bool,
    typicality: Floats,
    labels: Sequence[str],
    confirmed: Collection[int] = (),
) -> Learned:
    """Learn predictions from labels. This takes a fraction of a second.

    vectors (ndarray): The unit vectors of all n texts, float32, shape (n, d).
    cats (Mapping[int, Mapping[str, float]]): What is known of each labelled text, by row.
    exclusive (bool): Whether a text carries one label at most.
    typicality (Floats): The result of `measure_typicality`, shape (n,).
    labels (Sequence[str]): All labels, in the order in which they are shown.
    confirmed (Collection[int]): The rows of labelled texts whose label a person has confirmed.
    RETURNS (Learned): The result.
    """
    carried = {label for known in cats.values() for label, value in known.items() if value == 1.0}
    learnable = [label for label in labels if label in carried]
    rows = np.array(sorted(row for row in cats if set(cats[row]) & carried), dtype=np.intp)
    if len(learnable) < 2:
        suggestions = suggest_typical(vectors, typicality, labelled=sorted(cats))
        none = np.zeros(0)
        return Learned([], none.astype(np.intp), none, None, suggestions)
    values = np.array([[_value(cats[row], label) for label in learnable] for row in rows])
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(max(1.0 - float(mean @ mean), 1e-6)))
    ridge = fit_ridge(
        vectors[rows].astype(np.float64), values, mean=mean, scale=scale, exclusive=exclusive
    )
    probabilities = ridge.probabilities(vectors)
    predicted = probabilities.argmax(axis=1)
    positive = (values == 1.0).any(axis=1)
    left_out = to_probabilities(ridge.out_of_fold[positive], ridge.temperature, exclusive)
    is_right = values[positive][np.arange(positive.sum()), left_out.argmax(axis=1)] == 1.0
    is_settled = is_right | np.isin(rows[positive], list(confirmed))
    suggestions = _find_suspects(rows[positive], left_out, is_settled, cats, learnable)
    if len(rows) < TYPICAL_PER_LABEL * len(learnable):
        suggestions += suggest_typical(vectors, typicality, labelled=sorted(cats))
    else:
        suggestions += suggest_uncertain(
            vectors, typicality, probabilities, learnable, labelled=sorted(cats)
        )
    return Learned(
        learnable,
        predicted,
        probabilities[np.arange(len(vectors)), predicted],
        _measure(is_right),
        suggestions,
    )


def _value(known: Mapping[str, float], label: str) -> float:
    """RETURNS (float): 1 if a text carries a label, -1 if not, NaN if this is not known. A text
    that carries another label counts as not carrying this one until somebody says so."""
    if label in known:
        return 1.0 if known[label] == 1.0 else -1.0
    return -1.0 if 1.0 in known.values() else np.nan


def learn_positions(
    vectors: NDArray[Any], cats: Mapping[int, Mapping[str, float]], xy: NDArray[Any]
) -> NDArray[Any]:
    """Tune vectors to labels, and project them. This takes a second or two.

    vectors, cats: As for `learn`.
    xy (ndarray): The positions before, shape (n, 2).
    RETURNS (ndarray): The positions, shape (n, 2), turned to lie near those before. Those before
        if there are fewer than two labels.
    """
    # A text with several labels teaches one of them, which is enough for a picture.
    carried = {
        row: min(label for label, value in known.items() if value == 1.0)
        for row, known in sorted(cats.items())
        if 1.0 in known.values()
    }
    if len(set(carried.values())) < 2:
        return xy
    tuner = ContrastiveTuner(random_state=0, exclusive_classes=True)
    tuner.fit(vectors[list(carried)], list(carried.values()))
    return project_onto(tuner.transform(vectors), xy)


def _measure(is_right: NDArray[Any]) -> Accuracy | None:
    n = is_right.size
    if n < FEWEST_TO_MEASURE:
        return None
    share = float(is_right.mean())
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return Accuracy(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)), n)


def _find_suspects(
    rows: Ints,
    left_out: Floats,
    is_settled: NDArray[Any],
    cats: Mapping[int, Mapping[str, float]],
    labels: list[str],
) -> list[Suggestion]:
    """RETURNS (list[Suggestion]): Labelled texts whose label is contradicted out of fold."""
    best = left_out.max(axis=1)
    found = np.flatnonzero(~is_settled & (best >= CONTRADICTS))
    found = found[np.argsort(-best[found], kind="stable")][:MOST_SUSPECTS]
    suspects = []
    for at in found.tolist():
        given = ", ".join(k for k, v in cats[int(rows[at])].items() if v == 1.0)
        says = f"{labels[int(left_out[at].argmax())]} {100 * best[at]:.0f} %"
        suspects.append(Suggestion(int(rows[at]), f"Labelled {given}, but looks like {says}"))
    return suspects
