"""Read arrays from documents: the vectors of one space, the labels, and samples of rows."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..labels import SparseTargets
from ..metrics.carriers import find_carriers
from ..metrics.ranking import Bools, Ints, carried_labels
from ..reports.types import Documents
from ..types import Targets

Space = Literal["base", "tuned"]
SPACES: tuple[Space, ...] = get_args(Space)


def vectors_of(documents: Documents, space: Space) -> NDArray[Any]:
    """Choose the base vectors or the tuned vectors of documents.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> vectors_of(documents, "tuned").shape
    (3, 2)

    documents (Documents): The n documents.
    space (str): "base" or "tuned".
    RETURNS (ndarray): The vectors, shape (n, width).
    """
    return documents.base if space == "base" else documents.tuned


def labels_of(documents: Documents) -> tuple[Bools, Bools]:
    """Find which labels documents carry, see `spacy_embtune.metrics.CARRIES`.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> carries, known = labels_of(documents)
    >>> carries.tolist()
    [[True, False], [False, True], [False, True]]

    documents (Documents): The n documents with their L labels.
    RETURNS (tuple[Bools, Bools]): Which labels are carried and which are known, both of shape (n,
        L).
    """
    targets = documents.targets
    if isinstance(targets, SparseTargets):
        found = find_carriers(targets, n_docs=len(documents.texts))
        carries = np.zeros(targets.shape, dtype=bool)
        carries[found.rows[found.carries], found.columns[found.carries]] = True
        known = np.repeat(found.is_complete()[:, None], targets.n_labels, axis=1)
        known[found.rows, found.columns] = True
        return carries, known
    return carried_labels(targets.values, targets.known, n_docs=len(documents.texts))


def dense_targets(documents: Documents) -> Targets:
    """Make the targets of documents as arrays of documents times labels.

    >>> from spacy_embtune.labels import make_sparse_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_sparse_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8]])
    >>> documents = Documents(
    ...     list("12"), list("xy"), ["A", "B"], targets, vectors, vectors, np.zeros((2, 0)), []
    ... )
    >>> dense_targets(documents).values.tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    documents (Documents): The n documents with their L labels.
    RETURNS (Targets): The targets, shape (n, L).
    """
    targets = documents.targets
    if isinstance(targets, SparseTargets):
        return targets.select(range(targets.shape[0]))
    return targets


def sample_rows(rows: Ints, most: int) -> Ints:
    """Draw rows at random if there are too many. The same rows give the same sample.

    >>> sample_rows(np.arange(100), 3).size
    3

    rows (Ints): The rows, in order.
    most (int): How many rows to keep.
    RETURNS (Ints): All rows if there are at most that many, else a sample of them in order.
    """
    if rows.size <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
