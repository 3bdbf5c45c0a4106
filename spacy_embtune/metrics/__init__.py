"""How good vectors are, as numbers: retrieval within a corpus, what a simple classifier trained on
one corpus makes of another, clusters, the shape of the space, how cosines go with the scores of
pairs, and how sure the difference of two metrics is. Arrays in, numbers out.

A document whose vector is all zeros has no vector and takes no part anywhere. A document carries a
label when its value is known and at least `CARRIES`; what is missing is left out, never taken as 0.
"""

from .classification import (
    ClassificationScores,
    Predictions,
    auc_score,
    knn_scores,
    predict_by_neighbour,
    predict_by_probe,
    probe_scores,
    score_predictions,
)
from .clusters import ClusterScores, cluster_scores
from .correlation import CorrelationScores, correlation_scores
from .geometry import SpaceScores, neighbour_overlap, space_scores
from .intervals import (
    Difference,
    Differences,
    Ratios,
    accuracy_ratios,
    compare_ratios,
    macro_f1_ratios,
    map_at_r_ratios,
    p_at_1_ratios,
)
from .ranking import CARRIES
from .retrieval import (
    LabelScores,
    QueryScores,
    RetrievalScores,
    query_scores,
    retrieval_scores,
)

__all__ = [
    "CARRIES",
    "ClassificationScores",
    "ClusterScores",
    "CorrelationScores",
    "Difference",
    "Differences",
    "LabelScores",
    "Predictions",
    "QueryScores",
    "Ratios",
    "RetrievalScores",
    "SpaceScores",
    "accuracy_ratios",
    "auc_score",
    "cluster_scores",
    "compare_ratios",
    "correlation_scores",
    "knn_scores",
    "macro_f1_ratios",
    "map_at_r_ratios",
    "neighbour_overlap",
    "p_at_1_ratios",
    "predict_by_neighbour",
    "predict_by_probe",
    "probe_scores",
    "query_scores",
    "retrieval_scores",
    "score_predictions",
    "space_scores",
]
