"""Two dimensions of many: base and tuned vectors on a plane each, turned so that they compare."""

import warnings
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats, Ints, unit_rows
from ..report.types import Documents

Method = Literal["pca", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)

# Two documents always lie on a line, whatever their vectors.
FEWEST = 3
# What umap-learn takes when nobody says otherwise.
_UMAP_NEIGHBORS = 15
# Kobak & Linderman 2021, "Initialization is critical for preserving global data structure in both
# t-SNE and UMAP": start from the principal components, shrunk to this standard deviation.
_UMAP_START = 1e-4
# Variance below this share of the mean square of unit vectors, 1, is rounding: the float32 vectors
# of documents that are all alike.
_ROUNDING = 1e-10


class Panel(NamedTuple):
    """One space on a plane.

    xy (ndarray): Where the documents lie, float64, shape (n, 2); NaN for those without a vector.
    axes (tuple[str, str]): What to write at the axes.
    share (float | None): The share of the variance of the vectors shown that the plane holds, 0..1;
        None for UMAP, and for vectors that are all alike.
    """

    xy: NDArray[Any]
    axes: tuple[str, str]
    share: float | None


class Projection(NamedTuple):
    """The same documents before and after.

    base (Panel): The encoder's space.
    tuned (Panel): The tuned space, turned to lie on the other as well as it can.
    method (str): "pca" or "umap".
    note (str): What the axes were fitted on, and what is not shown.
    """

    base: Panel
    tuned: Panel
    method: Method
    note: str


def project(
    documents: Documents, fit: Documents | None = None, *, method: Method = "pca"
) -> Projection:
    """Bring base and tuned vectors onto a plane each. Vectors are taken at unit length, as it is
    their cosines that count.

    The tuned panel is then turned, and mirrored if need be, so that the documents lie as near as
    they can to where they lie in the base panel (orthogonal Procrustes; nothing is stretched). Its
    axes stay in the plane of the principal components without being these any more. The shares of
    variance are those of the axes as drawn, over the documents shown, also where the axes were
    fitted on others.

    documents (Documents): What to show.
    fit (Documents | None): What to fit the axes on: the training documents, or any others, with or
        without labels. None fits them on what is shown, which flatters small samples.
    method (str): "pca", or "umap", which needs the package umap-learn. UMAP starts from the
        principal components, and its axes mean nothing.
    RETURNS (Projection): Both panels.
    RAISES (ValueError): If fewer than 3 documents of either have vectors, the widths do not fit, or
        the method is unknown. ImportError: for "umap" without umap-learn.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: give one of {', '.join(map(repr, METHODS))}.")
    place = _umap if method == "umap" else _pca
    sides = []
    for space in ("base", "tuned"):
        shown, rows = _vectors(documents, space, "show")
        learned = shown if fit is None else _vectors(fit, space, "fit the axes on")[0]
        if learned.shape[1] != shown.shape[1]:
            raise ValueError(
                f"The {space} vectors to fit the axes on have length {learned.shape[1]}, those to "
                f"show {shown.shape[1]}. Make both with the same pipeline."
            )
        sides.append((place(learned, shown), rows, float(shown.var(axis=0).sum())))
    n = len(documents.texts)
    base, tuned = (_spread(xy, rows, n) for xy, rows, _ in sides)
    return Projection(
        _panel(base, sides[0][2], method, is_turned=False),
        _panel(_turn(tuned, base), sides[1][2], method, is_turned=True),
        method,
        _note(n, min(rows.size for _, rows, _ in sides), fit, method),
    )


def _vectors(documents: Documents, space: str, purpose: str) -> tuple[Floats, Ints]:
    """RETURNS (tuple): The vectors at unit length, of documents that have one, and their rows."""
    unit, rows = unit_rows(documents.base if space == "base" else documents.tuned)
    if rows.size < FEWEST:
        raise ValueError(
            f"Only {rows.size} of {len(documents.texts)} documents to {purpose} have a {space} "
            f"vector, and a plane takes at least {FEWEST}. Give more documents that have text."
        )
    return unit, rows


def _pca(learned: Floats, shown: Floats) -> Floats:
    """RETURNS (Floats): The first two principal components of the documents shown, shape (n, 2)."""
    mean = learned.mean(axis=0)
    centred = learned - mean
    if centred.shape[0] >= centred.shape[1]:
        axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    else:
        axes = np.linalg.svd(centred, full_matrices=False)[2].T
    axes = axes[:, :2]
    # The sign of an axis is arbitrary, and may differ from one machine to the next.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    xy = np.zeros((shown.shape[0], 2))
    xy[:, : axes.shape[1]] = (shown - mean) @ (axes * signs)
    return xy


def require_umap() -> Any:
    """Import UMAP.

    RETURNS (Any): The class.
    RAISES (ImportError): Without umap-learn, in words that say what to do.
    """
    try:
        with warnings.catch_warnings():
            # Of a part of it that wants Tensorflow.
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError as error:
        raise ImportError(
            f"UMAP needs the package umap-learn, which cannot be imported ({error}). Install it "
            f"(pip install 'spacy-embtune[umap]'), or use the method \"pca\"."
        ) from error
    return UMAP


def _umap(learned: Floats, shown: Floats) -> Floats:
    umap = require_umap()
    start = _pca(learned, learned)
    deviation = start.std()
    if deviation**2 < _ROUNDING:
        return np.zeros((shown.shape[0], 2))
    model = umap(
        n_neighbors=min(_UMAP_NEIGHBORS, learned.shape[0] - 1),
        metric="cosine",
        init=(start / deviation * _UMAP_START).astype("float32"),
        # One thread and one seed give the same picture each time.
        random_state=0,
        n_jobs=1,
    )
    xy = model.fit(learned).embedding_ if learned is shown else model.fit(learned).transform(shown)
    return np.asarray(xy, dtype=np.float64)


def _spread(xy: Floats, rows: Ints, n: int) -> Floats:
    """RETURNS (Floats): A row for each of n documents, NaN for those that have none in xy."""
    spread = np.full((n, 2), np.nan)
    spread[rows] = xy
    return spread


def _turn(xy: Floats, onto: Floats) -> Floats:
    """RETURNS (Floats): xy, rotated and mirrored about its mean to lie on the other points, centred
    on 0."""
    from scipy.linalg import orthogonal_procrustes  # slow to import

    both = np.isfinite(xy[:, 0]) & np.isfinite(onto[:, 0])
    centred = xy - np.nanmean(xy, axis=0)
    if not both.any():
        return centred
    return centred @ orthogonal_procrustes(centred[both], onto[both] - onto[both].mean(axis=0))[0]


def _panel(xy: Floats, total: float, method: Method, *, is_turned: bool) -> Panel:
    """total (float): The variance of the vectors at unit length, in all their dimensions."""
    if method == "umap":
        return Panel(xy, ("UMAP 1", "UMAP 2"), None)
    names = ("turned axis 1", "turned axis 2") if is_turned else ("PC 1", "PC 2")
    if total < _ROUNDING:
        return Panel(xy, names, None)
    x, y = (float(share) for share in np.nanvar(xy, axis=0) / total)
    labels = (
        f"{name} ({100 * share:.0f} % of the variance)"
        for name, share in zip(names, (x, y), strict=True)
    )
    return Panel(xy, (next(labels), next(labels)), x + y)


def _note(n: int, n_shown: int, fit: Documents | None, method: Method) -> str:
    fitted = (
        f"the {n_shown:,} documents shown" if fit is None else f"{len(fit.texts):,} other documents"
    )
    missing = n - n_shown
    note = f"{method.upper()} fitted on {fitted}"
    if missing:
        note += f"; {missing:,} without text {'is' if missing == 1 else 'are'} not shown"
    return note
