"""Hyperparameters of a head by cross-validation, over vectors that are encoded once."""

import copy
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from thinc.api import Adam, Config

from ..finetune.labels import require_contrast
from ..labels import count_labels, is_exclusive, labels_in, make_targets
from ..metrics import retrieval_scores
from ..training import build_section, label_batches, seeded, select_rows, train_head
from ..types import Loss, Targets
from ._candidates import Candidate, candidates, complete, read_candidate

# How long a search takes, about.
SECONDS = 60.0
# A training is looked at after so many steps.
CHECKPOINTS = (100, 250, 500)
# Then only one of so many goes on, up to the next checkpoint.
KEEP_ONE_OF = 3


class Trial(NamedTuple):
    """How a candidate did after some steps.

    candidate (Candidate): The settings.
    steps (int): After how many steps.
    scores (list[float]): The mean of p@1 and MAP@R among the held-out documents of each fold.
    is_own (bool): Whether these are the settings of the config that the search began with.
    """

    candidate: Candidate
    steps: int
    scores: list[float]
    is_own: bool

    @property
    def mean(self) -> float:
        """RETURNS (float): The mean over the folds."""
        return statistics.mean(self.scores)


class Sweep(NamedTuple):
    """What a search found.

    trials (list[Trial]): All of them, best first.
    base (list[float]): The scores of the base vectors on the same folds.
    n_left (int): Candidates for which there was no time.
    """

    trials: list[Trial]
    base: list[float]
    n_left: int

    @property
    def best(self) -> Trial:
        """RETURNS (Trial): The best."""
        return self.trials[0]

    @property
    def own(self) -> Trial:
        """RETURNS (Trial): The best of the settings that the search began with."""
        return next(trial for trial in self.trials if trial.is_own)

    def gain(self) -> tuple[float, float]:
        """RETURNS (tuple[float, float]): By how much the best is better than what the search began
        with, and the standard error of that over the folds."""
        differences = [a - b for a, b in zip(self.best.scores, self.own.scores, strict=True)]
        return statistics.mean(differences), standard_error(differences)

    def is_evident(self) -> bool:
        """RETURNS (bool): Whether the gain is beyond what folds differ by, by the t-test of level
        0.05. That the best was chosen among many it does not know."""
        from scipy.stats import t

        gain, error = self.gain()
        return bool(gain > t.ppf(0.975, len(self.best.scores) - 1) * error)


def standard_error(scores: Sequence[float]) -> float:
    """RETURNS (float): That of their mean."""
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
    """Search for good settings of a head, by successive halving (Jamieson and Talwalkar 2016): all
    are trained up to the first checkpoint, the best third of them up to the second, and so on.

    vectors (ndarray): Base vectors of the labelled documents, float32, shape (n, d).
    targets (Targets): What is known of their labels.
    own (Candidate): The settings to begin with, which are tried first, up to the last checkpoint.
    batch_size (int): Documents a step.
    n_folds (int): Each candidate learns from all folds but one, and is scored on that one.
    seconds (float): When to stop; at least one candidate beside `own` is tried.
    n_candidates (int | None): How many to try; None: as many as there is time for.
    checkpoints (Sequence[int]): After how many steps each training is scored, in rising order.
    seed (int): For folds, order of the candidates and weights.
    progress (Callable | None): Told how many of how many stretches between checkpoints are done.
    RETURNS (Sweep): The trials.
    RAISES (ValueError): If there are too few documents for the folds, or nothing can be scored.
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
    # How many are trained up to each checkpoint: at last its own settings and the best beside.
    sizes = [
        min(max(math.ceil(len(order) / KEEP_ONE_OF**rung), 2), len(order))
        for rung in range(len(checkpoints))
    ]
    stretches = np.diff([0, *checkpoints])
    # When each rung is to end: its part of the work is its part of the time.
    ends = seconds * np.cumsum(sizes * stretches) / (sizes @ stretches)
    begin = time.monotonic()
    # Made one after the other, as only the best of a rung are kept.
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
    """Documents to learn from, and those held out: vectors, and what is known of them."""

    base: NDArray[Any]
    targets: Targets
    new: NDArray[Any]
    answers: Targets
    batch_size: int


class _Run:
    """A candidate in training: a head for each fold. All are seeded alike, so that what differs is
    the settings."""

    def __init__(self, candidate: Candidate, folds: Sequence[_Fold], seed: int) -> None:
        self.candidate = candidate
        self.steps = 0
        self.loss = build_section(candidate.loss)
        self.heads = [_Head(candidate, fold, seed) for fold in folds]

    def train_to(self, steps: int) -> list[float]:
        """RETURNS (list[float]): The score on the held-out documents of each fold, after so many
        steps in all."""
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
        """RETURNS (float): The score on the held-out documents after so many more steps."""
        with seeded(self.rng):
            part = itertools.islice(self.batches, n_steps)
            train_head(self.head, loss, self.optimizer, part, learning_rate=self.rate)
        ops = self.head.ops
        tuned = ops.to_numpy(self.head.predict(ops.asarray2f(self.fold.new)).tuned)
        return _score(tuned, self.fold.answers)


def make_folds(
    targets: Targets, n_folds: int, rng: Any
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """RETURNS (Iterator[tuple]): For each fold the documents to learn from and those held out, by
    number; with exclusive classes all of them in the same shares."""
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


def write_candidate(config: Config, name: str, trial: Trial) -> Config:
    """RETURNS (Config): The config with the settings of a trial; as it is, if they are its own.

    config (Config): The config to change, not interpolated, so that its variables stay.
    name (str): The component in it.
    trial (Trial): What to set.
    """
    changed = Config(copy.deepcopy(dict(config)))
    if trial.is_own:
        return changed
    candidate = trial.candidate
    changed["components"][name]["model"]["head"] = candidate.head
    changed["components"][name]["loss"] = candidate.loss
    training = changed["training"]
    training["max_steps"] = max(2 * trial.steps, 200)
    # As the search has trained.
    training["optimizer"] = {
        "@optimizers": "Adam.v1",
        "learn_rate": candidate.learn_rate,
        "L2": candidate.weight_decay,
        "L2_is_weight_decay": True,
        "grad_clip": 1.0,
        "use_averages": False,
    }
    return changed


def _score(vectors: NDArray[Any], targets: Targets) -> float:
    found = retrieval_scores(vectors, targets.values, targets.known)
    if found.p_at_1 is None or found.map_at_r is None:
        raise ValueError(
            "The held-out documents of a fold have no label in common: label more, so that each "
            "label that matters occurs a few times in each fold."
        )
    return (found.p_at_1 + found.map_at_r) / 2


def rows(found: Sweep, most: int = 12) -> list[Sequence[str]]:
    """RETURNS (list[Sequence[str]]): The best trials, and the own one, for a table."""
    # Each candidate at its best.
    best = list({id(trial.candidate): trial for trial in reversed(found.trials)}.values())[::-1]
    shown = sorted(best, key=lambda trial: -trial.mean)[:most]
    if not any(trial.is_own for trial in shown):
        shown = [*shown, found.own]
    table: list[Sequence[str]] = []
    for trial in shown:
        settings = trial.candidate.describe()
        mark = "*" if trial.is_own else ""
        score = f"{trial.mean:.3f} ± {standard_error(trial.scores):.3f}"
        table.append([mark, *settings.values(), str(trial.steps), score])
    return table


def sweep_config(
    config: Config, documents: Sequence[Any], *, name: str | None = None, **settings: Any
) -> tuple[str, Sweep]:
    """Search for good settings of the head in a config.

    config (Config): A config for `spacy train`.
    documents (Sequence[Record | Doc]): Labelled documents, with `text` and `cats`.
    name (str | None): The component in the config; None: the only one there is.
    settings: See `sweep`.
    RETURNS (tuple[str, Sweep]): The component's name, and the trials.
    RAISES (ValueError): If there is no such component, its encoder does not read texts or learns
        itself, or the documents do not suffice.
    """
    resolved = config.interpolate()
    found = [
        key
        for key, section in resolved["components"].items()
        if section.get("factory") == "embtune"
    ]
    if name is None and len(found) != 1:
        raise ValueError(
            f"The config has {len(found)} embtune components{': ' if found else ''}"
            f"{', '.join(found)}. Give one that has one, or its name (--name)."
        )
    name = found[0] if name is None else name
    if name not in found:
        raise ValueError(f"The config has no embtune component {name!r}, only {', '.join(found)}.")
    model = resolved["components"][name]["model"]
    if model["encoder"].get("trainable_layers", 0):
        raise ValueError(
            f"[{name}] the encoder learns (trainable_layers): its vectors cannot be made once for "
            "all settings. Search with trainable_layers = 0."
        )
    encoder = build_section(dict(model["encoder"]))
    if not encoder.attrs.get("reads_texts", False):
        raise ValueError(f"[{name}] its encoder takes Docs, not texts: use SentenceTransformer.v1.")
    cats = [document.cats for document in documents]
    exclusive = resolved["components"][name].get("exclusive_classes")
    labels = labels_in(cats)
    if not labels:
        raise ValueError("None of the documents has a label: there is nothing to search by.")
    targets = make_targets(
        cats, labels, exclusive=is_exclusive(cats) if exclusive is None else exclusive
    )
    try:
        require_contrast(targets, np.asarray(labels))
    except ValueError as error:
        raise ValueError(
            "The documents are all of one class, so that there is nothing to search by. Give some "
            "of another, or of which the label is known to be absent (0.0)."
        ) from error
    begin = time.monotonic()
    encoder.initialize()
    vectors = encoder.ops.to_numpy(encoder.predict([document.text for document in documents]))
    batcher = resolved.get("training", {}).get("batcher", {})
    size = batcher.get("size", 64)
    own = read_candidate(resolved, name)
    size = size if isinstance(size, int) else 64
    # Encoding is part of the time that there is.
    settings["seconds"] = settings.get("seconds", SECONDS) - (time.monotonic() - begin)
    return name, sweep(vectors, targets, own, batch_size=size, **settings)
