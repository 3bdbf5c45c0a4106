"""Divide records into chunks, each of which is in memory as a whole."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from spacy.language import Language

from ..data import Record

# A chunk ends after this many characters, so that it never takes more than some dozens of
# megabytes.
MOST_CHARACTERS = 2**24


def divide(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """YIELDS (list[Record]): Chunks of records. The same records give the same chunks."""
    chunk: list[Record] = []
    n_characters = 0
    for record in records:
        chunk.append(record)
        n_characters += len(record.text)
        if len(chunk) == size or n_characters >= MOST_CHARACTERS:
            yield chunk
            chunk, n_characters = [], 0
    if chunk:
        yield chunk


def memory_zone(nlp: Language) -> AbstractContextManager[Any]:
    """Make the vocabulary forget the words of a chunk afterwards, so that memory does not grow."""
    vocab: Any = nlp.vocab
    return nullcontext() if vocab.in_memory_zone else nlp.memory_zone()
