"""Pairs of texts: how what is known of them travels with a Doc, and how it becomes arrays.

A document carries what is known of its pairs in the user_data of its reference, so that shuffling,
batching and DocBin(store_user_data=True) keep a pair together:

- *partners*: other texts, each with the similarity that it and this document are to have;
- a *group*: documents of one group are alike, those of different groups are not.
"""

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.types import Floats2d

from .._texts import fold_text, shorten
from ..types import PairTargets

PARTNERS = "embtune_partners"
GROUP = "embtune_group"


class Partner(NamedTuple):
    """A text that a document is paired with.

    text (str): The other text.
    score (float): The similarity that it and the document are to have, 0..1.
    group (str | None): The group of the other text, if it is known.
    """

    text: str
    score: float
    group: str | None = None


def set_partners(
    doc: Doc, partners: Iterable[tuple[str, float] | tuple[str, float, str | None]]
) -> None:
    """Say which texts a document is paired with; what was said before is replaced.

    doc (Doc): The document; in training, the reference of an Example.
    partners (Iterable[tuple]): Texts, the similarity that each and the document are to have, 0..1,
        and the group of the text, if it is known. Empty: the document has no partners.
    RAISES (ValueError): If a text is no string, has no words, or is that of the document, or if a
        score is not a number in 0..1.
    """
    checked = _check_partners(doc, list(partners))
    if checked:
        # Plain lists: what msgpack, which stores user_data, gives back unharmed.
        doc.user_data[PARTNERS] = [
            [text, score] if group is None else [text, score, group]
            for text, score, group in checked
        ]
    else:
        doc.user_data.pop(PARTNERS, None)


def get_partners(doc: Doc) -> list[Partner]:
    """Which texts a document is paired with.

    doc (Doc): The document; in training, the reference of an Example.
    RETURNS (list[Partner]): The partners in the order given, possibly with duplicates; empty if
        there are none.
    RAISES (ValueError): If what is there, possibly written by somebody else, is not a list of
        [text, score] or [text, score, group] as `set_partners` takes it.
    """
    return _check_partners(doc, doc.user_data.get(PARTNERS))


def set_group(doc: Doc, group: str) -> None:
    """Say which group a document belongs to.

    doc (Doc): The document; in training, the reference of an Example.
    group (str): The group: a thread, an author, a page.
    RAISES (ValueError): If it is not a string, or empty.
    """
    doc.user_data[GROUP] = _check_group(doc, group)


def get_group(doc: Doc) -> str | None:
    """Which group a document belongs to.

    doc (Doc): The document; in training, the reference of an Example.
    RETURNS (str | None): The group, None if there is none.
    RAISES (ValueError): If what is there is not a string, or empty.
    """
    group = doc.user_data.get(GROUP)
    return None if group is None else _check_group(doc, group)


def combine_pairs(
    n_rows: int,
    explicit: Sequence[tuple[int, int, float]] = (),
    groups: Sequence[str | None] | None = None,
) -> PairTargets:
    """Arrange what is known of the pairs among n documents in arrays.

    Of each pair the first of these says something, and the other is not asked: a score of its own;
    the groups, if both documents have one.

    n_rows (int): The number of documents, n.
    explicit (Sequence[tuple[int, int, float]]): Two rows in any order, and their similarity, 0..1.
        The weight is 1. Several scores of one pair are averaged, also where they contradict each
        other: that is what a squared error would settle on.
    groups (Sequence[str | None] | None): The group of each row, None for a row without one. The
        similarity is 1 within a group and 0 between groups, the weight 1. None: there are none.
    RETURNS (PairTargets): Similarity and weight, symmetric float32 numpy arrays of shape (n, n);
        both are 0 on the diagonal, and the similarity where the weight is 0.
    RAISES (ValueError): If the number of groups does not fit, a pair names a row that there is not,
        or one row twice, or a score is not in 0..1.
    """
    shape = (n_rows, n_rows)
    similarity, weight = np.zeros(shape, "float32"), np.zeros(shape, "float32")
    if groups is not None:
        if len(groups) != n_rows:
            raise ValueError(
                f"There are {len(groups)} groups for {n_rows} documents: give one for each, None "
                "where there is none."
            )
        numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        ids = np.asarray([numbers[group] for group in groups], dtype=np.intp)
        has_group = np.asarray([group is not None for group in groups], dtype=bool)
        both = has_group[:, None] & has_group[None, :]
        similarity = np.where(both, (ids[:, None] == ids[None, :]), similarity)
        weight = np.where(both, 1.0, weight)
    if explicit:
        first, second, scores = _check_explicit(n_rows, explicit)
        pair, inverse = np.unique(
            np.minimum(first, second) * n_rows + np.maximum(first, second),
            return_inverse=True,
        )
        means = np.bincount(inverse, weights=scores) / np.bincount(inverse)
        low, high = pair // n_rows, pair % n_rows
        for i, j in ((low, high), (high, low)):
            similarity[i, j] = means
            weight[i, j] = 1.0
    np.fill_diagonal(weight, 0.0)
    similarity = np.where(weight > 0, similarity, 0.0)
    return PairTargets(
        cast(Floats2d, similarity.astype("float32")), cast(Floats2d, weight.astype("float32"))
    )


def _check_explicit(
    n_rows: int, explicit: Sequence[tuple[int, int, float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first = np.asarray([i for i, _, _ in explicit], dtype=np.intp)
    second = np.asarray([j for _, j, _ in explicit], dtype=np.intp)
    scores = np.asarray([score for _, _, score in explicit], dtype="float64")
    outside = (np.minimum(first, second) < 0) | (np.maximum(first, second) >= n_rows)
    # Written so that NaN, for which every comparison is false, is found.
    wrong = {
        f"names a row outside 0..{n_rows - 1}": outside,
        "pairs a row with itself": first == second,
        "has a score outside 0..1": ~((scores >= 0.0) & (scores <= 1.0)),
    }
    for what, where in wrong.items():
        if where.any():
            raise ValueError(f"The pair {explicit[int(where.argmax())]!r} {what}.")
    return first, second, scores


def _check_partners(doc: Doc, partners: Any) -> list[Partner]:
    if partners is None:
        return []
    if not isinstance(partners, list | tuple):
        raise ValueError(
            f"{_describe(doc)}: the partners are {partners!r}, a {type(partners).__name__}. Give a "
            'list of [text, score], such as [["A text.", 0.8]].'
        )
    itself = fold_text(doc.text) if partners else ""
    checked = []
    for partner in partners:
        if not isinstance(partner, list | tuple) or len(partner) not in (2, 3):
            raise ValueError(
                f"{_describe(doc)}: the partner {partner!r} is not a text and a score. Give "
                '[text, score], such as ["A text.", 0.8].'
            )
        text, score, group = (*partner, None)[:3]
        if not isinstance(text, str):
            raise ValueError(
                f"{_describe(doc)}: a partner is {text!r}, a {type(text).__name__}. Give a text."
            )
        if not text.strip():
            raise ValueError(
                f"{_describe(doc)}: a partner is an empty text, which has no vector. Leave it out."
            )
        if fold_text(text) == itself:
            raise ValueError(
                f"{_describe(doc)}: is its own partner, up to whitespace. A text cannot be paired "
                "with itself: leave the pair out."
            )
        try:
            number = check_score(score)
        except ValueError as error:
            raise ValueError(
                f"{_describe(doc)}: of the partner {shorten(text)!r}, {error}"
            ) from None
        group = None if group is None else _check_group(doc, group)
        checked.append(Partner(text, number, group))
    return checked


def check_score(score: Any, *, low: float = 0.0, high: float = 1.0) -> float:
    """Check the score of a pair.

    score (Any): The score.
    low, high (float): The range of scores.
    RETURNS (float): The score.
    RAISES (ValueError): If it is not a number, not finite, or outside the range; the message goes
        on from the name of the pair.
    """
    if not isinstance(score, Real) or isinstance(score, bool):
        raise ValueError(
            f"the score {shorten(repr(score))} is not a number. Give one from {low:g} to {high:g}."
        )
    try:
        number = float(score)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if math.isnan(number):
        raise ValueError(
            f"the score is NaN. Give a number from {low:g} to {high:g}, or leave the pair out."
        )
    if not low <= number <= high:
        raise ValueError(
            f"the score {number:g} is outside {low:g}..{high:g}. Correct it, or say what range the "
            "scores have (score_range)."
        )
    return number


def _check_group(doc: Doc, group: Any) -> str:
    if not isinstance(group, str) or not group:
        raise ValueError(
            f"{_describe(doc)}: the group is {group!r}. Give a non-empty string that names it."
        )
    return group


def _describe(doc: Doc) -> str:
    """RETURNS (str): Which document it is, for an error."""
    return f"document {shorten(doc.text)!r}"
