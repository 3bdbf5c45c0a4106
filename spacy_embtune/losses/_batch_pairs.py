"""The pairs of a batch: their cosines, what is known of them, and the way back to the vectors."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from thinc.types import Floats2d

from ..labels import array_module, pairs_of, relative_weights
from ..types import HeadOutput, Output, Targets

Negatives: TypeAlias = Literal["ignore", "class"]

# Base vectors whose cosine is this close to 1 are of the same text: the rest is rounding, which
# differs with the batch in which the text was encoded.
SAME_TEXT = 1e-5


class Pairs(NamedTuple):
    """All pairs among n documents, as arrays of shape (n, n).

    cosine (array): Of the tuned vectors.
    base_cosine (array): Of the base vectors.
    comparable (array of bool): Which pairs have anything to teach. Not a document with itself, nor
        with one that has no vector, nor one text that occurs twice: whatever a head does, their
        tuned vectors are the same, so there is nothing to be learned, and no harm if their labels
        contradict each other.
    similarity (array): How alike the documents are to become, 0..1; 0 where the weight is.
    weight (array): How much each pair counts, the weights of its documents included; 0 for a pair
        that is not comparable, or of which nothing is known.
    documents (array | None): How much each document counts, 0..1, shape (n,), in the dtype of the
        cosines; None if all count the same.
    backprop (Callable): Takes the gradient with respect to `cosine` to the one of the output.
    """

    cosine: Any
    base_cosine: Any
    comparable: Any
    similarity: Any
    weight: Any
    documents: Any
    backprop: Callable[[Any], HeadOutput]


def compare(output: Output, targets: Targets, negatives: Negatives) -> Pairs:
    """Compare all documents of a batch with each other.

    output (Output): What the model makes of n documents; only base and tuned vectors matter.
    targets (Targets): What is known of them.
    negatives (str): "ignore" or "class", see `spacy_embtune.labels.pair_similarity`.
    RETURNS (Pairs): The pairs.
    RAISES (ValueError): If there are not as many targets as documents, or their weights or pairs
        are not valid.
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
    """Compute the cosines of all pairs of vectors; a vector of zeros has a cosine of 0 with all.

    vectors (Floats2d): The vectors, shape (n, k).
    RETURNS (tuple): Cosines, shape (n, n), and the callback that takes the gradient with respect
        to them, symmetric or not, and returns the one with respect to the vectors, shape (n, k).
    """
    rows: Any = vectors
    xp = array_module(rows)
    length = xp.sqrt((rows * rows).sum(axis=1, keepdims=True))
    inverse = xp.where(length > 0, 1.0 / xp.where(length > 0, length, 1.0), 0.0)
    unit = rows * inverse

    def backprop(d_cosine: Any) -> Floats2d:
        d_unit = (d_cosine + d_cosine.T) @ unit
        # What points along a row itself would only change its length.
        along = (unit * d_unit).sum(axis=1, keepdims=True)
        return cast(Floats2d, ((d_unit - unit * along) * inverse).astype(rows.dtype))

    return unit @ unit.T, backprop


def nothing(output: Output) -> tuple[float, HeadOutput]:
    """RETURNS (tuple[float, HeadOutput]): The loss of a batch that teaches nothing."""
    xp = array_module(output.tuned)
    tuned, scores = cast(Any, output.tuned), cast(Any, output.scores)
    return 0.0, HeadOutput(xp.zeros_like(tuned), xp.zeros_like(scores))


def check_negatives(negatives: str) -> None:
    """Check a setting that the losses on pairs share.

    negatives (str): The setting.
    RAISES (ValueError): If it is neither "ignore" nor "class".
    """
    if negatives not in ("ignore", "class"):
        raise ValueError(f'negatives is {negatives!r}: give "ignore" or "class".')
