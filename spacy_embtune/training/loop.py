"""Training outside of spaCy: a step for each batch, a learning rate that falls, and Ctrl-C."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
from thinc.api import Model, Optimizer, get_current_ops
from thinc.types import Floats2d

from ..types import HeadOutput, Loss, PairTargets, Targets
from .row_batches import RowBatch
from .step import head_forward, training_step

Batch = TypeVar("Batch")


def run_steps(
    batches: Iterable[Batch],
    step: Callable[[int, Batch], bool],
    *,
    n_steps: int | None,
    discard_gradients: Callable[[], Any],
) -> int:
    """Run a training step for each batch.

        >>> run_steps(["a", "b"], lambda i, batch: batch != "a", n_steps=2, discard_gradients=dict)
        1

    batches (Iterable): The batches.
    step (Callable): Takes the zero-based number of the batch and the batch. Returns whether it
        changed parameters.
    n_steps (int | None): The number of batches. On Ctrl-C the training then ends with a warning,
        and the parameters stay as they are. None: Ctrl-C is raised to the caller.
    discard_gradients (Callable): Removes the gradients of a step that Ctrl-C ended.
    RETURNS (int): The number of steps that changed parameters.
    """
    n_taken = 0
    try:
        for i, batch in enumerate(batches):
            n_taken += step(i, batch)
    except KeyboardInterrupt:
        discard_gradients()
        if n_steps is None:
            raise
        warnings.warn(
            f"Interrupted after {n_taken} of {n_steps} steps. The estimator keeps what it learned "
            "until then.",
            stacklevel=5,
        )
    return n_taken


def train_head(
    head: Model[Floats2d, HeadOutput],
    loss: Loss,
    optimizer: Optimizer,
    batches: Iterable[RowBatch],
    *,
    learning_rate: float,
    n_steps: int | None = None,
) -> int:
    """Train a head with one training step for each batch.

        >>> import numpy as np
        >>> from thinc.api import Adam
        >>> from spacy_embtune.heads.linear import Linear
        >>> from spacy_embtune.labels import make_targets
        >>> from spacy_embtune.losses import make_cross_entropy
        >>> from spacy_embtune.training import label_batches, train_head
        >>> base = np.eye(4, dtype="float32")
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}] * 2, ["A", "B"], exclusive=True)
        >>> rng = np.random.RandomState(0)
        >>> batches = label_batches(base, targets, batch_size=2, n_epochs=3, rng=rng)
        >>> head = Linear().initialize(X=base, Y=targets.values)
        >>> train_head(head, make_cross_entropy(), Adam(), batches, learning_rate=0.1, n_steps=6)
        6

    head (Model[Floats2d, HeadOutput]): The head, initialized.
    loss (Loss): The loss.
    optimizer (Optimizer): The optimizer.
    batches (Iterable[RowBatch]): The batches.
    learning_rate (float): The learning rate.
    n_steps (int | None): The number of batches. The learning rate then falls linearly to 0, and
        Ctrl-C ends the training with a warning. None: the learning rate is constant, and Ctrl-C is
        raised to the caller.
    RETURNS (int): The number of steps of the optimizer. Batches without a gradient take none.
    """
    optimizer.learn_rate = float(learning_rate)
    forward = head_forward(head)

    def step(i: int, batch: RowBatch) -> bool:
        if n_steps is not None:
            optimizer.learn_rate = float(learning_rate * (1.0 - i / n_steps))
        result = training_step(
            forward,
            head.ops.asarray2f(cast(Any, batch.base)),
            _to_device(batch.targets, head.ops),
            loss,
            apply_gradients=lambda: head.finish_update(optimizer),
        )
        return result.has_gradient

    return run_steps(
        batches, step, n_steps=n_steps, discard_gradients=lambda: _discard_gradients(head)
    )


def _discard_gradients(head: Model[Any, Any]) -> None:
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


@contextlib.contextmanager
def seeded(rng: Any) -> Iterator[None]:
    """Seed the global generator of numpy, from which thinc draws initial weights and dropout, and
    restore its state afterwards.

        >>> import numpy as np
        >>> def draw():
        ...     with seeded(np.random.RandomState(0)):
        ...         return np.random.rand()
        >>> draw() == draw()
        True

    rng (RandomState): The generator that the seed is drawn from.
    """
    # The seed is drawn before the state is kept, because rng is the global generator itself where
    # an estimator has no random_state.
    seed = rng.randint(2**31 - 1)
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    xp: Any = get_current_ops().xp
    if xp is not np:
        # On a GPU, dropout draws from cupy's generator, whose state cannot be restored.
        xp.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
