"""How alike documents are: losses on the cosines themselves, or on their order."""

from dataclasses import dataclass
from typing import ClassVar

from ..labels import array_module
from ..types import HeadOutput, Loss, Output, Targets
from ._batch_pairs import Negatives, check_negatives, compare, nothing

# Similarities closer than this are the same: quotients of the same value may be rounded apart.
_GRID = 1e-5
# The largest scale for which every exponential of a difference of cosines is a float64 above 0.
_MAX_SCALE = 300.0


def make_cosine_pairs(negatives: Negatives = "ignore") -> Loss:
    """Create the squared error of the cosines: the cosine of two tuned vectors should be the
    similarity of their documents, 0 for different labels (the loss of embetter's ContrastiveTuner,
    of all pairs of a batch instead of sampled ones). The mean over the pairs, by their weights.

    negatives (str): "ignore" or "class": whether sharing an absent label makes documents alike,
        see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    return CosinePairs(negatives)


@dataclass(frozen=True)
class CosinePairs:
    """The loss that `make_cosine_pairs` creates and describes."""

    reads_base: ClassVar[bool] = False
    negatives: Negatives

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compare the tuned vectors of a batch with each other.

        output (Output): What the model makes of n documents.
        targets (Targets): What is known of them.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If there are not as many targets as documents.
        """
        pairs = compare(output, targets, self.negatives)
        total = pairs.weight.sum()
        if not total > 0:
            return nothing(output)
        weight = pairs.weight / total
        error = pairs.cosine - pairs.similarity
        loss = (weight * error * error).sum(dtype="float64")
        return float(loss), pairs.backprop(2.0 * weight * error)


def make_cosent(scale: float = 20.0, negatives: Negatives = "ignore") -> Loss:
    """Create the CoSENT loss: of any two pairs of documents, the more similar one should have the
    larger cosine (Su 2022; sentence-transformers' CoSENTLoss). For graded similarities: their order
    matters, not their size.

        log(1 + sum of exp(scale * (cosine of the less similar - cosine of the more similar)))

    over all pairs of pairs of different similarity, each counting by the product of its weights
    (mean 1 over the pairs known of the batch).

    If documents have weights, the sum is that of copies but for a factor, the same for all its
    terms: it does not grow with how many copies there are. The weights of the pairs then sum to how
    many are effectively known, (sum w)^2 / sum w^2 (Kish 1965, "Survey Sampling"), where w is the
    product of the weights of a pair's two documents.

    scale (float): Above 0 and up to 300: the inverse of a temperature.
    negatives (str): "ignore" or "class": whether sharing an absent label makes documents alike,
        see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    if not 0.0 < scale <= _MAX_SCALE:
        raise ValueError(f"scale is {scale!r}: give a number above 0 and up to {_MAX_SCALE:g}.")
    return CoSENT(scale, negatives)


@dataclass(frozen=True)
class CoSENT:
    """The loss that `make_cosent` creates and describes."""

    reads_base: ClassVar[bool] = False
    scale: float
    negatives: Negatives

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compare the pairs of a batch with each other. Time and memory grow with the number of
        pairs, not with its square.

        output (Output): What the model makes of n documents.
        targets (Targets): What is known of them.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If there are not as many targets as documents.
        """
        pairs = compare(output, targets, self.negatives)
        xp = array_module(pairs.cosine)
        # Each pair once; with both of its directions the sum would be four times as large.
        rows, columns = xp.nonzero(xp.triu(pairs.weight > 0, 1))
        level = xp.rint(pairs.similarity[rows, columns] / _GRID)
        if len(rows) == 0 or not (level != level[0]).any():
            return nothing(output)
        order = level.argsort()
        rows, columns, level = rows[order], columns[order], level[order]
        cosine = pairs.cosine[rows, columns].astype("float64")
        weight = pairs.weight[rows, columns].astype("float64")
        weight = weight / weight.mean()
        if pairs.documents is not None:
            copies = (pairs.documents[rows] * pairs.documents[columns]).astype("float64")
            weight = weight * (copies.sum() ** 2 / (copies * copies).sum() / len(copies))

        # The sum over pairs of pairs is one of products: for each pair, what is below it in
        # similarity is a prefix of the sorted list, and what is above is a suffix.
        centre = (cosine.max() + cosine.min()) / 2.0
        up = weight * xp.exp(self.scale * (cosine - centre))
        down = weight * xp.exp(self.scale * (centre - cosine))
        zero = xp.zeros(1, dtype="float64")
        up_before = xp.concatenate([zero, xp.cumsum(up)])
        down_after = xp.concatenate([xp.cumsum(down[::-1])[::-1], zero])
        lower = up_before[xp.searchsorted(level, level, side="left")]
        upper = down_after[xp.searchsorted(level, level, side="right")]
        total = (down * lower).sum()
        d_pairs = self.scale * (up * upper - down * lower) / (1.0 + total)
        d_cosine = xp.zeros_like(pairs.cosine)
        d_cosine[rows, columns] = d_pairs
        return float(xp.log1p(total)), pairs.backprop(d_cosine)


def make_preserve(negatives: Negatives = "ignore") -> Loss:
    """Create the squared error between the cosines of the tuned vectors and those of the base
    vectors: what the encoder knows should not get lost. A term for `sum`, against collapse (all
    documents of a label in one point) and for documents without labels, which take part as well.

    A pair takes part as far as it is not known to be different: wholly if nothing is known of it,
    by its similarity otherwise, times the weights of its documents. The loss is the mean over the
    pairs by these weights, of the error that is left when all cosines are shifted by the same:
    heads remove what all texts have in common, and losses on pairs raise those of all similar
    pairs.

    negatives (str): "ignore" or "class": whether sharing an absent label makes documents alike,
        see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    check_negatives(negatives)
    return Preserve(negatives)


@dataclass(frozen=True)
class Preserve:
    """The loss that `make_preserve` creates and describes."""

    reads_base: ClassVar[bool] = True
    negatives: Negatives

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compare tuned vectors with base vectors.

        output (Output): What the model makes of n documents.
        targets (Targets): What is known of them.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If there are not as many targets as documents.
        """
        pairs = compare(output, targets, self.negatives)
        xp = array_module(pairs.cosine)
        weight = xp.where(pairs.weight > 0, pairs.similarity, 1.0) * pairs.comparable
        if pairs.documents is not None:
            weight = weight * (pairs.documents[:, None] * pairs.documents)
        total = weight.sum()
        if not total > 0:
            return nothing(output)
        weight = (weight / total).astype(pairs.cosine.dtype)
        change = pairs.cosine - pairs.base_cosine
        error = change - (weight * change).sum()
        loss = (weight * error * error).sum(dtype="float64")
        return float(loss), pairs.backprop(2.0 * weight * error)
