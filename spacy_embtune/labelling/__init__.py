"""Label many documents: predict labels, find labels that are probably wrong, and write tables.

The files:

    _predictions.py   predicted labels, and how certain they are
    _suspects.py      given labels that are probably wrong
    bulk.py           a table for the labelling tool bulk, as CSV or JSONL
"""

from ._predictions import LabelPredictions, predict_labels
from ._suspects import Suspects, find_suspects
from .bulk import COLORS, SUFFIXES, BulkTable, bulk_table, write_bulk

__all__ = [
    "COLORS",
    "SUFFIXES",
    "BulkTable",
    "LabelPredictions",
    "Suspects",
    "bulk_table",
    "find_suspects",
    "predict_labels",
    "write_bulk",
]
