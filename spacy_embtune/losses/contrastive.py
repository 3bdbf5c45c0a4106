"""Which documents are closer than others: losses that compare the pairs of a batch."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..labels import array_module, balance_documents
from ..types import HeadOutput, Loss, Output, Targets
from ._batch_pairs import Negatives, Pairs, check_negatives, compare, nothing


def make_supervised_contrastive(
    temperature: float = 0.1,
    balanced: bool = True,
    negatives: Negatives = "ignore",
) -> Loss:
    """Create the supervised contrastive loss of all pairs of a batch (Khosla et al. 2020,
    "Supervised Contrastive Learning", NeurIPS; their L_out).

    Each document is an anchor: a softmax over its cosines with the others, divided by the
    temperature, should find those that resemble it. Here pairs may be graded and known in part: an
    anchor's target is its pairs' similarity times weight, brought to sum to 1, and a pair counts
    in the softmax as much as it weighs. A pair of which nothing is known is neither positive nor
    negative. An anchor takes part if some document resembles it more than some other, that is, if
    it has something to tell apart; the loss is the mean over these.

    If documents have weights, they count by them, as anchors and in the softmax of others. The
    gradient is that of copies. The number differs from theirs by a constant, as to find a document
    is to find any of its copies: it does not grow with how many there are.

    temperature (float): Above 0. The lower, the more the nearest of the wrong documents matter.
    balanced (bool): Whether the anchors of each class weigh the same in total, see
        `spacy_embtune.labels.balance_documents`. Without effect on pairs that do not come from
        labels.
    negatives (str): "ignore" or "class": whether sharing an absent label makes documents alike,
        see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature!r}: give a number above 0, such as 0.1.")
    return SupervisedContrastive(temperature, balanced, negatives)


@dataclass(frozen=True)
class SupervisedContrastive:
    """The loss that `make_supervised_contrastive` creates and describes."""

    reads_base: ClassVar[bool] = False
    temperature: float
    balanced: bool
    negatives: Negatives

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compare the tuned vectors of a batch with each other.

        output (Output): What the model makes of n documents.
        targets (Targets): What is known of them.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If there are not as many targets as documents.
        """
        pairs = compare(output, targets, self.negatives)
        xp = array_module(pairs.cosine)
        known = pairs.weight > 0
        if not known.any():
            return nothing(output)
        most = xp.where(known, pairs.similarity, -1.0).max(axis=1)
        least = xp.where(known, pairs.similarity, 2.0).min(axis=1)
        takes_part = known.any(axis=1) & (most > least)
        if not takes_part.any():
            return nothing(output)
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
        # Of a pair as if it weighed 1, so that each is to be found for its cosine, not its weight.
        log_found = logits - xp.log(xp.where(known, pairs.weight, 1.0)) - xp.log(total)
        if pairs.documents is not None:
            copies = pairs.documents[:, None] * pairs.documents
            log_found = log_found + xp.log(xp.where(known, copies, 1.0))
        loss = -(share * wanted * log_found).sum(dtype="float64")
        d_cosine = share * (found / total - wanted) / self.temperature
        return float(loss), pairs.backprop(d_cosine)

    def _shares(self, xp: Any, targets: Targets, pairs: Pairs, takes_part: Any) -> Any:
        """RETURNS (array): How much each anchor's loss counts, shape (n, 1), 1 in sum. One that
        carries no label, and takes part by its pairs alone, counts as those that do in the mean."""
        dtype = pairs.cosine.dtype
        share = takes_part.astype(dtype)
        if pairs.documents is not None:
            share = share * pairs.documents
        if self.balanced:
            of_labels = balance_documents(targets, takes_part, negatives=self.negatives)
            carries = xp.asarray(of_labels) > 0
            if carries.any():
                mean = of_labels[carries].mean()
                if pairs.documents is not None:
                    mean = mean / share[carries].mean()
                share = xp.where(carries, of_labels, share * mean).astype(dtype)
        return (share / share.sum())[:, None]


def make_triplet(
    margin: float = 0.2,
    mining: Literal["semi-hard", "hard"] = "semi-hard",
    negatives: Negatives = "ignore",
) -> Loss:
    """Create the triplet loss of a batch, on the cosine distance 1 - cosine: a document of another
    kind should be farther from an anchor than one of its own kind, by a margin.

    A pair is negative if its similarity is 0, and otherwise positive, with its similarity times
    weight as the weight of the triplet. The loss is the weighted mean over the triplets of
    max(0, d(anchor, positive) - d(anchor, negative) + margin). For graded similarities `cosent` is
    the better choice.

    A triplet also counts by the weights of the documents, if they have any: by that of its anchor,
    and by that of the positive, unless that was mined. What is mined is one document, however many
    copies there are of it, and so counts wholly even if its weight is close to 0.

    margin (float): In 0..2, the range of the distance, without 0.
    mining (str): Which triplets. "semi-hard": each positive, with the closest negative that is
        farther than it, or, if there is none, with the farthest negative (Schroff et al. 2015,
        "FaceNet", CVPR). "hard": for each anchor the farthest positive with the closest negative
        (Hermans et al. 2017, "In Defense of the Triplet Loss"): more strict, and misled by wrong
        labels.
    negatives (str): "ignore" or "class": whether sharing an absent label makes documents alike,
        see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    if not 0.0 < margin <= 2.0:
        raise ValueError(f"margin is {margin!r}: give a number above 0 and up to 2, such as 0.2.")
    if mining not in ("semi-hard", "hard"):
        raise ValueError(f'mining is {mining!r}: give "semi-hard" or "hard".')
    return Triplet(margin, mining, negatives)


@dataclass(frozen=True)
class Triplet:
    """The loss that `make_triplet` creates and describes."""

    reads_base: ClassVar[bool] = False
    margin: float
    mining: Literal["semi-hard", "hard"]
    negatives: Negatives

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compare the tuned vectors of a batch with each other.

        output (Output): What the model makes of n documents.
        targets (Targets): What is known of them.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If there are not as many targets as documents.
        """
        pairs = compare(output, targets, self.negatives)
        xp = array_module(pairs.cosine)
        is_positive = (pairs.weight > 0) & (pairs.similarity > 0)
        is_negative = (pairs.weight > 0) & (pairs.similarity == 0)
        is_positive = is_positive & is_negative.any(axis=1, keepdims=True)
        if not is_positive.any():
            return nothing(output)
        if self.mining == "hard":
            anchor = xp.flatnonzero(is_positive.any(axis=1))
            positive = xp.where(is_positive, pairs.cosine, xp.inf)[anchor].argmin(axis=1)
            negative = xp.where(is_negative, pairs.cosine, -xp.inf)[anchor].argmax(axis=1)
        else:
            anchor, positive = xp.nonzero(is_positive)
            negative = _semi_hard(xp, pairs.cosine, is_negative, anchor, positive)

        weight = (pairs.similarity * pairs.weight)[anchor, positive]
        if pairs.documents is not None and self.mining == "hard":
            weight = weight / pairs.documents[positive]
        weight = weight / weight.sum()
        violation = pairs.cosine[anchor, negative] - pairs.cosine[anchor, positive] + self.margin
        loss = (weight * xp.maximum(violation, 0.0)).sum(dtype="float64")
        pull = xp.where(violation > 0, weight, 0.0)
        n = len(pairs.cosine)
        d_cosine = xp.bincount(anchor * n + negative, pull, minlength=n * n)
        d_cosine = d_cosine - xp.bincount(anchor * n + positive, pull, minlength=n * n)
        d_cosine = d_cosine.reshape(n, n).astype(pairs.cosine.dtype)
        return float(loss), pairs.backprop(d_cosine)


def _semi_hard(xp: Any, cosine: Any, is_negative: Any, anchor: Any, positive: Any) -> Any:
    """RETURNS (array of int): For each pair of an anchor and a positive, shape (p,), the negative
    whose cosine is the largest below that of the positive, else the smallest of all."""
    n = len(cosine)
    # One sorted list for all anchors, each with a range of its own, so that one search serves all:
    # no array is larger than (n, n), where all triplets would be n * n * n.
    start = 8.0 * xp.arange(n, dtype="float64")[:, None]
    keys = xp.where(is_negative, cosine.astype("float64"), 4.0)
    order = keys.argsort(axis=1)
    keys = xp.take_along_axis(keys, order, axis=1) + start
    wanted = cosine[anchor, positive].astype("float64") + start[anchor, 0]
    place = xp.searchsorted(keys.ravel(), wanted) - 1
    return order.ravel()[xp.maximum(place, anchor * n)]
