"""What the vectors of a pipeline are worth, and how they look: reports for people, in notebooks and
for the command line."""

from .bulk import bulk_table, write_bulk
from .comparison import Report, compare, report
from .documents import LabelSpace, choose_labels, documents
from .figures import neighbor_confusion, plot, projection_panels, save, similarity_histogram
from .neighbor_lists import compare_neighbors
from .page import page
from .projection import project
from .suspects import find_suspects
from .types import Documents

__all__ = [
    "Documents",
    "LabelSpace",
    "Report",
    "bulk_table",
    "choose_labels",
    "compare",
    "compare_neighbors",
    "documents",
    "find_suspects",
    "neighbor_confusion",
    "page",
    "plot",
    "project",
    "projection_panels",
    "report",
    "save",
    "similarity_histogram",
    "write_bulk",
]
