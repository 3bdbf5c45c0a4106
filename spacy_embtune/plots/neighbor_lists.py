"""The documents nearest to a text, before and after, side by side."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..metrics.ranking import carried_labels
from ..report.types import Documents
from .neighbors import Space, find_neighbors

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# Characters in the table, one line and three: enough to tell what a text is about.
_LONGEST_LABELS, _LONGEST_TEXT = 32, 110


class Found(NamedTuple):
    """A document near a text.

    id (str): Its name.
    text (str): Its text.
    labels (list[str] | None): The labels that it carries; None if nothing is known of them.
    cosine (float): Of its vector and that of the text, -1..1.
    """

    id: str
    text: str
    labels: list[str] | None
    cosine: float


class NeighborLists(NamedTuple):
    """The documents nearest to a text.

    query (str): The text.
    base (list[Found]): By base vectors, the nearest first.
    tuned (list[Found]): By tuned vectors.
    n_shared (int): How many are in both lists.
    """

    query: str
    base: list[Found]
    tuned: list[Found]
    n_shared: int

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The same as JSON."""
        lists = {
            space: [
                {
                    "rank": rank,
                    "id": found.id,
                    "cosine": round(found.cosine, 6),
                    "labels": found.labels,
                    "text": found.text,
                }
                for rank, found in enumerate(listed, 1)
            ]
            for space, listed in (("base", self.base), ("tuned", self.tuned))
        }
        return {"query": self.query, **lists, "n_shared": self.n_shared}

    def to_table(self) -> "Table":
        """RETURNS (Table): The lists side by side, for `rich.print`."""
        return _to_table(self)


def compare_neighbors(documents: Documents, query: Documents, k: int = 10) -> NeighborLists:
    """Find the documents nearest to a text by base and by tuned vectors.

    documents (Documents): Where to look.
    query (Documents): The text, as a single document of the same pipeline.
    k (int): How many to find, if there are so many.
    RETURNS (NeighborLists): What was found.
    RAISES (ValueError): If there is not one text, it has no vector, k is less than 1, or there are
        no documents.
    """
    if len(query.texts) != 1:
        raise ValueError(f"The query has {len(query.texts)} texts: give one.")
    n = len(documents.texts)
    carries, known = carried_labels(documents.targets.values, documents.targets.known, n_docs=n)

    def find(space: Space) -> dict[int, Found]:
        return {
            row: Found(
                documents.ids[row],
                documents.texts[row],
                [documents.labels[j] for j in np.flatnonzero(carries[row])]
                if known[row].any()
                else None,
                cosine,
            )
            for row, cosine in find_neighbors(documents, query, space, k)
        }

    base, tuned = find("base"), find("tuned")
    return NeighborLists(
        query.texts[0], list(base.values()), list(tuned.values()), len(base.keys() & tuned.keys())
    )


def _to_table(lists: NeighborLists) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, expand=True, leading=1, pad_edge=False)
    for name in ("base", "tuned"):
        table.add_column(name, ratio=1, overflow="fold")
    for before, after in zip(lists.base, lists.tuned, strict=True):
        table.add_row(_to_cell(before), _to_cell(after))
    table.caption = f"{lists.n_shared} of {len(lists.base)} are in both lists"
    table.caption_justify = "left"
    return table


def _to_cell(found: Found) -> "Text":
    from rich.text import Text

    # Text, unlike str, is not read for markup.
    cell = Text(f"{found.cosine:.2f} ", style="bold")
    labels = "?" if found.labels is None else ", ".join(found.labels) or "-"
    cell.append(one_line(labels, _LONGEST_LABELS), style="cyan")
    return cell.append(f"\n{one_line(found.text, _LONGEST_TEXT)}", style="not bold")


def one_line(text: str, longest: int) -> str:
    """Bring anybody's text onto one line, with nothing in it that a terminal would obey.

    text (str): The text.
    longest (int): How many characters to keep.
    RETURNS (str): The text, with "…" where its end was cut off.
    """
    # A few more: white space may become less.
    start = text[: 4 * longest]
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in start).split())
    is_whole = len(start) == len(text) and len(line) <= longest
    return line if is_whole else f"{line[: longest - 1].rstrip()}…"
