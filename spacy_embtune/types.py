"""What passes between the rooms of the package: arrays with names, no behaviour."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from thinc.types import Floats1d, Floats2d


class HeadOutput(NamedTuple):
    """What a head makes of base vectors, and, with the same fields, the gradient of both.

    tuned (Floats2d): The tuned vectors, shape (n, k).
    scores (Floats2d): The output layer's raw scores before any softmax or sigmoid, shape (n, L),
        one column a label.
    """

    tuned: Floats2d
    scores: Floats2d


class Output(NamedTuple):
    """What the whole model makes of a batch of n documents.

    base (Floats2d): The encoder's vectors, shape (n, d). A row of zeros is a document without a
        vector (an empty text, say): its tuned vector is zero as well. Where losses compare, those
        of the untuned encoder, if it learns.
    tuned (Floats2d): The tuned vectors, shape (n, k).
    scores (Floats2d): The output layer's raw scores, shape (n, L).
    """

    base: Floats2d
    tuned: Floats2d
    scores: Floats2d


class PairTargets(NamedTuple):
    """What is known of the pairs among n documents. Both arrays are symmetric; what stands on the
    diagonal does not matter, as nobody compares a document with itself.

    similarity (Floats2d): How alike the documents of each pair are to become, 0..1, shape (n, n).
        What stands where the weight is 0 must not matter to anybody.
    weight (Floats2d): How much each pair counts, 0 where nothing is known of it, shape (n, n).
    """

    similarity: Floats2d
    weight: Floats2d


class Targets(NamedTuple):
    """What is known of the labels of n documents.

    values (Floats2d): How much of each label each document carries, 0..1, shape (n, L). What
        stands where nothing is known must not matter to anybody.
    known (Floats2d): 1.0 where a value is known, 0.0 where it is missing, shape (n, L).
    exclusive (bool): Whether a document carries exactly one label. A known positive then implies
        that the others are 0, also where they are missing.
    counts (Floats2d | None): How often each label was known to be present and known to be absent
        in the training corpus, shape (2, L): what class weights are made of.
    pairs (PairTargets | None): What is known of the pairs among these documents from elsewhere
        than their labels: from pairs with a score, say, or from groups. It goes before what the
        labels say; of pairs whose weight is 0 there, the labels tell, as of all if it is None.
    weights (Floats1d | None): How much each document counts, finite and >= 0, shape (n,): 2 as if
        it were there twice, without comparing the two with each other, 0 as if it were not there.
        Only proportions matter to losses. None: all count the same.
    """

    values: Floats2d
    known: Floats2d
    exclusive: bool
    counts: Floats2d | None = None
    pairs: PairTargets | None = None
    weights: Floats1d | None = None


# Compares what the model makes of n documents with what is known of them: returns a number, and its
# gradient with respect to tuned vectors and scores.
Loss: TypeAlias = Callable[[Output, Targets], tuple[float, HeadOutput]]
