"""Assemble the page of documents: one HTML text of the files in `web/` and the data.

The texts are not trusted. The page holds them as JSON, in which no character can end the script
element, and the scripts of `web/` write them as text only. A content security policy allows these
scripts by their hashes, and forbids all requests, or those to any other server.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
# Positions are rounded to this number of steps. A step is about one pixel of a plot that is 1,200
# pixels wide and zoomed in 80 times, the maximum.
STEPS = 100_000
# Characters that could end a script element, or that old JavaScript engines read as line breaks.
ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class AssembledPage(NamedTuple):
    """A page and its content security policy.

    html (str): The page, to be written as UTF-8. It states the policy itself.
    policy (str): The policy, for a server that sends it as a header as well.
    """

    html: str
    policy: str


def assemble_page(
    content: Mapping[str, Any],
    *,
    title: str,
    actions: str,
    keys: str,
    aside: str = "",
    search: str = "",
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    may_connect: bool = False,
) -> AssembledPage:
    """Assemble the page.

    >>> page = assemble_page({}, title="<Three>", actions="<!-- no actions -->", keys="")
    >>> "<title>&lt;Three&gt;</title>" in page.html, "connect-src" in page.policy
    (True, False)

    content (Mapping[str, Any]): The documents, as `Corpus` in web/data.js reads them.
    title (str): The title. It may hold any characters.
    actions (str): HTML of what can be done with the selected documents.
    keys (str): HTML of further rows in the table of keys.
    aside (str): HTML at the top of the column beside the plot.
    search (str): HTML beside the search.
    scripts (Sequence[str]): JavaScript that runs behind that of `web/`, in the same function.
    styles (Sequence[str]): CSS behind that of `web/`.
    may_connect (bool): Whether scripts may send requests to the server that the page comes from.
    RETURNS (AssembledPage): The page.
    """
    # The scripts run inside a function, so their names do not become properties of the window.
    parts = [*map(read_web, SCRIPTS), *scripts]
    return seal_page(
        read_web("page.html"),
        script='(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n",
        style="\n".join([read_web("page.css"), *styles]),
        may_connect=may_connect,
        title=html.escape(valid_text(title)),
        actions=actions,
        keys=keys,
        aside=aside,
        search=search,
        data=_to_json(content),
    )


def seal_page(
    template: str, *, script: str, style: str, may_connect: bool = False, **places: str
) -> AssembledPage:
    """Fill a template with one script and one style, and allow only these two.

    >>> seal_page("<script>{{script}}</script>", script="f()", style="").html
    '<script>f()</script>'

    template (str): HTML with placeholders such as {{script}}, {{style}} and {{policy}}.
    script (str): The script.
    style (str): The style.
    may_connect (bool): Whether the script may send requests to the server of the page.
    places (str): HTML of the other placeholders.
    RETURNS (AssembledPage): The page.
    """
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    if may_connect:
        policy += "; connect-src 'self'"
    filled = {**places, "script": script, "style": style, "policy": policy}
    # All placeholders are replaced in one pass, because texts may look like placeholders.
    written = re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], template)
    return AssembledPage(written, policy)


def to_steps(xy: NDArray[Any]) -> list[int]:
    """Round positions, so that they are short in JSON and as exact as a screen needs.

    >>> to_steps(np.asarray([[0.0, 0.0], [2.0, 1.0]]))
    [0, 0, 100000, 50000]

    xy (ndarray): Positions, shape (n, 2).
    RETURNS (list[int]): x, y, x, y, ..., so that the longer side has 100,000 steps.
    """
    # Halved, because the difference of two large numbers may overflow.
    half = xy / 2
    half = half - half.min(axis=0)
    side = half.max()
    steps: list[int] = np.rint(half / (side or 1.0) * STEPS).astype(int).ravel().tolist()
    return steps


def read_web(name: str) -> str:
    """RETURNS (str): A file of `web/`."""
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def _to_json(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return valid_text(text).translate(ESCAPES)


def valid_text(text: str) -> str:
    """RETURNS (str): The text, with U+FFFD in place of lone surrogates, which UTF-8 cannot
    encode."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _hash(text: str) -> str:
    """RETURNS (str): The hash of an inline element, as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
