"""Hyperparameters of a head by cross-validation, over vectors that are encoded once."""

import copy
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray
from thinc.api import Adam, Config

from ..finetune.training import build, count_batches, label_lessons, seeded, take, teach
from ..metrics import retrieval_scores
from ..targets import count_labels, is_exclusive, labels_in, make_targets
from ..types import Targets

# A training is looked at after so many steps.
CHECKPOINTS = (100, 250, 500)
FEED_FORWARD = "spacy-embtune.FeedForward.v1"
CONTRASTIVE = "spacy-embtune.Contrastive.v1"

Section = dict[str, Any]


class Candidate(NamedTuple):
    """Settings to try.

    head, loss (dict): Sections of a config.
    learn_rate, weight_decay (float): Of the optimizer.
    """

    head: Section
    loss: Section
    learn_rate: float
    weight_decay: float

    def describe(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): What tells it from others, for a table."""
        name = self.head["@architectures"].split(".")[1]
        width = self.head.get("hidden_width", "")
        dropout = self.head.get("dropout", "")
        return {
            "head": name,
            "loss": _describe_loss(self.loss),
            "width": f"{width}",
            "dropout": f"{dropout}",
            "rate": f"{self.learn_rate:g}",
        }


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
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        return statistics.mean(differences), error


def sweep(
    vectors: NDArray[Any],
    targets: Targets,
    own: Candidate,
    *,
    batch_size: int = 64,
    n_folds: int = 4,
    seconds: float = 60.0,
    n_candidates: int | None = None,
    checkpoints: Sequence[int] = CHECKPOINTS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Search for good settings of a head.

    vectors (ndarray): Base vectors of the labelled documents, float32, shape (n, d).
    targets (Targets): What is known of their labels.
    own (Candidate): The settings to begin with, which are tried first.
    batch_size (int): Documents a step.
    n_folds (int): Each candidate learns from all folds but one, and is scored on that one.
    seconds (float): When to stop; at least one candidate beside `own` is tried.
    n_candidates (int | None): How many to try; None: as many as there is time for.
    checkpoints (Sequence[int]): After how many steps each training is scored, in rising order.
    seed (int): For folds, order of the candidates and weights.
    progress (Callable | None): Told how many of how many candidates are done.
    RETURNS (Sweep): The trials.
    RAISES (ValueError): If there are too few documents for the folds, or nothing can be scored.
    """
    rng = numpy.random.RandomState(seed)
    folds = list(make_folds(targets, n_folds, rng))
    base = [_score(vectors[held], take(targets, held)) for _, held in folds]
    others = [other for other in candidates(targets) if other != own]
    order = [own, *(others[i] for i in rng.permutation(len(others)))]
    if n_candidates is not None:
        order = order[: max(n_candidates, 1)]
    begin = time.monotonic()
    trials: list[Trial] = []
    done = 0
    for done, candidate in enumerate(order):
        if done > 1 and time.monotonic() - begin > seconds:
            break
        # Seeded alike: what differs is the settings.
        scores = [
            _run(candidate, vectors, targets, known, held, batch_size, checkpoints, seed)
            for known, held in folds
        ]
        trials.extend(
            Trial(candidate, steps, [of_fold[i] for of_fold in scores], candidate is own)
            for i, steps in enumerate(checkpoints)
        )
        if progress is not None:
            progress(done + 1, len(order))
    else:
        done += 1
    trials.sort(key=lambda trial: (-trial.mean, trial.steps))
    return Sweep(trials, base, len(order) - done)


def candidates(targets: Targets) -> list[Candidate]:
    """RETURNS (list[Candidate]): The settings that are worth trying, in no order."""
    found = []
    for width, dropout, rate in itertools.product((100, 200, 384), (0.1, 0.2, 0.4), (3e-4, 1e-3)):
        head = {
            "@architectures": FEED_FORWARD,
            "hidden_width": width,
            "dropout": dropout,
            "activation": "gelu",
        }
        labels: Section = {"@losses": "spacy-embtune.cross_entropy.v1"}
        found.append(Candidate(head, labels, rate, 0.01))
    for preserve, temperature, rate, with_labels in itertools.product(
        (0.0, 10.0, 30.0), (0.05, 0.1, 0.2), (1e-3,), (False, True)
    ):
        head = {
            "@architectures": CONTRASTIVE,
            "hidden_width": 384,
            "output_width": None,
            "dropout": 0.2,
            "residual": True,
        }
        losses: dict[str, Section] = {
            "labels": {
                "@losses": "spacy-embtune.supervised_contrastive.v1",
                "temperature": temperature,
                "balanced": True,
                "negatives": "ignore",
            },
            "preserve": {"@losses": "spacy-embtune.preserve.v1"},
        }
        weights = {"labels": 1.0, "preserve": preserve}
        if with_labels:
            losses["classes"] = {"@losses": "spacy-embtune.cross_entropy.v1"}
        loss: Section = {"@losses": "spacy-embtune.sum.v1", "weights": weights, "losses": losses}
        found.append(Candidate(head, loss, rate, 2.0))
    return found


def make_folds(
    targets: Targets, n_folds: int, rng: Any
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """RETURNS (Iterator[tuple]): For each fold the documents to learn from and those held out, by
    number; with exclusive classes all of them in the same shares."""
    from sklearn.model_selection import KFold, StratifiedKFold

    values, known = numpy.asarray(targets.values), numpy.asarray(targets.known)
    labelled = numpy.flatnonzero(known.any(axis=1))
    if len(labelled) < 4 * n_folds:
        raise ValueError(
            f"There are {len(labelled)} labelled documents, too few for {n_folds} folds: label at "
            f"least {4 * n_folds}, or take the settings as they are."
        )
    classes = values[labelled].argmax(axis=1)
    smallest = numpy.bincount(classes)[numpy.unique(classes)].min()
    if targets.exclusive and smallest >= n_folds:
        splits = StratifiedKFold(n_folds, shuffle=True, random_state=rng).split(labelled, classes)
    else:
        splits = KFold(n_folds, shuffle=True, random_state=rng).split(labelled)
    for known_rows, held_rows in splits:
        yield labelled[known_rows], labelled[held_rows]


def read_candidate(config: Config, name: str) -> Candidate:
    """RETURNS (Candidate): The settings that a config has.

    config (Config): A config for `spacy train`, interpolated.
    name (str): The component in it.
    """
    component = config["components"][name]
    optimizer = config.get("training", {}).get("optimizer", {})
    rate = optimizer.get("learn_rate", 0.001)
    return Candidate(
        dict(component["model"]["head"]),
        dict(component["loss"]),
        float(rate) if isinstance(rate, int | float) else 0.001,
        float(optimizer.get("L2", 0.01)),
    )


def write_candidate(config: Config, name: str, trial: Trial) -> Config:
    """RETURNS (Config): The config with the settings of a trial.

    config (Config): The config to change, not interpolated, so that its variables stay.
    name (str): The component in it.
    trial (Trial): What to set.
    """
    changed = Config(copy.deepcopy(dict(config)))
    candidate = trial.candidate
    changed["components"][name]["model"]["head"] = candidate.head
    changed["components"][name]["loss"] = candidate.loss
    training = changed["training"]
    training["max_steps"] = max(2 * trial.steps, 200)
    training["optimizer"] = {
        **training.get("optimizer", {"@optimizers": "Adam.v1"}),
        "learn_rate": candidate.learn_rate,
        "L2": candidate.weight_decay,
        "L2_is_weight_decay": True,
    }
    return changed


def _run(
    candidate: Candidate,
    vectors: NDArray[Any],
    targets: Targets,
    known: NDArray[Any],
    held: NDArray[Any],
    batch_size: int,
    checkpoints: Sequence[int],
    seed: int,
) -> list[float]:
    """RETURNS (list[float]): The score on the held-out documents after each number of steps."""
    rng = numpy.random.RandomState(seed)
    head, loss = build(candidate.head), build(candidate.loss)
    base, learned = vectors[known], take(targets, known)
    learned = learned._replace(counts=count_labels(learned))
    optimizer = Adam(
        candidate.learn_rate, L2=candidate.weight_decay, grad_clip=1.0, use_averages=False
    )
    n_epochs = math.ceil(checkpoints[-1] / count_batches(len(base), batch_size))
    lessons = label_lessons(base, learned, batch_size=batch_size, n_epochs=n_epochs, rng=rng)
    scores = []
    with seeded(rng):
        head.initialize(X=base, Y=learned.values)
        done = 0
        for steps in checkpoints:
            part = itertools.islice(lessons, steps - done)
            teach(head, loss, optimizer, part, learning_rate=candidate.learn_rate)
            done = steps
            ops = head.ops
            tuned = ops.to_numpy(head.predict(ops.asarray2f(vectors[held])).tuned)
            scores.append(_score(tuned, take(targets, held)))
    return scores


def _score(vectors: NDArray[Any], targets: Targets) -> float:
    found = retrieval_scores(vectors, targets.values, targets.known)
    if found.p_at_1 is None or found.map_at_r is None:
        raise ValueError(
            "The held-out documents of a fold have no label in common: label more, so that each "
            "label that matters occurs a few times in each fold."
        )
    return (found.p_at_1 + found.map_at_r) / 2


def _describe_loss(loss: Section) -> str:
    name: str = loss["@losses"].split(".")[1]
    if name != "sum":
        return name
    weights = loss.get("weights") or {}
    parts = []
    for key, term in loss["losses"].items():
        weight = weights.get(key, 1.0)
        if weight == 0:
            continue
        kind = term["@losses"].split(".")[1].replace("supervised_contrastive", "supcon")
        kind = kind.replace("cross_entropy", "ce")
        details = f" t={term['temperature']:g}" if "temperature" in term else ""
        parts.append(f"{'' if weight == 1 else f'{weight:g} '}{kind}{details}")
    return " + ".join(parts)


def rows(found: Sweep, most: int = 12) -> list[Sequence[str]]:
    """RETURNS (list[Sequence[str]]): The best trials, and the own one, for a table."""
    shown = found.trials[:most]
    if found.own not in shown:
        shown = [*shown, found.own]
    table: list[Sequence[str]] = []
    for trial in shown:
        spread = statistics.stdev(trial.scores)
        settings = trial.candidate.describe()
        mark = "*" if trial.is_own else ""
        score = f"{trial.mean:.3f} ± {spread:.3f}"
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
    encoder = build(dict(model["encoder"]))
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
    encoder.initialize()
    vectors = encoder.ops.to_numpy(encoder.predict([document.text for document in documents]))
    batcher = resolved.get("training", {}).get("batcher", {})
    size = batcher.get("size", 64)
    own = read_candidate(resolved, name)
    size = size if isinstance(size, int) else 64
    return name, sweep(vectors, targets, own, batch_size=size, **settings)
