"""The vectors of a corpus of any size, in constant memory, in chunks that outlive a kill."""

from .run import SUFFIXES, Summary, embed_corpus

__all__ = ["SUFFIXES", "Summary", "embed_corpus"]
