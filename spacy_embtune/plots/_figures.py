"""Make matplotlib figures that compare base vectors with tuned vectors.

The figures are made without pyplot, so the figures and the backend of the caller do not change. A
notebook shows them after `%matplotlib inline`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..reports.types import Documents
from ._drawing import (
    WIDTH,
    Band,
    draw_title,
    figure_style,
    matrix_band,
    projection_band,
    similarity_band,
    title_height,
)
from ._similarities import pair_cosines
from .colors import color_groups
from .neighbors import neighbor_matrix
from .projection import Projection, project

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part = Literal["projection", "similarity", "neighbors"]
PARTS: tuple[Part, ...] = get_args(Part)
# Metadata that keeps the date out of each kind of file.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}

SUFFIXES = tuple(_METADATA)
_DPI = 150


def plot(
    documents: Documents,
    projection: Projection | None = None,
    *,
    title: str | None = None,
    note: str | None = None,
    parts: Sequence[Part] = PARTS,
) -> "Figure":
    """Draw base vectors beside tuned vectors in three parts: the documents in two dimensions, the
    similarities of pairs, and the labels of nearest neighbours. Without known labels, only the
    first part is drawn.

    >>> import numpy as np
    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> figure = plot(documents, title="Three texts", parts=["projection"])
    >>> figure.get_size_inches().round(1).tolist()
    [11.0, 6.0]

    documents (Documents): The documents.
    projection (Projection | None): The positions of the documents, from `project`. None: PCA fitted
        on these documents.
    title (str | None): The title. None: the numbers of documents and labels.
    note (str | None): A line below the title, for example from `describe_seen`.
    parts (Sequence[str]): The parts to draw: "projection", "similarity", "neighbors".
    RETURNS (Figure): The figure.
    RAISES (ValueError): If fewer than 3 documents have vectors, a part is unknown, or no part can
        be drawn. ImportError: without matplotlib.
    """
    if not parts or any(part not in PARTS for part in parts):
        raise ValueError(f"parts are {list(parts)!r}: give one or more of {', '.join(PARTS)}.")
    made = [_band(part, documents, projection) for part in PARTS if part in parts]
    bands = [band for band in made if band is not None]
    if not bands:
        raise ValueError(_nothing_to_compare(documents))
    return _draw(bands, _heading(documents) if title is None else title, note)


def describe_seen(n_seen: int, n: int, row_name: str = "document") -> str:
    """Write a note that training documents do not test the tuning.

    >>> print(describe_seen(1, 20))
    1 of these 20 documents was trained on: their order does not tell how well new ones are ordered.

    n_seen (int): How many of the documents the component was trained on.
    n (int): The number of documents.
    row_name (str): What they are, see `Documents.row_name`.
    RETURNS (str): The note.
    """
    return (
        f"{n_seen:,} of these {n:,} {row_name}s {'was' if n_seen == 1 else 'were'} trained on: "
        f"their order does not tell how well new ones are ordered."
    )


def projection_panels(documents: Documents, projection: Projection | None = None) -> "Figure":
    """Draw the documents in two dimensions, by base vectors and by tuned vectors, with a colour for
    each of the most frequent labels.

    >>> import numpy as np
    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> axes = projection_panels(documents).subfigs[0].axes
    >>> [a.get_title(loc="left").split(":")[0] for a in axes[:2]]
    ['base', 'tuned']

    documents (Documents): The documents.
    projection (Projection | None): The positions of the documents, from `project`. None: PCA fitted
        on these documents.
    RETURNS (Figure): The figure.
    RAISES (ValueError): If fewer than 3 documents have vectors. ImportError: without matplotlib.
    """
    return _only("projection", documents, projection)


def similarity_histogram(documents: Documents) -> "Figure":
    """Draw histograms of the similarities of documents that share a label and of those that do not.

    >>> import numpy as np
    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> axes = similarity_histogram(documents).subfigs[0].axes
    >>> [a.get_title(loc="left").split(":")[0] for a in axes[:2]]
    ['base', 'tuned']

    documents (Documents): The documents.
    RETURNS (Figure): The figure, with base vectors and tuned vectors side by side on one scale.
    RAISES (ValueError): If the labels of no pair are known. ImportError: without matplotlib.
    """
    return _only("similarity", documents)


def neighbor_confusion(documents: Documents) -> "Figure":
    """Draw the labels of the nearest neighbours of documents, see `neighbor_matrix`.

    >>> import numpy as np
    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> axes = neighbor_confusion(documents).subfigs[0].axes
    >>> [a.get_title(loc="left").split(":")[0] for a in axes[:2]]
    ['base', 'tuned']

    documents (Documents): The documents.
    RETURNS (Figure): The figure, with base vectors and tuned vectors side by side on one scale.
    RAISES (ValueError): If no document carries a label. ImportError: without matplotlib.
    """
    return _only("neighbors", documents)


def save(figure: "Figure", path: str | Path) -> None:
    """Write a figure to a file. The same documents give the same bytes.

    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "empty.png"
    ...     save(Figure(), path)
    ...     path.read_bytes()[1:4]
    b'PNG'

    figure (Figure): The figure.
    path (str | Path): A file that ends in .png, .svg or .pdf.
    RAISES (ValueError): If the file has another suffix. OSError: if it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: give a name that ends in {', '.join(SUFFIXES)}.")
    with figure_style():
        figure.savefig(path, dpi=_DPI, format=suffix[1:], metadata=_METADATA[suffix])


def _only(part: Part, documents: Documents, projection: Projection | None = None) -> "Figure":
    band = _band(part, documents, projection)
    if band is None:
        raise ValueError(_nothing_to_compare(documents))
    return _draw([band], None, None)


def _band(part: Part, documents: Documents, projection: Projection | None) -> Band | None:
    """RETURNS (Band | None): The part, ready to be drawn. None if there is nothing to draw."""
    is_exclusive = documents.targets.exclusive
    if part == "projection":
        projection = project(documents) if projection is None else projection
        return projection_band(projection, color_groups(documents))
    if part == "similarity":
        pairs = pair_cosines(documents)
        return similarity_band(pairs, is_exclusive=is_exclusive) if pairs.share_label.size else None
    base, tuned = neighbor_matrix(documents, "base"), neighbor_matrix(documents, "tuned")
    # With a single label, there is nothing to compare.
    if len(base.labels) < 2 or base.labels != tuned.labels:
        return None
    with figure_style():
        is_partition = is_exclusive or len(documents.labels) == 1
        return matrix_band(base, tuned, is_partition=is_partition)


def _draw(bands: Sequence[Band], title: str | None, note: str | None) -> "Figure":
    with figure_style():
        from matplotlib.figure import Figure

        above = [] if title is None else [title_height(note)]
        heights = [*above, *(band.height for band in bands)]
        figure = Figure(figsize=(WIDTH, sum(heights)), facecolor="white")
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if title is not None:
            draw_title(rows[0], title, note)
        for canvas, band in zip(rows[len(above) :], bands, strict=True):
            band.draw(canvas)
    return figure


def _heading(documents: Documents) -> str:
    n, n_labels = len(documents.texts), len(documents.labels)
    heading = f"{n:,} document{'s' * (n != 1)}"
    return f"{heading}, {n_labels} label{'s' * (n_labels != 1)}" if n_labels else heading


def _nothing_to_compare(documents: Documents) -> str:
    return (
        f"There is nothing to draw: no two of the {len(documents.texts)} documents have vectors "
        f"and known labels, which similarities and neighbours need. Give labelled documents, or "
        f'draw the part "projection".'
    )
