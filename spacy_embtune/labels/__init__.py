"""Labels: what is known of them, as names and as arrays. Only this room interprets cats.

names.py    a value of any type -> the name of a label
cats.py     the labels of documents as mappings from label to value
targets.py  cats -> `Targets`, the arrays of a batch
sparse.py   cats -> `SparseTargets`, the known values of a whole corpus
pairs.py    two documents -> how similar their labels are
"""

from ._arrays import CARRIES, TOLERANCE, array_module
from .cats import is_exclusive, labels_in, validate_cats
from .names import MISSING_CELLS, LabelColumn, cell_name, find_free_text, label_name
from .pairs import balance_documents, pair_similarity, pairs_of, relative_weights
from .sparse import SparseTargets, make_sparse_targets
from .targets import count_labels, make_targets

__all__ = [
    "CARRIES",
    "MISSING_CELLS",
    "TOLERANCE",
    "LabelColumn",
    "SparseTargets",
    "array_module",
    "balance_documents",
    "cell_name",
    "count_labels",
    "find_free_text",
    "is_exclusive",
    "label_name",
    "labels_in",
    "make_sparse_targets",
    "make_targets",
    "pair_similarity",
    "pairs_of",
    "relative_weights",
    "validate_cats",
]
