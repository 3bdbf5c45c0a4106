"""Compare documents by their labels."""

from typing import Any, Literal

from thinc.types import Floats2d

from ..types import Targets
from ._arrays import array_module, clean_arrays, document_weights


def pair_similarity(
    a: Targets, b: Targets, *, negatives: Literal["ignore", "class"] = "ignore"
) -> tuple[Floats2d, Floats2d]:
    """Compute for each pair of documents how similar their labels are, and how much is known of it.

    Only labels that are known in both documents of a pair count. The similarity is the graded
    Jaccard index (Ruzicka similarity), sum of min(x, y) / sum of max(x, y): 0 if one document has a
    label that the other is known to lack and they share no other, 1 if both have the same labels.
    The weight is the share of all L labels that are known in both documents. The weight is 0, and
    the similarity has no meaning, if

    - no label is known in both documents;
    - neither document carries a label that is known in both. "Not X" is not a class: two documents
      that are not about sport need not be similar.

    With `negatives="class"` the absence of a label is a class as well. Two documents that both lack
    a label then share a class, and only the first of the two rules holds. The weights of documents
    have no effect here, see `pairs_of`.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> similarity, weight = pair_similarity(targets, targets)
    >>> similarity.tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    a (Targets): n documents, shape (n, L).
    b (Targets): m documents, shape (m, L).
    negatives (str): "ignore" or "class": whether two documents that lack the same label are
        similar.
    RETURNS (tuple[Floats2d, Floats2d]): Similarities in 0..1 and weights in 0..1, float32 arrays
        of shape (n, m). The function needs the memory of a few such arrays.
    RAISES (ValueError): If `negatives` is unknown, or the numbers of labels differ.
    """
    if negatives not in ("ignore", "class"):
        raise ValueError(f'negatives is {negatives!r}: give "ignore" or "class".')
    if a.values.shape[1] != b.values.shape[1]:
        raise ValueError(
            f"The targets have {a.values.shape[1]} and {b.values.shape[1]} labels. Make both from "
            "the same list of labels."
        )
    values_a, known_a = clean_arrays(a)
    values_b, known_b = clean_arrays(b)
    xp = array_module(values_a)
    common = known_a @ known_b.T
    smaller = _sum_of_minima(values_a, values_b)
    # max(x, y) = x + y - min(x, y), and a value is 0 where it is not known.
    larger = values_a @ known_b.T + known_a @ values_b.T - smaller
    if negatives == "class":
        # min(1 - x, 1 - y) = 1 - max(x, y), and max(1 - x, 1 - y) = 1 - min(x, y).
        smaller, larger = smaller + common - larger, larger + common - smaller
    comparable = (common > 0) & (larger > 0)
    similarity = xp.where(comparable, smaller, 0.0) / xp.where(comparable, larger, 1.0)
    weight = xp.where(comparable, common, 0.0) / max(values_a.shape[1], 1)
    return xp.clip(similarity, 0.0, 1.0).astype("float32"), weight.astype("float32")


def pairs_of(
    targets: Targets, *, negatives: Literal["ignore", "class"] = "ignore"
) -> tuple[Floats2d, Floats2d]:
    """Compute what is known of the pairs of documents, from `targets.pairs` and from labels.

    Where `targets.pairs` has no weight for a pair, `pair_similarity` compares the labels of the two
    documents. If documents have weights, the weight of a pair is multiplied by both: copies of the
    documents would make that number of pairs.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> similarity, weight = pairs_of(targets)
    >>> weight.tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]

    targets (Targets): n documents, shape (n, L).
    negatives (str): "ignore" or "class", as in `pair_similarity`; it affects only labels.
    RETURNS (tuple[Floats2d, Floats2d]): Similarities in 0..1 and weights >= 0, float32 arrays of
        shape (n, n). Where the weight is 0, the similarity is 0 too. The weight is 0 on the
        diagonal, because a document is never compared with itself.
    RAISES (ValueError): If `targets.pairs` has another shape, a similarity outside 0..1, or a
        weight that is negative or not finite, or if the weights of documents are not valid.
    """
    similarity, weight = _unweighted_pairs(targets, negatives)
    weights = document_weights(targets)
    if weights is not None:
        weight = weight * (weights[:, None] * weights)
        similarity = array_module(weights).where(weight > 0, similarity, 0.0)
    return similarity, weight


def relative_weights(targets: Targets) -> Any:
    """Divide the weights of documents by the largest weight.

    Losses depend only on the proportions of weights, and sums and products of these quotients
    cannot overflow. Equal weights become exactly 1.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{}, {}], ["A"], exclusive=False, weights=[2.0, 4.0])
    >>> relative_weights(targets).tolist()
    [0.5, 1.0]

    targets (Targets): n documents.
    RETURNS (array | None): The quotients, 0..1, float32 of shape (n,). None if the targets have no
        weights, so that all documents count the same.
    RAISES (ValueError): If the weights are not valid.
    """
    weights = document_weights(targets)
    if weights is None or not weights.any():
        return weights
    return weights / weights.max()


def _unweighted_pairs(
    targets: Targets, negatives: Literal["ignore", "class"]
) -> tuple[Floats2d, Floats2d]:
    """RETURNS (tuple): What `pairs_of` returns if documents have no weights."""
    n = targets.values.shape[0]
    xp = array_module(targets.values)
    is_diagonal = xp.eye(n, dtype=bool)
    label_similarity, label_weight = pair_similarity(targets, targets, negatives=negatives)
    label_weight = xp.where(is_diagonal, 0.0, label_weight)
    label_similarity = xp.where(label_weight > 0, label_similarity, 0.0)
    if targets.pairs is None:
        return label_similarity, label_weight
    similarity, weight = (xp.asarray(array, dtype="float32") for array in targets.pairs)
    if similarity.shape != (n, n) or weight.shape != (n, n):
        raise ValueError(
            f"The pairs have similarities of shape {similarity.shape} and weights of shape "
            f"{weight.shape}, but there are {n} documents: give one of each for every pair, shape "
            f"{(n, n)}."
        )
    weight = xp.where(is_diagonal, 0.0, weight)
    # All comparisons with NaN are false, so this form also finds NaN.
    if not ((weight >= 0) & (weight < xp.inf)).all():
        raise ValueError(
            "The weight of a pair is negative or not finite. Give 0 where nothing is known."
        )
    similarity = xp.where(weight > 0, similarity, 0.0)
    if not ((similarity >= 0) & (similarity <= 1)).all():
        raise ValueError(
            "The similarity of a pair is outside 0..1. Rescale the scores, and give a weight of 0 "
            "where nothing is known."
        )
    is_given = weight > 0
    return (
        xp.where(is_given, similarity, label_similarity),
        xp.where(is_given, weight, label_weight),
    )


def balance_documents(
    targets: Targets, among: Any, *, negatives: Literal["ignore", "class"] = "ignore"
) -> Any:
    """Compute weights of documents that give each label the same total weight, common or rare.

    The weight of a document is the mean of 1 / (number of documents that carry the label) over the
    labels that the document carries. If labels are exclusive, the weights of the documents of each
    label sum to 1. If documents have weights of their own, a document of weight 2 counts as two.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> import numpy as np
    >>> balance_documents(targets, np.ones(3, dtype=bool)).tolist()
    [0.5, 0.5, 1.0]

    targets (Targets): n documents, shape (n, L).
    among (array of bool): The documents that take part, shape (n,). The weight of the others is 0.
    negatives (str): "ignore" or "class", as in `pair_similarity`: whether an absent label is a
        class as well.
    RETURNS (array): The weights, float32 of shape (n,); 0 for a document that carries no label.
    RAISES (ValueError): If the documents' own weights are not valid.
    """
    carried, known = clean_arrays(targets)
    weights = relative_weights(targets)
    xp = array_module(carried)
    if negatives == "class":
        carried = xp.concatenate([carried, known - carried], axis=1)
    carried = carried * among[:, None]
    counts = carried.sum(axis=0) if weights is None else weights @ carried
    shares = (carried / xp.where(counts > 0, counts, 1.0)).sum(axis=1)
    total = carried.sum(axis=1)
    balanced = shares / xp.where(total > 0, total, 1.0)
    return balanced if weights is None else balanced * weights


def _sum_of_minima(a: Any, b: Any) -> Any:
    """Sum min(a[i, l], b[j, l]) over the labels l.

    a, b (array): Values in 0..1, shape (n, L) and (m, L).
    RETURNS (array): The sums, shape (n, m).
    """
    xp = array_module(a)
    # min(x, y) = x * y if one of the two is 0 or 1. Only labels with other values in both arrays
    # need the loop.
    graded = ((a > 0) & (a < 1)).any(axis=0) & ((b > 0) & (b < 1)).any(axis=0)
    total = (a * ~graded) @ b.T
    for column in xp.flatnonzero(graded).tolist():
        total += xp.minimum(a[:, column, None], b[None, :, column])
    return total
