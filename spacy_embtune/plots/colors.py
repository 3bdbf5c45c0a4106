"""Choose one colour for each document by its labels."""

from typing import NamedTuple

import numpy as np

from ..metrics.carriers import find_carriers
from ..metrics.ranking import Ints
from ..reports.types import Documents

# Okabe & Ito 2008, "Color Universal Design": people with colour blindness can tell them apart.
# Black is left out, and the yellow is darker, to be visible on white.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#E69F00"),
    *("#56B4E9", "#CC79A7", "#6B3A00", "#E3D532"),
)
UNLABELLED = "unlabelled"
UNLABELLED_COLOR = "#D9D9D9"
NONE_COLOR = "#B4B4B4"
OTHER_COLOR = "#8F8F8F"


class ColorGroups(NamedTuple):
    """Groups of documents that have the same colour. Grey groups come first, to be drawn behind.

    names (list[str]): The names of the groups.
    colors (list[str]): The colours of the groups, as "#RRGGBB".
    group (Ints): The group of each document, an index into `names` and `colors`, shape (n,).
    n_grey (int): The number of grey groups.
    has_several (bool): Whether a document carries several labels. Its colour shows only one.
    """

    names: list[str]
    colors: list[str]
    group: Ints
    n_grey: int
    has_several: bool


def color_groups(documents: Documents, *, most: int = len(PALETTE)) -> ColorGroups:
    """Assign a colour to each of the most frequent labels, and group documents by colour.

    A document gets the colour of its rarest coloured label. All other documents are grey, in three
    groups: those with other labels, those without any of the known labels, and those without known
    labels. If there is a single label, its absence gets a colour as well.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> groups = color_groups(documents)
    >>> [groups.names[group] for group in groups.group]
    ['A', 'B', 'B']

    documents (Documents): The documents.
    most (int): How many labels get a colour, at most the length of `PALETTE`.
    RETURNS (ColorGroups): The groups that are not empty.
    """
    found = find_carriers(documents.targets, n_docs=len(documents.texts))
    carriers, counts = found.carried(), found.counts()
    # Equally frequent labels keep their order.
    order = [int(j) for j in np.argsort(-counts, kind="stable") if counts[j]]
    colored, rest = order[:most], order[most:]
    is_single = len(documents.labels) == 1 and bool(colored)
    group = np.zeros(len(documents.texts), dtype=np.intp)
    group[found.is_known()] = 1
    group[found.rows[found.carries & np.isin(found.columns, rest)]] = 2
    others = f"{len(rest)} other label{'s' * (len(rest) != 1)}"
    names = [UNLABELLED, "none of them", others]
    colors = [UNLABELLED_COLOR, NONE_COLOR, OTHER_COLOR]
    for j, color in zip(colored, PALETTE, strict=False):
        group[carriers.of(j)] = len(names)
        names.append(documents.labels[j])
        colors.append(color)
    if is_single:
        group[group == 1] = len(names)
        names.append(f"not {documents.labels[0]}")
        colors.append(PALETTE[1])
    used, group = np.unique(group, return_inverse=True)
    n_grey = sum(int(g) < 3 for g in used)
    has_several = bool((found.n_carried() > 1).any())
    names, colors = [names[g] for g in used], [colors[g] for g in used]
    return ColorGroups(names, colors, group, n_grey, has_several)
