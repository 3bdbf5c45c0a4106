"""The sentences of a report: what makes its numbers doubtful, and what is left out and why."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .measures import can_teach, count_labels, shares_labels
from .types import N_NEIGHBOURS, Documents, Row, Seen


def warn_of_seen(seen: Seen, n: int, is_trained_on: bool) -> list[str]:
    warnings = []
    if seen.n_in_train and not is_trained_on:
        warnings.append(
            f"{seen.n_in_train} of {n} documents are in TRAIN as well: what learns from TRAIN "
            "would not do as well on new ones."
        )
    if not seen.n:
        return warnings
    parts = []
    if seen.n_remembered:
        at_least = "" if seen.is_complete else "at least "
        parts.append(f"{at_least}{seen.n_remembered} were in its training corpus")
    if seen.n_in_train and is_trained_on:
        parts.append(f"{seen.n_in_train} are in TRAIN")
    return [
        *warnings,
        f"{seen.n} of {n} documents are texts that the model was trained on "
        f"({', '.join(parts)}): new texts would not do as well as these numbers say.",
    ]


def describe(
    data: Documents,
    train: Documents | None,
    unknown_labels: Sequence[str],
    seen: Seen,
    is_trained_on: bool,
) -> list[str]:
    """RETURNS (list[str]): What is left out, and why."""
    notes = []
    n_empty = int((~data.base.any(axis=1)).sum())
    if n_empty:
        notes.append(f"{n_empty} of {len(data.ids)} documents have no text: they take no part.")
    if unknown_labels:
        notes.append(
            f"The model does not know {_name_some(unknown_labels)}: measured all the same, as "
            "vectors have neighbours whatever the label."
        )
    notes += _describe_labels(data)
    if train is None:
        notes.append("Without TRAIN nothing is said of classifiers, nor of overfitting.")
    elif not can_teach(train):
        notes.append("TRAIN has no two classes to tell apart: no classifier can learn from it.")
    elif not shares_labels(data, train):
        notes.append("TRAIN teaches none of the labels of DATA: nothing is said of classifiers.")
    elif not is_trained_on:
        notes.append("TRAIN is not what the model was trained on: nothing is said of overfitting.")
    if len(data.ids) - n_empty <= N_NEIGHBOURS + 1:
        notes.append(
            f"There are too few documents to say how many of {N_NEIGHBOURS} neighbours were kept."
        )
    if seen.n_remembered is None and train is None:
        notes.append(
            "The pipeline does not say which texts it was trained on: give TRAIN to find out "
            "whether any of them are among these."
        )
    return notes


def explain_chance(primary: Sequence[Row]) -> list[str]:
    unsure = [row.interval for row in primary if row.interval and not row.beyond_chance]
    if all(interval.low <= 0 <= interval.high for interval in unsure):
        return []
    return [
        "Each interval is of its metric alone, and one of several easily misses zero by chance: "
        "better or worse is what is so with all of them looked at together."
    ]


def find_occurring(data: Documents) -> NDArray[np.bool_]:
    """RETURNS (ndarray): Of which labels something is known, shape (L,). Exclusive labels are known
    to be absent wherever another is present, which says nothing."""
    counts = count_labels(data)
    carried = counts.carry > 0
    return carried if data.targets.exclusive else carried | (counts.lack > 0)


def _describe_labels(data: Documents) -> list[str]:
    counts = count_labels(data)
    names = np.asarray(data.labels, dtype=object)
    if not counts.carry.any():
        return ["No document carries a label: only the shape of the space can be measured."]
    occurring = find_occurring(data)
    if (
        not counts.can_be_retrieved.any()
        and (counts.carry > 0).sum() == 1
        and not (counts.lack[counts.carry > 0].any())
    ):
        only = str(names[counts.carry > 0][0])
        return [f"All labelled documents carry {only!r}, and nothing else: nothing to tell apart."]
    notes = []
    left_out = "left out of p@1 and MAP@R" if data.targets.exclusive else "left out"
    rare = occurring & (counts.carry < 2)
    if rare.any():
        notes.append(
            f"Fewer than two documents carry {_name_some(names[rare].tolist())}: {left_out}."
        )
    always = (counts.carry >= 2) & (counts.lack < 1)
    if always.any():
        notes.append(
            f"No document is known to lack {_name_some(names[always].tolist())}, so that nothing "
            f"can be confused with it: {left_out}. Write 0.0 where it is absent."
        )
    return notes


def _name_some(labels: Sequence[str], most: int = 5) -> str:
    """RETURNS (str): Labels in quotes, the first few of many."""
    names = ", ".join(map(repr, labels[:most]))
    return names if len(labels) <= most else f"{names} and {len(labels) - most} more"
