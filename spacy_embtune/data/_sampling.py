"""Which documents of a window are paired: relations between documents, and what is drawn by them.

A relation takes the rows of some of n documents and returns how alike each of them and all n are,
0..1, and whether that is known, both of shape (rows, n): a block at a time, never all pairs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from .._texts import fold_text
from ..labels import is_exclusive, labels_in, make_targets, pair_similarity

# From here on a pair is positive.
ALIKE = 0.5
# Pairs looked at at a time. What is made of one takes about 64 bytes.
BLOCK_ENTRIES = 2**20

NONE = np.arange(0)

Array: TypeAlias = NDArray[Any]
Relation: TypeAlias = Callable[[Array], tuple[Array, Array]]


class Drawn(NamedTuple):
    """What was drawn for one document.

    positives, negatives (list[tuple[int, float]]): Other documents of the window, by position, and
        how alike they are.
    """

    positives: list[tuple[int, float]]
    negatives: list[tuple[int, float]]


def relate_by_cats(
    cats: Sequence[Mapping[str, float]],
    *,
    exclusive: bool | None,
    where: Callable[[int], str] | None = None,
) -> Relation:
    """Relate documents by the similarity of their labels.

    cats (Sequence[Mapping[str, float]]): What is known of each document's labels.
    exclusive (bool | None): Whether a document carries exactly one. None: decided from the cats.
    where (Callable[[int], str] | None): Names the i-th document in errors.
    RETURNS (Relation): The relation.
    RAISES (ValueError): If a value is not a number in 0..1.
    """
    labels = labels_in(cats)
    exclusive = is_exclusive(cats) if exclusive is None else exclusive
    targets = make_targets(cats, labels, exclusive=exclusive, where=where)
    values, known = cast(Array, targets.values), cast(Array, targets.known)

    def relate(rows: Array) -> tuple[Array, Array]:
        block = targets._replace(values=cast(Any, values[rows]), known=cast(Any, known[rows]))
        similarity, weight = pair_similarity(block, targets)
        return cast(Array, similarity), cast(Array, weight) > 0

    return relate


def relate_by_group(groups: Sequence[str | None]) -> Relation:
    """Relate documents by group: those of one are alike, those of different groups are not.

    groups (Sequence[str | None]): The group of each document, None where it has none.
    RETURNS (Relation): The relation.
    """
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    ids = np.asarray([numbers[group] for group in groups], dtype="int32")
    has_group = np.asarray([group is not None for group in groups], dtype=bool)

    def relate(rows: Array) -> tuple[Array, Array]:
        same = ids[rows, None] == ids[None, :]
        return same.astype("float32"), has_group[rows, None] & has_group[None, :]

    return relate


def draw_partners(
    texts: Sequence[str],
    relate: Relation,
    rng: np.random.Generator,
    *,
    n_pos: int,
    n_neg: int,
    vectors: Array | None = None,
) -> Iterator[Drawn]:
    """Draw partners for each of n documents from the others. Texts that are equal up to whitespace
    are one text: none is paired with itself, nor twice with another on the same side. Empty texts
    are not paired.

    texts (Sequence[str]): The texts, n.
    relate (Relation): How alike they are.
    rng (Generator): Draws.
    n_pos, n_neg (int): How many positive and negative partners each gets, or as many as there are.
    vectors (ndarray | None): Vectors of shape (n, d): the negatives are then those of the highest
        cosine, and otherwise drawn.
    YIELDS (Drawn): The partners of each document in turn.
    """
    numbers: dict[str, int] = {"": 0}
    ids = np.asarray([numbers.setdefault(fold_text(text), len(numbers)) for text in texts])
    if vectors is not None:
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(length > 0, length, 1.0)
    n = len(texts)
    for rows in np.array_split(np.arange(n), max(1, n * n // BLOCK_ENTRIES)):
        similarity, known = relate(rows)
        known = known & (ids[rows, None] != ids[None, :]) & (ids > 0) & (ids[rows, None] > 0)
        alike = similarity >= ALIKE
        cosine = None if vectors is None else vectors[rows] @ vectors.T
        for i in range(len(rows)):
            alikes = np.flatnonzero(known[i] & alike[i]) if n_pos else NONE
            others = np.flatnonzero(known[i] & ~alike[i]) if n_neg else NONE
            positives = _draw(alikes, ids, n_pos, rng)
            if cosine is None:
                negatives = _draw(others, ids, n_neg, rng)
            else:
                negatives = _closest(others, cosine[i, others], ids, n_neg)
            yield Drawn(
                [(j, float(similarity[i, j])) for j in positives],
                [(j, float(similarity[i, j])) for j in negatives],
            )


def _draw(others: Array, ids: Array, k: int, rng: np.random.Generator) -> list[int]:
    if not len(others):
        return []
    few = rng.choice(others, min(len(others), 4 * k), replace=False)
    chosen = _distinct(few, ids, k)
    if len(chosen) < k and len(few) < len(others):
        chosen = _distinct(rng.permutation(others), ids, k)
    return chosen


def _closest(others: Array, cosine: Array, ids: Array, k: int) -> list[int]:
    if 4 * k < len(others):
        # All that are as close as the last of these, so that ties go to the first of them.
        limit = np.partition(-cosine, 4 * k)[4 * k]
        near = np.flatnonzero(-cosine <= limit)
        chosen = _distinct(others[near[np.argsort(-cosine[near], kind="stable")]], ids, k)
        if len(chosen) == k:
            return chosen
    return _distinct(others[np.argsort(-cosine, kind="stable")], ids, k)


def _distinct(rows: Array, ids: Array, k: int) -> list[int]:
    """RETURNS (list[int]): The first k rows of different texts."""
    chosen: dict[int, int] = {}
    for row in rows.tolist():
        if len(chosen) == k:
            break
        chosen.setdefault(int(ids[row]), row)
    return list(chosen.values())
