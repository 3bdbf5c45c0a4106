"""The label engine: mappings from label to value in, arrays of what is known out.

One rule runs through this file: *missing is not zero*. A label absent from a document's mapping
is unknown, and nothing that is computed here depends on what stands in its place.
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

# How far the values of an exclusive document may be from summing to 1.
TOLERANCE = 1e-3
# The largest float32.
_MAX_WEIGHT = float(np.finfo("float32").max)


def labels_in(cats: Iterable[Mapping[str, float]]) -> list[str]:
    """Collect the labels that any document says something of, present or absent.

    cats (Iterable[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (list[str]): The distinct labels, sorted.
    """
    return sorted({label for mapping in cats for label in mapping})


def validate_cats(cats: Mapping[str, float], *, where: str) -> None:
    """Check what one document says of its labels.

    cats (Mapping[str, float]): A value from 0 (absent) to 1 (present) for each known label.
    where (str): What to call the document in an error.
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
                "(present), or leave the label out where it is not known."
            )
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(
                f"{given}, which is not finite. Leave the label out where it is not known."
            )
        if not 0.0 <= number <= 1.0:
            raise ValueError(
                f"{given}, outside 0..1. Give 1.0 for present, 0.0 for absent, or a value between "
                "for a graded label."
            )


def is_exclusive(cats: Iterable[Mapping[str, float]]) -> bool:
    """Decide from the data whether each document carries exactly one label.

    cats (Iterable[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (bool): True if there are at least two labels and the values of every document that
        has any sum to 1. Documents without values do not count; False if there are only those.
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
    """Arrange what is known of the documents' labels in arrays.

    Labels of a document that are not among `labels` are ignored. Where classes are exclusive, a
    document whose values sum to 1 leaves nothing to the other labels, which become known zeros; a
    document of which only absent labels are known stays partially known.

    cats (Iterable[Mapping[str, float]]): What is known of each of the n documents' labels.
    labels (Sequence[str]): The L labels, in the order of the columns.
    exclusive (bool): Whether a document carries exactly one label.
    counts (Floats2d | None): Handed on: how often each label is known to be present and absent in
        the training corpus, shape (2, L), as `count_labels` returns it.
    weights (Sequence[float] | Floats1d | None): How much each document counts, see `Targets`. None:
        all the same.
    where (Callable[[int], str] | None): Names the i-th document in errors.
    RETURNS (Targets): numpy arrays of float32, values and known of shape (n, L), weights (n,).
    RAISES (ValueError): If a value is not a number in 0..1, the values of a document sum to more
        than 1 although classes are exclusive, a weight is not a finite number of 0 or more, or
        there are not as many weights as documents.
    """
    rows = list(cats)
    name = where if where is not None else _nth_document
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
    # Written so that NaN, for which every comparison is false, counts as outside.
    outside = ~((values >= 0.0) & (values <= 1.0)).all(axis=1)
    for i in np.flatnonzero(outside).tolist():
        validate_cats(rows[i], where=name(i))
    if exclusive:
        total = values.sum(axis=1)
        for i in np.flatnonzero(total > 1.0 + TOLERANCE).tolist():
            raise ValueError(
                f"{name(i)}: the classes are exclusive, but the values of {dict(rows[i])!r} "
                "sum to more than 1. Set exclusive_classes = false if a document may carry "
                "several labels at once."
            )
        known[total >= 1.0 - TOLERANCE] = 1.0
    made = Targets(cast(Floats2d, values), cast(Floats2d, known), exclusive, counts)
    return made if weights is None else made._replace(weights=_make_weights(weights, rows, name))


def count_labels(targets: Targets) -> Floats2d:
    """Count how often each label is known to be present and known to be absent.

    A graded value counts in part for both, and a document as often as its weight says.

    targets (Targets): What is known of n documents, shape (n, L).
    RETURNS (Floats2d): The sums of value (row 0) and of 1 - value (row 1) over the documents where
        the label is known, float32 of shape (2, L).
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
    """Say of each pair of documents how alike their labels are, and how much of that is known.

    Only labels known in both documents of a pair take part. Their similarity is the graded Jaccard
    index (Ruzicka's) of the labels carried, sum of min(x, y) / sum of max(x, y); it is 0 for a
    known X = 1 against a known X = 0, and 1 for two documents that carry the same. The weight is
    the share of all L labels that is known in both: the less two documents have in common that
    anybody looked at, the less their pair says. The weight is 0, and the similarity then means
    nothing, where

    - no label is known in both;
    - neither carries any of the labels known in both: "not X" is not a class, and two documents
      that are both not about sport need not resemble each other.

    With `negatives="class"` each label stands beside its complement as a class of its own, so that
    sharing an absent label is sharing a class, and only the first of the two rules is left.
    `weights` of documents play no part: see `pairs_of`.

    a (Targets): n documents, shape (n, L).
    b (Targets): m documents, shape (m, L).
    negatives (str): "ignore" or "class": whether sharing an absent label makes documents alike.
    RETURNS (tuple[Floats2d, Floats2d]): Similarities in 0..1 and weights in 0..1, float32 arrays
        of shape (n, m). No more memory than a few of these is used.
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
        # min(1 - x, 1 - y) = 1 - max(x, y), and the other way round.
        smaller, larger = smaller + common - larger, larger + common - smaller
    comparable = (common > 0) & (larger > 0)
    similarity = xp.where(comparable, smaller, 0.0) / xp.where(comparable, larger, 1.0)
    weight = xp.where(comparable, common, 0.0) / max(values_a.shape[1], 1)
    return xp.clip(similarity, 0.0, 1.0).astype("float32"), weight.astype("float32")


def pairs_of(
    targets: Targets, *, negatives: Literal["ignore", "class"] = "ignore"
) -> tuple[Floats2d, Floats2d]:
    """Say what is known of the pairs among documents, from wherever it is known: `targets.pairs`,
    and, for the pairs of which that knows nothing, the labels, by `pair_similarity`. If
    documents have weights, that of a pair is multiplied by those of both: so many pairs their
    copies would make.

    targets (Targets): n documents, shape (n, L).
    negatives (str): "ignore" or "class", as in `pair_similarity`; for labels only.
    RETURNS (tuple[Floats2d, Floats2d]): Similarities in 0..1 and weights >= 0, float32 arrays of
        shape (n, n). The similarity is 0 where the weight is, and the weight is 0 on the diagonal:
        a document is never compared with itself.
    RAISES (ValueError): If pairs are given whose shape is not that, whose similarity is outside
        0..1, or whose weight is negative or not finite; if the documents' weights are not valid.
    """
    similarity, weight = _unweighted_pairs(targets, negatives)
    weights = _weights(targets)
    if weights is not None:
        weight = weight * (weights[:, None] * weights)
        similarity = array_module(weights).where(weight > 0, similarity, 0.0)
    return similarity, weight


def relative_weights(targets: Targets) -> Any:
    """Divide the documents' weights by the largest. Only proportions matter to losses, and neither
    sums nor products of these overflow. Equal weights become exactly 1.

    targets (Targets): n documents.
    RETURNS (array | None): How much each counts, 0..1, float32 of shape (n,); None if all count the
        same because there are no weights.
    RAISES (ValueError): If the weights are not valid.
    """
    weights = _weights(targets)
    if weights is None or not weights.any():
        return weights
    return weights / weights.max()


def _unweighted_pairs(
    targets: Targets, negatives: Literal["ignore", "class"]
) -> tuple[Floats2d, Floats2d]:
    """RETURNS: What `pairs_of` returns if documents have no weights."""
    n = targets.values.shape[0]
    xp = array_module(targets.values)
    itself = xp.eye(n, dtype=bool)
    of_labels, of_known = pair_similarity(targets, targets, negatives=negatives)
    of_known = xp.where(itself, 0.0, of_known)
    of_labels = xp.where(of_known > 0, of_labels, 0.0)
    if targets.pairs is None:
        return of_labels, of_known
    similarity, weight = (xp.asarray(array, dtype="float32") for array in targets.pairs)
    if similarity.shape != (n, n) or weight.shape != (n, n):
        raise ValueError(
            f"The pairs have similarities of shape {similarity.shape} and weights of shape "
            f"{weight.shape}, but there are {n} documents: give one of each for every pair, shape "
            f"{(n, n)}."
        )
    weight = xp.where(itself, 0.0, weight)
    # Written so that NaN, for which every comparison is false, is found.
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
    return xp.where(weight > 0, similarity, of_labels), xp.where(weight > 0, weight, of_known)


def balance_documents(
    targets: Targets, among: Any, *, negatives: Literal["ignore", "class"] = "ignore"
) -> Any:
    """Weigh documents so that each class has the same say in total, whether it is common or rare.

    A document's weight is the mean, over the labels it carries, of 1 / how many documents carry
    the label. With exclusive classes, those of each class sum to 1. If documents have weights of
    their own, they are counted by these, and a document's share is proportional to its own.

    targets (Targets): n documents, shape (n, L).
    among (array of bool): The documents to weigh, shape (n,); the others get 0.
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
    """Sum min(a[i, l], b[j, l]) over l: arrays (n, L) and (m, L) in 0..1 to one of (n, m)."""
    xp = array_module(a)
    # min(x, y) = x * y where one of them is 0 or 1: only labels graded on both sides need a loop.
    graded = ((a > 0) & (a < 1)).any(axis=0) & ((b > 0) & (b < 1)).any(axis=0)
    total = (a * ~graded) @ b.T
    for column in xp.flatnonzero(graded).tolist():
        total += xp.minimum(a[:, column, None], b[None, :, column])
    return total


def _clean(targets: Targets) -> tuple[Any, Any]:
    """RETURNS: values with 0 wherever nothing is known, and known with what a known positive
    implies where classes are exclusive; both float32."""
    xp = array_module(targets.values)
    known = xp.asarray(targets.known) > 0
    values = xp.where(known, targets.values, 0.0).astype("float32")
    if targets.exclusive:
        known = known | (values.sum(axis=1, keepdims=True) >= 1.0 - TOLERANCE)
    return values, known.astype("float32")


def _make_weights(weights: Any, rows: list[Any], name: Callable[[int], str]) -> Floats1d:
    """RETURNS: The weights that `make_targets` was given, float32 of shape (n,)."""
    given = list(weights)
    if len(given) != len(rows):
        raise ValueError(
            f"There are {len(given)} weights for {len(rows)} documents. Give one for each."
        )
    for i, weight in enumerate(given):
        is_number = isinstance(weight, Real | np.bool_)
        if not is_number or not 0.0 <= float(weight) <= _MAX_WEIGHT:
            raise ValueError(
                f"{name(i)}: the weight is {weight!r}, a {type(weight).__name__}. Give a finite "
                "number of 0 or more: 2 counts the document twice, 0 leaves it out."
            )
    return cast(Floats1d, np.asarray(given, dtype="float32"))


def _weights(targets: Targets) -> Any:
    """RETURNS: The documents' weights, checked, float32 of shape (n,), or None."""
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
    # Written so that NaN, for which every comparison is false, is found.
    if not ((weights >= 0) & (weights < xp.inf)).all():
        raise ValueError(
            "The weight of a document is negative or not finite. Give 0 to leave a document out."
        )
    return weights


def _nth_document(i: int) -> str:
    return f"document {i}"
