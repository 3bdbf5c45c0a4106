"""Losses: what training minimises. They take arrays and return a number and its gradient.

A loss is a callable `(output: Output, targets: Targets) -> (float, HeadOutput)`. The HeadOutput is
the gradient of the number with respect to `output.tuned` and `output.scores`, in their shapes, and
zero for what the loss does not use. Values that are not known (`targets.known` is 0) have no
influence. If a batch has nothing to learn from, the number and the gradient are 0. A loss with
`reads_base = False` uses `output.base` only to find rows of zeros, so that an encoder that learns
does not have to compute the vectors from before its training.

A document with a weight (`targets.weights`) of 2 counts like two copies of it, and a document with
weight 0 like none. Equal weights count like no weights. `supervised_contrastive` describes in what
its number differs from that of copies.

    cross_entropy             labels: compares the scores with the labels
    supervised_contrastive    pairs: a document's nearest neighbours should share its labels
    cosine_pairs              pairs: the cosine of a pair should be its similarity
    preserve                  no labels: keeps the cosines of the base vectors
    sum                       a weighted sum of losses
"""

from ..types import Loss
from ._removed import make_cosent, make_triplet
from .combine import Sum, make_sum
from .contrastive import SupervisedContrastive, make_supervised_contrastive
from .cross_entropy import CrossEntropy, make_cross_entropy
from .similarity import CosinePairs, Preserve, make_cosine_pairs, make_preserve

__all__ = [
    "CosinePairs",
    "CrossEntropy",
    "Loss",
    "Preserve",
    "Sum",
    "SupervisedContrastive",
    "make_cosent",
    "make_cosine_pairs",
    "make_cross_entropy",
    "make_preserve",
    "make_sum",
    "make_supervised_contrastive",
    "make_triplet",
]
