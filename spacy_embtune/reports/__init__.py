"""Compare tuned with base vectors: a table of metrics with intervals, and a verdict in words."""

from ._per_label import is_distribution
from .comparison import Report, compare, report
from .documents import LabelSpace, choose_labels, documents, labels_of_others, make_units
from .sides import SidesReport, compare_sides, report_pairs
from .types import Documents

__all__ = [
    "Documents",
    "LabelSpace",
    "Report",
    "SidesReport",
    "choose_labels",
    "compare",
    "compare_sides",
    "documents",
    "is_distribution",
    "labels_of_others",
    "make_units",
    "report",
    "report_pairs",
]
