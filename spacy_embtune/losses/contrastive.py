"""Supervised contrastive loss: a document's nearest neighbours should share its labels."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ..labels import array_module, balance_documents
from ..types import Loss, Targets
from ._batch_pairs import Negatives, PairLoss, Pairs, check_negatives


def make_supervised_contrastive(
    temperature: float = 0.1,
    balanced: bool = True,
    negatives: Negatives = "ignore",
) -> Loss:
    """Create the supervised contrastive loss over all pairs of a batch (Khosla et al. 2020,
    "Supervised Contrastive Learning", NeurIPS; their L_out).

    Each document is an anchor. The loss is the cross-entropy between the softmax of its cosines
    with the other documents, divided by the temperature, and the similarities of its pairs. Pairs
    may have graded similarities, and may be unknown: the target of an anchor is the similarity
    times the weight of each of its pairs, normalised to a sum of 1, and each pair counts in the
    softmax by its weight. An unknown pair is neither positive nor negative. An anchor takes part if
    its known pairs differ in similarity. The loss is the mean over these anchors.

    Documents with weights count by their weights, as anchors and in the softmax of other anchors.
    The gradient is the same as with copies of the documents. The number differs from that with
    copies by a constant, because finding a document means finding any of its copies.

        >>> import numpy as np
        >>> from spacy_embtune.labels import make_targets
        >>> from spacy_embtune.types import Output
        >>> targets = make_targets([{label: 1.0} for label in "AABB"], ["A", "B"], exclusive=True)
        >>> base, tuned = np.eye(4), np.eye(4)[[0, 0, 1, 1]]
        >>> loss = make_supervised_contrastive()
        >>> round(loss(Output(base, tuned, np.zeros((4, 2))), targets)[0], 4)
        0.0001
        >>> round(loss(Output(base, np.eye(4), np.zeros((4, 2))), targets)[0], 4)
        1.0986

    temperature (float): The temperature, above 0. With a lower one, the nearest documents of other
        classes have more influence.
    balanced (bool): Whether the anchors of each class have the same total weight, see
        `spacy_embtune.labels.balance_documents`. It has no effect on pairs that do not come from
        labels.
    negatives (str): "class": two documents that both lack a label are similar in that label.
        "ignore": they are not. See `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature!r}: give a number above 0, such as 0.1.")
    return SupervisedContrastive(negatives, temperature, balanced)


@dataclass(frozen=True)
class SupervisedContrastive(PairLoss):
    """The loss that `make_supervised_contrastive` creates."""

    reads_base: ClassVar[bool] = False
    temperature: float
    balanced: bool

    def of_pairs(self, pairs: Pairs, targets: Targets) -> tuple[float, Any]:
        xp = array_module(pairs.cosine)
        known = pairs.weight > 0
        if not known.any():
            return 0.0, None
        most = xp.where(known, pairs.similarity, -1.0).max(axis=1)
        least = xp.where(known, pairs.similarity, 2.0).min(axis=1)
        takes_part = known.any(axis=1) & (most > least)
        if not takes_part.any():
            return 0.0, None
        share = self._shares(xp, targets, pairs, takes_part)

        wanted = pairs.similarity * pairs.weight
        total = wanted.sum(axis=1, keepdims=True)
        wanted = wanted / xp.where(total > 0, total, 1.0)
        logits = pairs.cosine / self.temperature + xp.log(xp.where(known, pairs.weight, 1.0))
        top = xp.where(known, logits, -xp.inf).max(axis=1, keepdims=True)
        logits = xp.where(known, logits - xp.where(xp.isfinite(top), top, 0.0), 0.0)
        found = xp.where(known, xp.exp(logits), 0.0)
        total = found.sum(axis=1, keepdims=True)
        total = xp.where(total > 0, total, 1.0)
        # Without the weight of the pair itself: a document should be found by its cosine.
        log_found = logits - xp.log(xp.where(known, pairs.weight, 1.0)) - xp.log(total)
        if pairs.documents is not None:
            copies = pairs.documents[:, None] * pairs.documents
            log_found = log_found + xp.log(xp.where(known, copies, 1.0))
        loss = -(share * wanted * log_found).sum(dtype="float64")
        d_cosine = share * (found / total - wanted) / self.temperature
        return float(loss), d_cosine

    def _shares(self, xp: Any, targets: Targets, pairs: Pairs, takes_part: Any) -> Any:
        """RETURNS (array): The weight of each anchor in the loss, shape (n, 1), with a sum of 1. An
        anchor without a label, which takes part by its pairs alone, gets the mean weight of the
        anchors with a label."""
        dtype = pairs.cosine.dtype
        share = takes_part.astype(dtype)
        if pairs.documents is not None:
            share = share * pairs.documents
        if self.balanced:
            of_labels = balance_documents(targets, takes_part, negatives=self.negatives)
            has_label = xp.asarray(of_labels) > 0
            if has_label.any():
                mean = of_labels[has_label].mean()
                if pairs.documents is not None:
                    mean = mean / share[has_label].mean()
                share = xp.where(has_label, of_labels, share * mean).astype(dtype)
        return (share / share.sum())[:, None]
