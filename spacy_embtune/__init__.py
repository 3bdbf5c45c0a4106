"""Sentence embeddings in spaCy, tuned to your own labels."""

from .about import __version__

__all__ = ["__version__"]
