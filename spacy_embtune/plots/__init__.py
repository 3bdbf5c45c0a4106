"""Show the vectors of a pipeline: figures, lists of neighbours, and an interactive page.

The files:

    _figures.py          matplotlib figures of documents: `plot`, its three parts, `save`
    _drawing.py          draws the parts of a figure
    _page.py             one HTML file to explore documents in a browser
    assembly.py, web/    the page as HTML, for the file and for the server of `label`
    _neighbor_lists.py   the documents nearest to a text, as a table
    projection.py        vectors -> two dimensions (PCA or UMAP)
    neighbors.py         nearest neighbours of documents, and the labels of neighbours
    _similarities.py     cosines of the pairs of documents
    colors.py            one colour for each of the most frequent labels
    arrays.py            the vectors and labels of documents, as arrays
    _text.py             texts on one line, and their width
"""

from ._drawing import require_matplotlib
from ._figures import (
    PARTS,
    SUFFIXES,
    describe_seen,
    neighbor_confusion,
    plot,
    projection_panels,
    save,
    similarity_histogram,
)
from ._neighbor_lists import ListedNeighbor, NeighborLists, compare_neighbors
from ._page import page
from .assembly import AssembledPage, assemble_page, seal_page, to_steps
from .projection import Projection, project, project_onto, require_umap

__all__ = [
    "PARTS",
    "SUFFIXES",
    "AssembledPage",
    "ListedNeighbor",
    "NeighborLists",
    "Projection",
    "assemble_page",
    "compare_neighbors",
    "describe_seen",
    "neighbor_confusion",
    "page",
    "plot",
    "project",
    "project_onto",
    "projection_panels",
    "require_matplotlib",
    "require_umap",
    "save",
    "seal_page",
    "similarity_histogram",
    "to_steps",
]
