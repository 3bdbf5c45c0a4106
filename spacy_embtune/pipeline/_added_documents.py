"""Documents that a component learns from beside those of its corpus. Nothing counts them: not the
counts of labels, the texts that were seen, the scores or the calibration."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from thinc.types import Floats2d

from ..labels import SparseTargets
from ..types import PairTargets, Targets


class AddedDocuments(NamedTuple):
    """Documents of one source that are added to a batch.

    inputs (list[Any]): What the encoder reads for each of the k documents: strings, or Docs.
    targets (SparseTargets): What is known of their labels, with `weights`: how much each counts, in
        labelled documents. Labels that were added to the component since then are absent from
        documents whose labels are complete, and unknown in the others.
    shift (ndarray | None): What is added to their base vectors, shape (d,).
    """

    inputs: list[Any]
    targets: SparseTargets
    shift: NDArray[Any] | None = None


class DocumentSource(Protocol):
    """Documents that are added to batches."""

    def select(self, n_labelled: int) -> AddedDocuments | None:
        """Choose documents for a batch.

        n_labelled (int): The number of labelled documents in the batch.
        RETURNS (AddedDocuments | None): The documents. None if there are none.
        """


def select_documents(
    sources: Iterable[DocumentSource | None], n_labelled: int
) -> list[AddedDocuments]:
    """Choose the documents that are added to a batch.

    sources (Iterable[DocumentSource | None]): Their sources.
    n_labelled (int): The number of labelled documents in the batch.
    RETURNS (list[AddedDocuments]): The documents of each source that has some.
    """
    chosen = [source.select(n_labelled) for source in sources if source is not None]
    return [added for added in chosen if added is not None]


def add_documents(
    rows: Floats2d,
    targets: Targets,
    vectors: Floats2d,
    chosen: Sequence[AddedDocuments],
    ops: Any,
) -> tuple[Floats2d, Targets]:
    """Put added documents behind the documents of a batch and of the memory bank.

    rows (Floats2d): The base vectors of the n documents, shape (n, d).
    targets (Targets): Their targets.
    vectors (Floats2d): The base vectors of the k added documents, shape (k, d).
    chosen (Sequence[AddedDocuments]): The added documents, of each source.
    ops (Ops): The ops of the device.
    RETURNS (tuple[Floats2d, Targets]): The base vectors and targets of the n + k.
    """
    xp: Any = ops.xp
    start = 0
    for added in chosen:
        k = len(added.inputs)
        part: Any = vectors[start : start + k]
        start += k
        if added.shift is not None:
            part = part + ops.asarray(added.shift) * (part != 0).any(axis=1, keepdims=True)
        n = rows.shape[0]
        known = added.targets._replace(n_labels=targets.values.shape[1]).select(range(k))
        weights = np.ones(n, dtype="float32") if targets.weights is None else targets.weights
        pairs = targets.pairs
        if pairs is not None:
            # Nothing but labels is known of pairs with an added document.
            pairs = PairTargets(*(xp.pad(array, ((0, k), (0, k))) for array in pairs))
        of_added = np.asarray(known.weights, dtype="float32")
        rows = xp.concatenate([rows, part])
        targets = targets._replace(
            values=xp.concatenate([targets.values, ops.asarray(cast(Any, known.values))]),
            known=xp.concatenate([targets.known, ops.asarray(cast(Any, known.known))]),
            weights=xp.concatenate([ops.asarray(cast(Any, weights)), ops.asarray(of_added)]),
            pairs=pairs,
        )
    return rows, targets
