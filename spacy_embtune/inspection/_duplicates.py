"""Copies of texts within a corpus and between two corpora, and what their labels say."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._texts import count, shorten, text_key
from ..data import Record
from ..labels import CARRIES, TOLERANCE
from ..metrics.ranking import unit_vectors
from .types import Finding

MOST_EXAMPLES = 3
_BLOCK = 1024


class Nearest(NamedTuple):
    """The nearest other text of each of n texts.

    row (ndarray): Its position, shape (n,).
    cosine (ndarray): Its cosine, shape (n,). -1 for a text without a vector.
    """

    row: NDArray[np.intp]
    cosine: NDArray[np.float32]


def group_copies(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group documents with the same text, up to case and white space.

    records (Sequence[Record]): The documents. Those without text are left out.
    RETURNS (dict[str, list[Record]]): The documents by the key of their text.
    """
    copies: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        key = text_key(record.text)
        if key:
            copies[key].append(record)
    return dict(copies)


def contradict(one: Mapping[str, float], other: Mapping[str, float], *, exclusive: bool) -> bool:
    """Decide whether the labels of two copies contradict each other.

    >>> contradict({"A": 1.0}, {"A": 0.0}, exclusive=False)
    True
    >>> contradict({"A": 1.0}, {"B": 1.0}, exclusive=False)
    False

    one (Mapping[str, float]): The cats of a document.
    other (Mapping[str, float]): The cats of the other document.
    exclusive (bool): Whether a document carries exactly one label.
    RETURNS (bool): Whether a label has two values, or, if labels are exclusive, whether they carry
        different labels.
    """
    if any(label in one and one[label] != value for label, value in other.items()):
        return True
    return exclusive and math.fsum({**one, **other}.values()) > 1.0 + TOLERANCE


def inspect_copies(copies: Mapping[str, list[Record]], *, exclusive: bool) -> Iterator[Finding]:
    """Look for copies within one corpus.

    copies (Mapping[str, list[Record]]): The documents by text, see `group_copies`.
    exclusive (bool): Whether a document carries exactly one label.
    YIELDS (Finding): The observations.
    """
    several = [same for same in copies.values() if len(same) > 1]
    contradicting = []
    for same in several:
        labelled = [record for record in same if record.cats]
        pair = next(
            (
                (labelled[0], other)
                for other in labelled[1:]
                if contradict(labelled[0].cats, other.cats, exclusive=exclusive)
            ),
            None,
        )
        if pair is not None:
            contradicting.append(pair)
    if contradicting:
        yield Finding(
            "contradicting_copies",
            True,
            len(contradicting),
            f"{count(len(contradicting), 'text')} with copies whose labels contradict each other. "
            "Decide which label is right.",
            [describe_pair(*pair) for pair in contradicting[:MOST_EXAMPLES]],
        )
    n_more = sum(len(same) - 1 for same in several)
    if n_more:
        yield Finding(
            "copies",
            False,
            n_more,
            f"{count(n_more, 'document')} with the text of an earlier document, up to case and "
            f"white space ({count(len(several), 'text')}).",
            [describe_pair(same[0], same[1]) for same in several[:MOST_EXAMPLES]],
        )


def inspect_leakage(
    copies: Mapping[str, list[Record]], others: Mapping[str, list[Record]], *, exclusive: bool
) -> Iterator[Finding]:
    """Look for texts that are in both of two corpora.

    copies (Mapping[str, list[Record]]): The documents of DATA by text.
    others (Mapping[str, list[Record]]): The documents of TEST by text.
    exclusive (bool): Whether a document carries exactly one label.
    YIELDS (Finding): The observations.
    """
    shared = [(copies[key][0], record) for key in others if key in copies for record in others[key]]
    if shared:
        n_all = sum(map(len, others.values()))
        yield Finding(
            "leakage",
            True,
            len(shared),
            f"{len(shared)} of {count(n_all, 'document')} of TEST with a text that is also in "
            "DATA. Scores on TEST are too high. Remove them from one of the files, or let "
            "`embtune convert` split the data.",
            [describe_pair(*pair) for pair in shared[:MOST_EXAMPLES]],
        )
    contradicting = [
        (one, other)
        for one, other in shared
        if one.cats and other.cats and contradict(one.cats, other.cats, exclusive=exclusive)
    ]
    if contradicting:
        yield Finding(
            "contradicting_leakage",
            True,
            len(contradicting),
            f"{count(len(contradicting), 'document')} of TEST with labels that contradict those of "
            "the copy in DATA.",
            [describe_pair(*pair) for pair in contradicting[:MOST_EXAMPLES]],
        )


def find_nearest(vectors: NDArray[Any], gallery: NDArray[Any] | None = None) -> Nearest:
    """Find the nearest other vector by cosine.

    >>> find_nearest(np.asarray([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])).row.tolist()
    [1, 0, 1]

    vectors (ndarray): The vectors, shape (n, d). Zeros stand for no vector.
    gallery (ndarray | None): The vectors to choose from, shape (m, d). None: the other vectors.
    RETURNS (Nearest): The nearest of each vector.
    """
    unit = unit_vectors(vectors)
    others = unit if gallery is None else unit_vectors(gallery)
    n = len(unit)
    nearest = Nearest(np.zeros(n, dtype=np.intp), np.full(n, -1.0, dtype="float32"))
    if not len(others) or (gallery is None and n < 2):
        return nearest
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        cosines = unit[rows] @ others.T
        if gallery is None:
            cosines[np.arange(rows.size), rows] = -2.0
        nearest.row[rows] = cosines.argmax(axis=1)
        nearest.cosine[rows] = cosines.max(axis=1)
    nearest.cosine[~unit.any(axis=1)] = -1.0
    return nearest


def inspect_near_copies(
    records: Sequence[Record],
    nearest: Nearest,
    gallery: Sequence[Record],
    *,
    near: float,
    exclusive: bool,
    is_test: bool,
) -> Iterator[Finding]:
    """Look for texts with nearly the same vector.

    records (Sequence[Record]): Documents with distinct texts.
    nearest (Nearest): The nearest document of each of them.
    gallery (Sequence[Record]): The documents that `nearest` refers to.
    near (float): The cosine from which on texts count as near duplicates.
    exclusive (bool): Whether a document carries exactly one label.
    is_test (bool): Whether the documents are those of TEST, and the gallery is DATA.
    YIELDS (Finding): The observations.
    """
    rows = np.flatnonzero(nearest.cosine >= near)
    rows = rows[np.argsort(-nearest.cosine[rows], kind="stable")]
    pairs = {}
    for row in rows.tolist():
        i = int(nearest.row[row])
        key = (row, i) if is_test else (min(row, i), max(row, i))
        if key not in pairs:
            one = (gallery[i], records[row]) if is_test else (records[key[0]], records[key[1]])
            pairs[key] = (*one, float(nearest.cosine[row]))
    if not pairs:
        return
    have = f"{count(len(rows), 'text')} of TEST" if is_test else count(len(rows), "text")
    where = " in DATA" if is_test else ""
    text = f"Of {have} there is a near duplicate{where} (cosine {near} or more)."
    name = "near_leakage" if is_test else "near_copies"
    examples = list(pairs.values())
    yield Finding(
        name, False, len(rows), text, [_describe_near(pair) for pair in examples[:MOST_EXAMPLES]]
    )
    contradicting = [
        (one, other, cosine)
        for one, other, cosine in examples
        if one.cats and other.cats and contradict(one.cats, other.cats, exclusive=exclusive)
    ]
    if contradicting and not is_test:
        yield Finding(
            "contradicting_near_copies",
            False,
            len(contradicting),
            f"{count(len(contradicting), 'pair')} of near duplicates with labels that contradict "
            "each other.",
            [_describe_near(pair) for pair in contradicting[:MOST_EXAMPLES]],
        )


def _describe_near(pair: tuple[Record, Record, float]) -> str:
    one, other, cosine = pair
    return f"{describe_pair(one, other)}, other text {shorten(other.text)!r}, cosine {cosine:.3f}"


def describe_pair(one: Record, other: Record) -> str:
    """Name two documents in an example.

    one (Record): A document.
    other (Record): Another document, a copy or a near duplicate.
    RETURNS (str): Their lines and labels, and the text of the first.
    """
    return (
        f"{shorten(one.text)!r}: line {one.line} ({describe_labels(one.cats)}), line {other.line} "
        f"({describe_labels(other.cats)})"
    )


def describe_labels(cats: Mapping[str, float]) -> str:
    """Name the labels of a document in an example.

    >>> describe_labels({"A": 1.0, "B": 0.0}), describe_labels({"B": 0.0}), describe_labels({})
    ('A', 'not B', '?')

    cats (Mapping[str, float]): What is known of the labels.
    RETURNS (str): The labels that it carries. If there are none, those that it lacks; "?" if
        nothing is known.
    """
    carried = [label for label, value in cats.items() if value >= CARRIES]
    if carried:
        return shorten(", ".join(carried), 40)
    return shorten(", ".join(f"not {label}" for label in cats), 40) if cats else "?"
