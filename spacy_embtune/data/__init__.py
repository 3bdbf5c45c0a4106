"""Data: files of every format as fields and records, and the pairs of documents for training."""

from .cats import CatsReader, LabelSettings, bin_name, find_label_fields
from .corpus_pairs import PairsFromCorpus, make_pairs_from_corpus
from .doc_pairs import Partner, get_group, get_partners, set_group, set_partners
from .fields import FORMATS, InvalidRowError, Position, Row, find_kind, import_pyarrow, read_fields
from .pair_targets import combine_pairs
from .records import Record, read_records
from .scored_pairs import PairsReader, make_pairs_reader, pairs_to_examples

__all__ = [
    "FORMATS",
    "CatsReader",
    "InvalidRowError",
    "LabelSettings",
    "PairsFromCorpus",
    "PairsReader",
    "Partner",
    "Position",
    "Record",
    "Row",
    "bin_name",
    "combine_pairs",
    "find_kind",
    "find_label_fields",
    "get_group",
    "get_partners",
    "import_pyarrow",
    "make_pairs_from_corpus",
    "make_pairs_reader",
    "pairs_to_examples",
    "read_fields",
    "read_records",
    "set_group",
    "set_partners",
]
