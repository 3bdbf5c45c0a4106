"""All pairs of a batch: their cosines, their targets, and the backward pass to the vectors."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from thinc.types import Floats2d

from ..labels import array_module, pairs_of, relative_weights
from ..types import HeadOutput, Output, Targets

Negatives: TypeAlias = Literal["ignore", "class"]

# Two base vectors belong to the same text if their cosine differs from 1 by less than this. The
# vectors of one text differ by rounding if it was encoded in different batches.
SAME_TEXT = 1e-5


class Pairs(NamedTuple):
    """All pairs among n documents, as arrays of shape (n, n).

    cosine (array): The cosines of the tuned vectors.
    base_cosine (array): The cosines of the base vectors.
    comparable (array of bool): Which pairs a loss can learn from. It is False for a document with
        itself, for a document without a vector, and for two documents with the same text: their
        tuned vectors are equal whatever the head does, even if their labels contradict each other.
    similarity (array): The wanted similarity of each pair, 0..1; 0 where the weight is 0.
    weight (array): The weight of each pair, including the weights of its documents; 0 for a pair
        that is not comparable or not known.
    documents (array | None): The weight of each document, 0..1, shape (n,), in the dtype of the
        cosines; None if all documents count the same.
    backprop (Callable): Takes the gradient with respect to `cosine` and returns the gradient with
        respect to the output.
    """

    cosine: Any
    base_cosine: Any
    comparable: Any
    similarity: Any
    weight: Any
    documents: Any
    backprop: Callable[[Any], HeadOutput]


@dataclass(frozen=True)
class PairLoss:
    """A loss that is computed from the cosines of the tuned vectors of a batch. A sum compares the
    documents once for all of its pair losses."""

    negatives: Negatives

    @abstractmethod
    def of_pairs(self, pairs: Pairs, targets: Targets) -> tuple[float, Any]:
        """Compute the loss of the pairs of a batch.

        pairs (Pairs): The pairs of n documents.
        targets (Targets): The targets of the n documents.
        RETURNS (tuple[float, array | None]): The loss, and its gradient with respect to the
            cosines, shape (n, n). None: there is nothing to learn from, and the loss is 0.
        """

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compute the loss of a batch.

        output (Output): The output of the model for n documents.
        targets (Targets): The targets of the n documents.
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If output and targets have different numbers of documents.
        """
        pairs = compare(output, targets, self.negatives)
        loss, d_cosine = self.of_pairs(pairs, targets)
        return zero_loss(output) if d_cosine is None else (loss, pairs.backprop(d_cosine))


def compare(output: Output, targets: Targets, negatives: Negatives) -> Pairs:
    """Compare all documents of a batch with each other.

    output (Output): The output of the model for n documents. Its scores are not used.
    targets (Targets): The targets of the n documents.
    negatives (str): "ignore" or "class", see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Pairs): The pairs.
    RAISES (ValueError): If output and targets have different numbers of documents, or the weights
        or pairs of the targets are invalid.
    """
    base, tuned = cast(Any, output.base), cast(Any, output.tuned)
    n = len(tuned)
    if len(targets.values) != n:
        raise ValueError(
            f"There are {n} tuned vectors and targets of {len(targets.values)} documents. Make "
            "both from the same documents."
        )
    xp = array_module(tuned)
    cosine, backprop = cosines(output.tuned)
    base_cosine = cosines(output.base)[0].astype(cosine.dtype)
    has_vector = base.any(axis=1) & tuned.any(axis=1)
    comparable = has_vector[:, None] & has_vector & (base_cosine < 1.0 - SAME_TEXT)
    comparable &= ~xp.eye(n, dtype=bool)
    documents = relative_weights(targets)
    similarity, weight = pairs_of(targets._replace(weights=documents), negatives=negatives)
    if documents is not None:
        documents = xp.asarray(documents).astype(cosine.dtype)
    weight = xp.where(comparable, xp.asarray(weight), 0.0).astype(cosine.dtype)
    similarity = xp.where(weight > 0, xp.asarray(similarity), 0.0).astype(cosine.dtype)

    def backprop_to_output(d_cosine: Any) -> HeadOutput:
        d_scores = xp.zeros_like(cast(Any, output.scores))
        return HeadOutput(backprop(d_cosine), cast(Floats2d, d_scores))

    return Pairs(cosine, base_cosine, comparable, similarity, weight, documents, backprop_to_output)


def cosines(vectors: Floats2d) -> tuple[Any, Callable[[Any], Floats2d]]:
    """Compute the cosines of all pairs of vectors. The cosines of a vector of zeros are 0.

    vectors (Floats2d): The vectors, shape (n, k).
    RETURNS (tuple): The cosines, shape (n, n), and the backward pass. It takes the gradient with
        respect to the cosines, symmetric or not, and returns the gradient with respect to the
        vectors, shape (n, k).
    """
    rows: Any = vectors
    xp = array_module(rows)
    length = xp.sqrt((rows * rows).sum(axis=1, keepdims=True))
    inverse = xp.where(length > 0, 1.0 / xp.where(length > 0, length, 1.0), 0.0)
    unit = rows * inverse

    def backprop(d_cosine: Any) -> Floats2d:
        d_unit = (d_cosine + d_cosine.T) @ unit
        # A change along the row itself changes only its length, not its cosines.
        along = (unit * d_unit).sum(axis=1, keepdims=True)
        return cast(Floats2d, ((d_unit - unit * along) * inverse).astype(rows.dtype))

    return unit @ unit.T, backprop


def zero_loss(output: Output) -> tuple[float, HeadOutput]:
    """RETURNS (tuple[float, HeadOutput]): The loss of a batch without anything to learn from: 0,
    and a gradient of zeros."""
    xp = array_module(output.tuned)
    tuned, scores = cast(Any, output.tuned), cast(Any, output.scores)
    return 0.0, HeadOutput(xp.zeros_like(tuned), xp.zeros_like(scores))


def check_negatives(negatives: str) -> None:
    """Check the setting `negatives`, which all losses on pairs have.

    negatives (str): The setting.
    RAISES (ValueError): If it is neither "ignore" nor "class".
    """
    if negatives not in ("ignore", "class"):
        raise ValueError(f'negatives is {negatives!r}: give "ignore" or "class".')
