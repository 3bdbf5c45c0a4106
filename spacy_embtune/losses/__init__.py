"""What a head is taught by: arrays in, a number and the gradient out.

A loss is a callable `(output: Output, targets: Targets) -> (float, HeadOutput)`. The HeadOutput is
the gradient of the number with respect to `output.tuned` and `output.scores`, in their shapes, with
zeros where the loss does not look. What is not known (`targets.known` of 0) has no influence,
whatever stands in its place. If a loss finds nothing to learn from, number and gradient are 0. One
with `reads_base = False` does not look at `output.base`, but for which rows are zeros: then nobody
has to ask an encoder that learns what it gave before.

A document whose weight (`targets.weights`) is 2 counts as if it were there twice, one of weight 0
as if it were not there, and weights that are all the same count as none. What depends on how many
documents or pairs there are stays as it is without weights: `supervised_contrastive` and `cosent`
say what that is.

    cross_entropy             labels, from the scores
    supervised_contrastive    pairs, all of a batch: which documents are closer than others
    triplet                   pairs: the same with a margin, for the hardest only
    cosent                    pairs: the order of graded similarities
    cosine_pairs              pairs: the similarities themselves
    preserve                  no labels: the similarities of the base vectors
    sum                       several of them, with weights
"""

from ..types import Loss
from .combine import Sum, make_sum
from .contrastive import (
    SupervisedContrastive,
    Triplet,
    make_supervised_contrastive,
    make_triplet,
)
from .cross_entropy import CrossEntropy, make_cross_entropy
from .similarity import (
    CoSENT,
    CosinePairs,
    Preserve,
    make_cosent,
    make_cosine_pairs,
    make_preserve,
)

__all__ = [
    "CoSENT",
    "CosinePairs",
    "CrossEntropy",
    "Loss",
    "Preserve",
    "Sum",
    "SupervisedContrastive",
    "Triplet",
    "make_cosent",
    "make_cosine_pairs",
    "make_cross_entropy",
    "make_preserve",
    "make_sum",
    "make_supervised_contrastive",
    "make_triplet",
]
