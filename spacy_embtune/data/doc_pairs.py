"""Partners and groups of documents, which are stored in `Doc.user_data`.

- *Partners* are other texts, each with the similarity that it and the document are to have.
- Documents of one *group* are similar, and documents of different groups are not.

Both are stored on the reference of an Example, so that a pair stays together when spaCy shuffles
and batches Examples, and when DocBin(store_user_data=True) stores them.
"""

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple

from spacy.tokens import Doc

from .._texts import fold_text, shorten

PARTNERS = "embtune_partners"
GROUP = "embtune_group"


class Partner(NamedTuple):
    """A text that is paired with a document.

    >>> Partner("Someone eats.", 0.8)
    Partner(text='Someone eats.', score=0.8, group=None)

    text (str): The text.
    score (float): The similarity that the text and the document are to have, 0..1.
    group (str | None): The group of the text, None if it has no group.
    """

    text: str
    score: float
    group: str | None = None


def set_partners(
    doc: Doc, partners: Iterable[tuple[str, float] | tuple[str, float, str | None]]
) -> None:
    """Set the partners of a document, in place of those that it had.

    >>> import spacy
    >>> doc = spacy.blank("en")("A man eats.")
    >>> set_partners(doc, [("Someone eats.", 0.8), ("It rains.", 0.0)])
    >>> [partner.text for partner in get_partners(doc)]
    ['Someone eats.', 'It rains.']

    doc (Doc): The document; in training, the reference of an Example.
    partners (Iterable[tuple]): Tuples of a text, the similarity that the text and the document are
        to have, 0..1, and the group of the text, which may be left out. Empty: the document has no
        partners.
    RAISES (ValueError): If a text is not a string, is empty, or equals the text of the document, or
        if a score is not a number in 0..1.
    """
    checked = _check_partners(doc, list(partners))
    if checked:
        # msgpack, which stores user_data, keeps lists, but turns tuples into lists.
        doc.user_data[PARTNERS] = [
            [text, score] if group is None else [text, score, group]
            for text, score, group in checked
        ]
    else:
        doc.user_data.pop(PARTNERS, None)


def get_partners(doc: Doc) -> list[Partner]:
    """Get the partners of a document.

    >>> import spacy
    >>> get_partners(spacy.blank("en")("A man eats."))
    []

    doc (Doc): The document; in training, the reference of an Example.
    RETURNS (list[Partner]): The partners in the order in which they were set, duplicates included.
        Empty if the document has none.
    RAISES (ValueError): If other code stored a value that `set_partners` does not accept.
    """
    return _check_partners(doc, doc.user_data.get(PARTNERS))


def set_group(doc: Doc, group: str) -> None:
    """Set the group of a document.

    >>> import spacy
    >>> doc = spacy.blank("en")("A man eats.")
    >>> set_group(doc, "meals")
    >>> get_group(doc)
    'meals'

    doc (Doc): The document; in training, the reference of an Example.
    group (str): The name of the group, for instance of a thread, an author or a page.
    RAISES (ValueError): If the group is not a string, or is empty.
    """
    doc.user_data[GROUP] = _check_group(doc, group)


def get_group(doc: Doc) -> str | None:
    """Get the group of a document.

    >>> import spacy
    >>> get_group(spacy.blank("en")("A man eats.")) is None
    True

    doc (Doc): The document; in training, the reference of an Example.
    RETURNS (str | None): The group, None if the document has none.
    RAISES (ValueError): If other code stored a group that is not a string, or is empty.
    """
    group = doc.user_data.get(GROUP)
    return None if group is None else _check_group(doc, group)


def check_score(score: Any, *, low: float = 0.0, high: float = 1.0) -> float:
    """Check the score of a pair.

    >>> check_score(4, high=5.0)
    4.0

    score (Any): The score.
    low, high (float): The least and the greatest score that are allowed.
    RETURNS (float): The score.
    RAISES (ValueError): If the score is not a finite number in the range. The message is a clause
        that the caller puts behind the name of the pair.
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
            f"the score {number:g} is outside {low:g}..{high:g}. Correct it, or give the range of "
            "the scores (score_range)."
        )
    return number


def _check_partners(doc: Doc, partners: Any) -> list[Partner]:
    if partners is None:
        return []
    if not isinstance(partners, list | tuple):
        raise ValueError(
            f"{_describe(doc)}: the partners are {partners!r}, a {type(partners).__name__}. Give a "
            'list of [text, score], such as [["A text.", 0.8]].'
        )
    own_text = fold_text(doc.text) if partners else ""
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
                f"{_describe(doc)}: a partner is an empty text, which has no vector. Leave the "
                "partner out."
            )
        if fold_text(text) == own_text:
            raise ValueError(
                f"{_describe(doc)}: a partner has the same text as the document, apart from white "
                "space. A text cannot be paired with itself. Leave the partner out."
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


def _check_group(doc: Doc, group: Any) -> str:
    if not isinstance(group, str) or not group:
        raise ValueError(
            f"{_describe(doc)}: the group is {group!r}. Give the name of the group, a string that "
            "is not empty."
        )
    return group


def _describe(doc: Doc) -> str:
    """RETURNS (str): The start of the document's text, for error messages."""
    return f"document {shorten(doc.text)!r}"
