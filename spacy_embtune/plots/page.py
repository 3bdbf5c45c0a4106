"""One HTML file to look at documents with: it works offline, and asks nobody for anything.

The texts are untrusted. They lie in the page as JSON, in which no character can end the script
element, and the scripts of `web/` write them as text only; a content security policy allows those
scripts by their hash, and no request at all.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import CARRIES
from ..report.types import Documents

SCRIPTS = (
    "data.js",
    "palette.js",
    "raster.js",
    "geometry.js",
    "plot.js",
    "gestures.js",
    "legend.js",
    "selection.js",
    "main.js",
)
# A step is about a pixel of a plot 1,200 pixels wide that is zoomed in 80 times, as far as it goes.
STEPS = 100_000
# What could end a script element, or is a line break to JavaScript's older readers.
ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def page(
    documents: Documents,
    base_xy: NDArray[Any],
    tuned_xy: NDArray[Any],
    *,
    title: str,
    base_axes: tuple[str, str],
    tuned_axes: tuple[str, str],
    n_seen: int = 0,
) -> str:
    """Show documents as points that can be moved between the two spaces, searched and selected.

    documents (Documents): The n documents. Their texts, ids and labels may hold anything.
    base_xy (ndarray): Where they stand by their base vectors, shape (n, 2). A document with a
        coordinate that is not finite (one without a vector) is left out, and counted.
    tuned_xy (ndarray): Where they stand by their tuned vectors, shape (n, 2).
    title (str): The heading.
    base_axes (tuple[str, str]): What x and y are in `base_xy`, "PC1 (12 % of variance)", say.
    tuned_axes (tuple[str, str]): The same for `tuned_xy`.
    n_seen (int): How many of the documents the model was trained on: said below the heading.
    RETURNS (str): The page, to be written as UTF-8.
    RAISES (ValueError): If the shapes do not fit, values or probabilities are not finite, or no
        document is left.
    """
    base, tuned = np.asarray(base_xy, dtype="float64"), np.asarray(tuned_xy, dtype="float64")
    _check(documents, base, tuned)
    shown = np.flatnonzero(np.isfinite(base).all(axis=1) & np.isfinite(tuned).all(axis=1))
    n_left_out = len(documents.ids) - shown.size
    if not shown.size:
        raise ValueError(
            f"There is nothing to show: none of the {n_left_out} documents has a place in both "
            "base_xy and tuned_xy. Give documents with a text that the encoder knows words of."
        )
    data = {
        "title": title,
        "subtitle": _subtitle(shown.size, len(documents.labels), n_left_out, n_seen),
        "axes": {"base": base_axes, "tuned": tuned_axes},
        "base": _whole_steps(base[shown]),
        "tuned": _whole_steps(tuned[shown]),
        **_content(documents, shown),
    }
    style, script = _read("page.css"), _script()
    parts = {
        "title": html.escape(_valid(title)),
        "policy": POLICY.format(script=_hash(script), style=_hash(style)),
        "style": style,
        "script": script,
        "data": _to_json(data),
    }
    # In one pass, so that nothing in a text is taken for a name to fill in.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def _check(documents: Documents, base: NDArray[Any], tuned: NDArray[Any]) -> None:
    n = len(documents.ids)
    for name, xy in (("base_xy", base), ("tuned_xy", tuned)):
        if xy.shape != (n, 2):
            raise ValueError(
                f"{name} has shape {xy.shape}, but there are {n} documents: give one x and one y "
                f"for each, shape {(n, 2)}."
            )
    values, known = np.asarray(documents.targets.values), np.asarray(documents.targets.known)
    if not np.isfinite(values[known > 0]).all():
        raise ValueError("Known values of labels must be finite. Make them by make_targets.")
    if not np.isfinite(documents.probabilities).all():
        raise ValueError(
            "Some predicted probabilities are not finite: the training has diverged. Train again "
            "with a lower learning rate."
        )


def _subtitle(n: int, n_labels: int, n_left_out: int, n_seen: int) -> str:
    parts = [f"{n:,} document{'s' * (n != 1)}"]
    if n_labels:
        parts.append(f"{n_labels} label{'s' * (n_labels != 1)}")
    if n_left_out:
        parts.append(f"{n_left_out:,} without a vector left out")
    if n_seen:
        parts.append(f"not held out: {n_seen:,} of them trained on")
    return " · ".join(parts)


def _whole_steps(xy: NDArray[Any]) -> list[int]:
    """RETURNS (list[int]): x and y in turn, the longer side of what they span in STEPS steps:
    short to write down, and no finer than a screen."""
    # Halved, since the difference of two large numbers may be too large for one.
    half = xy / 2
    half = half - half.min(axis=0)
    side = half.max()
    steps: list[int] = np.rint(half / (side or 1.0) * STEPS).astype(int).ravel().tolist()
    return steps


def _content(documents: Documents, shown: NDArray[np.intp]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): What is in the documents and said of them, as `Corpus` in data.js
    reads it. Labels are named by their place in `names`."""
    exclusive = documents.targets.exclusive
    known = np.asarray(documents.targets.known) > 0
    values = np.where(known, np.asarray(documents.targets.values), 0.0)
    # The commonest first, as in the pictures: they get the colours that are easiest to tell apart.
    order = np.argsort(-(values >= CARRIES).sum(axis=0), kind="stable")
    known, values = known[shown][:, order], values[shown][:, order]
    names = [documents.labels[j] for j in order]
    names += [label for label in documents.predicted_labels if label not in set(names)]
    place = {label: j for j, label in enumerate(names)}
    predictable = [place[label] for label in documents.predicted_labels]
    probabilities = np.asarray(documents.probabilities)[shown]
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    patterns, pattern = np.unique(known, axis=0, return_inverse=True)
    columns = range(len(documents.labels))
    return {
        "exclusive": exclusive,
        "names": names,
        "n_given": len(documents.labels),
        "predictable": predictable,
        "ids": [documents.ids[i] for i in shown],
        "texts": [documents.texts[i] for i in shown],
        "patterns": [np.flatnonzero(row).tolist() for row in patterns],
        "known": pattern.ravel().tolist(),
        "values": [_sparse(row, columns) for row in values],
        # The rarest first, which says most of a document, and colours it.
        "given": [_carried(row, columns, exclusive=exclusive)[::-1] for row in values],
        "probabilities": [_sparse(row, predictable) for row in probabilities],
        "predicted": [
            _carried(row[ranks], [predictable[j] for j in ranks], exclusive=exclusive)
            for row, ranks in zip(probabilities, ranked, strict=True)
        ],
    }


def _sparse(row: NDArray[Any], places: Sequence[int]) -> list[float]:
    """RETURNS (list[float]): Place and number in turn, but for those that round to 0."""
    rounded = np.round(row.astype("float64"), 4)
    return [
        part for j in np.flatnonzero(rounded).tolist() for part in (places[j], float(rounded[j]))
    ]


def _carried(row: NDArray[Any], places: Sequence[int], *, exclusive: bool) -> list[int]:
    """RETURNS (list[int]): The labels that a document carries: the largest if they exclude each
    other, else all from 0.5 up."""
    if exclusive:
        return [places[int(row.argmax())]] if row.size and row.max() > 0 else []
    return [places[j] for j in np.flatnonzero(row >= CARRIES).tolist()]


def _to_json(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _valid(text).translate(ESCAPES)


def _valid(text: str) -> str:
    """RETURNS (str): The text with U+FFFD for each surrogate that has lost its other half, which
    UTF-8 cannot hold."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _script() -> str:
    # In a function of their own: nothing that they name becomes a property of the window.
    return '(() => {\n"use strict";\n' + "\n".join(map(_read, SCRIPTS)) + "})();\n"


def _read(name: str) -> str:
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """RETURNS (str): What a content security policy names an inline element by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
