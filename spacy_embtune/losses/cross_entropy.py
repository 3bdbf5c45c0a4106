"""Cross-entropy loss: compares the scores of the output layer with the known labels."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from thinc.types import Floats2d

from ..labels import TOLERANCE, array_module, relative_weights
from ..types import HeadOutput, Loss, Output, Targets

# Larger batches (documents times labels) are computed only where values are known.
MOST_DENSE = 2**16


def make_cross_entropy(
    class_weight: Literal["balanced"] | None = None, label_smoothing: float = 0.0
) -> Loss:
    """Create the cross-entropy between the scores and the known labels.

    With exclusive classes it is the softmax cross-entropy, as a mean over the documents with a
    known label. If the known values of a document sum to less than 1, the rest belongs to its
    unknown labels, and the loss of the rest is -log of the sum of their probabilities. If only
    absent labels of a document are known, this is the partial-label loss (Jin and Ghahramani 2002,
    "Learning with Multiple Labels", NeurIPS).

    Without exclusive classes it is the sigmoid binary cross-entropy of each known value, as a mean
    over all known values of the batch. A mean within each document would give a value more weight
    if fewer other labels of its document are known. A sum would grow with the number of labels, and
    the optimizer would clip its gradient.

    Both means are by the weights of the documents, if they have weights.

        >>> import numpy as np
        >>> from spacy_embtune.labels import make_targets
        >>> from spacy_embtune.types import Output
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
        >>> vectors, scores = np.zeros((2, 3)), np.zeros((2, 2))
        >>> loss, gradient = make_cross_entropy()(Output(vectors, vectors, scores), targets)
        >>> round(loss, 4), gradient.scores.tolist()
        (0.6931, [[-0.25, 0.25], [0.25, -0.25]])

    class_weight (str | None): "balanced": the weight of a class is n / (classes * n_c), the formula
        of scikit-learn, with n and n_c from `targets.counts`. For exclusive classes, the classes
        are the labels; otherwise they are the presence and the absence of each label. A class that
        does not occur has weight 1. For a set of labels, n_c is their mean.
    label_smoothing (float): The part of each target that is spread evenly over the classes, from 0
        to less than 1 (Szegedy et al. 2016, as in `torch.nn.functional.cross_entropy`).
    RETURNS (Callable[[Output, Targets], tuple[float, HeadOutput]]): The loss.
    RAISES (ValueError): If an argument is out of range.
    """
    if class_weight not in (None, "balanced"):
        raise ValueError(f'class_weight is {class_weight!r}: give null (None) or "balanced".')
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(
            f"label_smoothing is {label_smoothing!r}: give a number from 0 to less than 1."
        )
    return CrossEntropy(class_weight, label_smoothing)


@dataclass(frozen=True)
class CrossEntropy:
    """The loss that `make_cross_entropy` creates. It is a class so that it can be pickled."""

    reads_base: ClassVar[bool] = False
    class_weight: Literal["balanced"] | None
    label_smoothing: float

    def __call__(self, output: Output, targets: Targets) -> tuple[float, HeadOutput]:
        """Compute the loss of a batch.

        output (Output): The output of the model for n documents. Only the scores, shape (n, L), are
            used.
        targets (Targets): The targets of the n documents, shape (n, L).
        RETURNS (tuple[float, HeadOutput]): The loss and its gradient.
        RAISES (ValueError): If the shapes differ, if "balanced" has no counts, or if the weights of
            the documents are invalid.
        """
        if output.scores.shape != targets.values.shape:
            raise ValueError(
                f"The scores have the shape {output.scores.shape}, the targets "
                f"{targets.values.shape}. Make the targets from the labels that the output layer "
                "has, one column a label, or resize the output layer."
            )
        xp = array_module(output.scores)
        scores: Any = output.scores
        known = xp.asarray(targets.known) > 0
        values = xp.where(known, xp.asarray(targets.values), 0.0).astype(scores.dtype)
        counts = self._counts(xp, targets)
        weights = relative_weights(targets)
        if weights is not None:
            weights = xp.asarray(weights)[:, None]
            known = known & (weights > 0)
        if not known.any():
            loss, d_scores = 0.0, xp.zeros_like(scores)
        else:
            compute = _softmax if targets.exclusive else _sigmoid
            loss, d_scores = compute(
                xp, scores, values, known, counts, weights, self.label_smoothing
            )
        d_tuned = xp.zeros_like(cast(Any, output.tuned))
        return loss, HeadOutput(d_tuned, cast(Floats2d, d_scores))

    def _counts(self, xp: Any, targets: Targets) -> Any:
        """RETURNS (array | None): The counts, shape (2, L); None without class_weight."""
        if self.class_weight is None:
            return None
        shape = (2, targets.values.shape[1])
        if targets.counts is None or targets.counts.shape != shape:
            found = "none" if targets.counts is None else f"the shape {targets.counts.shape}"
            raise ValueError(
                'class_weight = "balanced" needs to know how often each label occurs: Targets with '
                f"counts of shape {shape}, but found {found}. Make the targets with counts = "
                "count_labels(...) of the training corpus, or set class_weight = null."
            )
        return xp.asarray(targets.counts)


def _softmax(
    xp: Any, scores: Any, values: Any, known: Any, counts: Any, weights: Any, smoothing: float
) -> tuple[float, Any]:
    """Compute the cross-entropy of exclusive classes. The arrays have the shape (n, L), with values
    of 0 where they are not known; the weights have the shape (n, 1) or are None."""
    explained = values.sum(axis=1, keepdims=True)
    candidates = ~known & (explained < 1.0 - TOLERANCE)
    undecided = candidates.any(axis=1, keepdims=True)
    rest = xp.where(undecided, xp.clip(1.0 - explained, 0.0, 1.0), 0.0)
    # Documents without a known label, or with all labels known to be absent, have no loss.
    informed = known.any(axis=1, keepdims=True) & (explained + rest > 0)
    n = _count(informed, weights)
    if n == 0:
        return 0.0, xp.zeros_like(scores)

    shifted = scores - scores.max(axis=1, keepdims=True)
    p, log_total = _softmax_among(xp, shifted, xp.ones_like(known))
    q, log_candidates = _softmax_among(xp, shifted, candidates)
    log_p = shifted - log_total
    log_rest = xp.where(undecided, log_candidates - log_total, 0.0)

    target = (1.0 - smoothing) * values + smoothing / scores.shape[1]
    rest = (1.0 - smoothing) * rest
    if counts is not None:
        of_label, of_rest = _balance_labels(xp, counts[0], candidates)
        target, rest = target * of_label, rest * of_rest
    target, rest = xp.where(informed, target, 0.0), xp.where(informed, rest, 0.0)
    if weights is not None:
        target, rest = target * weights, rest * weights

    loss = -(target * log_p).sum(dtype="float64") - (rest * log_rest).sum(dtype="float64")
    gradient = p * (target.sum(axis=1, keepdims=True) + rest) - target - rest * q
    return float(loss) / n, (gradient / n).astype(scores.dtype)


def _softmax_among(xp: Any, scores: Any, among: Any) -> tuple[Any, Any]:
    """RETURNS (tuple): The softmax over some labels of each row, shape (n, L), with 0 for the other
    labels, and the log of the sum of their exponentials, shape (n, 1). For a row without such
    labels both are 0."""
    top = xp.where(among, scores, -xp.inf).max(axis=1, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0.0)
    # The minimum keeps the exponentials of the other labels from overflowing.
    exp = xp.where(among, xp.exp(xp.minimum(scores - top, 0.0)), 0.0)
    total = exp.sum(axis=1, keepdims=True)
    total = xp.where(total > 0, total, 1.0)
    return exp / total, top + xp.log(total)


def _balance_labels(xp: Any, present: Any, candidates: Any) -> tuple[Any, Any]:
    """RETURNS (tuple): The weight of each label, shape (L,), and the weight of the candidates of
    each row as one class, shape (n, 1), from the number of documents with each label, shape
    (L,)."""
    mean = present.sum() / xp.maximum((present > 0).sum(), 1)
    among = candidates.sum(axis=1, keepdims=True)
    of_candidates = (candidates * present).sum(axis=1, keepdims=True) / xp.maximum(among, 1)
    return _ratio(xp, mean, present), _ratio(xp, mean, of_candidates)


def _sigmoid(
    xp: Any, scores: Any, values: Any, known: Any, counts: Any, weights: Any, smoothing: float
) -> tuple[float, Any]:
    """Compute the cross-entropy of labels that are not exclusive. The arrays have the shape (n, L);
    the weights have the shape (n, 1) or are None."""
    n = _count(known, weights)
    of_present: Any = None
    of_absent: Any = None
    if counts is not None:
        # A label that is never present, or always, has only one class, with weight 1.
        mean = counts.sum(axis=0) / xp.maximum((counts > 0).sum(axis=0), 1)
        of_present, of_absent = _ratio(xp, mean, counts[0]), _ratio(xp, mean, counts[1])
    is_sparse = known.size > MOST_DENSE and int(known.sum()) < known.size // 4
    if is_sparse:
        # Few of many labels are known. Only these have a loss and a gradient.
        rows, columns = xp.nonzero(known)
        whole = scores
        scores, values, known = (array[rows, columns] for array in (scores, values, known))
        if counts is not None:
            of_present, of_absent = of_present[columns], of_absent[columns]
        weights = None if weights is None else weights[rows, 0]

    present = (1.0 - smoothing) * values + smoothing / 2.0
    absent = 1.0 - present
    if counts is not None:
        present, absent = present * of_present, absent * of_absent
    present, absent = xp.where(known, present, 0.0), xp.where(known, absent, 0.0)
    if weights is not None:
        present, absent = present * weights, absent * weights

    # exp(-|s|) does not overflow. p and 1 - p are both computed from it, because 1 - p would lose
    # digits to rounding.
    exp = xp.exp(-xp.abs(scores))
    p = xp.where(scores >= 0, 1.0, exp) / (1.0 + exp)
    not_p = xp.where(scores >= 0, exp, 1.0) / (1.0 + exp)
    neg_log_p = xp.maximum(-scores, 0.0) + xp.log1p(exp)
    neg_log_not_p = xp.maximum(scores, 0.0) + xp.log1p(exp)

    loss = (present * neg_log_p + absent * neg_log_not_p).sum(dtype="float64")
    gradient = ((absent * p - present * not_p) / n).astype(scores.dtype)
    if is_sparse:
        of_known = gradient
        gradient = xp.zeros_like(whole)
        gradient[rows, columns] = of_known
    return float(loss) / n, gradient


def _count(counted: Any, weights: Any) -> float:
    """RETURNS (float): The number of true entries, by the weights of their rows."""
    return (
        int(counted.sum()) if weights is None else float((counted * weights).sum(dtype="float64"))
    )


def _ratio(xp: Any, mean: Any, counts: Any) -> Any:
    """RETURNS (array): mean / counts, and 1 where a count is 0."""
    return xp.where(counts > 0, mean / xp.where(counts > 0, counts, 1.0), 1.0)
