"""How the parts of a picture are drawn: bands of one width, one below the other, each with a
heading, a left column for legends and names, and two panels. All lengths are in inches."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .colors import PALETTE, ColorGroups
from .neighbor_lists import one_line
from .neighbors import NeighborMatrix
from .projection import Panel, Projection
from .similarities import PairCosines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    Canvas = Figure | SubFigure

WIDTH = 11.0
_MARGIN = 0.15
_COLUMN = 2.1
_GAP = 0.45
_PANEL = (WIDTH - _MARGIN - _COLUMN - _GAP - _MARGIN) / 2
_HEADING = 0.95  # above the panels: heading, note, and the panels' titles
_AXIS = 0.55  # below them: ticks and what they mean
_BARE_AXIS = 0.4  # the same without ticks

# Beyond, the cells of a matrix are too small for numbers.
_MOST_NUMBERS = 14
# Beyond, an SVG holds the points as one image: a browser would take seconds to draw them.
_MOST_SHAPES = 5000
_INK, _FAINT = "#222222", "#666666"
_SHARED, _UNSHARED = PALETTE[:2]
_LOOK = {
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
    # The names of an SVG's elements are drawn at random otherwise.
    "svg.hashsalt": "spacy-embtune",
}


class Band(NamedTuple):
    """A part of a picture, ready to be drawn.

    height (float): How high it is.
    draw (Callable[[Canvas], None]): Draws it onto a canvas of this height, WIDTH wide.
    """

    height: float
    draw: Any


def require_matplotlib() -> None:
    """RAISES (ImportError): Without matplotlib, in words that say what to do."""
    try:
        import matplotlib.style  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Pictures need the package matplotlib, which cannot be imported ({error}). Install "
            f"it: pip install 'spacy-embtune[plot]'."
        ) from error


@contextmanager
def look() -> Iterator[None]:
    """Draw in the look of this project, whatever the user's settings; they are put back.

    RAISES (ImportError): Without matplotlib.
    """
    require_matplotlib()
    from matplotlib.style import context

    with context(["default", _LOOK]), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes, which says as much.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def title_height(note: str | None) -> float:
    """RETURNS (float): How high a title is, and the note below it if there is one."""
    return 0.55 if note is None else 0.8


def draw_title(canvas: "Canvas", title: str, note: str | None) -> None:
    """Write a title above all bands.

    canvas (Canvas): Where to: of this height.
    title (str): The title; it may hold anything.
    note (str | None): What to write below it.
    """
    left, height = _MARGIN / WIDTH, title_height(note)
    style: dict[str, Any] = {"va": "top", "size": 15, "weight": "bold", "parse_math": False}
    canvas.text(left, 1 - 0.2 / height, fit(title, WIDTH - 2 * _MARGIN, 15, weight="bold"), **style)
    if note is not None:
        canvas.text(left, 1 - 0.52 / height, note, va="top", size=9, color=_UNSHARED)


def projection_band(places: Projection, groups: ColorGroups) -> Band:
    """Prepare the panels of documents.

    places (Projection): Where the documents lie.
    groups (ColorGroups): Their colours.
    RETURNS (Band): Two panels of points, and their legend.
    """
    height = _HEADING + _PANEL + _BARE_AXIS
    turned = "the tuned panel is turned, not stretched, to match the base panel"

    def draw(canvas: "Canvas") -> None:
        _draw_heading(canvas, height, "Documents in two dimensions", f"{places.note}; {turned}.")
        for axes, name, panel in _panels(canvas, height, places[:2], _BARE_AXIS):
            _draw_points(axes, name, panel, groups)
        if len(groups.names) > 1 or not groups.n_grey:
            _draw_groups(canvas, height, groups)

    return Band(height, draw)


def _draw_points(axes: "Axes", name: str, panel: Panel, groups: ColorGroups) -> None:
    shown = np.flatnonzero(np.isfinite(panel.xy).all(axis=1))
    # In random order, so that no label lies on top of the others; grey ones behind them all.
    order = np.random.default_rng(0).permutation(shown)
    order = order[np.argsort(np.minimum(groups.of[order], groups.n_grey), kind="stable")]
    is_plain = len(groups.names) == groups.n_grey == 1
    colors = np.asarray([_SHARED] if is_plain else groups.colors)
    size = float(np.clip(450 / np.sqrt(shown.size), 3, 30))
    axes.scatter(
        panel.xy[order, 0],
        panel.xy[order, 1],
        s=size,
        c=colors[groups.of[order]].tolist(),
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
    # The panel is a square and so are the limits: one unit is as long up as it is across.
    low, high = panel.xy[shown].min(axis=0), panel.xy[shown].max(axis=0)
    half = 0.54 * float((high - low).max())
    # Vectors that are all alike, but for rounding.
    half = half if half > 1e-5 else 1.0
    axes.set_xlim((low + high)[0] / 2 - half, (low + high)[0] / 2 + half)
    axes.set_ylim((low + high)[1] / 2 - half, (low + high)[1] / 2 + half)


def _draw_groups(canvas: "Canvas", height: float, groups: ColorGroups) -> None:
    from matplotlib.lines import Line2D

    counts = np.bincount(groups.of, minlength=len(groups.names))
    # The commonest label on top, grey ones below.
    order = [*range(groups.n_grey, len(groups.names)), *reversed(range(groups.n_grey))]
    marks = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=groups.colors[g])
        for g in order
    ]
    names = [(groups.names[g], f" ({counts[g]:,})") for g in order]
    _draw_legend(canvas, height, marks, names, title="rarest label" if groups.has_several else None)


def similarity_band(pairs: PairCosines, *, is_exclusive: bool) -> Band:
    """Prepare the histograms of similarities.

    pairs (PairCosines): At least one pair.
    is_exclusive (bool): Whether labels exclude each other.
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
            (same, pairs.shares, _SHARED),
            (different, ~pairs.shares, _UNSHARED),
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
        # Rounding may take a cosine a hair out of its range.
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
    """Prepare the matrices of neighbours' labels.

    base, tuned (NeighborMatrix): Of the same labels, at least one.
    is_partition (bool): Whether a document has one label.
    RETURNS (Band): Two matrices on one scale.
    """
    n_labels = len(base.labels)
    has_numbers = n_labels <= _MOST_NUMBERS
    size = 9 if has_numbers else 7
    names = [fit(label, 1.15, size) for label in base.labels]
    is_turned = max(text_width(name, size) for name in names) > _PANEL / n_labels - 0.08
    below = _AXIS + (0.75 if is_turned else 0)
    panel = max(1.3, (0.33 if has_numbers else 0.18) * n_labels)
    height = _HEADING + panel + below
    left_out = f" {base.n_left_out} rarer labels are left out." if base.n_left_out else ""
    several = "" if is_partition else " Of several labels, each counts."
    drawn = f" {base.n_drawn:,} drawn" if base.n_drawn else ""
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
    """YIELDS (tuple): Axes, "base" or "tuned", and what to draw there."""
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
    """names (list[tuple[str, str]]): What may hold anything, and what to write behind it."""
    legend = canvas.legend(
        marks,
        [str(i) for i in range(len(marks))],
        loc="upper left",
        bbox_to_anchor=(_MARGIN / WIDTH, 1 - _HEADING / height),
        title=title,
        alignment="left",
    )
    legend.get_title().set_color(_FAINT)
    for text, (name, behind) in zip(legend.get_texts(), names, strict=True):
        # Only now: matplotlib would drop a name that begins with an underscore.
        text.set_parse_math(False)
        text.set_text(fit(name, _COLUMN - 0.5 - text_width(behind, 9), 9) + behind)


def fit(text: str, width: float, size: float, *, weight: str = "normal") -> str:
    """Bring anybody's text onto one line of a width, leaving out what stands in its middle.

    text (str): The text.
    width (float): How wide it may be.
    size (float): The size of the font, in points.
    weight (str): Its weight.
    RETURNS (str): The text, with "…" where something was left out.
    """
    whole = one_line(text, 1000)
    # A character is hardly ever narrower than a point: no need to measure what is far too long.
    longest = max(int(width * 72), 1)
    if len(whole) <= longest and text_width(whole, size, weight) <= width:
        return whole
    for kept in range(min(len(whole) - 1, longest), 0, -1):
        line = f"{whole[: kept - kept // 3]}…{whole[len(whole) - kept // 3 :]}"
        if text_width(line, size, weight) <= width:
            return line
    return "…"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """RETURNS (float): How wide a line is, in inches.

    text (str): The line. size (float): The size of the font, in points. weight (str): Its weight.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72
