"""The heads, losses and encoders of the component as scikit-learn estimators, under the names and
parameters of embetter's finetuners.

    SentenceEncoder        texts -> vectors
    FeedForwardTuner       vectors and labels: a hidden layer becomes the new vector; classifies
    ContrastiveTuner       vectors and labels: all documents of a batch are compared
    ContrastiveLearner     pairs of vectors and their scores
    SbertLearner           pairs of texts and their scores: the encoder itself is finetuned
    DifferenceClassifier   classifies pairs by the difference of their vectors
    cached                 keeps an encoder's vectors on disk
    calc_distances         how far texts are from a few anchors
    batched                a stream in batches, for partial_fit
"""

from .cached import CachedEncoder, cached
from .distances import batched, calc_distances
from .encoder import SentenceEncoder
from .pair_estimators import ContrastiveLearner, DifferenceClassifier
from .sbert import SbertLearner
from .tuners import ContrastiveTuner, FeedForwardTuner, ForwardFinetuner

__all__ = [
    "CachedEncoder",
    "ContrastiveLearner",
    "ContrastiveTuner",
    "DifferenceClassifier",
    "FeedForwardTuner",
    "ForwardFinetuner",
    "SbertLearner",
    "SentenceEncoder",
    "batched",
    "cached",
    "calc_distances",
]
