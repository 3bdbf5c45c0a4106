"""Compute numbers from arrays: how good vectors are, and how certain a difference is.

A document whose vector is all zeros has no vector and is left out everywhere. A document carries a
label if the value of the label is known and at least `CARRIES`. Values that are missing are left
out; they never count as 0.

    _retrieval.py        p@1, MAP@R and R-precision within a corpus
    _answers.py          recall@k and MRR of queries among candidates of another kind
    _classification.py   labels predicted from another corpus: nearest neighbour and linear probe
    _per_label.py        precision, recall and F1 of each label
    _calibration.py      how well probabilities agree with outcomes; the temperature
    _clusters.py         silhouette, and agreement with k-means
    _geometry.py         spread, distances within labels, effective rank, kept neighbours
    _correlation.py      cosines of pairs against the scores of the pairs
    _intervals.py        bootstrap intervals of the differences between metrics
    _predictions.py      predicted labels beside the true ones
    _rows.py             large arrays that are read in blocks of rows
    carriers.py          which documents carry which labels, in memory that grows with what is known
    ranking.py           unit vectors, carried labels, neighbours in order

Other rooms use carriers.py and ranking.py, too.
"""

from ..labels import CARRIES
from ._answers import (
    RECALL_AT,
    AnswerRatios,
    AnswerScores,
    Units,
    answer_ratios,
    answer_scores,
    check_pairs,
    link_sides,
)
from ._calibration import CalibrationScores, calibration_scores, fit_temperature
from ._classification import (
    ClassificationScores,
    auc_score,
    knn_scores,
    predict_by_neighbour,
    predict_by_probe,
    probe_scores,
    score_predictions,
)
from ._clusters import ClusterScores, cluster_scores
from ._correlation import CorrelationScores, correlation_scores, pair_correlation
from ._geometry import SpaceScores, neighbour_overlap, space_scores
from ._intervals import (
    LEVEL,
    N_RESAMPLES,
    Difference,
    Differences,
    Ratios,
    accuracy_ratios,
    compare_ratios,
    macro_f1_ratios,
    map_at_r_ratios,
    p_at_1_ratios,
)
from ._per_label import (
    PrecisionRecall,
    precision_recall,
    predict_by_other_neighbour,
    predict_by_threshold,
)
from ._predictions import Predictions
from ._retrieval import (
    LabelScores,
    QueryScores,
    RetrievalScores,
    query_scores,
    retrieval_scores,
)
from ._rows import Rows, read_entries, row_blocks

__all__ = [
    "CARRIES",
    "LEVEL",
    "N_RESAMPLES",
    "RECALL_AT",
    "AnswerRatios",
    "AnswerScores",
    "CalibrationScores",
    "ClassificationScores",
    "ClusterScores",
    "CorrelationScores",
    "Difference",
    "Differences",
    "LabelScores",
    "PrecisionRecall",
    "Predictions",
    "QueryScores",
    "Ratios",
    "RetrievalScores",
    "Rows",
    "SpaceScores",
    "Units",
    "accuracy_ratios",
    "answer_ratios",
    "answer_scores",
    "auc_score",
    "calibration_scores",
    "check_pairs",
    "cluster_scores",
    "compare_ratios",
    "correlation_scores",
    "fit_temperature",
    "knn_scores",
    "link_sides",
    "macro_f1_ratios",
    "map_at_r_ratios",
    "neighbour_overlap",
    "p_at_1_ratios",
    "pair_correlation",
    "precision_recall",
    "predict_by_neighbour",
    "predict_by_other_neighbour",
    "predict_by_probe",
    "predict_by_threshold",
    "probe_scores",
    "query_scores",
    "read_entries",
    "retrieval_scores",
    "row_blocks",
    "score_predictions",
    "space_scores",
]
