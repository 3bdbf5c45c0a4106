"""Which documents share a colour in a picture: one colour a document, however many its labels."""

from typing import NamedTuple

import numpy as np

from ..metrics.ranking import Ints, carried_labels
from ..report.types import Documents

# Okabe & Ito 2008, "Color Universal Design", told apart by those who see fewer colours as well;
# without its black, and with a yellow that can be seen on white.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#E69F00"),
    *("#56B4E9", "#CC79A7", "#6B3A00", "#E3D532"),
)
UNLABELLED = "unlabelled"
UNLABELLED_COLOR = "#D9D9D9"
NONE_COLOR = "#B4B4B4"
OTHER_COLOR = "#8F8F8F"


class ColorGroups(NamedTuple):
    """Groups of documents, each of one colour; those in grey come first, to be drawn behind.

    names (list[str]): What the groups are called.
    colors (list[str]): Their colours, as "#RRGGBB".
    of (Ints): The group of each document, an index into both, shape (n,).
    n_grey (int): How many of the groups, from the first, are grey.
    has_several (bool): Whether a document carries several labels, of which only one can show.
    """

    names: list[str]
    colors: list[str]
    of: Ints
    n_grey: int
    has_several: bool


def color_groups(documents: Documents, *, most: int = len(PALETTE)) -> ColorGroups:
    """Give the commonest labels a colour each. A document takes the rarest of its labels that has
    one, which says most of it. The rest is grey, in three groups: other labels, none of the labels
    that are known, and nothing known. A lone label shares the picture with its absence, which then
    is a colour as well.

    documents (Documents): The documents.
    most (int): How many colours to give, at most as many as there are in `PALETTE`.
    RETURNS (ColorGroups): The groups that have documents.
    """
    carries, known = carried_labels(
        documents.targets.values, documents.targets.known, n_docs=len(documents.texts)
    )
    counts = carries.sum(axis=0)
    # Of equally common ones the first of the documents' labels.
    order = [int(j) for j in np.argsort(-counts, kind="stable") if counts[j]]
    colored, rest = order[:most], order[most:]
    is_lone = len(documents.labels) == 1 and bool(colored)
    of = np.zeros(len(documents.texts), dtype=np.intp)
    of[known.any(axis=1)] = 1
    of[carries[:, rest].any(axis=1)] = 2
    others = f"{len(rest)} other label{'s' * (len(rest) != 1)}"
    names = [UNLABELLED, "none of them", others]
    colors = [UNLABELLED_COLOR, NONE_COLOR, OTHER_COLOR]
    for j, color in zip(colored, PALETTE, strict=False):
        of[carries[:, j]] = len(names)
        names.append(documents.labels[j])
        colors.append(color)
    if is_lone:
        of[of == 1] = len(names)
        names.append(f"not {documents.labels[0]}")
        colors.append(PALETTE[1])
    used, of = np.unique(of, return_inverse=True)
    n_grey = sum(int(group) < 3 for group in used)
    has_several = bool((carries.sum(axis=1) > 1).any())
    return ColorGroups([names[g] for g in used], [colors[g] for g in used], of, n_grey, has_several)
