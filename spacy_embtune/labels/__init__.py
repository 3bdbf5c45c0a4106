"""Labels: what is known of them, as names and as arrays. Only this room interprets cats.

names.py    a value of any type -> the name of a label
label_texts.py
            the name of a label -> a text; names that mean nothing
cats.py     the labels of documents as mappings from label to value
targets.py  cats -> `Targets`, the arrays of a batch
sparse.py   cats -> `SparseTargets`, the known values of a whole corpus
pairs.py    two documents -> how similar their labels are
"""

from ._arrays import CARRIES, MOST_DENSE, TOLERANCE, array_module
from .cats import is_exclusive, labels_in, validate_cats
from .label_texts import LabelTexts, find_codes, read_label_texts, tidy_name
from .names import MISSING_CELLS, LabelColumn, cell_name, find_free_text, label_name
from .pairs import balance_documents, pair_similarity, pairs_of, relative_weights
from .sparse import (
    AnyTargets,
    SparseTargets,
    dense_if_small,
    known_rows,
    make_sparse_targets,
    to_sparse,
)
from .targets import count_labels, make_targets

__all__ = [
    "CARRIES",
    "MISSING_CELLS",
    "MOST_DENSE",
    "TOLERANCE",
    "AnyTargets",
    "LabelColumn",
    "LabelTexts",
    "SparseTargets",
    "array_module",
    "balance_documents",
    "cell_name",
    "count_labels",
    "dense_if_small",
    "find_codes",
    "find_free_text",
    "is_exclusive",
    "known_rows",
    "label_name",
    "labels_in",
    "make_sparse_targets",
    "make_targets",
    "pair_similarity",
    "pairs_of",
    "read_label_texts",
    "relative_weights",
    "tidy_name",
    "to_sparse",
    "validate_cats",
]
