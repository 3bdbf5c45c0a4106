"""Label many documents: predict labels, find labels that are probably wrong, and write tables.

The files:

    _predictions.py   predicted labels, and how certain they are
    _suspects.py      given labels that are probably wrong
    bulk.py           a table for the labelling tool bulk
    _table_files.py   the table as CSV, JSON Lines, Parquet or a spreadsheet
"""

from ._predictions import LabelPredictions, predict_labels
from ._suspects import Suspects, find_suspects
from ._table_files import SUFFIXES, require_writer, write_bulk
from .bulk import COLORS, BulkTable, Neighbors, bulk_table

__all__ = [
    "COLORS",
    "SUFFIXES",
    "BulkTable",
    "LabelPredictions",
    "Neighbors",
    "Suspects",
    "bulk_table",
    "find_suspects",
    "predict_labels",
    "require_writer",
    "write_bulk",
]
