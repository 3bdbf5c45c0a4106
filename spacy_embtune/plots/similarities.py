"""How similar documents are that share a label, and how similar those that do not."""

from typing import NamedTuple, cast

import numpy as np
from thinc.types import Floats2d

from ..labels import pair_similarity
from ..metrics.ranking import Bools, Floats, carried_labels, unit_rows
from ..report.types import Documents
from ..types import Targets


class PairCosines(NamedTuple):
    """Pairs of documents, of which it is known whether they share a label.

    shares (Bools): Whether they do, shape (p,).
    base (Floats): The cosines of their base vectors, shape (p,).
    tuned (Floats): Those of their tuned vectors.
    n_documents (int): How many documents the pairs are made of.
    is_sample (bool): Whether these were drawn from more.
    """

    shares: Bools
    base: Floats
    tuned: Floats
    n_documents: int
    is_sample: bool

    def separation(self, cosines: Floats) -> float | None:
        """Compute the area under the ROC curve: how often a pair that shares a label is more
        similar than one that does not, 0..1; 0.5 if labels have nothing to do with similarity.

        cosines (Floats): `base` or `tuned`.
        RETURNS (float | None): The area; None if there are pairs of one kind only.
        """
        from sklearn.metrics import roc_auc_score  # slow to import

        if self.shares.all() or not self.shares.any():
            return None
        return float(roc_auc_score(self.shares, cosines))


def pair_cosines(documents: Documents, *, most: int = 2000) -> PairCosines:
    """Compare all pairs of documents of which labels are known in both, see
    `targets.pair_similarity`: they share a label if there is one that both carry. Pairs of which
    neither carries a label are left out.

    documents (Documents): The documents.
    most (int): How many documents to compare with each other: if there are more, as many are drawn
        at random, the same each time.
    RETURNS (PairCosines): The pairs.
    """
    carries, known = carried_labels(
        documents.targets.values, documents.targets.known, n_docs=len(documents.texts)
    )
    has_vectors = np.full(len(documents.texts), False)
    has_vectors[np.intersect1d(unit_rows(documents.base)[1], unit_rows(documents.tuned)[1])] = True
    rows = np.flatnonzero(has_vectors & known.any(axis=1))
    is_sample = rows.size > most
    if is_sample:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    # Graded labels count as carried or not, as in the metrics.
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
    shares = (np.asarray(similarity) > 0)[pairs]
    return PairCosines(shares, cosines[0], cosines[1], rows.size, is_sample)
