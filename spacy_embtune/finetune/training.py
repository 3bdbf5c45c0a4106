"""The loop that teaches a head outside of spaCy: batches in, a head that has learned something."""

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.util import registry
from thinc.api import Optimizer, get_current_ops

from ..data import combine_pairs
from ..pipeline.model import Head
from ..types import Loss, Output, PairTargets, Targets
from .rows import ScoredPairs

# How long a fit is, unless it is said: so many steps, but at least so many epochs.
STEPS = 250
LEAST_EPOCHS = 10

# How many rows go through a head at once.
BLOCK = 256


class Lesson(NamedTuple):
    """A batch: base vectors, shape (n, d), and what is known of them, as numpy arrays."""

    base: NDArray[Any]
    targets: Targets


def count_epochs(n: int, batch_size: int, n_epochs: int | None) -> int:
    """RETURNS (int): How many epochs a fit on n documents or pairs takes."""
    if n_epochs is not None:
        return n_epochs
    return max(LEAST_EPOCHS, math.ceil(STEPS / count_batches(n, batch_size)))


def count_batches(n: int, batch_size: int) -> int:
    """RETURNS (int): How many batches n documents or pairs make."""
    return max(math.ceil(n / batch_size), 1)


def batch_rows(n: int, batch_size: int, rng: Any) -> Iterator[NDArray[Any]]:
    """RETURNS (Iterator[ndarray]): The rows 0..n-1 in a new order, in batches of about one size:
    a last one of two documents would be a step as large as the others, on noise."""
    yield from np.array_split(rng.permutation(n), count_batches(n, batch_size))


def take(targets: Targets, rows: NDArray[Any]) -> Targets:
    """RETURNS (Targets): What is known of some of the documents, by their numbers."""
    weights = targets.weights
    return targets._replace(
        values=cast(Any, targets.values)[rows],
        known=cast(Any, targets.known)[rows],
        weights=None if weights is None else cast(Any, weights)[rows],
    )


def label_lessons(
    base: NDArray[Any], targets: Targets, *, batch_size: int, n_epochs: int, rng: Any
) -> Iterator[Lesson]:
    """RETURNS (Iterator[Lesson]): Batches of labelled documents, epoch after epoch."""
    for _ in range(n_epochs):
        for rows in batch_rows(len(base), batch_size, rng):
            yield Lesson(base[rows], take(targets, rows))


def pair_lessons(
    pairs: ScoredPairs, *, batch_size: int, n_epochs: int, rng: Any
) -> Iterator[Lesson]:
    """RETURNS (Iterator[Lesson]): Batches of pairs, each distinct row of a batch once."""
    for _ in range(n_epochs):
        for chosen in batch_rows(len(pairs.scores), batch_size, rng):
            sides = np.concatenate([pairs.first[chosen], pairs.second[chosen]])
            rows, place = np.unique(sides, return_inverse=True)
            first, second = np.split(place, 2)
            explicit = list(zip(first, second, pairs.scores[chosen], strict=True))
            yield Lesson(pairs.base[rows], pair_targets(len(rows), explicit))


def pair_targets(n_rows: int, explicit: list[tuple[int, int, float]]) -> Targets:
    """RETURNS (Targets): What scores of pairs tell of n rows without labels."""
    nothing = cast(Any, np.zeros((n_rows, 0), dtype="float32"))
    return Targets(nothing, nothing, False, pairs=combine_pairs(n_rows, explicit))


def teach(
    head: Head,
    loss: Loss,
    optimizer: Optimizer,
    lessons: Iterable[Lesson],
    *,
    learning_rate: float,
    n_steps: int | None = None,
) -> int:
    """Teach a head, one step of the optimizer a lesson, but for lessons that teach nothing.

    learning_rate (float): The learning rate.
    n_steps (int | None): How many lessons there are: the learning rate then falls linearly to 0,
        and Ctrl-C ends them early with a warning: what has been learned stays. None: the rate
        stays, and Ctrl-C goes on to the caller, whose loop is to end as well.
    RETURNS (int): How many steps were taken.
    """
    step = 0
    optimizer.learn_rate = float(learning_rate)
    try:
        for i, (base, targets) in enumerate(lessons):
            if n_steps is not None:
                optimizer.learn_rate = float(learning_rate * (1.0 - i / n_steps))
            rows: Any = head.ops.asarray2f(cast(Any, base))
            (tuned, scores), backprop = head.begin_update(rows)
            _, gradient = loss(Output(rows, tuned, scores), _to_device(targets, head.ops))
            if not (cast(Any, gradient.tuned).any() or cast(Any, gradient.scores).any()):
                continue
            backprop(gradient)
            head.finish_update(optimizer)
            step += 1
    except KeyboardInterrupt:
        _forget_gradients(head)
        if n_steps is None:
            raise
        warnings.warn(
            f"Interrupted after {step} of {n_steps} steps: what was learned until then is kept.",
            stacklevel=4,
        )
    return step


def apply_head(head: Head, X: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Apply a head, in blocks of one size, so that what becomes of a row does not depend on how
    many come with it.

    X (ndarray): Base vectors, float32, shape (n, d).
    RETURNS (tuple[ndarray, ndarray]): Tuned vectors, shape (n, k), and raw scores, shape (n, L).
    """
    ops: Any = head.ops
    tuned, scores = [], []
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK]
        padded = np.zeros((BLOCK, X.shape[1]), dtype="float32")
        padded[: len(block)] = block
        output = head.predict(ops.asarray2f(cast(Any, padded)))
        tuned.append(ops.to_numpy(output.tuned)[: len(block)])
        scores.append(ops.to_numpy(output.scores)[: len(block)])
    return np.concatenate(tuned), np.concatenate(scores)


def _forget_gradients(head: Head) -> None:
    """Half a step: its gradients must not be part of the next one."""
    for node in head.walk():
        for name in node.param_names:
            if node.has_grad(name):
                node.set_grad(name, node.get_grad(name) * 0.0)


def _to_device(targets: Targets, ops: Any) -> Targets:
    if ops.xp is np:
        return targets
    moved = {
        name: ops.asarray(array)
        for name, array in targets._asdict().items()
        if isinstance(array, np.ndarray)
    }
    if targets.pairs is not None:
        moved["pairs"] = PairTargets(*(ops.asarray(array) for array in targets.pairs))
    return targets._replace(**moved)


def build(section: dict[str, Any]) -> Any:
    """RETURNS (Any): What a section of a config describes. Without the config system's checks of
    types, as the functions check their arguments, and say more.
    """
    arguments = {
        key: build(value) if isinstance(value, dict) else value
        for key, value in section.items()
        if not key.startswith("@")
    }
    for key, name in section.items():
        if key.startswith("@"):
            return registry.get(key[1:], name)(**arguments)
    return arguments


@contextlib.contextmanager
def seeded(rng: Any) -> Iterator[None]:
    """Initialisation and dropout draw from numpy's global generator, as everything of thinc does:
    seed it from one of our own, and leave it afterwards as it was.

    rng (RandomState): Where the seed is drawn from.
    """
    # Before the state is kept: without a random_state, rng is that global generator.
    seed = rng.randint(2**31 - 1)
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    xp: Any = get_current_ops().xp
    if xp is not np:
        # Dropout on a GPU draws from cupy's, whose state cannot be kept.
        xp.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
