"""How well labels form clusters: silhouette, and agreement with k-means. One class a document."""

from typing import NamedTuple

import numpy as np

from ..types import Targets
from .ranking import Array, Floats, Ints, carried_labels, unit_rows

# k-means is started anew this many times; the best is kept.
_STARTS = 4
_SEED = 0


class ClusterScores(NamedTuple):
    """How well classes and clusters go together.

    silhouette (float | None): Mean of (b - a) / max(a, b), -1..1: a is a document's mean cosine
        distance to its class, b that to the nearest other class (Rousseeuw 1987). None with fewer
        than two classes.
    agreement (float | None): Adjusted mutual information of the classes and as many clusters found
        by k-means, 0 where they agree by chance, 1 where they are the same (Vinh et al. 2010). As
        above.
    n_classes (int): The classes.
    n_documents (int): The documents that have a class.
    """

    silhouette: float | None
    agreement: float | None
    n_classes: int
    n_documents: int


def cluster_scores(vectors: Array, targets: Targets) -> ClusterScores:
    """Score how well the labels of documents form clusters, by the directions of their vectors.

    The class of a document is the one label that it carries. Where labels do not exclude each
    other, those that carry none of the labels known of them are a class as well. A document that
    carries several labels, or of which nothing is known, takes no part.

    vectors (Array): The vectors, shape (n, d).
    targets (Targets): What is known of the documents' labels, n rows.
    RETURNS (ClusterScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    carries, known = carried_labels(targets.values, targets.known, n_docs=np.shape(vectors)[0])
    carries, known = carries[rows], known[rows]
    n_carried = carries.sum(axis=1)
    has_class = n_carried == 1
    if not targets.exclusive:
        has_class |= (n_carried == 0) & known.any(axis=1)
    # The column of the label, and one more column for none.
    classes = np.column_stack([carries, n_carried == 0])[has_class].argmax(axis=1)
    unit = unit[has_class]
    names, classes = np.unique(classes, return_inverse=True)
    if names.size < 2:
        return ClusterScores(None, None, names.size, classes.size)
    silhouettes = _silhouettes(unit, classes, names.size)
    agreement = _agreement(unit, classes, names.size)
    return ClusterScores(float(silhouettes.mean()), agreement, names.size, classes.size)


def _silhouettes(unit: Floats, classes: Ints, n_classes: int) -> Floats:
    """RETURNS (Floats): The silhouette of each document, shape (n,); 0 for a class of one."""
    n = np.arange(classes.size)
    members = np.zeros((classes.size, n_classes))
    members[n, classes] = 1.0
    counts = members.sum(axis=0)
    # The distance of unit vectors is 1 - u @ v: sums of it need only the sum of each class.
    sums = counts - unit @ (members.T @ unit).T
    own = counts[classes]
    inside = sums[n, classes] / np.maximum(own - 1, 1)
    sums[n, classes] = np.inf
    outside = (sums / counts).min(axis=1)
    larger = np.maximum(inside, outside)
    silhouettes = np.zeros(classes.size)
    # Below this, distances are rounding.
    np.divide(outside - inside, larger, out=silhouettes, where=(own > 1) & (larger > 1e-12))
    return silhouettes


def _agreement(unit: Floats, classes: Ints, n_classes: int) -> float:
    import warnings

    from sklearn.cluster import KMeans  # slow to import
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score

    with warnings.catch_warnings():
        # Fewer distinct vectors than classes: fewer clusters, and less agreement.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(n_clusters=n_classes, n_init=_STARTS, random_state=_SEED)
        clusters = means.fit_predict(unit)
    return float(adjusted_mutual_info_score(classes, clusters))
