"""What the vectors of a pipeline are worth, and how they look: reports for people, in notebooks and
for the command line."""

from .comparison import Report, compare, report
from .documents import LabelSpace, choose_labels, documents
from .types import Documents

__all__ = ["Documents", "LabelSpace", "Report", "choose_labels", "compare", "documents", "report"]
