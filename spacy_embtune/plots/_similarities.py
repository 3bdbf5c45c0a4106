"""Compute the cosines of the pairs of documents that share a label, and of those that do not."""

from typing import NamedTuple, cast

import numpy as np
from thinc.types import Floats2d

from ..labels import pair_similarity
from ..metrics.ranking import Bools, Floats, unit_rows
from ..reports.types import Documents
from ..types import Targets
from .arrays import labels_of, sample_rows


class PairCosines(NamedTuple):
    """The cosines of p pairs of documents for which it is known whether they share a label.

    share_label (Bools): Whether the two documents share a label, shape (p,).
    base (Floats): The cosine of their base vectors, shape (p,).
    tuned (Floats): The cosine of their tuned vectors, shape (p,).
    n_documents (int): The number of documents that the pairs consist of.
    is_sample (bool): Whether these documents are a sample.
    """

    share_label: Bools
    base: Floats
    tuned: Floats
    n_documents: int
    is_sample: bool

    def separation(self, cosines: Floats) -> float | None:
        """Compute the area under the ROC curve: how often a pair that shares a label is more
        similar than a pair that does not, 0..1; 0.5 if labels do not affect similarity.

        cosines (Floats): `base` or `tuned`.
        RETURNS (float | None): The area; None if all pairs or no pairs share a label.
        """
        from sklearn.metrics import roc_auc_score  # slow to import

        if self.share_label.all() or not self.share_label.any():
            return None
        return float(roc_auc_score(self.share_label, cosines))


def pair_cosines(documents: Documents, *, most: int = 2000) -> PairCosines:
    """Compare all pairs of labelled documents.

    Two documents share a label if both carry it. Pairs without a label that is known in both
    documents, and pairs in which no document carries such a label, are left out, as in
    `spacy_embtune.labels.pair_similarity`.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> pairs = pair_cosines(documents)
    >>> pairs.share_label.tolist(), pairs.base.round(3).tolist()
    ([False, False, True], [0.6, 0.0, 0.8])

    documents (Documents): The documents.
    most (int): At most so many documents are compared. If there are more documents, a sample is
        drawn, always the same one.
    RETURNS (PairCosines): The pairs.
    """
    carries, known = labels_of(documents)
    has_vectors = np.full(len(documents.texts), False)
    has_vectors[np.intersect1d(unit_rows(documents.base)[1], unit_rows(documents.tuned)[1])] = True
    candidates = np.flatnonzero(has_vectors & known.any(axis=1))
    rows = sample_rows(candidates, most)
    # As in the metrics, a label with a value between 0 and 1 is either carried or not.
    targets = Targets(
        cast(Floats2d, carries[rows].astype("float32")),
        cast(Floats2d, known[rows].astype("float32")),
        documents.targets.exclusive,
    )
    similarity, weight = pair_similarity(targets, targets)
    pairs = np.triu(np.asarray(weight) > 0, k=1)
    cosines = []
    for vectors in (documents.base, documents.tuned):
        unit, _ = unit_rows(vectors[rows])
        cosines.append((unit @ unit.T)[pairs])
    share_label = (np.asarray(similarity) > 0)[pairs]
    is_sample = rows.size < candidates.size
    return PairCosines(share_label, cosines[0], cosines[1], rows.size, is_sample)
