"""Project base vectors and tuned vectors to two dimensions, and align the two projections."""

import warnings
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats, Ints, unit_rows
from ..reports.types import Documents
from .arrays import SPACES, Space, vectors_of

Method = Literal["pca", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)

# Two documents always lie on a line, so a projection needs at least three.
_FEWEST = 3
# The default of umap-learn.
_UMAP_NEIGHBORS = 15
# The vectors that `project_onto` finds the components of, at most.
_MOST_FITTED = 5_000
# UMAP starts from the principal components, scaled to this standard deviation (Kobak & Linderman
# 2021, "Initialization is critical for preserving global data structure in both t-SNE and UMAP").
_UMAP_START = 1e-4
# A smaller variance of unit vectors is a rounding error: the vectors of all documents are equal.
_ROUNDING = 1e-10


class Panel(NamedTuple):
    """The projection of one space.

    xy (ndarray): The positions of the documents, float64, shape (n, 2); NaN without a vector.
    axes (tuple[str, str]): The labels of the x axis and the y axis.
    share (float | None): The share of the variance of the vectors that the two dimensions keep,
        0..1; None for UMAP, and if all vectors are equal.
    """

    xy: NDArray[Any]
    axes: tuple[str, str]
    share: float | None


class Projection(NamedTuple):
    """The projections of the base vectors and the tuned vectors of the same documents.

    base (Panel): The projection of the base vectors.
    tuned (Panel): The projection of the tuned vectors, aligned with the other.
    method (str): "pca" or "umap".
    note (str): Which documents the axes were fitted on, and how many are not shown.
    """

    base: Panel
    tuned: Panel
    method: Method
    note: str


def project(
    documents: Documents, fit: Documents | None = None, *, method: Method = "pca"
) -> Projection:
    """Project base vectors and tuned vectors to two dimensions each. Vectors are normalised to unit
    length first, because only their cosines matter.

    The tuned projection is rotated, and mirrored if necessary, so that the documents lie as near as
    possible to their positions in the base projection (orthogonal Procrustes, without scaling). So
    its axes lie in the plane of the first two principal components, but are not these components.
    The shares of variance belong to the axes as drawn and to the documents shown, even if the axes
    were fitted on other documents.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> projection = project(documents)
    >>> projection.tuned.xy.shape, projection.note
    ((3, 2), 'PCA fitted on the 3 documents shown')

    documents (Documents): The documents to show.
    fit (Documents | None): The documents to fit the axes on, with or without labels, for example
        the training documents. None: fit on the documents shown, which makes small samples look
        better than they are.
    method (str): "pca", or "umap", which needs the package umap-learn. The axes of UMAP have no
        meaning.
    RETURNS (Projection): Both projections.
    RAISES (ValueError): If fewer than 3 documents have vectors, the widths do not fit, or the
        method is unknown. ImportError: for "umap" without umap-learn.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: give one of {', '.join(map(repr, METHODS))}.")
    reduce = _umap if method == "umap" else _pca
    sides: list[tuple[Floats, Ints, float]] = []
    for space in SPACES:
        shown, rows = _vectors(documents, space, "show")
        fitted = shown if fit is None else _vectors(fit, space, "fit the axes on")[0]
        if fitted.shape[1] != shown.shape[1]:
            raise ValueError(
                f"The {space} vectors to fit the axes on have width {fitted.shape[1]}, and the "
                f"vectors to show {shown.shape[1]}. Make both with the same pipeline."
            )
        sides.append((reduce(fitted, shown), rows, float(shown.var(axis=0).sum())))
    n = len(documents.texts)
    base, tuned = (_spread(xy, rows, n) for xy, rows, _ in sides)
    return Projection(
        _panel(base, sides[0][2], method, is_turned=False),
        _panel(_turn(tuned, base), sides[1][2], method, is_turned=True),
        method,
        _note(documents, min(rows.size for _, rows, _ in sides), fit, method),
    )


def project_onto(vectors: NDArray[Any], onto: NDArray[Any]) -> NDArray[Any]:
    """Project vectors to their first two principal components, rotated and mirrored to lie near
    given positions, so that a picture stays recognisable when vectors change. Vectors are
    normalised to unit length first.

    >>> old = np.asarray([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]])
    >>> new = project_onto(np.asarray([[1.0, 0.0], [0.6, 0.8], [-0.3, 1.0]]), old)
    >>> (np.sign(new[[0, 2], 1]) == np.sign(old[[0, 2], 1])).all()
    np.True_

    vectors (ndarray): The vectors, shape (n, d).
    onto (ndarray): The positions, shape (n, 2). NaN: not known.
    RETURNS (ndarray): The new positions, float64, shape (n, 2); NaN where the vector is zero.
    """
    array = np.asarray(vectors)
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(array, axis=1)
    rows = np.arange(len(array))
    if array.dtype.kind != "f" or not (np.isfinite(lengths) & (lengths > _ROUNDING)).all():
        # In float64, because squares of tiny numbers are zero in float32; zeros are left out.
        array, rows = unit_rows(array)
        lengths = np.ones(len(array))
    # With many vectors, a part of them gives nearly the same components in a fraction of the time.
    some = np.arange(len(array))
    if len(array) > _MOST_FITTED:
        some = np.sort(np.random.default_rng(0).permutation(len(array))[:_MOST_FITTED])
    mean, axes = _find_axes(unit_rows(array[some])[0])
    # Divided by the lengths behind the product, where a vector has two numbers.
    xy = np.zeros((len(array), 2))
    xy[:, : axes.shape[1]] = (array @ axes.astype(array.dtype)) / lengths[:, None] - mean @ axes
    return _turn(_spread(xy, rows, len(vectors)), np.asarray(onto))


def _vectors(documents: Documents, space: Space, purpose: str) -> tuple[Floats, Ints]:
    """RETURNS (tuple): The unit vectors of the documents that have one, and their rows."""
    unit, rows = unit_rows(vectors_of(documents, space))
    if rows.size < _FEWEST:
        raise ValueError(
            f"Only {rows.size} of {len(documents.texts)} documents to {purpose} have a {space} "
            f"vector, and a projection needs at least {_FEWEST}. Give more documents with text."
        )
    return unit, rows


def _pca(fitted: Floats, shown: Floats) -> Floats:
    """RETURNS (Floats): The first two principal components of the documents shown, shape (n, 2)."""
    mean, axes = _find_axes(fitted)
    xy = np.zeros((shown.shape[0], 2))
    xy[:, : axes.shape[1]] = (shown - mean) @ axes
    return xy


def _find_axes(fitted: Floats) -> tuple[Floats, Floats]:
    """RETURNS (tuple[Floats, Floats]): The mean, shape (d,), and the first two principal axes,
    shape (d, 2), or (d, 1) if there is one dimension."""
    mean = fitted.mean(axis=0)
    centred = fitted - mean
    if centred.shape[0] >= centred.shape[1]:
        axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    else:
        axes = np.linalg.svd(centred, full_matrices=False)[2].T
    axes = axes[:, :2]
    # The sign of an axis is arbitrary and may differ between machines, so it is fixed here.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return mean, axes * signs


def require_umap() -> Any:
    """Import UMAP.

    RETURNS (Any): The class `umap.UMAP`.
    RAISES (ImportError): Without umap-learn. The message says how to install it.
    """
    try:
        with warnings.catch_warnings():
            # A part of umap-learn warns if Tensorflow is not installed.
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError as error:
        raise ImportError(
            f"UMAP needs the package umap-learn, which cannot be imported ({error}). Install it "
            f"(pip install 'spacy-embtune[umap]'), or use the method \"pca\"."
        ) from error
    return UMAP


def _umap(fitted: Floats, shown: Floats) -> Floats:
    """RETURNS (Floats): The UMAP positions of the documents shown, shape (n, 2)."""
    umap = require_umap()
    start = _pca(fitted, fitted)
    deviation = start.std()
    if deviation**2 < _ROUNDING:
        return np.zeros((shown.shape[0], 2))
    model = umap(
        n_neighbors=min(_UMAP_NEIGHBORS, fitted.shape[0] - 1),
        metric="cosine",
        init=(start / deviation * _UMAP_START).astype("float32"),
        # One thread and one seed give the same result each time.
        random_state=0,
        n_jobs=1,
    )
    model.fit(fitted)
    xy = model.embedding_ if fitted is shown else model.transform(shown)
    return np.asarray(xy, dtype=np.float64)


def _spread(xy: Floats, rows: Ints, n: int) -> Floats:
    """RETURNS (Floats): Positions of n documents, shape (n, 2); NaN for rows that are not in
    `rows`."""
    spread = np.full((n, 2), np.nan)
    spread[rows] = xy
    return spread


def _turn(xy: Floats, onto: Floats) -> Floats:
    """RETURNS (Floats): `xy`, centred on 0, rotated and mirrored to lie near the points of
    `onto`."""
    from scipy.linalg import orthogonal_procrustes  # slow to import

    both = np.isfinite(xy[:, 0]) & np.isfinite(onto[:, 0])
    centred = xy - np.nanmean(xy, axis=0)
    if not both.any():
        return centred
    return centred @ orthogonal_procrustes(centred[both], onto[both] - onto[both].mean(axis=0))[0]


def _panel(xy: Floats, total: float, method: Method, *, is_turned: bool) -> Panel:
    """Name the axes, and compute the share of the variance that they keep.

    total (float): The variance of the unit vectors, summed over all dimensions.
    """
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


def _note(documents: Documents, n_shown: int, fit: Documents | None, method: Method) -> str:
    fitted = f"the {n_shown:,} {documents.row_name}s shown"
    if fit is not None:
        fitted = f"{len(fit.texts):,} other {fit.row_name}s"
    missing = len(documents.texts) - n_shown
    note = f"{method.upper()} fitted on {fitted}"
    if missing:
        note += f"; {missing:,} without text {'is' if missing == 1 else 'are'} not shown"
    return note
