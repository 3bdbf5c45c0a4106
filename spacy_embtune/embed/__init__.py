"""Embed a corpus of any size in constant memory, and resume after an interruption."""

from .run import SUFFIXES, Summary, embed_corpus

__all__ = ["SUFFIXES", "Summary", "embed_corpus"]
