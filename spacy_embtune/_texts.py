"""Small helpers for texts: forms for comparing and showing them, and values that are missing."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np


def fold_text(text: str) -> str:
    """Write each run of white space as one space. Texts that are then equal count as the same text.

    >>> fold_text(" two\\n  lines ")
    'two lines'

    text (str): The text.
    RETURNS (str): The text with single spaces, and none at its ends.
    """
    return " ".join(text.split())


def text_key(text: str) -> str:
    """Make a key that is equal for copies of a text. Texts with equal keys are copies of each
    other: they differ only in case and white space.

    >>> text_key(" Good\\n soup. ") == text_key("good soup.")
    True

    text (str): The text.
    RETURNS (str): The key; empty if the text is empty or only white space.
    """
    return fold_text(text).casefold()


_NO_WORD = re.compile(r"[\W_]+")


def word_key(text: str) -> str:
    """Make a key that is equal for texts with the same words, whatever their case and punctuation.

    >>> word_key("Good soup!") == word_key("good, soup")
    True

    text (str): The text.
    RETURNS (str): Its words; the whole text if it has none, such as an emoji.
    """
    key = text_key(text)
    return _NO_WORD.sub(" ", key).strip() or key


def shorten(text: str, most: int = 40) -> str:
    """Cut a text for a message.

    >>> shorten("a long text that goes on", 11)
    'a long text...'

    text (str): The text.
    most (int): How many characters to keep.
    RETURNS (str): The start of the text on one line, with dots behind it if it was cut.
    """
    text = text[: most + 1].replace("\n", " ")
    return text if len(text) <= most else f"{text[:most]}..."


def quote_some(names: Sequence[str], most: int = 5) -> str:
    """Write the first of several names in quotes.

    >>> quote_some(["A", "B", "C"], 2)
    "'A', 'B' and 1 more"

    names (Sequence[str]): The names.
    most (int): How many are written.
    RETURNS (str): The names, and the number of others.
    """
    quoted = ", ".join(map(repr, names[:most]))
    return quoted if len(names) <= most else f"{quoted} and {len(names) - most} more"


def count(n: int, noun: str) -> str:
    """Write a number with its noun.

    >>> count(1, "text"), count(2, "text")
    ('1 text', '2 texts')

    n (int): The number.
    noun (str): The noun in the singular; its plural ends in s.
    RETURNS (str): The number and the noun.
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def is_missing(value: Any) -> bool:
    """Decide whether a value is missing.

    >>> is_missing(None), is_missing(float("nan")), is_missing("")
    (True, True, False)

    value (Any): A value from a file, an array or a table.
    RETURNS (bool): Whether it is None, NaN, or the NA or NaT of pandas.
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(value != value)


def digest_number(text: str) -> int:
    """Compute a number of a text that is the same in every process.

    >>> digest_number("a text") == digest_number("a text") < 2**64
    True

    text (str): The text.
    RETURNS (int): 8 bytes of its BLAKE2b digest, as a number.
    """
    data = text.encode("utf8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
