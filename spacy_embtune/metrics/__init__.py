"""How good vectors are, as numbers: retrieval within a corpus, what a simple classifier trained on
one corpus makes of another, and how cosines go with the scores of pairs. Arrays in, numbers out.

A document whose vector is all zeros has no vector and takes no part anywhere. A document carries a
label when its value is known and at least `CARRIES`; what is missing is left out, never taken as 0.
"""

from .classification import ClassificationScores, knn_scores, probe_scores
from .correlation import CorrelationScores, correlation_scores
from .retrieval import LabelScores, RetrievalScores, retrieval_scores
from .vectors import CARRIES

__all__ = [
    "CARRIES",
    "ClassificationScores",
    "CorrelationScores",
    "LabelScores",
    "RetrievalScores",
    "correlation_scores",
    "knn_scores",
    "probe_scores",
    "retrieval_scores",
]
