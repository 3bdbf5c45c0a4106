"""scikit-learn estimators with the heads, losses and encoders of the component. They have the names
and parameters of embetter's finetuners.

    SentenceEncoder        encodes texts as vectors
    FeedForwardTuner       tunes vectors to labels with a hidden layer; also a classifier
    ContrastiveTuner       tunes vectors to labels by comparing the documents of a batch
    ContrastiveLearner     tunes vectors to pairs, with a tower for each side if they differ
    SbertLearner           finetunes an encoder on scored pairs of texts
    DifferenceClassifier   classifies pairs by the difference of their vectors
    encode_labels          vectors of the names of labels, for tuners with few labelled rows
    cached                 keeps the vectors of an encoder on disk
    calc_distances         computes the distances of inputs to a few anchors
    batched                splits a stream into batches, for partial_fit
"""

from .cached import CachedEncoder, cached
from .difference import DifferenceClassifier
from .distances import batched, calc_distances
from .encoder import SentenceEncoder
from .label_texts import encode_labels
from .pair_estimators import ContrastiveLearner
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
    "encode_labels",
]
