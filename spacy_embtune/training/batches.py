"""From Examples to the input of the model and the loss: documents to encode, and their targets."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from .._texts import shorten
from ..data import combine_pairs, get_group, get_partners
from ..labels import make_targets, validate_cats
from ..types import PairTargets, Targets
from .memory_bank import Entries, MemoryBank


class Batch(NamedTuple):
    """A batch of n documents: those of the examples, then each distinct text that they are paired
    with.

    docs (list[Doc | str]): The documents and texts to encode.
    keys (list[str]): The text of each document, to recognise equal documents.
    targets (Targets): The targets of the labels, as numpy arrays. The labels of paired texts are
        not known.
    scored (list[tuple[int, int, float]]): The zero-based positions and the score of each scored
        pair.
    groups (list[str | None]): The group of each document; None for a document without one.
    """

    docs: list[Doc | str]
    keys: list[str]
    targets: Targets
    scored: list[tuple[int, int, float]]
    groups: list[str | None]


def make_batch(
    examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool, counts: Any
) -> Batch:
    """Make a batch of examples.

        >>> import spacy
        >>> from spacy.training import Example
        >>> nlp = spacy.blank("en")
        >>> example = Example.from_dict(nlp.make_doc("good soup"), {"cats": {"FOOD": 1.0}})
        >>> batch = make_batch([example], ["FOOD", "MUSIC"], exclusive=True, counts=None)
        >>> batch.keys, batch.targets.values.tolist()
        (['good soup'], [[1.0, 0.0]])

    examples (Sequence[Example]): The examples: `predicted` is encoded, `reference` has cats, pairs
        and groups.
    labels (Sequence[str]): The L labels.
    exclusive (bool): Whether a document has exactly one label.
    counts (ndarray | None): See `Targets`.
    RETURNS (Batch): The batch.
    RAISES (ValueError): If cats or pairs are invalid. The message names the document.
    """
    docs: list[Doc | str] = [example.predicted for example in examples]
    keys = [example.reference.text for example in examples]
    groups = _Groups()
    rows_of: dict[str, list[int]] = {}
    for i, (example, key) in enumerate(zip(examples, keys, strict=True)):
        validate_cats(example.reference.cats, where=describe(i, example))
        rows_of.setdefault(key, []).append(i)
        groups.add(key, get_group(example.reference))
    scored: list[tuple[int, int, float]] = []
    for example in examples:
        # A pair of a text applies to all documents with that text.
        for text, score, group in get_partners(example.reference):
            groups.add(text, group)
            if text not in rows_of:
                rows_of[text] = [len(docs)]
                docs.append(text)
                keys.append(text)
            pairs = product(rows_of[example.reference.text], rows_of[text])
            scored.extend((i, j, score) for i, j in pairs)
    cats: list[dict[str, float]] = [example.reference.cats for example in examples]
    cats += [{}] * (len(docs) - len(cats))
    targets = make_targets(
        cats,
        labels,
        exclusive=exclusive,
        counts=counts,
        where=lambda i: describe(i, examples[i]),
    )
    return Batch(docs, keys, targets, scored, [groups.get(key) for key in keys])


def add_memory(batch: Batch, base: Any, bank: MemoryBank, ops: Any) -> tuple[Any, Targets]:
    """Append the documents of the memory bank to a batch, and add the batch to the bank.

        >>> import numpy as np
        >>> from thinc.api import NumpyOps
        >>> from spacy_embtune.training import Batch, MemoryBank, pair_targets
        >>> bank, base = MemoryBank(10), np.eye(2, dtype="float32")
        >>> for keys in (["a", "b"], ["c", "d"]):
        ...     batch = Batch(keys, keys, pair_targets(2, []), [], ["g", "g"])
        ...     rows, targets = add_memory(batch, base, bank, NumpyOps())
        >>> rows.shape, targets.pairs.similarity.shape
        ((4, 2), (4, 4))

    batch (Batch): The batch of n documents.
    base (Floats2d): The base vectors of the batch, shape (n, d).
    bank (MemoryBank): The memory bank, which holds m documents that are not in the batch.
    ops (Ops): The ops of the device for the arrays.
    RETURNS (tuple[Floats2d, Targets]): The base vectors of the batch and the bank, shape
        (n + m, d), and their targets, with pairs. The labels of documents without a vector count as
        not known.
    """
    rows = ops.to_numpy(base)
    values, known = cast(Any, batch.targets.values), cast(Any, batch.targets.known)
    known = known * rows.any(axis=1, keepdims=True)
    own = Entries(rows, values, known, batch.groups)
    recalled = bank.entries(without=batch.keys)
    bank.add(batch.keys, own)
    groups = batch.groups
    if recalled is not None:
        base = ops.xp.concatenate([base, ops.asarray2f(recalled.base)])
        values = np.concatenate([values, recalled.values])
        known = np.concatenate([known, recalled.known])
        groups = groups + recalled.groups
    pairs = None
    if batch.scored or any(group is not None for group in groups):
        arrays = combine_pairs(len(groups), batch.scored, groups)
        pairs = PairTargets(*(ops.asarray2f(array) for array in arrays))
    counts = batch.targets.counts
    targets = batch.targets._replace(
        values=ops.asarray2f(values),
        known=ops.asarray2f(known),
        counts=None if counts is None else ops.asarray2f(counts),
        pairs=pairs,
    )
    return base, targets


class _Groups:
    """The group of each text. Groups with a common text become one group, for example two
    questions with the same answer."""

    def __init__(self) -> None:
        self._group: dict[str, str] = {}
        # Groups that became a part of another group.
        self._merged_into: dict[str, str] = {}

    def add(self, text: str, group: str | None) -> None:
        if group is not None:
            first = self._group.setdefault(text, group)
            if self._find(first) != self._find(group):
                self._merged_into[self._find(group)] = self._find(first)

    def get(self, text: str) -> str | None:
        return self._find(self._group[text]) if text in self._group else None

    def _find(self, group: str) -> str:
        while group in self._merged_into:
            group = self._merged_into[group]
        return group


def describe(i: int, example: Example) -> str:
    """Name a document for an error message.

        >>> import spacy
        >>> from spacy.training import Example
        >>> describe(3, Example.from_dict(spacy.blank("en").make_doc("good soup"), {}))
        "document 3 ('good soup')"

    i (int): The zero-based position of the document.
    example (Example): The example of the document.
    RETURNS (str): The position and the beginning of the text.
    """
    return f"document {i} ({shorten(example.reference.text)!r})"
