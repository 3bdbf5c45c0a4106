"""Draw the parts of a figure.

A figure consists of bands of one width, one below the other. Each band has a heading, a left column
for legends and names, and two panels. All lengths are in inches.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._similarities import PairCosines
from ._text import fit_text, text_width
from .colors import PALETTE, ColorGroups
from .neighbors import NeighborMatrix
from .projection import Panel, Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    Canvas = Figure | SubFigure

WIDTH = 11.0
_MARGIN = 0.15
_COLUMN = 2.1
_GAP = 0.45
_PANEL = (WIDTH - _MARGIN - _COLUMN - _GAP - _MARGIN) / 2
_HEADING = 0.95  # above the panels: the heading, the note, and the titles of the panels
_AXIS = 0.55  # below the panels: the ticks and the label of an axis
_BARE_AXIS = 0.4  # below the panels: the label of an axis without ticks

# With more labels, the cells of a matrix are too small for numbers.
_MOST_NUMBERS = 14
# With more points, an SVG holds them as one image, because a browser would draw shapes for seconds.
_MOST_SHAPES = 5000
_INK, _FAINT = "#222222", "#666666"
_SHARED, _UNSHARED = PALETTE[:2]
_STYLE = {
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#BBBBBB",
    "axes.labelcolor": _FAINT,
    "axes.labelsize": 9,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
    "legend.handlelength": 1.2,
    "legend.handletextpad": 0.5,
    # Without a fixed salt, the ids of the elements of an SVG are random.
    "svg.hashsalt": "spacy-embtune",
}


class Band(NamedTuple):
    """A part of a figure, ready to be drawn.

    height (float): The height of the part.
    draw (Callable[[Canvas], None]): Draws the part on a canvas of this height and of width `WIDTH`.
    """

    height: float
    draw: Any


def require_matplotlib() -> None:
    """Check that matplotlib is installed.

    >>> require_matplotlib()

    RAISES (ImportError): Without matplotlib. The message says how to install it.
    """
    try:
        import matplotlib.style  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Figures need the package matplotlib, which cannot be imported ({error}). Install "
            f"it: pip install 'spacy-embtune[plot]'."
        ) from error


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the style of this package inside a `with` block. The user's settings return after it.

    RAISES (ImportError): Without matplotlib.
    """
    require_matplotlib()
    from matplotlib.style import context

    with context(["default", _STYLE]), warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes, so no warning is needed.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def title_height(note: str | None) -> float:
    """RETURNS (float): The height of a title, including the note if there is one."""
    return 0.55 if note is None else 0.8


def draw_title(canvas: "Canvas", title: str, note: str | None) -> None:
    """Write a title above all bands.

    canvas (Canvas): The canvas. Its height is `title_height(note)`.
    title (str): The title. It may hold any characters.
    note (str | None): A line below the title.
    """
    left, height = _MARGIN / WIDTH, title_height(note)
    style: dict[str, Any] = {"va": "top", "size": 15, "weight": "bold", "parse_math": False}
    shown = fit_text(title, WIDTH - 2 * _MARGIN, 15, weight="bold")
    canvas.text(left, 1 - 0.2 / height, shown, **style)
    if note is not None:
        canvas.text(left, 1 - 0.52 / height, note, va="top", size=9, color=_UNSHARED)


def projection_band(projection: Projection, groups: ColorGroups) -> Band:
    """Prepare the panels of documents in two dimensions.

    projection (Projection): The positions of the documents.
    groups (ColorGroups): The colours of the documents.
    RETURNS (Band): Two panels of points, and a legend.
    """
    height = _HEADING + _PANEL + _BARE_AXIS
    turned = "the tuned panel is turned, not stretched, to match the base panel"

    def draw(canvas: "Canvas") -> None:
        _draw_heading(
            canvas, height, "Documents in two dimensions", f"{projection.note}; {turned}."
        )
        for axes, name, panel in _panels(canvas, height, projection[:2], _BARE_AXIS):
            _draw_points(axes, name, panel, groups)
        if len(groups.names) > 1 or not groups.n_grey:
            _draw_groups(canvas, height, groups)

    return Band(height, draw)


def _draw_points(axes: "Axes", name: str, panel: Panel, groups: ColorGroups) -> None:
    shown = np.flatnonzero(np.isfinite(panel.xy).all(axis=1))
    # Points are drawn in random order, so that no label covers the others. Grey points come first.
    order = np.random.default_rng(0).permutation(shown)
    order = order[np.argsort(np.minimum(groups.group[order], groups.n_grey), kind="stable")]
    is_plain = len(groups.names) == groups.n_grey == 1
    colors = np.asarray([_SHARED] if is_plain else groups.colors)
    size = float(np.clip(450 / np.sqrt(shown.size), 3, 30))
    axes.scatter(
        panel.xy[order, 0],
        panel.xy[order, 1],
        s=size,
        c=colors[groups.group[order]].tolist(),
        alpha=0.85,
        linewidths=0.4 if size > 8 else 0,
        edgecolors="white",
        rasterized=shown.size > _MOST_SHAPES,
    )
    axes.set_title(
        name if panel.share is None else f"{name}: {100 * panel.share:.0f} % of the variance"
    )
    axes.set_xlabel(panel.axes[0])
    axes.set_ylabel(panel.axes[1], labelpad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    # Panel and limits are squares, so both axes have the same scale.
    low, high = panel.xy[shown].min(axis=0), panel.xy[shown].max(axis=0)
    half = 0.54 * float((high - low).max())
    # All vectors are equal, apart from rounding.
    half = half if half > 1e-5 else 1.0
    axes.set_xlim((low + high)[0] / 2 - half, (low + high)[0] / 2 + half)
    axes.set_ylim((low + high)[1] / 2 - half, (low + high)[1] / 2 + half)


def _draw_groups(canvas: "Canvas", height: float, groups: ColorGroups) -> None:
    from matplotlib.lines import Line2D

    counts = np.bincount(groups.group, minlength=len(groups.names))
    # The most frequent label is on top, and grey groups are at the bottom.
    order = [*range(groups.n_grey, len(groups.names)), *reversed(range(groups.n_grey))]
    marks = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=groups.colors[g])
        for g in order
    ]
    names = [(groups.names[g], f" ({counts[g]:,})") for g in order]
    _draw_legend(canvas, height, marks, names, title="rarest label" if groups.has_several else None)


def similarity_band(pairs: PairCosines, *, is_exclusive: bool) -> Band:
    """Prepare the histograms of similarities.

    pairs (PairCosines): The pairs, at least one.
    is_exclusive (bool): Whether labels are exclusive.
    RETURNS (Band): Two histograms on one scale.
    """
    height = _HEADING + 1.7 + _AXIS
    lowest = min(float(pairs.base.min()), float(pairs.tuned.min()), 0.0)
    same, different = (
        ("same label", "different") if is_exclusive else ("label shared", "none shared")
    )
    kinds = [
        (name, chosen, color)
        for name, chosen, color in (
            (same, pairs.share_label, _SHARED),
            (different, ~pairs.share_label, _UNSHARED),
        )
        if chosen.any()
    ]
    drawn = " drawn at random" if pairs.is_sample else ""
    more, less = (
        ("of the same label", "of different labels")
        if is_exclusive
        else ("that shares a label", "that shares none")
    )
    note = f"All pairs of {pairs.n_documents:,} labelled documents{drawn}."
    if len(kinds) > 1:
        note += f" AUC: how often a pair {more} is more similar than one {less}."

    def draw(canvas: "Canvas") -> None:
        from matplotlib.patches import Patch

        _draw_heading(canvas, height, "Similarity of pairs", note)
        for axes, name, cosines in _panels(canvas, height, (pairs.base, pairs.tuned), _AXIS):
            _draw_histogram(axes, cosines, lowest, [kind[1:] for kind in kinds])
            area = pairs.separation(cosines)
            axes.set_title(name if area is None else f"{name}: AUC {area:.2f}")
        marks = [Patch(facecolor=color, alpha=0.6) for _, _, color in kinds]
        _draw_legend(
            canvas, height, marks, [(name, f" ({int(c.sum()):,})") for name, c, _ in kinds]
        )

    return Band(height, draw)


def _draw_histogram(
    axes: "Axes", cosines: Any, lowest: float, kinds: list[tuple[Any, str]]
) -> None:
    bins = np.linspace(lowest, 1.0, 61)
    for chosen, color in kinds:
        # Rounding may move a cosine slightly out of its range.
        values = np.clip(cosines[chosen], lowest, 1.0)
        heights = np.histogram(values, bins)[0] / values.size
        axes.stairs(heights, bins, fill=True, color=color, alpha=0.35)
        axes.stairs(heights, bins, color=color, linewidth=1.2)
    axes.set_xlabel("cosine")
    step = 0.5 if lowest < -0.6 else 0.2
    ticks = step * np.arange(np.ceil(lowest / step), 1 / step + 0.5) + 0.0
    axes.set_xticks(ticks, [f"{tick:.1f}".replace("-", "\u2212") for tick in ticks])
    axes.set_ylabel("share of pairs", labelpad=2)
    axes.set_yticks([])
    axes.set_ylim(bottom=0)
    axes.set_xlim(lowest, 1.0)
    axes.spines[["left", "top", "right"]].set_visible(False)


def matrix_band(base: NeighborMatrix, tuned: NeighborMatrix, *, is_partition: bool) -> Band:
    """Prepare the matrices of the labels of neighbours.

    base (NeighborMatrix): The matrix of base vectors, with at least one label.
    tuned (NeighborMatrix): The matrix of tuned vectors, with the same labels.
    is_partition (bool): Whether each document has one label.
    RETURNS (Band): Two matrices on one scale.
    """
    n_labels = len(base.labels)
    has_numbers = n_labels <= _MOST_NUMBERS
    size = 9 if has_numbers else 7
    names = [fit_text(label, 1.15, size) for label in base.labels]
    is_turned = max(text_width(name, size) for name in names) > _PANEL / n_labels - 0.08
    below = _AXIS + (0.75 if is_turned else 0)
    panel = max(1.3, (0.33 if has_numbers else 0.18) * n_labels)
    height = _HEADING + panel + below
    left_out = f" {base.n_left_out} rarer labels are left out." if base.n_left_out else ""
    several = "" if is_partition else " Of several labels, each counts."
    drawn = f" {base.n_sampled:,} drawn" if base.n_sampled else ""
    note = (
        f"Of the{drawn} documents with the label of the row, the share (%) whose nearest neighbour "
        f"has the label of the column.{several}{left_out}"
    )

    def draw(canvas: "Canvas") -> None:
        _draw_heading(canvas, height, "Labels of nearest neighbours", note)
        for axes, name, matrix in _panels(canvas, height, (base, tuned), below):
            image = axes.imshow(matrix.shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            p1 = matrix.p_at_1
            axes.set_title(name if p1 is None else f"{name}: p@1 {p1:.2f}")
            axes.set_xlabel("label of the neighbour")
            places = np.arange(n_labels)
            turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
            axes.set_xticks(
                places, names, parse_math=False, size=size, **(turn if is_turned else {})
            )
            counted = [f"{name} ({n:,})" for name, n in zip(names, base.counts, strict=True)]
            is_first = name == "base"
            axes.set_yticks(places, counted if is_first else [], parse_math=False, size=size)
            axes.set_ylabel("label of the document" if is_first else "")
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            if has_numbers:
                _draw_numbers(axes, matrix)
        if not has_numbers:
            _draw_scale(canvas, height, image)

    return Band(height, draw)


def _draw_numbers(axes: "Axes", matrix: NeighborMatrix) -> None:
    for (i, j), share in np.ndenumerate(matrix.shares):
        if np.isfinite(share):
            color = "white" if share > 0.55 else _INK
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color=color, size=8)


def _draw_scale(canvas: "Canvas", height: float, image: Any) -> None:
    axes = canvas.add_axes((_MARGIN / WIDTH, 0.5 / height, 0.9 / WIDTH, 0.12 / height))
    bar = canvas.colorbar(image, cax=axes, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.ax.set_xticklabels(["0", "50", "100 %"])
    bar.ax.tick_params(length=0, labelsize=8)
    bar.outline.set_visible(False)


def _panels(
    canvas: "Canvas", height: float, contents: tuple[Any, Any], below: float
) -> Iterator[tuple["Axes", str, Any]]:
    """YIELDS (tuple): The axes of a panel, "base" or "tuned", and the content to draw there."""
    for i, (name, content) in enumerate(zip(("base", "tuned"), contents, strict=True)):
        left = _MARGIN + _COLUMN + i * (_PANEL + _GAP)
        box = (left / WIDTH, below / height, _PANEL / WIDTH, (height - _HEADING - below) / height)
        yield canvas.add_axes(box), name, content


def _draw_heading(canvas: "Canvas", height: float, heading: str, note: str) -> None:
    left = _MARGIN / WIDTH
    canvas.text(left, 1 - 0.1 / height, heading, va="top", size=12, weight="bold")
    canvas.text(left, 1 - 0.36 / height, note, va="top", size=9, color=_FAINT)


def _draw_legend(
    canvas: "Canvas",
    height: float,
    marks: list[Any],
    names: list[tuple[str, str]],
    *,
    title: str | None = None,
) -> None:
    """Draw a legend in the left column.

    marks (list): matplotlib artists.
    names (list[tuple[str, str]]): For each mark a name, which may hold any characters and is cut if
        it is too long, and a text that follows it.
    """
    legend = canvas.legend(
        marks,
        [str(i) for i in range(len(marks))],
        loc="upper left",
        bbox_to_anchor=(_MARGIN / WIDTH, 1 - _HEADING / height),
        title=title,
        alignment="left",
    )
    legend.get_title().set_color(_FAINT)
    for text, (name, suffix) in zip(legend.get_texts(), names, strict=True):
        # Set afterwards, because matplotlib drops labels that begin with an underscore.
        text.set_parse_math(False)
        text.set_text(fit_text(name, _COLUMN - 0.5 - text_width(suffix, 9), 9) + suffix)
