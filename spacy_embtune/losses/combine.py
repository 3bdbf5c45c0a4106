"""The weighted sum of several losses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..types import HeadOutput, Loss, Output, Targets
from ._batch_pairs import Negatives, PairLoss, Pairs, compare, zero_loss


def make_sum(losses: dict[str, Any], weights: dict[str, float] | None = None) -> Loss:
    """Create the weighted sum of several losses. In a config each loss has a section of its own,
    whose name is the name of the loss in `weights`:

        [components.embtune.loss]
        @losses = "spacy-embtune.sum.v1"
        weights = {"labels": 0.5}

        [components.embtune.loss.losses]

        [components.embtune.loss.losses.labels]
        @losses = "spacy-embtune.cross_entropy.v1"

        [components.embtune.loss.losses.pairs]
        @losses = "spacy-embtune.supervised_contrastive.v1"

    In Python:

        >>> from spacy_embtune.losses import make_cross_entropy, make_preserve, make_sum
        >>> loss = make_sum({"labels": make_cross_entropy(), "p": make_preserve()}, {"p": 3.0})
        >>> [weight for weight, _ in loss.terms]
        [1.0, 3.0]

    losses (dict[str, Loss]): The losses by name.
    weights (dict[str, float] | None): The weights by name, 0 or more. A loss without a weight has
        weight 1. A loss with weight 0 is not computed.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If there are no losses, if a loss cannot be called, or if a weight is out
        of range or has the name of no loss.
    """
    # The signature has Any for losses, because the config system checks types before it builds the
    # losses of the sections inside a dict.
    if not isinstance(losses, Mapping) or not losses:
        raise ValueError(
            f"losses is {losses!r}: give at least one loss by name, in a config as "
            "[components.embtune.loss.losses.NAME] with @losses."
        )
    for name, loss in losses.items():
        if not callable(loss):
            raise ValueError(f"losses: {name!r} is {loss!r}, not a loss. Give it an @losses.")
    weights = {} if weights is None else weights
    for name, weight in weights.items():
        if name not in losses:
            raise ValueError(f"weights: there is no loss {name!r}, only {', '.join(losses)}.")
        if not 0.0 <= weight < math.inf:
            raise ValueError(f"weights: {name!r} is {weight!r}: give a number of 0 or more.")
    return Sum(tuple((weights.get(name, 1.0), loss) for name, loss in losses.items()))


@dataclass(frozen=True)
class Sum:
    """The loss that `make_sum` creates."""

    terms: tuple[tuple[float, Loss], ...]

    @property
    def reads_base(self) -> bool:
        """RETURNS (bool): Whether any of the losses uses base vectors."""
        return any(getattr(loss, "reads_base", True) for weight, loss in self.terms if weight)

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compute the weighted sum of the losses of a batch.

        output (Output): The output of the model for n documents.
        targets (Targets): The targets of the n documents.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        """
        total, gradient = zero_loss(output)
        tuned, scores = cast(Any, gradient.tuned), cast(Any, gradient.scores)
        # Losses on pairs share the comparison of the documents and its backward pass.
        compared: dict[Negatives, tuple[Pairs, list[Any]]] = {}
        for weight, loss in self.terms:
            if weight == 0:
                continue
            if isinstance(loss, PairLoss):
                if loss.negatives not in compared:
                    compared[loss.negatives] = compare(output, targets, loss.negatives), []
                pairs, gradients = compared[loss.negatives]
                value, d_cosine = loss.of_pairs(pairs, targets)
                if d_cosine is not None:
                    gradients.append(weight * d_cosine)
            else:
                value, (d_tuned, d_scores) = loss(output, targets)
                tuned, scores = tuned + weight * d_tuned, scores + weight * d_scores
            total += weight * value
        for pairs, gradients in compared.values():
            if gradients:
                tuned = tuned + pairs.backprop(sum(gradients[1:], gradients[0])).tuned
        return total, HeadOutput(tuned, scores)
