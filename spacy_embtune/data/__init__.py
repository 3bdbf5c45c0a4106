"""Data: files of every format as fields and records, and the pairs of documents for training."""

from .corpus_pairs import PairsFromCorpus, make_pairs_from_corpus
from .doc_pairs import Partner, get_group, get_partners, set_group, set_partners
from .fields import FORMATS, InvalidRowError, Position, Row, find_kind, import_pyarrow, read_fields
from .other_fields import (
    ESCAPED,
    escape_cells,
    json_column,
    rename_fields,
    to_arrow,
    to_cell,
    to_json,
    to_json_value,
    unescape_cells,
)
from .pair_targets import combine_pairs
from .records import Record, read_records
from .scored_pairs import PairsReader, make_pairs_reader, pairs_to_examples

__all__ = [
    "ESCAPED",
    "FORMATS",
    "InvalidRowError",
    "PairsFromCorpus",
    "PairsReader",
    "Partner",
    "Position",
    "Record",
    "Row",
    "combine_pairs",
    "escape_cells",
    "find_kind",
    "get_group",
    "get_partners",
    "import_pyarrow",
    "json_column",
    "make_pairs_from_corpus",
    "make_pairs_reader",
    "pairs_to_examples",
    "read_fields",
    "read_records",
    "rename_fields",
    "set_group",
    "set_partners",
    "to_arrow",
    "to_cell",
    "to_json",
    "to_json_value",
    "unescape_cells",
]
