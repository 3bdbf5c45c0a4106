"""Embed a corpus of any size in constant memory, on one machine or many, and resume after an
interruption."""

from ._make_format import DTYPES, SUFFIXES
from ._ray import RayOptions
from .run import Summary, embed_corpus
from .shards import ENGINES, ShardsSummary, embed_shards
from .verify import Verified, verify_shards

__all__ = [
    "DTYPES",
    "ENGINES",
    "SUFFIXES",
    "RayOptions",
    "ShardsSummary",
    "Summary",
    "Verified",
    "embed_corpus",
    "embed_shards",
    "verify_shards",
]
