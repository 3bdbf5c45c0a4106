"""Make arrays from the labels of documents, and compare documents by their labels.

*Missing is not zero.* A label that is absent from the mapping of a document is unknown, and no
result depends on the number that an array holds in its place.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, cast

import numpy as np
from thinc.types import Floats1d, Floats2d
from thinc.util import get_array_module

from .types import Targets

array_module: Callable[[Any], Any] = get_array_module

# The largest difference from 1 of the sum of a document's values, if labels are exclusive.
TOLERANCE = 1e-3
# The largest float32.
_MAX_WEIGHT = float(np.finfo("float32").max)


def labels_in(cats: Iterable[Mapping[str, float]]) -> list[str]:
    """Collect all labels that are known to be present or absent in a document.

    >>> labels_in([{"SPORT": 1.0}, {"MUSIC": 0.0, "SPORT": 0.0}])
    ['MUSIC', 'SPORT']

    cats (Iterable[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (list[str]): The distinct labels, sorted.
    """
    return sorted({label for mapping in cats for label in mapping})


def validate_cats(cats: Mapping[str, float], *, where: str) -> None:
    """Check the labels of one document.

    >>> validate_cats({"SPORT": 2.0}, where="line 3")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: line 3: the label 'SPORT' has the value 2.0, outside 0..1. ...

    cats (Mapping[str, float]): A value from 0 (absent) to 1 (present) for each known label.
    where (str): The name of the document in error messages.
    RAISES (ValueError): If a label is not a string or empty, or a value is not a number in 0..1.
    """
    if not isinstance(cats, Mapping):
        raise ValueError(
            f"{where}: the labels are {cats!r}, a {type(cats).__name__}. Give a mapping from label "
            'to value, such as {"SPORT": 1.0, "MUSIC": 0.0}.'
        )
    for label, value in cats.items():
        if not isinstance(label, str) or not label:
            raise ValueError(
                f"{where}: the label {label!r} (value {value!r}) is not a non-empty string. Name "
                "each label by a string."
            )
        given = f"{where}: the label {label!r} has the value {value!r}"
        if not isinstance(value, Real | np.bool_):
            raise ValueError(
                f"{given}, a {type(value).__name__}. Give a number from 0.0 (absent) to 1.0 "
                "(present), or leave the label out if its value is not known."
            )
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(
                f"{given}, which is not finite. Leave the label out if its value is not known."
            )
        if not 0.0 <= number <= 1.0:
            raise ValueError(
                f"{given}, outside 0..1. Give 1.0 for present, 0.0 for absent, or a value between "
                "for a graded label."
            )


def is_exclusive(cats: Iterable[Mapping[str, float]]) -> bool:
    """Decide from the data whether each document carries exactly one label.

    >>> is_exclusive([{"SPORT": 1.0, "MUSIC": 0.0}, {"MUSIC": 1.0}, {}])
    True

    cats (Iterable[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (bool): True if there are at least two labels and the values of each document sum to 1.
        Documents without values are not checked. False if no document has values.
    """
    labels: set[str] = set()
    for mapping in cats:
        if mapping and abs(math.fsum(mapping.values()) - 1.0) > TOLERANCE:
            return False
        labels.update(mapping)
    return len(labels) >= 2


def make_targets(
    cats: Iterable[Mapping[str, float]],
    labels: Sequence[str],
    *,
    exclusive: bool,
    counts: Floats2d | None = None,
    weights: Sequence[float] | Floats1d | None = None,
    where: Callable[[int], str] | None = None,
) -> Targets:
    """Make arrays from what is known of the labels of documents.

    Labels that are not in `labels` are ignored. If labels are exclusive and the values of a
    document sum to 1, its other labels become known zeros. If only absent labels are known of a
    document, its other labels stay unknown.

    >>> targets = make_targets([{"A": 1.0}, {"B": 0.0}], ["A", "B"], exclusive=True)
    >>> targets.values.tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    >>> targets.known.tolist()
    [[1.0, 1.0], [0.0, 1.0]]

    cats (Iterable[Mapping[str, float]]): What is known of each of the n documents' labels.
    labels (Sequence[str]): The L labels, in the order of the columns.
    exclusive (bool): Whether a document carries exactly one label.
    counts (Floats2d | None): How often each label is known to be present and absent in the training
        corpus, shape (2, L), as `count_labels` returns it. The targets hold it unchanged.
    weights (Sequence[float] | Floats1d | None): How much each document counts, see `Targets`. None:
        all documents count the same.
    where (Callable[[int], str] | None): Returns the name of the i-th document (from 0) for error
        messages.
    RETURNS (Targets): numpy arrays of float32, values and known of shape (n, L), weights (n,).
    RAISES (ValueError): If a value is not a number in 0..1, the values of a document sum to more
        than 1 although labels are exclusive, a weight is not a finite number of 0 or more, or
        the number of weights is not the number of documents.
    """
    rows = list(cats)
    name = where if where is not None else _default_name
    columns = {label: j for j, label in enumerate(labels)}
    values = np.zeros((len(rows), len(columns)), dtype="float32")
    known = np.zeros_like(values)
    for i, mapping in enumerate(rows):
        for label, value in mapping.items():
            j = columns.get(label)
            if j is None:
                continue
            try:
                values[i, j] = value
            except (TypeError, ValueError):
                validate_cats(mapping, where=name(i))
                raise
            known[i, j] = 1.0
    # All comparisons with NaN are false, so this form also finds NaN.
    outside = ~((values >= 0.0) & (values <= 1.0)).all(axis=1)
    for i in np.flatnonzero(outside).tolist():
        validate_cats(rows[i], where=name(i))
    if exclusive:
        total = values.sum(axis=1)
        for i in np.flatnonzero(total > 1.0 + TOLERANCE).tolist():
            raise ValueError(
                f"{name(i)}: the labels are exclusive, but the values of {dict(rows[i])!r} "
                "sum to more than 1. Set exclusive_classes = false if a document may carry "
                "several labels at once."
            )
        known[total >= 1.0 - TOLERANCE] = 1.0
    targets = Targets(cast(Floats2d, values), cast(Floats2d, known), exclusive, counts)
    if weights is None:
        return targets
    return targets._replace(weights=_make_weights(weights, len(rows), name))


def count_labels(targets: Targets) -> Floats2d:
    """Count how often each label is known to be present and known to be absent.

    A value between 0 and 1 counts in part for both. A document with a weight of 2 counts twice.

    >>> targets = make_targets([{"A": 1.0}, {"A": 0.25, "B": 0.0}], ["A", "B"], exclusive=False)
    >>> count_labels(targets).tolist()
    [[1.25, 0.0], [0.75, 1.0]]

    targets (Targets): What is known of n documents, shape (n, L).
    RETURNS (Floats2d): The sum of the values (row 0) and of 1 - value (row 1) over the documents in
        which the label is known, float32 of shape (2, L).
    RAISES (ValueError): If the weights are not valid.
    """
    values, known = _clean(targets)
    xp = array_module(values)
    weights = _weights(targets)
    if weights is not None:
        values, known = values * weights[:, None], known * weights[:, None]
    counts = xp.stack([values.sum(axis=0, dtype="float64"), known.sum(axis=0, dtype="float64")])
    counts[1] -= counts[0]
    return counts.astype("float32")


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
    values_a, known_a = _clean(a)
    values_b, known_b = _clean(b)
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
    weights = _weights(targets)
    if weights is not None:
        weight = weight * (weights[:, None] * weights)
        similarity = array_module(weights).where(weight > 0, similarity, 0.0)
    return similarity, weight


def relative_weights(targets: Targets) -> Any:
    """Divide the weights of documents by the largest weight.

    Losses depend only on the proportions of weights, and sums and products of these quotients
    cannot overflow. Equal weights become exactly 1.

    >>> targets = make_targets([{}, {}], ["A"], exclusive=False, weights=[2.0, 4.0])
    >>> relative_weights(targets).tolist()
    [0.5, 1.0]

    targets (Targets): n documents.
    RETURNS (array | None): The quotients, 0..1, float32 of shape (n,). None if the targets have no
        weights, so that all documents count the same.
    RAISES (ValueError): If the weights are not valid.
    """
    weights = _weights(targets)
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

    >>> targets = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> balance_documents(targets, np.ones(3, dtype=bool)).tolist()
    [0.5, 0.5, 1.0]

    targets (Targets): n documents, shape (n, L).
    among (array of bool): The documents that take part, shape (n,). The weight of the others is 0.
    negatives (str): "ignore" or "class", as in `pair_similarity`: whether an absent label is a
        class as well.
    RETURNS (array): The weights, float32 of shape (n,); 0 for a document that carries no label.
    RAISES (ValueError): If the documents' own weights are not valid.
    """
    carried, known = _clean(targets)
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


def _clean(targets: Targets) -> tuple[Any, Any]:
    """RETURNS (tuple): `values`, with 0 where they are not known, and `known`, which includes the
    zeros that a positive label implies if labels are exclusive; both float32 of shape (n, L)."""
    xp = array_module(targets.values)
    known = xp.asarray(targets.known) > 0
    values = xp.where(known, targets.values, 0.0).astype("float32")
    if targets.exclusive:
        known = known | (values.sum(axis=1, keepdims=True) >= 1.0 - TOLERANCE)
    return values, known.astype("float32")


def _make_weights(weights: Any, n: int, name: Callable[[int], str]) -> Floats1d:
    """RETURNS (Floats1d): The weights that were given to `make_targets`, float32 of shape (n,)."""
    given = list(weights)
    if len(given) != n:
        raise ValueError(f"There are {len(given)} weights for {n} documents. Give one for each.")
    for i, weight in enumerate(given):
        is_number = isinstance(weight, Real | np.bool_)
        if not is_number or not 0.0 <= float(weight) <= _MAX_WEIGHT:
            raise ValueError(
                f"{name(i)}: the weight is {weight!r}, a {type(weight).__name__}. Give a finite "
                "number of 0 or more: 2 counts the document twice, 0 leaves it out."
            )
    return cast(Floats1d, np.asarray(given, dtype="float32"))


def _weights(targets: Targets) -> Any:
    """RETURNS (array | None): The weights of the documents, float32 of shape (n,). They are
    checked."""
    if targets.weights is None:
        return None
    xp = array_module(targets.values)
    weights = xp.asarray(targets.weights, dtype="float32")
    n = targets.values.shape[0]
    if weights.shape != (n,):
        raise ValueError(
            f"The documents' weights have the shape {weights.shape}, but there are {n} documents: "
            f"give one weight for each, shape {(n,)}."
        )
    # All comparisons with NaN are false, so this form also finds NaN.
    if not ((weights >= 0) & (weights < xp.inf)).all():
        raise ValueError(
            "The weight of a document is negative or not finite. Give 0 to leave a document out."
        )
    return weights


def _default_name(i: int) -> str:
    return f"document {i}"
