"""What helps to label many documents: predictions, suspect labels, tables for labelling tools."""

from .bulk import bulk_table, write_bulk
from .suspects import find_suspects

__all__ = ["bulk_table", "find_suspects", "write_bulk"]
