"""Search for hyperparameters by cross-validation, on base vectors that are encoded once."""

import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from thinc.api import Adam

from ..labels import count_labels
from ..metrics import retrieval_scores
from ..training import build_section, label_batches, seeded, select_rows, train_head
from ..types import Loss, Targets
from ._candidates import Candidate, candidates, complete

# The time limit of a search, in seconds.
SECONDS = 60.0
# Candidates are scored after these numbers of training steps.
CHECKPOINTS = (100, 250, 500)
# One in this many candidates is trained on to the next checkpoint.
KEEP_ONE_OF = 3


class Trial(NamedTuple):
    """The scores of a candidate at a checkpoint.

    candidate (Candidate): The settings.
    steps (int): The number of training steps.
    scores (list[float]): The mean of p@1 and MAP@R on the held-out documents of each fold.
    is_own (bool): Whether these are the settings that the search started with.
    """

    candidate: Candidate
    steps: int
    scores: list[float]
    is_own: bool

    @property
    def mean(self) -> float:
        """RETURNS (float): The mean score over the folds."""
        return statistics.mean(self.scores)


class Sweep(NamedTuple):
    """The result of a search.

    trials (list[Trial]): All trials, best first.
    base (list[float]): The scores of the base vectors on the same folds.
    n_left (int): The number of candidates that were not tried, because the time was over.
    """

    trials: list[Trial]
    base: list[float]
    n_left: int

    @property
    def best(self) -> Trial:
        """RETURNS (Trial): The best trial."""
        return self.trials[0]

    @property
    def own(self) -> Trial:
        """RETURNS (Trial): The best trial of the settings that the search started with."""
        return next(trial for trial in self.trials if trial.is_own)

    def gain(self) -> tuple[float, float]:
        """Compare the best trial with the settings that the search started with.

        RETURNS (tuple[float, float]): The mean difference of the scores, and its standard error
            over the folds.
        """
        differences = [a - b for a, b in zip(self.best.scores, self.own.scores, strict=True)]
        return statistics.mean(differences), standard_error(differences)

    def is_evident(self) -> bool:
        """Test whether the gain is larger than the differences between folds explain, with a
        two-sided t-test at level 0.05. The test does not correct for the choice of the best among
        many candidates.

        RETURNS (bool): Whether the gain is significant.
        """
        from scipy.stats import t

        gain, error = self.gain()
        return bool(gain > t.ppf(0.975, len(self.best.scores) - 1) * error)


def standard_error(scores: Sequence[float]) -> float:
    """Compute the standard error of a mean.

        >>> round(standard_error([0.5, 0.6, 0.7]), 4)
        0.0577

    scores (Sequence[float]): The values, at least 2.
    RETURNS (float): The standard error of their mean.
    """
    return statistics.stdev(scores) / math.sqrt(len(scores))


def sweep(
    vectors: NDArray[Any],
    targets: Targets,
    own: Candidate,
    *,
    batch_size: int = 64,
    n_folds: int = 4,
    seconds: float = SECONDS,
    n_candidates: int | None = None,
    checkpoints: Sequence[int] = CHECKPOINTS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Search for good settings of a head by successive halving (Jamieson and Talwalkar 2016,
    "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS): all
    candidates are trained up to the first checkpoint, the best third of them up to the second, and
    so on.

        >>> from spacy_embtune.labels import make_targets
        >>> rng = np.random.RandomState(0)
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}] * 10, ["A", "B"], exclusive=True)
        >>> vectors = (targets.values @ rng.normal(size=(2, 8)) + 1.0).astype("float32")
        >>> vectors += rng.normal(size=vectors.shape).astype("float32")
        >>> head = {"@architectures": "spacy-embtune.FeedForward.v1", "hidden_width": 8}
        >>> own = Candidate(head, {"@losses": "spacy-embtune.cross_entropy.v1"}, 0.001, 0.01)
        >>> found = sweep(vectors, targets, own, n_candidates=2, checkpoints=(2, 4))
        >>> len(found.trials), found.own.candidate == own
        (4, True)

    vectors (ndarray): The base vectors of the labelled documents, float32, shape (n, d).
    targets (Targets): The targets of the n documents.
    own (Candidate): The settings to start with. They are tried first, and up to the last
        checkpoint.
    batch_size (int): The number of documents in a training step.
    n_folds (int): The number of folds. A candidate is trained on all folds but one and scored on
        that one, for each fold.
    seconds (float): The time limit, in seconds. At least one candidate is tried besides `own`.
    n_candidates (int | None): The number of candidates to try; None: as many as the time allows.
    checkpoints (Sequence[int]): The numbers of steps after which candidates are scored, in rising
        order.
    seed (int): The seed for folds, the order of the candidates, and initial weights.
    progress (Callable | None): Called with the number of finished trials and of all trials.
    RETURNS (Sweep): The trials.
    RAISES (ValueError): If there are too few documents for the folds, or no fold can be scored.
    """
    rng = np.random.RandomState(seed)
    folds = [
        _Fold(
            vectors[known],
            select_rows(targets, known),
            vectors[held],
            select_rows(targets, held),
            batch_size,
        )
        for known, held in make_folds(targets, n_folds, rng)
    ]
    base = [_score(fold.new, fold.answers) for fold in folds]
    others = [other for other in candidates() if complete(other) != complete(own)]
    order = [own, *(others[i] for i in rng.permutation(len(others)))]
    if n_candidates is not None:
        order = order[: max(n_candidates, 1)]
    # The number of candidates at each checkpoint. At the last one, at least two: the settings to
    # start with, and the best of the others.
    sizes = [
        min(max(math.ceil(len(order) / KEEP_ONE_OF**rung), 2), len(order))
        for rung in range(len(checkpoints))
    ]
    new_steps = np.diff([0, *checkpoints])
    # The time at which each rung (the work up to a checkpoint) ends, in proportion to its steps.
    ends = seconds * np.cumsum(sizes * new_steps) / (sizes @ new_steps)
    begin = time.monotonic()
    # A generator, because only the best runs of a rung are kept in memory.
    waiting: Iterable[_Run] = (_Run(candidate, folds, seed) for candidate in order)
    trials: list[Trial] = []
    n_tried = 0
    for rung, steps in enumerate(checkpoints):
        kept: list[tuple[Trial, _Run]] = []
        for i, run in enumerate(waiting):
            scores = run.train_to(steps)
            trial = Trial(run.candidate, steps, scores, run.candidate is own)
            trials.append(trial)
            n_tried += rung == 0
            kept = sorted(
                [*kept, (trial, run)], key=lambda pair: (not pair[0].is_own, -pair[0].mean)
            )
            kept = kept[: max(sizes[rung + 1], 2)] if rung + 1 < len(sizes) else []
            if progress is not None:
                progress(sum(sizes[:rung]) + i + 1, sum(sizes))
            if i >= 1 and time.monotonic() - begin > ends[rung]:
                break
        waiting = [run for _, run in kept]
    trials.sort(key=lambda trial: (-trial.mean, trial.steps))
    return Sweep(trials, base, len(order) - n_tried)


class _Fold(NamedTuple):
    """The training documents (base, targets) and the held-out documents (new, answers)."""

    base: NDArray[Any]
    targets: Targets
    new: NDArray[Any]
    answers: Targets
    batch_size: int


class _Run:
    """The training of a candidate, with a head for each fold. All candidates have the same seed, so
    that only their settings differ."""

    def __init__(self, candidate: Candidate, folds: Sequence[_Fold], seed: int) -> None:
        self.candidate = candidate
        self.steps = 0
        self.loss = build_section(candidate.loss)
        self.heads = [_Head(candidate, fold, seed) for fold in folds]

    def train_to(self, steps: int) -> list[float]:
        """Train up to a number of steps.

        steps (int): The number of steps since the beginning.
        RETURNS (list[float]): The score on the held-out documents of each fold.
        """
        scores = [head.train(self.loss, steps - self.steps) for head in self.heads]
        self.steps = steps
        return scores


class _Head:
    def __init__(self, candidate: Candidate, fold: _Fold, seed: int) -> None:
        self.fold = fold
        self.rate = candidate.learn_rate
        self.rng = np.random.RandomState(seed)
        order = np.random.RandomState(seed)
        self.head = build_section(candidate.head)
        self.optimizer = Adam(
            candidate.learn_rate, L2=candidate.weight_decay, grad_clip=1.0, use_averages=False
        )
        learned = fold.targets._replace(counts=count_labels(fold.targets))
        self.batches = label_batches(
            fold.base, learned, batch_size=fold.batch_size, n_epochs=sys.maxsize, rng=order
        )
        with seeded(self.rng):
            self.head.initialize(X=fold.base, Y=learned.values)

    def train(self, loss: Loss, n_steps: int) -> float:
        """RETURNS (float): The score on the held-out documents after n_steps more steps."""
        with seeded(self.rng):
            part = itertools.islice(self.batches, n_steps)
            train_head(self.head, loss, self.optimizer, part, learning_rate=self.rate)
        ops = self.head.ops
        tuned = ops.to_numpy(self.head.predict(ops.asarray2f(self.fold.new)).tuned)
        return _score(tuned, self.fold.answers)


def make_folds(
    targets: Targets, n_folds: int, rng: Any
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Split the labelled documents into folds, with exclusive classes in the same proportions.

        >>> from spacy_embtune.labels import make_targets
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}] * 4, ["A", "B"], exclusive=True)
        >>> folds = list(make_folds(targets, 2, np.random.RandomState(0)))
        >>> [(len(known), len(held)) for known, held in folds]
        [(4, 4), (4, 4)]

    targets (Targets): The targets of all documents.
    n_folds (int): The number of folds.
    rng (RandomState): The generator for the split.
    YIELDS (tuple[ndarray, ndarray]): The indices of the training documents and of the held-out
        documents of each fold.
    RAISES (ValueError): If there are fewer than 4 labelled documents for each fold.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    values, known = np.asarray(targets.values), np.asarray(targets.known)
    labelled = np.flatnonzero(known.any(axis=1))
    if len(labelled) < 4 * n_folds:
        raise ValueError(
            f"There are {len(labelled)} labelled documents, too few for {n_folds} folds: label at "
            f"least {4 * n_folds}, or take the settings as they are."
        )
    classes = values[labelled].argmax(axis=1)
    smallest = np.bincount(classes)[np.unique(classes)].min()
    if targets.exclusive and smallest >= n_folds:
        splits = StratifiedKFold(n_folds, shuffle=True, random_state=rng).split(labelled, classes)
    else:
        splits = KFold(n_folds, shuffle=True, random_state=rng).split(labelled)
    for known_rows, held_rows in splits:
        yield labelled[known_rows], labelled[held_rows]


def _score(vectors: NDArray[Any], targets: Targets) -> float:
    found = retrieval_scores(vectors, targets.values, targets.known)
    if found.p_at_1 is None or found.map_at_r is None:
        raise ValueError(
            "The held-out documents of a fold have no label in common: label more, so that each "
            "label that matters occurs a few times in each fold."
        )
    return (found.p_at_1 + found.map_at_r) / 2


def summarize(found: Sweep, max_rows: int = 12) -> list[Sequence[str]]:
    """Summarize a search as rows of a table: the best trial of each candidate, and of the settings
    that the search started with, which are marked with "*".

    found (Sweep): The result of the search.
    max_rows (int): The largest number of candidates to show.
    RETURNS (list[Sequence[str]]): The rows: mark, settings, steps, and mean score with its standard
        error.
    """
    # The best trial of each candidate.
    best = list({id(trial.candidate): trial for trial in reversed(found.trials)}.values())[::-1]
    shown = sorted(best, key=lambda trial: -trial.mean)[:max_rows]
    if not any(trial.is_own for trial in shown):
        shown = [*shown, found.own]
    table: list[Sequence[str]] = []
    for trial in shown:
        settings = trial.candidate.describe()
        mark = "*" if trial.is_own else ""
        score = f"{trial.mean:.3f} ± {standard_error(trial.scores):.3f}"
        table.append([mark, *settings.values(), str(trial.steps), score])
    return table
