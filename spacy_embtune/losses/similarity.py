"""Losses on the cosines themselves: of labelled or scored pairs, or of the base vectors."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..labels import array_module
from ..types import Loss, Targets
from ._batch_pairs import Negatives, PairLoss, Pairs, check_negatives


def make_cosine_pairs(negatives: Negatives = "ignore") -> Loss:
    """Create the mean squared error between the cosines of the tuned vectors and the similarities
    of their documents: 1 for the same labels, 0 for different labels, or the score of the pair. The
    mean is over all pairs of a batch and by their weights. (The loss of embetter's
    ContrastiveTuner, which takes it over sampled pairs.)

        >>> import numpy as np
        >>> from spacy_embtune.labels import make_targets
        >>> from spacy_embtune.types import Output
        >>> targets = make_targets([{label: 1.0} for label in "AABB"], ["A", "B"], exclusive=True)
        >>> base, tuned = np.eye(4), np.eye(4)[[0, 0, 1, 1]]
        >>> loss, no_scores = make_cosine_pairs(), np.zeros((4, 2))
        >>> loss(Output(base, tuned, no_scores), targets)[0]
        0.0
        >>> round(loss(Output(base, np.eye(4), no_scores), targets)[0], 4)
        0.3333

    negatives (str): "class": two documents that both lack a label are similar in that label.
        "ignore": they are not. See `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    return CosinePairs(negatives)


@dataclass(frozen=True)
class CosinePairs(PairLoss):
    """The loss that `make_cosine_pairs` creates."""

    reads_base: ClassVar[bool] = False

    def of_pairs(self, pairs: Pairs, targets: Targets) -> tuple[float, Any]:
        total = pairs.weight.sum()
        if not total > 0:
            return 0.0, None
        weight = pairs.weight / total
        error = pairs.cosine - pairs.similarity
        loss = (weight * error * error).sum(dtype="float64")
        return float(loss), 2.0 * weight * error


def make_preserve(negatives: Negatives = "ignore") -> Loss:
    """Create the mean squared error between the cosines of the tuned vectors and the cosines of the
    base vectors, so that a head keeps what the encoder knows. It is meant as a part of `sum`. It
    works against collapse (all documents of a label in one point), and learns from documents
    without labels as well.

    A pair counts by its similarity, or with 1 if its similarity is unknown, times the weights of
    its documents. So pairs that should be different do not count. The mean difference of all
    cosines is subtracted before squaring, because heads remove what all texts have in common, and
    losses on pairs raise the cosines of all similar pairs.

        >>> import numpy as np
        >>> from spacy_embtune.labels import make_targets
        >>> from spacy_embtune.types import Output
        >>> targets = make_targets([{label: 1.0} for label in "AABB"], ["A", "B"], exclusive=True)
        >>> base = np.eye(4)[[0, 1, 0, 1]] + 0.1 * np.eye(4)
        >>> loss, no_scores = make_preserve(), np.zeros((4, 2))
        >>> loss(Output(base, 2.0 * base, no_scores), targets)[0]
        0.0

    negatives (str): "class": two documents that both lack a label are similar in that label.
        "ignore": they are not. See `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    return Preserve(negatives)


@dataclass(frozen=True)
class Preserve(PairLoss):
    """The loss that `make_preserve` creates."""

    reads_base: ClassVar[bool] = True

    def of_pairs(self, pairs: Pairs, targets: Targets) -> tuple[float, Any]:
        xp = array_module(pairs.cosine)
        weight = xp.where(pairs.weight > 0, pairs.similarity, 1.0) * pairs.comparable
        if pairs.documents is not None:
            weight = weight * (pairs.documents[:, None] * pairs.documents)
        total = weight.sum()
        if not total > 0:
            return 0.0, None
        weight = (weight / total).astype(pairs.cosine.dtype)
        change = pairs.cosine - pairs.base_cosine
        error = change - (weight * change).sum()
        loss = (weight * error * error).sum(dtype="float64")
        return float(loss), 2.0 * weight * error
