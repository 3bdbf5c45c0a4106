"""Label many documents: predict labels, find labels that are probably wrong, and write tables.

The files:

    _predictions.py   predicted labels, and how certain they are
    _suspects.py      given labels that are probably wrong
    by_names.py       texts in order of their nearness to the names of labels
    bulk.py           a table for the labelling tool bulk
    _table_files.py   the table as CSV, JSON Lines, Parquet or a spreadsheet
"""

from ._predictions import LabelPredictions, predict_labels
from ._suspects import Suspects, find_suspects
from ._table_files import SUFFIXES, require_writer, write_bulk
from .bulk import COLORS, BulkTable, Neighbors, bulk_table
from .by_names import NameMatches, match_names

__all__ = [
    "COLORS",
    "SUFFIXES",
    "BulkTable",
    "LabelPredictions",
    "NameMatches",
    "Neighbors",
    "Suspects",
    "bulk_table",
    "find_suspects",
    "match_names",
    "predict_labels",
    "require_writer",
    "write_bulk",
]
