"""Where pairs come from: registered readers, which give Examples for `spacy train`, and the same in
memory."""

from .corpus_pairs import PairsFromCorpus, make_pairs_from_corpus
from .scored_pairs import PairsReader, make_pairs_reader, pairs_to_examples

__all__ = [
    "PairsFromCorpus",
    "PairsReader",
    "make_pairs_from_corpus",
    "make_pairs_reader",
    "pairs_to_examples",
]
