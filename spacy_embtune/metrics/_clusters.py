"""Score how well labels form clusters: by the silhouette, and by the agreement with k-means."""

from typing import NamedTuple

import numpy as np

from ..labels import AnyTargets
from ._rows import row_blocks
from .carriers import find_carriers
from .ranking import Array, Floats, Ints, unit_rows

# k-means runs this often from other random centres, and the best result is kept.
_STARTS = 4
_SEED = 0
# k-means runs over at most this many classes, because its time grows with their number squared.
MOST_CLUSTERS = 500


class ClusterScores(NamedTuple):
    """How well the classes of documents agree with clusters.

    silhouette (float | None): The mean over documents of (b - a) / max(a, b), -1..1. a is the mean
        cosine distance of the document to the others of its class, b the mean cosine distance to
        the nearest other class (Rousseeuw 1987). None with fewer than two classes.
    agreement (float | None): The adjusted mutual information of the classes and the same number of
        clusters found by k-means: 0 for agreement by chance, 1 if they are equal (Vinh et al.
        2010). None with fewer than two classes. With more than `MOST_CLUSTERS` classes, it is that
        of the documents of a sample of so many classes, always the same one.
    n_classes (int): The number of classes.
    n_documents (int): The number of documents that have a class.
    n_clusters (int): The number of classes that `agreement` is computed from.
    """

    silhouette: float | None
    agreement: float | None
    n_classes: int
    n_documents: int
    n_clusters: int


def cluster_scores(vectors: Array, targets: AnyTargets) -> ClusterScores:
    """Score how well the labels of documents form clusters of vectors, compared by cosine.

    The class of a document is the one label that it carries. If labels are not exclusive, documents
    that are known to carry no label are a class as well. Documents that carry several labels, and
    documents without known labels, are left out.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}] * 2 + [{"B": 1.0}] * 2, ["A", "B"], exclusive=True)
    >>> scores = cluster_scores([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], targets)
    >>> round(scores.silhouette, 3), round(scores.agreement, 3)
    (0.994, 1.0)

    vectors (Array): The vectors, shape (n, d).
    targets (Targets | SparseTargets): What is known of the documents' labels, n rows.
    RETURNS (ClusterScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    found = find_carriers(targets, None, rows, n_docs=np.shape(vectors)[0])
    n_carried = found.n_carried()
    has_class = n_carried == 1
    if not targets.exclusive:
        has_class |= (n_carried == 0) & found.is_known()
    classes = found.first_label()
    # The class of documents without a label is the last one.
    classes = np.where(n_carried == 0, found.n_labels, classes)[has_class]
    unit = unit[has_class]
    names, classes = np.unique(classes, return_inverse=True)
    if names.size < 2:
        return ClusterScores(None, None, names.size, classes.size, 0)
    silhouettes = _silhouettes(unit, classes, names.size)
    n_clusters = min(names.size, MOST_CLUSTERS)
    if names.size > MOST_CLUSTERS:
        drawn = np.random.default_rng(_SEED).choice(names.size, MOST_CLUSTERS, replace=False)
        kept = np.isin(classes, drawn)
        unit, classes = unit[kept], np.unique(classes[kept], return_inverse=True)[1]
    agreement = _agreement(unit, classes, n_clusters)
    mean = float(silhouettes.mean())
    return ClusterScores(mean, agreement, names.size, silhouettes.size, n_clusters)


def _silhouettes(unit: Floats, classes: Ints, n_classes: int) -> Floats:
    """RETURNS (Floats): The silhouette of each document, shape (n,); 0 in a class of one
    document."""
    counts = np.bincount(classes, minlength=n_classes)
    sums = _sum_members(unit, classes, n_classes)
    silhouettes = [
        _block_silhouettes(unit[block], classes[block], counts, sums)
        for block in row_blocks(classes.size, n_classes)
    ]
    return np.concatenate(silhouettes)


def _sum_members(unit: Floats, classes: Ints, n_classes: int) -> Floats:
    """RETURNS (Floats): The sum of the vectors of each class, shape (n_classes, d)."""
    from scipy.sparse import csr_array

    at = classes, np.arange(classes.size)
    members = csr_array((np.ones(classes.size), at), shape=(n_classes, classes.size))
    summed: Floats = members @ unit
    return summed


def _block_silhouettes(unit: Floats, classes: Ints, counts: Ints, of_classes: Floats) -> Floats:
    """RETURNS (Floats): The silhouettes of some documents, with the number of all members of each
    class and the sum of their vectors."""
    n = np.arange(classes.size)
    # The distance of unit vectors is 1 - u @ v, so its sums need only the vector sum of each class.
    sums = counts - unit @ of_classes.T
    own = counts[classes]
    inside = sums[n, classes] / np.maximum(own - 1, 1)
    sums[n, classes] = np.inf
    outside = (sums / counts).min(axis=1)
    larger = np.maximum(inside, outside)
    silhouettes = np.zeros(classes.size)
    # Smaller distances are rounding errors.
    np.divide(outside - inside, larger, out=silhouettes, where=(own > 1) & (larger > 1e-12))
    return silhouettes


def _agreement(unit: Floats, classes: Ints, n_classes: int) -> float:
    import warnings

    from sklearn.cluster import KMeans  # slow to import
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score

    with warnings.catch_warnings():
        # k-means warns if there are fewer distinct vectors than classes. It then finds fewer
        # clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(n_clusters=n_classes, n_init=_STARTS, random_state=_SEED)
        clusters = means.fit_predict(unit)
    return float(adjusted_mutual_info_score(classes, clusters))
