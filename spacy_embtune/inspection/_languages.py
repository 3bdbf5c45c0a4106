"""Guess the language of a text from its script and from stop words."""

import importlib.util
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# Languages whose stop words spaCy has, by script.
_LANGUAGES = {
    "LATIN": (
        *("en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi"),
        *("pl", "cs", "ro", "hu", "tr", "id"),
    ),
    "CYRILLIC": ("ru", "uk", "bg"),
    "ARABIC": ("ar", "fa"),
}
# Scripts that tell the language.
_BY_SCRIPT = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "THAI": "th",
    "GREEK": "el",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
}
UNKNOWN = "?"
# The start of a text is enough.
_MOST_CHARACTERS = 2000
# The best language needs this many times the evidence of the second best.
_MARGIN = 1.25
_WORD = re.compile(r"[^\W\d_]+")


def guess_language(text: str) -> str:
    """Guess the language of a text from its script and from stop words.

    >>> guess_language("The ball is in the net."), guess_language("Der Ball ist im Tor.")
    ('en', 'de')
    >>> guess_language("Tokio"), guess_language("これは本です。")
    ('?', 'ja')

    text (str): The text.
    RETURNS (str): The ISO 639-1 code of the language. "?" if the text is too short to tell, or
        the language is none of about 35.
    """
    text = text[:_MOST_CHARACTERS].casefold()
    scripts = Counter(_script(character) for character in text if character.isalpha())
    if not scripts:
        return UNKNOWN
    script = scripts.most_common(1)[0][0]
    if script == "CJK" and scripts["HIRAGANA"] + scripts["KATAKANA"]:
        return "ja"
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    weights = _weights(script)
    evidence: Counter[str] = Counter()
    n_words: Counter[str] = Counter()
    for word in _WORD.findall(text):
        for language, weight in weights.get(word, {}).items():
            evidence[language] += weight  # type: ignore[assignment]
            n_words[language] += 1
    ranked = evidence.most_common(2)
    if not ranked or n_words[ranked[0][0]] < 2:
        return UNKNOWN
    if len(ranked) == 2 and ranked[0][1] < _MARGIN * ranked[1][1]:
        return UNKNOWN
    return ranked[0][0]


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, UNKNOWN).split()[0]


@cache
def _weights(script: str) -> Mapping[str, Mapping[str, float]]:
    """RETURNS (Mapping[str, Mapping[str, float]]): For each stop word of a script, how much it
    speaks for each language that has it: less if several languages have it."""
    languages = _LANGUAGES.get(script, ())
    having: dict[str, list[str]] = {}
    for language in languages:
        for word in _stop_words(language):
            having.setdefault(word, []).append(language)
    return {
        word: dict.fromkeys(found, 0.1 + math.log(len(languages) / len(found)))
        for word, found in having.items()
    }


def _stop_words(language: str) -> set[str]:
    """RETURNS (set[str]): The stop words that spaCy has. Only their file is run, because the
    package of a language can take seconds to import."""
    import spacy.lang

    path = Path(next(iter(spacy.lang.__path__)), language, "stop_words.py")
    spec = importlib.util.spec_from_file_location(f"_stop_words_{language}", path)
    if spec is None or spec.loader is None or not path.is_file():
        return set()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = {part for word in module.STOP_WORDS for part in _WORD.findall(str(word).casefold())}
    # Long words of these lists are rather words of a topic.
    return {word for word in words if len(word) <= 8}
