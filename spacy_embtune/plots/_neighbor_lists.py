"""List the documents nearest to a text, by base vectors and by tuned vectors, side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data import to_json_value
from ..reports.types import Documents
from ._text import one_line
from .arrays import Space, labels_of
from .neighbors import find_neighbors

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# How many characters the table shows: of labels about one line, of the text about three.
_LONGEST_LABELS, _LONGEST_TEXT = 32, 110


class ListedNeighbor(NamedTuple):
    """A document in a list of neighbours.

    id (str): The id of the document.
    text (str): The text of the document.
    labels (list[str] | None): The labels that the document carries; None if none is known.
    cosine (float): The cosine of its vector and the vector of the query, -1..1.
    fields (Mapping[str, Any]): The other fields of the document.
    """

    id: str
    text: str
    labels: list[str] | None
    cosine: float
    fields: Mapping[str, Any] = {}


class NeighborLists(NamedTuple):
    """The documents nearest to a text.

    query (str): The text.
    base (list[ListedNeighbor]): The nearest documents by base vectors, the nearest first.
    tuned (list[ListedNeighbor]): The nearest documents by tuned vectors, the nearest first.
    n_shared (int): How many documents are in both lists.
    """

    query: str
    base: list[ListedNeighbor]
    tuned: list[ListedNeighbor]
    n_shared: int

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The lists, ready for JSON."""
        lists = {
            space: [
                {
                    "rank": rank,
                    "id": found.id,
                    "cosine": round(found.cosine, 6),
                    "labels": found.labels,
                    "text": found.text,
                    "fields": to_json_value(found.fields),
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
    """Find the documents nearest to a text, by base vectors and by tuned vectors.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> query = documents._replace(texts=["z"], base=vectors[2:], tuned=vectors[2:])
    >>> [neighbor.id for neighbor in compare_neighbors(documents, query, k=2).tuned]
    ['3', '2']

    documents (Documents): The documents to search.
    query (Documents): The text, as the only document, from the same pipeline.
    k (int): How many documents to find, if there are that many.
    RETURNS (NeighborLists): The lists.
    RAISES (ValueError): If the query is not one text, it has no vector, k is less than 1, or no
        document has a vector.
    """
    if len(query.texts) != 1:
        raise ValueError(f"The query has {len(query.texts)} texts: give one.")
    carries, known = labels_of(documents)

    def find(space: Space) -> dict[int, ListedNeighbor]:
        return {
            row: ListedNeighbor(
                documents.ids[row],
                documents.texts[row],
                [documents.labels[j] for j in np.flatnonzero(carries[row])]
                if known[row].any()
                else None,
                cosine,
                documents.fields_of(row),
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


def _to_cell(found: ListedNeighbor) -> "Text":
    from rich.text import Text

    # rich reads markup in a str, but not in a Text.
    cell = Text(f"{found.cosine:.2f} ", style="bold")
    labels = "?" if found.labels is None else ", ".join(found.labels) or "-"
    cell.append(one_line(labels, _LONGEST_LABELS), style="cyan")
    return cell.append(f"\n{one_line(found.text, _LONGEST_TEXT)}", style="not bold")
