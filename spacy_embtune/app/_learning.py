"""What is learned from the labels given so far: predictions, positions, and what to label next."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..finetune import ContrastiveTuner, encode_labels
from ..metrics.ranking import Floats, Ints
from ..plots import project_onto
from ..semi_supervised import (
    FEWEST_TO_CHOOSE,
    Names,
    find_single,
    fit_classifier,
    predict_by_names,
    weigh_names,
)
from ._quality import Quality, measure_quality
from ._space import Space
from ._suggestions import (
    N_SUGGESTED,
    LabelList,
    Suggestion,
    add_others,
    find_middles,
    list_by_label,
    suggest_typical,
    suggest_uncertain,
)

# From this probability on, a prediction out of fold contradicts a given label.
CONTRADICTS = 0.8
MOST_SUSPECTS = 3


class Learned(NamedTuple):
    """What is learned. Arrays have n rows, one for each text.

    labels (list[str]): The L labels that are predicted; empty if there are fewer than two.
    predicted (Ints): The most probable label of each text, an index into `labels`.
    confidence (Floats): Its probability, 0..1.
    by_names (bool): Whether the names of labels alone predict, because no text is labelled.
    quality (Quality | None): None with few labelled texts.
    suggestions (list[Suggestion]): What to label next, the best first.
    lists (list[LabelList]): Texts that look like one label, to be labelled at once.
    """

    labels: list[str]
    predicted: Ints
    confidence: Floats
    by_names: bool
    quality: Quality | None
    suggestions: list[Suggestion]
    lists: list[LabelList]


def encode_names(labels: Sequence[str], encoder: Any) -> dict[str, NDArray[Any]]:
    """Encode names of labels. Names that look like codes are left out.

    labels (Sequence[str]): The labels.
    encoder (Any): An object with `transform(texts)`.
    RETURNS (dict[str, ndarray]): The vectors by label.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The name")
        return dict(encode_labels(labels, encoder))


def learn(
    space: Space,
    cats: Mapping[int, Mapping[str, float]],
    *,
    exclusive: bool,
    labels: Sequence[str],
    confirmed: Collection[int] = (),
    names: Names | None = None,
    measures: bool = True,
) -> Learned:
    """Learn predictions from labels. This takes a second for 20,000 texts, and longer for the first
    time, because their neighbours are found then.

    space (Space): The n texts.
    cats (Mapping[int, Mapping[str, float]]): What is known of each labelled text, by row.
    exclusive (bool): Whether a text carries one label at most.
    labels (Sequence[str]): All labels, in the order in which they are shown.
    confirmed (Collection[int]): The rows of labelled texts whose label a person has confirmed.
    names (Names | None): The vectors of the names of labels.
    measures (bool): Whether to measure how good predictions are.
    RETURNS (Learned): The result.
    """
    names = names or {}
    carried = {label for known in cats.values() for label, value in known.items() if value == 1.0}
    learnable = [label for label in labels if label in carried or label in names]
    rows = np.array(sorted(row for row in cats if set(cats[row]) & carried), dtype=np.intp)
    if not carried or len(learnable) < 2:
        return _without_labels(space, sorted(cats), labels, names)
    values = np.array([[_value(cats[row], label) for label in learnable] for row in rows])
    extra = weigh_names(space, learnable, names, rows=rows, values=values)
    if extra is not None and exclusive and len(carried) < 2:
        # Many texts of one label would outweigh the names of the others.
        return _without_labels(space, sorted(cats), labels, names)
    if extra is None:
        # Without its name, nothing is known of a label that no text carries.
        kept = [j for j, label in enumerate(learnable) if label in carried]
        learnable, values = [learnable[j] for j in kept], values[:, kept]
    if len(learnable) < 2:
        return _without_labels(space, sorted(cats), labels, {})
    found = fit_classifier(
        space,
        rows,
        values,
        exclusive=exclusive,
        labels=learnable,
        names={} if extra is None else names,
    )
    probabilities = found.probabilities
    predicted = probabilities.argmax(axis=1)
    positive = (values == 1.0).any(axis=1)
    left_out = found.out_of_fold[positive]
    own, sure = rows[positive], values[positive]
    is_right = sure[np.arange(len(own)), left_out.argmax(axis=1)] == 1.0
    # The only text of its label is contradicted by all others.
    is_single = find_single(sure)
    is_settled = is_right | is_single | np.isin(own, list(confirmed))
    suggestions = []
    # With very few labels, probabilities are not adjusted to them yet.
    if (~is_single).sum() >= FEWEST_TO_CHOOSE:
        suggestions = _find_suspects(own, left_out, is_settled, cats, learnable)
    labelled = sorted(cats)
    typical = find_middles(space, labelled=labelled)[:N_SUGGESTED]
    n_left, known = N_SUGGESTED - len(typical), [*labelled, *typical]
    undecided = suggest_uncertain(space, probabilities, labelled=known, n=n_left) if n_left else []

    def explain(row: int) -> str:
        best, second = np.argsort(-probabilities[row], kind="stable")[:2].tolist()
        return "Undecided: " + " or ".join(
            f"{learnable[j]} {100 * probabilities[row, j]:.0f} %" for j in (best, second)
        )

    for chosen, reason in ((typical, explain_typical), (undecided, explain)):
        suggestions += add_others(space, chosen, reason, labelled=labelled, predicted=predicted)
    quality = None
    if measures:
        places = np.flatnonzero(positive)

        def predict_from(some: Ints) -> Floats:
            return found.from_some(places[some])[places]

        quality = measure_quality(left_out, sure, predict_from)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    lists = list_by_label(
        space,
        predicted,
        confidence,
        learnable,
        labelled=labelled,
        counts=(values == 1.0).sum(axis=0).tolist(),
    )
    return Learned(learnable, predicted, confidence, False, quality, suggestions, lists)


def explain_typical(row: int) -> str:
    """RETURNS (str): Why a typical text is suggested."""
    return "Typical of many texts"


def _without_labels(
    space: Space, labelled: Sequence[int], labels: Sequence[str], names: Names
) -> Learned:
    """RETURNS (Learned): What is known before two labels have texts: what their names say."""
    by_names = predict_by_names(space, labels, names)
    chosen = suggest_typical(space, labelled=labelled)
    if by_names is None:
        suggestions = add_others(space, chosen, explain_typical, labelled=labelled, predicted=None)
        none = np.zeros(0)
        return Learned([], none.astype(np.intp), none, False, None, suggestions, [])
    probabilities = by_names.probabilities
    predicted = probabilities.argmax(axis=1)
    suggestions = add_others(space, chosen, explain_typical, labelled=labelled, predicted=predicted)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    lists = list_by_label(
        space,
        predicted,
        confidence,
        by_names.labels,
        labelled=labelled,
        counts=[0] * len(by_names.labels),
    )
    return Learned(by_names.labels, predicted, confidence, True, None, suggestions, lists)


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

    vectors (ndarray): The unit vectors of the n texts, shape (n, d).
    cats: As for `learn`.
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
        reason = f"Labelled {given}, but looks like {says}"
        suspects.append(Suggestion(int(rows[at]), reason, [], 0))
    return suspects
