"""Embed a corpus of any size, on one machine or many, and go on after an interruption.

The files:

    run.py            one file of vectors, in constant memory; _parts.py: its finished chunks
    _formats.py       Parquet, NPZ and JSON Lines; _docbin.py: .spacy; _make_format.py chooses
    _vectors.py       texts -> arrays
    _chunks.py        records -> chunks; _bar.py: the progress bar
    shards.py         a directory of shards
    _shard_writer.py  one shard; _storage.py: the directory, on a disk or at an address
    _manifest.py      what the directory says about itself; verify.py proves it
    _lock.py          one run at a time; _same_columns.py: shards with the same columns
    _schemas.py       columns of several Parquet tables brought together
    _engines.py       shards in this process
    _ray.py           shards on the workers of Ray (_worker.py); _cluster.py: the connection
    _packing.py       a pipeline as bytes; _versions.py: the versions of two machines
    batches.py        batches of columns with vectors, for Ray Data, Spark and Daft
"""

from ._cluster import import_ray
from ._make_format import DTYPES, SUFFIXES
from ._ray import RayOptions
from .batches import EmbedBatch, embed_dataset
from .run import Summary, embed_corpus
from .shards import ENGINES, ShardsSummary, embed_shards
from .verify import Verified, verify_shards

__all__ = [
    "DTYPES",
    "ENGINES",
    "SUFFIXES",
    "EmbedBatch",
    "RayOptions",
    "ShardsSummary",
    "Summary",
    "Verified",
    "embed_corpus",
    "embed_dataset",
    "embed_shards",
    "import_ray",
    "verify_shards",
]
