"""From Examples to what the model and the loss take: documents to encode, and their targets."""

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
    """n documents: those of the examples, then the texts that they are paired with, once each.

    docs (list[Doc | str]): What to encode.
    keys (list[str]): The texts, which tell documents apart.
    targets (Targets): What is known of their labels, as numpy arrays; nothing of paired texts.
    explicit (list[tuple[int, int, float]]): Pairs with a score, by position.
    groups (list[str | None]): The group of each document, if it has one.
    """

    docs: list[Doc | str]
    keys: list[str]
    targets: Targets
    explicit: list[tuple[int, int, float]]
    groups: list[str | None]


def make_batch(
    examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool, counts: Any
) -> Batch:
    """Arrange examples for an update.

    examples (Sequence[Example]): Documents are `predicted`, what is known of them `reference`.
    labels (Sequence[str]): The labels.
    exclusive (bool): Whether a document carries exactly one.
    counts (ndarray | None): See `Targets`.
    RETURNS (Batch): The batch.
    RAISES (ValueError): If cats or pairs are invalid; it names the document.
    """
    docs: list[Doc | str] = [example.predicted for example in examples]
    keys = [example.reference.text for example in examples]
    groups = _Groups()
    rows_of: dict[str, list[int]] = {}
    for i, (example, key) in enumerate(zip(examples, keys, strict=True)):
        validate_cats(example.reference.cats, where=describe(i, example))
        rows_of.setdefault(key, []).append(i)
        groups.add(key, get_group(example.reference))
    explicit: list[tuple[int, int, float]] = []
    for example in examples:
        # What is known of a text is known of each document that has it, in whatever role.
        for text, score, group in get_partners(example.reference):
            groups.add(text, group)
            if text not in rows_of:
                rows_of[text] = [len(docs)]
                docs.append(text)
                keys.append(text)
            pairs = product(rows_of[example.reference.text], rows_of[text])
            explicit.extend((i, j, score) for i, j in pairs)
    cats: list[dict[str, float]] = [example.reference.cats for example in examples]
    cats += [{}] * (len(docs) - len(cats))
    targets = make_targets(
        cats,
        labels,
        exclusive=exclusive,
        counts=counts,
        where=lambda i: describe(i, examples[i]),
    )
    return Batch(docs, keys, targets, explicit, [groups.get(key) for key in keys])


def add_memory(batch: Batch, base: Any, bank: MemoryBank, ops: Any) -> tuple[Any, Targets]:
    """Put the documents of the bank behind those of the batch.

    base (Floats2d): The base vectors of the batch, shape (n, d).
    bank (MemoryBank): Earlier documents; those of the batch are added for the next time.
    ops (Ops): Where the arrays are to be.
    RETURNS (tuple[Floats2d, Targets]): Base vectors, shape (n + m, d), and all that is known of
        these documents and their pairs. Documents without a vector are unknown.
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
    if batch.explicit or any(group is not None for group in groups):
        arrays = combine_pairs(len(groups), batch.explicit, groups)
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
    """The group of each text. Groups that share a text are one: questions that have an answer in
    common, say."""

    def __init__(self) -> None:
        self._group: dict[str, str] = {}
        self._same: dict[str, str] = {}

    def add(self, text: str, group: str | None) -> None:
        if group is not None:
            first = self._group.setdefault(text, group)
            if self._find(first) != self._find(group):
                self._same[self._find(group)] = self._find(first)

    def get(self, text: str) -> str | None:
        return self._find(self._group[text]) if text in self._group else None

    def _find(self, group: str) -> str:
        while group in self._same:
            group = self._same[group]
        return group


def describe(i: int, example: Example) -> str:
    """RETURNS (str): Which document it is, for an error."""
    return f"document {i} ({shorten(example.reference.text)!r})"
