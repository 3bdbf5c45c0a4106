"""Samples of positive and negative partners for documents, by a similarity of documents.

A `BlockSimilarity` takes the row numbers of b of the n documents, and returns two arrays of shape
(b, n): the similarity of these documents to all n, 0..1, and whether it is known. It is called
block by block, so that the similarities of all pairs are never in memory together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from .._texts import fold_text
from ..labels import is_exclusive, labels_in, make_targets, pair_similarity

# The least similarity of a positive pair.
POSITIVE_FROM = 0.5
# The number of pairs in a block. A pair takes about 64 bytes while its block is processed.
BLOCK_ENTRIES = 2**20

_NO_ROWS = np.arange(0)

Array: TypeAlias = NDArray[Any]
BlockSimilarity: TypeAlias = Callable[[Array], tuple[Array, Array]]


class PairSample(NamedTuple):
    """The partners that were sampled for one document.

    positives, negatives (list[tuple[int, float]]): The row numbers of the partners, and their
        similarities to the document, 0..1.
    """

    positives: list[tuple[int, float]]
    negatives: list[tuple[int, float]]


def similarity_by_cats(
    cats: Sequence[Mapping[str, float]],
    *,
    exclusive: bool | None,
    where: Callable[[int], str] | None = None,
) -> BlockSimilarity:
    """Create the similarity of documents by their labels (`labels.pair_similarity`).

    cats (Sequence[Mapping[str, float]]): The known labels of each of n documents.
    exclusive (bool | None): Whether a document has exactly one label. None: the cats decide.
    where (Callable[[int], str] | None): Names the i-th document in errors.
    RETURNS (BlockSimilarity): The similarity.
    RAISES (ValueError): If a value is not a number in 0..1.
    """
    labels = labels_in(cats)
    exclusive = is_exclusive(cats) if exclusive is None else exclusive
    targets = make_targets(cats, labels, exclusive=exclusive, where=where)
    values, known = cast(Array, targets.values), cast(Array, targets.known)

    def similarity(rows: Array) -> tuple[Array, Array]:
        block = targets._replace(values=cast(Any, values[rows]), known=cast(Any, known[rows]))
        similarities, weights = pair_similarity(block, targets)
        return cast(Array, similarities), cast(Array, weights) > 0

    return similarity


def similarity_by_group(groups: Sequence[str | None]) -> BlockSimilarity:
    """Create the similarity of documents by group: 1 within a group, 0 between groups.

    groups (Sequence[str | None]): The group of each of n documents, None for a document without a
        group, whose similarities are not known.
    RETURNS (BlockSimilarity): The similarity.
    """
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    ids = np.asarray([numbers[group] for group in groups], dtype="int32")
    has_group = np.asarray([group is not None for group in groups], dtype=bool)

    def similarity(rows: Array) -> tuple[Array, Array]:
        same = ids[rows, None] == ids[None, :]
        return same.astype("float32"), has_group[rows, None] & has_group[None, :]

    return similarity


def sample_partners(
    texts: Sequence[str],
    similarity: BlockSimilarity,
    rng: np.random.Generator,
    *,
    n_pos: int,
    n_neg: int,
    vectors: Array | None = None,
) -> Iterator[PairSample]:
    """Sample partners for each of n documents from the others.

    Texts that differ only in white space count as one text. A text is never paired with itself, and
    a document never has the same text twice among its positives, or among its negatives. Empty
    texts are not paired.

    texts (Sequence[str]): The n texts.
    similarity (BlockSimilarity): The similarity of the documents.
    rng (Generator): The random numbers.
    n_pos, n_neg (int): The number of positive and of negative partners for each document. A
        document for which fewer are known gets fewer.
    vectors (ndarray | None): Vectors of shape (n, d). If given, the negatives with the highest
        cosine similarity to the document are taken. None: negatives are sampled at random.
    YIELDS (PairSample): The partners of each document, in the order of the documents.
    """
    numbers: dict[str, int] = {"": 0}
    ids = np.asarray([numbers.setdefault(fold_text(text), len(numbers)) for text in texts])
    if vectors is not None:
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(length > 0, length, 1.0)
    n = len(texts)
    for rows in np.array_split(np.arange(n), max(1, n * n // BLOCK_ENTRIES)):
        similarities, known = similarity(rows)
        known = known & (ids[rows, None] != ids[None, :]) & (ids > 0) & (ids[rows, None] > 0)
        is_positive = similarities >= POSITIVE_FROM
        cosines = None if vectors is None else vectors[rows] @ vectors.T
        for i in range(len(rows)):
            similar = np.flatnonzero(known[i] & is_positive[i]) if n_pos else _NO_ROWS
            others = np.flatnonzero(known[i] & ~is_positive[i]) if n_neg else _NO_ROWS
            positives = _sample_rows(similar, ids, n_pos, rng)
            if cosines is None:
                negatives = _sample_rows(others, ids, n_neg, rng)
            else:
                negatives = _nearest_rows(others, cosines[i, others], ids, n_neg)
            yield PairSample(
                [(j, float(similarities[i, j])) for j in positives],
                [(j, float(similarities[i, j])) for j in negatives],
            )


def _sample_rows(rows: Array, ids: Array, k: int, rng: np.random.Generator) -> list[int]:
    """RETURNS (list[int]): Up to k random rows with different texts."""
    if not len(rows):
        return []
    # Four times as many as needed nearly always have k different texts among them.
    few = rng.choice(rows, min(len(rows), 4 * k), replace=False)
    chosen = _first_distinct(few, ids, k)
    if len(chosen) < k and len(few) < len(rows):
        chosen = _first_distinct(rng.permutation(rows), ids, k)
    return chosen


def _nearest_rows(rows: Array, cosines: Array, ids: Array, k: int) -> list[int]:
    """RETURNS (list[int]): Up to k rows of the highest cosine similarity with different texts."""
    if 4 * k < len(rows):
        # Rows with the same cosine as the last of these are included, so that the order of the
        # rows decides between equal cosines, as it does without this shortcut.
        limit = np.partition(-cosines, 4 * k)[4 * k]
        near = np.flatnonzero(-cosines <= limit)
        nearest = near[np.argsort(-cosines[near], kind="stable")]
        chosen = _first_distinct(rows[nearest], ids, k)
        if len(chosen) == k:
            return chosen
    return _first_distinct(rows[np.argsort(-cosines, kind="stable")], ids, k)


def _first_distinct(rows: Array, ids: Array, k: int) -> list[int]:
    """RETURNS (list[int]): The first k rows with different texts."""
    chosen: dict[int, int] = {}
    for row in rows.tolist():
        if len(chosen) == k:
            break
        chosen.setdefault(int(ids[row]), row)
    return list(chosen.values())
