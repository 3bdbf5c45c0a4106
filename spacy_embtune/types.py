"""Named groups of arrays that pass between the rooms of the package. They have no behaviour."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from thinc.types import Floats1d, Floats2d


class HeadOutput(NamedTuple):
    """The output of a head for n documents. The gradient of a loss has the same two fields.

    >>> import numpy as np
    >>> output = HeadOutput(tuned=np.zeros((5, 4)), scores=np.zeros((5, 2)))
    >>> output.tuned.shape, output.scores.shape
    ((5, 4), (5, 2))

    tuned (Floats2d): The tuned vectors, shape (n, k).
    scores (Floats2d): The raw scores of the output layer, before any softmax or sigmoid, shape
        (n, L): one column per label.
    """

    tuned: Floats2d
    scores: Floats2d


class Output(NamedTuple):
    """The output of the whole model for n documents.

    >>> import numpy as np
    >>> output = Output(np.zeros((5, 3)), *HeadOutput(np.zeros((5, 4)), np.zeros((5, 2))))
    >>> output.base.shape
    (5, 3)

    base (Floats2d): The base vectors, shape (n, d). A row of zeros is a document without a vector,
        for example an empty text; its tuned vector is zero as well. While the encoder is finetuned,
        losses that compare with base vectors get those of the encoder before finetuning.
    tuned (Floats2d): The tuned vectors, shape (n, k).
    scores (Floats2d): The raw scores of the output layer, shape (n, L).
    """

    base: Floats2d
    tuned: Floats2d
    scores: Floats2d


class PairTargets(NamedTuple):
    """What is known of the pairs of n documents. Both arrays are symmetric. Their diagonals are not
    used, because a document is never compared with itself.

    >>> import numpy as np
    >>> one_pair = np.asarray([[0.0, 1.0], [1.0, 0.0]])
    >>> PairTargets(similarity=0.8 * one_pair, weight=one_pair).similarity.tolist()
    [[0.0, 0.8], [0.8, 0.0]]

    similarity (Floats2d): How similar the two documents of each pair should become, 0..1, shape
        (n, n). Where the weight is 0, the similarity must not influence any result.
    weight (Floats2d): How much each pair counts, shape (n, n); 0 where nothing is known of a pair.
    """

    similarity: Floats2d
    weight: Floats2d


class Targets(NamedTuple):
    """What is known of the labels of n documents. `spacy_embtune.labels.make_targets` makes it.

    >>> import numpy as np
    >>> values = np.asarray([[1.0, 0.0], [0.0, 0.0]])
    >>> targets = Targets(values, known=np.asarray([[1.0, 1.0], [0.0, 1.0]]), exclusive=False)
    >>> int(targets.known.sum())
    3

    values (Floats2d): How much of each label each document carries, 0..1, shape (n, L). Where the
        value is not known, it must not influence any result.
    known (Floats2d): 1.0 where a value is known, 0.0 where it is missing, shape (n, L).
    exclusive (bool): Whether a document carries exactly one label. If so, one known positive label
        implies that all other labels are 0, even where they are missing.
    counts (Floats2d | None): How often each label is known to be present and known to be absent in
        the training corpus, shape (2, L). Class weights are computed from it.
    pairs (PairTargets | None): What is known of the pairs of these documents from another source
        than their labels, for example from scored pairs or from groups. Where a pair has a weight
        here, its similarity replaces the similarity of the labels. None: only labels count.
    weights (Floats1d | None): How much each document counts, finite and >= 0, shape (n,). A weight
        of 2 counts a document twice (without a comparison of the two copies), and 0 leaves it out.
        Losses depend only on the proportions of the weights. None: all documents count the same.
    """

    values: Floats2d
    known: Floats2d
    exclusive: bool
    counts: Floats2d | None = None
    pairs: PairTargets | None = None
    weights: Floats1d | None = None


# A loss compares the output for n documents with what is known of them. It returns a number, and
# the gradient of that number with respect to tuned vectors and scores.
Loss: TypeAlias = Callable[[Output, Targets], tuple[float, HeadOutput]]
