"""Data: files of every format as fields and records, and the pairs of documents for training."""

from ._digest import digest_records
from ._record_docs import RecordDoc, make_doc, read_record_docs
from .cats import CatsReader
from .corpus_pairs import PairsFromCorpus, make_pairs_from_corpus
from .doc_pairs import Partner, get_group, get_partners, set_group, set_partners
from .fields import (
    FORMATS,
    InvalidRowError,
    Position,
    Row,
    find_kind,
    import_pyarrow,
    is_address,
    read_fields,
)
from .label_log import (
    LabelAction,
    LabelState,
    LoggedText,
    digest_text,
    header_line,
    parse_action,
    read_header,
)
from .label_settings import LabelSettings, bin_name, find_label_fields
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
from .parts import write_parts
from .pseudo_labels import (
    WEIGHT_FIELD,
    PseudoLabel,
    check_weight,
    read_pseudo_labels,
    text_digest,
    write_pseudo_labels,
)
from .records import Location, Record, leave_out_invalid_spans, read_records
from .records_reader import RecordsReader, make_records_reader
from .scored_pairs import PairsReader, make_pairs_reader, pairs_to_examples
from .shards import (
    InputPart,
    check_file,
    check_part,
    find_parts,
    is_corpus_of_files,
    shard_key,
)
from .spans import SPANS_FIELD, TextSpan, describe_spans, find_misplaced, read_spans
from .splitting import RecordSplit, find_groups, link_documents, split_records
from .unlabelled import UnlabelledReader, make_unlabelled_reader

__all__ = [
    "ESCAPED",
    "FORMATS",
    "SPANS_FIELD",
    "WEIGHT_FIELD",
    "CatsReader",
    "InputPart",
    "InvalidRowError",
    "LabelAction",
    "LabelSettings",
    "LabelState",
    "Location",
    "LoggedText",
    "PairsFromCorpus",
    "PairsReader",
    "Partner",
    "Position",
    "PseudoLabel",
    "Record",
    "RecordDoc",
    "RecordSplit",
    "RecordsReader",
    "Row",
    "TextSpan",
    "UnlabelledReader",
    "bin_name",
    "check_file",
    "check_part",
    "check_weight",
    "combine_pairs",
    "describe_spans",
    "digest_records",
    "digest_text",
    "escape_cells",
    "find_groups",
    "find_kind",
    "find_label_fields",
    "find_misplaced",
    "find_parts",
    "get_group",
    "get_partners",
    "header_line",
    "import_pyarrow",
    "is_address",
    "is_corpus_of_files",
    "json_column",
    "leave_out_invalid_spans",
    "link_documents",
    "make_doc",
    "make_pairs_from_corpus",
    "make_pairs_reader",
    "make_records_reader",
    "make_unlabelled_reader",
    "pairs_to_examples",
    "parse_action",
    "read_fields",
    "read_header",
    "read_pseudo_labels",
    "read_record_docs",
    "read_records",
    "read_spans",
    "rename_fields",
    "set_group",
    "set_partners",
    "shard_key",
    "split_records",
    "text_digest",
    "to_arrow",
    "to_cell",
    "to_json",
    "to_json_value",
    "unescape_cells",
    "write_parts",
    "write_pseudo_labels",
]
