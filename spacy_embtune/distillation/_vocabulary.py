"""The tokens of a static student: wordpieces of the teacher, frequent words and word pairs."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ._corpus import Block

# A word or pair that occurs in fewer texts is left to its wordpieces.
FEWEST_TEXTS = 5
MOST_PHRASES = 20_000
# Rare pairs are forgotten when there are more than this many, so that memory stays bounded.
_MOST_COUNTED = 1_000_000
_WORD = re.compile(r"\w+(?:'\w+)?")


def find_phrases(blocks: Iterable[Block], tokenizer: Any) -> list[str]:
    """Find words that the tokenizer cuts, and pairs of words, that occur in several texts.

    blocks (Iterable[Block]): The texts.
    tokenizer (Tokenizer): The tokenizer.
    RETURNS (list[str]): The phrases, the most frequent first.
    """
    counts: Counter[str] = Counter()
    for block in blocks:
        for text in block.texts:
            counts.update(set(_phrases_in(text.lower())))
        if len(counts) > _MOST_COUNTED:
            counts = Counter({phrase: n for phrase, n in counts.items() if n > 1})
    frequent = [phrase for phrase, n in counts.most_common() if n >= FEWEST_TEXTS]
    made = tokenizer.encode_batch_fast(frequent, add_special_tokens=False) if frequent else []
    cut = [phrase for phrase, tokens in zip(frequent, made, strict=True) if len(tokens.ids) > 1]
    return cut[:MOST_PHRASES]


def _phrases_in(text: str) -> Iterator[str]:
    words = list(_WORD.finditer(text))
    yield from (word.group() for word in words)
    for first, second in itertools.pairwise(words):
        # Only pairs with one space between them can be found again.
        if text[first.end() : second.start()] == " ":
            yield text[first.start() : second.end()]


def extend(tokenizer: Any, phrases: list[str]) -> Any:
    """Make a tokenizer with phrases as tokens of their own.

    tokenizer (Tokenizer): The tokenizer of the teacher. It is not changed.
    phrases (list[str]): The phrases.
    RETURNS (Tokenizer): The tokenizer, without truncation and padding. The numbers of its new
        tokens follow those of the old ones.
    """
    from tokenizers import AddedToken, Tokenizer

    made = Tokenizer.from_str(tokenizer.to_str())
    made.no_truncation()
    made.no_padding()
    made.add_tokens([AddedToken(phrase, single_word=True, normalized=True) for phrase in phrases])
    return made


def surfaces(tokenizer: Any) -> list[str]:
    """RETURNS (list[str]): The text that each token stands for, by its number; "" for tokens that
    stand for none."""
    found = [""] * (max(tokenizer.get_vocab().values(), default=-1) + 1)
    for number in range(len(found)):
        found[number] = tokenizer.decode([number]).removeprefix("##").strip()
    return found
