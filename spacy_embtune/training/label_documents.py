"""Texts of labels as documents: how much they count, whether they mean something, and the label
whose text is nearest to a document."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import CARRIES
from ..metrics.ranking import unit_rows

# The texts of a label count like two documents together, and from 4 labelled documents on like this
# number divided by theirs. With larger weights three development sets gained a little more, but
# names that fit badly would do more harm (benchmarks/names.py).
MOST_WEIGHT, SHARE = 2.0, 8.0
# With so many labelled documents, the texts of a label are left out.
MOST_DOCUMENTS = 100
# The odds that texts mean something before any labelled document is looked at: of words, and of
# codes such as "ENTY".
ODDS_OF_WORDS, ODDS_OF_CODES = 9.0, 1.0 / 9.0


class NearestLabels(NamedTuple):
    """The nearness of n documents to the texts of L labels.

    cosines (ndarray): The cosine of each document and each label, -1..1, float64, shape (n, L).
        0 for a document without a vector.
    nearest (ndarray of int): The column of the nearest label of each document, shape (n,). -1 for a
        document without a vector.
    """

    cosines: NDArray[np.float64]
    nearest: NDArray[np.intp]


def find_nearest_labels(
    base: NDArray[Any],
    texts: NDArray[Any],
    columns: Sequence[int] | NDArray[Any],
    *,
    mean: NDArray[Any] | None = None,
) -> NearestLabels:
    """Compute how near documents are to labels, by the base vectors of the labels' texts.

    The mean of the documents is subtracted from documents, and that of the texts from texts: names
    and documents differ in length and form, and so in their means. If a label has several texts,
    the mean of its cosines counts.

    >>> base = np.asarray([[1.0, 0.2, 1.0], [0.2, 1.0, 1.0]])
    >>> find_nearest_labels(base, np.asarray([[0.9, 0.1, 0], [0.1, 0.8, 0]]), [0, 1]).nearest
    array([0, 1])

    base (ndarray): Base vectors of n documents, shape (n, d).
    texts (ndarray): Base vectors of m texts, shape (m, d).
    columns (Sequence[int]): The column of the label of each text, 0..L-1, shape (m,). Each column
        occurs.
    mean (ndarray | None): The mean of the base vectors of a larger corpus, shape (d,). None: that
        of `base`.
    RETURNS (NearestLabels): The cosines and the nearest labels.
    """
    from scipy.sparse import csr_array

    columns = np.asarray(columns, dtype=np.intp)
    n_labels = int(columns.max(initial=-1)) + 1
    present = np.asarray(base).any(axis=1)
    if mean is None:
        mean = base[present].mean(axis=0) if present.sum() > 1 else np.zeros(base.shape[1])
    shift = texts.mean(axis=0) if n_labels > 1 else mean
    unit = np.zeros(base.shape)
    rows, kept = unit_rows(base[present] - mean)
    unit[np.flatnonzero(present)[kept]] = rows
    of_text = np.zeros(texts.shape)
    rows, kept = unit_rows(texts - shift)
    of_text[kept] = rows
    cosines = unit @ of_text.T
    if not np.array_equal(columns, np.arange(n_labels)):
        share = 1.0 / np.bincount(columns)[columns]
        place = columns, np.arange(len(columns))
        cosines = (csr_array((share, place), shape=(n_labels, len(columns))) @ cosines.T).T
    nearest = np.where(unit.any(axis=1), cosines.argmax(axis=1) if n_labels else -1, -1)
    return NearestLabels(cosines, nearest.astype(np.intp))


def texts_mean_something(
    nearest: NDArray[Any], values: NDArray[Any], known: NDArray[Any], *, odds: float
) -> bool:
    """Decide from labelled documents whether the texts of labels mean something: whether the
    nearest text is the right one more often than by chance.

    Chance is the agreement of predictions and labels that are drawn independently. The number of
    right predictions is compared under two hypotheses: a share of right ones that is that of
    chance, or any share above it. With few documents the odds from before decide, with many the
    documents.

    >>> carried = np.eye(2)[[0, 1] * 10]
    >>> known = np.ones((20, 2))
    >>> texts_mean_something(np.asarray([0, 1] * 10), carried, known, odds=0.1)
    True
    >>> texts_mean_something(np.asarray([0, 0, 1, 1] * 5), carried, known, odds=1.0)
    False

    nearest (ndarray of int): The nearest label of each of n documents, -1 without one, shape (n,).
    values, known (ndarray): What is known of their labels, as in `Targets`, shape (n, L).
    odds (float): The odds before any document is looked at.
    RETURNS (bool): Whether the odds are above 1 in the light of the documents.
    """
    from scipy.special import betainc, betaln

    carries = (np.asarray(known) > 0) & (np.asarray(values) >= CARRIES)
    judged = carries.any(axis=1) & (nearest >= 0)
    n = int(judged.sum())
    n_labels = carries.shape[1]
    if n == 0 or n_labels < 2:
        return odds > 1.0
    carries, nearest = carries[judged], nearest[judged]
    right = int(carries[np.arange(n), nearest].sum())
    predicted = np.bincount(nearest, minlength=n_labels) / n
    chance = float(np.clip(predicted @ carries.mean(axis=0), 1e-6, 1.0 - 1e-6))
    # The integral of the binomial likelihood over the shares above chance.
    above = 1.0 - float(betainc(right + 1, n - right + 1, chance))
    if above <= 0.0:
        return False
    meaning = float(betaln(right + 1, n - right + 1)) + math.log(above) - math.log1p(-chance)
    by_chance = right * math.log(chance) + (n - right) * math.log1p(-chance)
    return math.log(odds) + meaning - by_chance > 0.0


def label_text_weights(counts: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
    """Compute how much each text of a label counts, in documents. The texts of a label share one
    weight.

    >>> label_text_weights(np.asarray([2, 16, 500]), np.asarray([0, 1, 1, 2])).tolist()
    [2.0, 0.25, 0.25, 0.0]

    counts (ndarray): How many labelled documents carry each label, shape (L,).
    columns (ndarray of int): The column of the label of each text, shape (m,).
    RETURNS (ndarray): The weight of each text, 0..2, shape (m,).
    """
    counts = np.asarray(counts, dtype=np.float64)
    falling = SHARE / np.maximum(counts, SHARE / MOST_WEIGHT)
    of_label = np.where(counts >= MOST_DOCUMENTS, 0.0, falling)
    n_texts = np.bincount(columns, minlength=len(counts))
    weights: NDArray[np.float64] = (of_label / np.maximum(n_texts, 1))[columns]
    return weights


def move_to_documents(
    texts: NDArray[Any], columns: NDArray[Any], mean: NDArray[Any]
) -> NDArray[np.float32]:
    """Move the base vectors of labels' texts so that their mean is that of the documents, because
    names and documents differ in length and form. With a single label nothing is moved.

    >>> texts = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> move_to_documents(texts, np.asarray([0, 1]), np.asarray([3.0, 3.0])).tolist()
    [[3.5, 2.5], [2.5, 3.5]]

    texts (ndarray): Base vectors of m texts, shape (m, d).
    columns (ndarray of int): The column of the label of each text, shape (m,).
    mean (ndarray): The mean of the documents' base vectors, shape (d,).
    RETURNS (ndarray): The moved vectors, float32, shape (m, d).
    """
    if len(np.unique(columns)) < 2:
        return np.asarray(texts, dtype="float32")
    return (texts - texts.mean(axis=0) + mean).astype("float32")
