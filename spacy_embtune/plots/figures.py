"""Pictures of documents before and after, as matplotlib figures.

They are made without pyplot, so that nothing happens to the figures and the backend of whoever
calls this. A notebook shows them after `%matplotlib inline`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..report.types import Documents
from .colors import color_groups
from .drawing import (
    WIDTH,
    Band,
    draw_title,
    look,
    matrix_band,
    projection_band,
    similarity_band,
    title_height,
)
from .neighbors import neighbor_matrix
from .projection import Projection, project
from .similarities import pair_cosines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part = Literal["projection", "similarity", "neighbors"]
PARTS: tuple[Part, ...] = get_args(Part)
# What keeps the time of writing out of each kind of file.
DATES: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}

DPI = 150


def plot(
    documents: Documents,
    projection: Projection | None = None,
    *,
    title: str | None = None,
    note: str | None = None,
    parts: Sequence[Part] = PARTS,
) -> "Figure":
    """Draw documents before and after: in two dimensions, by how similar pairs are that share a
    label, and by the labels of nearest neighbours. What needs labels is left out where none are
    known.

    documents (Documents): The documents.
    projection (Projection | None): Where they lie, as `project` says. None: PCA fitted on them.
    title (str | None): The heading. None: how many documents and labels there are.
    note (str | None): What to write below it, such as `describe_seen`.
    parts (Sequence[str]): What to draw: "projection", "similarity", "neighbors".
    RETURNS (Figure): The figure.
    RAISES (ValueError): If there are fewer than 3 documents with vectors, a part is unknown, or
        none of the parts can be drawn. ImportError: without matplotlib.
    """
    if not parts or any(part not in PARTS for part in parts):
        raise ValueError(f"parts are {list(parts)!r}: give one or more of {', '.join(PARTS)}.")
    made = [_band(part, documents, projection) for part in PARTS if part in parts]
    bands = [band for band in made if band is not None]
    if not bands:
        raise ValueError(_nothing_to_compare(documents))
    return _draw(bands, _heading(documents) if title is None else title, note)


def describe_seen(n_seen: int, n: int) -> str:
    """RETURNS (str): That n_seen of n documents are no test of the tuning."""
    return (
        f"{n_seen:,} of these {n:,} documents {'was' if n_seen == 1 else 'were'} trained on: that "
        f"they lie in order does not say that new ones will."
    )


def projection_panels(documents: Documents, projection: Projection | None = None) -> "Figure":
    """Draw the documents in two dimensions, base and tuned side by side, with a colour for each of
    the commonest labels.

    documents (Documents): The documents.
    projection (Projection | None): Where they lie, as `project` says. None: PCA fitted on them.
    RETURNS (Figure): The figure.
    RAISES (ValueError): If fewer than 3 have vectors. ImportError: without matplotlib.
    """
    return _only("projection", documents, projection)


def similarity_histogram(documents: Documents) -> "Figure":
    """Draw how similar the pairs of documents are that share a label, and those that share none.

    documents (Documents): The documents.
    RETURNS (Figure): The figure, base and tuned side by side on one scale.
    RAISES (ValueError): If the labels of no pair are known. ImportError: without matplotlib.
    """
    return _only("similarity", documents)


def neighbor_confusion(documents: Documents) -> "Figure":
    """Draw which labels the nearest neighbours of the documents carry, see `neighbor_matrix`.

    documents (Documents): The documents.
    RETURNS (Figure): The figure, base and tuned side by side on one scale.
    RAISES (ValueError): If no document carries a label. ImportError: without matplotlib.
    """
    return _only("neighbors", documents)


def save(figure: "Figure", path: str | Path) -> None:
    """Write a figure to a file: for the same documents, the same bytes.

    figure (Figure): The figure.
    path (str | Path): A file in .png, .svg or .pdf.
    RAISES (ValueError): If the suffix is another. OSError: if it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in DATES:
        raise ValueError(f"{path}: give a name that ends in {', '.join(DATES)}.")
    with look():
        figure.savefig(path, dpi=DPI, format=suffix[1:], metadata=DATES[suffix])


def _only(part: Part, documents: Documents, projection: Projection | None = None) -> "Figure":
    band = _band(part, documents, projection)
    if band is None:
        raise ValueError(_nothing_to_compare(documents))
    return _draw([band], None, None)


def _band(part: Part, documents: Documents, projection: Projection | None) -> Band | None:
    """RETURNS (Band | None): The part, ready to be drawn; None if there is nothing to draw."""
    is_exclusive = documents.targets.exclusive
    if part == "projection":
        places = project(documents) if projection is None else projection
        return projection_band(places, color_groups(documents))
    if part == "similarity":
        pairs = pair_cosines(documents)
        return similarity_band(pairs, is_exclusive=is_exclusive) if pairs.shares.size else None
    base, tuned = neighbor_matrix(documents, "base"), neighbor_matrix(documents, "tuned")
    # Of a single class, neighbours cannot be of another.
    if len(base.labels) < 2 or base.labels != tuned.labels:
        return None
    with look():
        is_partition = is_exclusive or len(documents.labels) == 1
        return matrix_band(base, tuned, is_partition=is_partition)


def _draw(bands: Sequence[Band], title: str | None, note: str | None) -> "Figure":
    with look():
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
        f"There is nothing to draw: of the {len(documents.texts)} documents no two have vectors "
        f"and known labels, which similarities and neighbours are compared by. Give labelled "
        f'documents, or draw the part "projection".'
    )
