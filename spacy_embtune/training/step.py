"""The training step of the package: forward pass, loss, backward pass, and the optimizer's step.

The component, the estimators and the search for settings all train with `training_step`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from thinc.api import Model
from thinc.types import Floats2d

from .._threads import ONE_THREAD
from ..types import HeadOutput, Loss, Output, Targets

Input = TypeVar("Input")
# The backward pass takes the gradient of tuned vectors and scores, and adds up the gradients of the
# parameters.
Backward: TypeAlias = Callable[[HeadOutput], Any]


class StepResult(NamedTuple):
    """The result of a training step.

    loss (float): The loss of the batch.
    has_gradient (bool): Whether the gradient of the loss has a value other than 0. If not, the step
        ran no backward pass and did not call the optimizer.
    """

    loss: float
    has_gradient: bool


def training_step(
    forward: Callable[[Input], tuple[Output, Backward]],
    inputs: Input,
    targets: Targets,
    loss: Loss,
    *,
    apply_gradients: Callable[[], Any] | None = None,
) -> StepResult:
    """Run one training step on a batch of n documents.

        >>> import numpy as np
        >>> from thinc.api import Adam
        >>> from spacy_embtune.heads.linear import Linear
        >>> from spacy_embtune.labels import make_targets
        >>> from spacy_embtune.losses import make_cross_entropy
        >>> from spacy_embtune.training import head_forward, training_step
        >>> base = np.eye(2, 4, dtype="float32")
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
        >>> head = Linear().initialize(X=base, Y=targets.values)
        >>> optimizer = Adam(0.1)
        >>> losses = [
        ...     training_step(
        ...         head_forward(head),
        ...         base,
        ...         targets,
        ...         make_cross_entropy(),
        ...         apply_gradients=lambda: head.finish_update(optimizer),
        ...     ).loss
        ...     for _ in range(2)
        ... ]
        >>> losses[1] < losses[0]
        True

    forward (Callable): Runs the forward pass on the inputs. Returns the output for the n documents
        and the backward pass.
    inputs (Input): What `forward` takes: base vectors, or texts.
    targets (Targets): The targets of the n documents, on the device of the output.
    loss (Loss): The loss.
    apply_gradients (Callable | None): Lets the optimizer change the parameters. It is called only
        if the gradient is not 0 everywhere. None: the gradients stay and are added to those of the
        next step; the caller applies them later.
    RETURNS (StepResult): The loss, and whether there was a gradient.
    """
    with ONE_THREAD:
        output, backward = forward(inputs)
        value, gradient = loss(output, targets)
        if not (cast(Any, gradient.tuned).any() or cast(Any, gradient.scores).any()):
            return StepResult(value, False)
        backward(gradient)
        if apply_gradients is not None:
            apply_gradients()
    return StepResult(value, True)


def head_forward(
    head: Model[Floats2d, HeadOutput], *, compared: Floats2d | None = None
) -> Callable[[Floats2d], tuple[Output, Callable[[HeadOutput], Floats2d]]]:
    """Make the forward pass of a head, for `training_step`.

        >>> import numpy as np
        >>> from spacy_embtune.heads.linear import Linear
        >>> base = np.eye(2, 4, dtype="float32")
        >>> head = Linear().initialize(X=base, Y=np.eye(2, 3, dtype="float32"))
        >>> output, backward = head_forward(head)(base)
        >>> output.tuned.shape, output.scores.shape
        ((2, 4), (2, 3))

    head (Model[Floats2d, HeadOutput]): The head.
    compared (Floats2d | None): The base vectors that losses compare with, shape (n, d). None: the
        vectors that the head gets.
    RETURNS (Callable): Takes base vectors, shape (n, d). Returns the output and the backward pass,
        which returns the gradient of the base vectors, shape (n, d).
    """

    def forward(base: Floats2d) -> tuple[Output, Callable[[HeadOutput], Floats2d]]:
        (tuned, scores), backward = head.begin_update(base)
        return Output(base if compared is None else compared, tuned, scores), backward

    return forward
