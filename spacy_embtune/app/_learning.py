"""What is learned from the labels given so far: predictions, positions, and what to label next."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..finetune import ContrastiveTuner
from ..metrics.ranking import Floats, Ints
from ..plots import project_onto
from ._names import Names, predict_by_names, weigh_names
from ._quality import Quality, measure_quality
from ._ridge import Extra, Ridge, fit_ridge, linear_scores, to_probabilities
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
    """Learn predictions from labels. This takes a fraction of a second.

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
    ridge = fit_to(space, rows, values, exclusive=exclusive, extra=extra)
    probabilities = ridge.probabilities(space.vectors)
    predicted = probabilities.argmax(axis=1)
    positive = (values == 1.0).any(axis=1)
    left_out = to_probabilities(ridge.out_of_fold[positive], ridge.temperature, exclusive)
    own, sure = rows[positive], values[positive]
    is_right = sure[np.arange(len(own)), left_out.argmax(axis=1)] == 1.0
    is_settled = is_right | np.isin(own, list(confirmed))
    suggestions = _find_suspects(own, left_out, is_settled, cats, learnable)

    labelled = sorted(cats)
    typical = find_middles(space, labelled=labelled)[:N_SUGGESTED]
    n_left, known = N_SUGGESTED - len(typical), [*labelled, *typical]
    undecided: list[int] = []
    of_queue = probabilities
    if n_left:
        # Its margins are better than those of the ridge regression: fewer labels reach the same
        # accuracy (benchmarks/README.md).
        of_queue = fit_logistic(space, own, sure, extra) if exclusive else probabilities
        undecided = suggest_uncertain(space, of_queue, labelled=known, n=n_left)

    def explain(row: int) -> str:
        best, second = np.argsort(-of_queue[row], kind="stable")[:2].tolist()
        return "Undecided: " + " or ".join(
            f"{learnable[j]} {100 * of_queue[row, j]:.0f} %" for j in (best, second)
        )

    for chosen, reason in ((typical, explain_typical), (undecided, explain)):
        suggestions += add_others(space, chosen, reason, labelled=labelled, predicted=predicted)
    quality = None
    if measures:

        def fit_some(some: NDArray[np.intp]) -> Ridge:
            at, found = own[some], sure[some]
            lighter = weigh_names(space, learnable, names, rows=at, values=found)
            settings = ridge.penalty, ridge.temperature
            return fit_to(space, at, found, exclusive=exclusive, extra=lighter, settings=settings)

        of_carriers = ridge._replace(out_of_fold=ridge.out_of_fold[positive])
        quality = measure_quality(space.vectors[own], sure, of_carriers, fit_some)
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


def fit_to(
    space: Space,
    rows: NDArray[np.intp],
    values: Floats,
    *,
    exclusive: bool,
    extra: Extra | None = None,
    settings: tuple[float, float] | None = None,
) -> Ridge:
    """Fit the classifier of the page to labelled texts.

    space (Space): The texts.
    rows (ndarray): The rows of the m labelled texts.
    values (Floats): 1, -1 or NaN, shape (m, L).
    exclusive, extra, settings: As for `fit_ridge`.
    RETURNS (Ridge): The classifier.
    """
    return fit_ridge(
        space.vectors[rows].astype(np.float64),
        values,
        mean=space.mean,
        scale=space.scale,
        exclusive=exclusive,
        extra=extra,
        settings=settings,
    )


def fit_logistic(
    space: Space, rows: NDArray[np.intp], values: Floats, extra: Extra | None = None
) -> Floats:
    """Predict exclusive labels by logistic regression.

    space (Space): The n texts.
    rows (ndarray): The rows of the m texts that carry a label.
    values (Floats): 1 where a text carries a label, shape (m, L).
    extra (Extra | None): Further rows to learn from.
    RETURNS (Floats): Probabilities, shape (n, L); 0 for labels that no row carries.
    """
    from sklearn.linear_model import LogisticRegression

    vectors, weights = space.vectors[rows], np.ones(len(rows))
    if extra is not None and len(extra.weights):
        vectors = np.concatenate([vectors, extra.vectors.astype(vectors.dtype)])
        values = np.concatenate([values, extra.values])
        weights = np.concatenate([weights, extra.weights])
    carried = (values == 1.0).argmax(axis=1)
    found = np.zeros((len(space.vectors), values.shape[1]))
    if len(np.unique(carried)) < 2:
        found[:, carried[0]] = 1.0
        return found
    model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        # With few texts of many labels, scikit-learn suspects a regression.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        model.fit((vectors - space.mean) / space.scale, carried, sample_weight=weights)
    scores = linear_scores(
        space.vectors, model.coef_.T, model.intercept_, mean=space.mean, scale=space.scale
    )
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    found[:, model.classes_] = to_probabilities(scores, 1.0, exclusive=True)
    return found


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
