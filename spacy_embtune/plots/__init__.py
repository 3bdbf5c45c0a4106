"""How the vectors of a pipeline look: pictures, neighbour lists, and an interactive page."""

from .figures import neighbor_confusion, plot, projection_panels, save, similarity_histogram
from .neighbor_lists import compare_neighbors
from .page import page
from .projection import project

__all__ = [
    "compare_neighbors",
    "neighbor_confusion",
    "page",
    "plot",
    "project",
    "projection_panels",
    "save",
    "similarity_histogram",
]
