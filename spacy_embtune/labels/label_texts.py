"""Turn labels into texts: tidy names, notice codes that mean nothing, and read descriptions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

# The setting label_texts: the names of the labels, or a text or several texts for each label.
LabelTexts: TypeAlias = Literal["names"] | Mapping[str, str | Sequence[str]]

# A border between words that no character marks: camelCase, HTTPError, top10, 10th.
_BORDER = re.compile(
    r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)
_NOT_A_WORD = re.compile(r"[^\w+#'\u2019]+")
# What fastText writes before a label.
_PREFIX = re.compile(r"^__label__")
# Words that say that something is a class, not which.
_GENERIC = {
    *("label", "class", "category", "cat", "cluster", "topic", "type", "group", "tag", "target"),
    *("code", "id", "option", "value", "key", "no", "nr"),
}
# A word that the encoder splits into pieces shorter than this is no word of its language.
_CHARACTERS_PER_TOKEN = 3.0
# A word of at most so many letters has to be one token.
_SHORT = 4


def tidy_name(label: str) -> str:
    """Write the name of a label as words, so that an encoder reads it like a text.

    >>> [tidy_name(name) for name in ("CARD_not-working", "customerService", "Sci/Tech", "top10")]
    ['card not working', 'customer service', 'sci tech', 'top 10']

    label (str): The name.
    RETURNS (str): Its words in lower case, with a space between them. Empty if it has none.
    """
    name = _BORDER.sub(" ", _PREFIX.sub("", label)).replace("&", " and ").replace("_", " ")
    words = (
        word.lstrip("'\u2019#").rstrip("'\u2019") for word in _NOT_A_WORD.sub(" ", name).split()
    )
    return " ".join(word for word in words if word).lower()


def find_codes(
    labels: Iterable[str], count_tokens: Callable[[str], int | None] | None = None
) -> list[str]:
    """Find labels whose names mean nothing, such as "LABEL_3", "0" or "ENTY".

    If at most half of the names mean something, all labels count as codes, because abbreviations
    that look like words ("HUM", "LOC") seldom mean what the words mean.

    >>> find_codes(["sport", "LABEL_3", "music"])
    ['LABEL_3']
    >>> find_codes(["0", "1", "B"])
    ['0', '1', 'B']

    labels (Iterable[str]): The labels.
    count_tokens (Callable | None): Takes a word. Returns the number of tokens that the encoder
        reads it as; None if the encoder does not know it. None: any word with letters counts.
    RETURNS (list[str]): The labels that are codes, in their order.
    """
    labels = list(labels)
    codes = [label for label in labels if not _means_something(tidy_name(label), count_tokens)]
    return labels if 2 * len(codes) >= len(labels) else codes


def _means_something(name: str, count_tokens: Callable[[str], int | None] | None) -> bool:
    """RETURNS (bool): Whether at least half of the words of a tidy name are known words."""
    words = [word for word in name.split() if not word.isdigit()]
    told = [word for word in words if word not in _GENERIC and not _is_letter(word)]
    if not told:
        return False
    return 2 * sum(_is_word(word, count_tokens) for word in told) >= len(told)


def _is_letter(word: str) -> bool:
    """RETURNS (bool): Whether a word is a single letter of an alphabet of few letters."""
    return len(word) == 1 and word.lower() != word.upper()


def _is_word(word: str, count_tokens: Callable[[str], int | None] | None) -> bool:
    if not any(character.isalpha() for character in word):
        return False
    # In other scripts, tokens are often single characters.
    if count_tokens is None or not word.isascii():
        return True
    n_tokens = count_tokens(word)
    if n_tokens is None:
        return False
    return n_tokens <= 1 or (len(word) > _SHORT and len(word) >= _CHARACTERS_PER_TOKEN * n_tokens)


def read_label_texts(setting: Any, labels: Iterable[str]) -> dict[str, list[str]]:
    """Read the setting label_texts.

    >>> read_label_texts("names", ["SPORT", "LABEL_3"])
    {'SPORT': ['sport'], 'LABEL_3': ['label 3']}
    >>> read_label_texts({"MUSIC": ["concerts", "songs and bands"]}, ["SPORT"])
    {'MUSIC': ['concerts', 'songs and bands']}

    setting (Any): "names", or a mapping from label to a text or a list of texts. None: no texts.
    labels (Iterable[str]): The labels that "names" stands for.
    RETURNS (dict[str, list[str]]): The texts of each label. Labels without a text are left out.
    RAISES (ValueError): If the setting has another form.
    """
    cure = 'Give "names", or a mapping from label to a text or a list of texts.'
    if setting is None:
        return {}
    if isinstance(setting, str):
        if setting != "names":
            raise ValueError(f"label_texts is {setting!r}. {cure}")
        named = {label: tidy_name(label) for label in labels}
        return {label: [name] for label, name in named.items() if name}
    if not isinstance(setting, Mapping):
        raise ValueError(f"label_texts is {setting!r}, a {type(setting).__name__}. {cure}")
    found: dict[str, list[str]] = {}
    for label, given in setting.items():
        texts = [given] if isinstance(given, str) else given
        is_list = isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)
        if not isinstance(label, str) or not label or not is_list:
            raise ValueError(f"label_texts: the label {label!r} has the value {given!r}. {cure}")
        kept = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
        if kept:
            found[label] = kept
    return found
