"""Write the warnings and notes of a report."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._texts import quote_some
from .measures import can_teach, count_labels, shares_labels
from .types import N_NEIGHBOURS, Documents, Row, Samples, Seen


def warn_of_seen(seen: Seen, n: int, is_trained_on: bool) -> list[str]:
    """Warn of documents that are not held out.

    seen (Seen): How many documents the model was trained on.
    n (int): The number of documents.
    is_trained_on (bool): Whether the model was trained on TRAIN.
    RETURNS (list[str]): The warnings.
    """
    warnings = []
    if seen.n_in_train and not is_trained_on:
        warnings.append(
            f"{seen.n_in_train} of {n} documents are in TRAIN as well: on new documents the "
            "classifiers that learn from TRAIN would score lower."
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
        f"({', '.join(parts)}): new texts would score lower.",
    ]


def describe(
    data: Documents,
    train: Documents | None,
    unknown_labels: Sequence[str],
    seen: Seen,
    is_trained_on: bool,
) -> list[str]:
    """Describe what a report leaves out, and why.

    data (Documents): The documents.
    train (Documents | None): The documents that the model was trained on.
    unknown_labels (Sequence[str]): Labels that the component does not know.
    seen (Seen): How many documents the model was trained on.
    is_trained_on (bool): Whether the model was trained on TRAIN.
    RETURNS (list[str]): The notes.
    """
    notes = []
    n_empty = int((~data.base.any(axis=1)).sum())
    if n_empty:
        notes.append(f"{n_empty} of {len(data.ids)} documents have no text and are left out.")
    if unknown_labels:
        notes.append(
            f"The model does not know {quote_some(unknown_labels)}. The metrics include such "
            "labels, because vectors have neighbours whatever the label."
        )
    notes += _describe_labels(data)
    if train is None:
        notes.append("Without TRAIN, classifiers and overfitting are not measured.")
    elif not can_teach(train):
        notes.append("Classifiers are not measured: TRAIN has no two classes to tell apart.")
    elif not shares_labels(data, train):
        notes.append("Classifiers are not measured: TRAIN teaches none of the labels of DATA.")
    elif not is_trained_on:
        notes.append("TRAIN is not what the model was trained on: overfitting is not measured.")
    if len(data.ids) - n_empty <= N_NEIGHBOURS + 1:
        notes.append(
            f"Kept neighbours are not measured: there are too few documents for {N_NEIGHBOURS}."
        )
    if seen.n_remembered is None and train is None:
        notes.append(
            "The pipeline does not remember which texts it was trained on. Give TRAIN to find out "
            "whether these documents are among them."
        )
    return notes


def explain_units(data: Documents) -> list[str]:
    """Explain what the numbers of sentences or spans mean, if documents have several of them.

    data (Documents): The documents.
    RETURNS (list[str]): One note, or none.
    """
    numbers = data.source_numbers()
    if numbers is None or np.unique(numbers).size == numbers.size:
        return []
    return [
        "Each unit counts as a document. Units of one document are neighbours of each other, so "
        "p@1 and MAP@R are higher than between documents. Intervals draw whole documents."
    ]


def explain_chance(primary: Sequence[Row]) -> list[str]:
    """Explain why an interval may leave out zero although the difference is not beyond chance.

    primary (Sequence[Row]): The primary metrics.
    RETURNS (list[str]): One note, or none if there is no such interval.
    """
    unsure = [row.interval for row in primary if row.interval and not row.beyond_chance]
    if all(interval.low <= 0 <= interval.high for interval in unsure):
        return []
    return [
        "Each interval is for one metric alone, and one of several easily misses zero by chance. "
        "The column 'beyond chance' takes all primary metrics into account together."
    ]


def describe_samples(samples: Samples) -> list[str]:
    """Say which metrics are computed from a sample of the labels.

    samples (Samples): The samples.
    RETURNS (list[str]): A note for each.
    """
    notes = []
    if samples.probe is not None:
        n, of = samples.probe
        notes.append(
            f"The linear probe predicts {n} of {of} labels, a sample that is always the same: it "
            "has a model for each label."
        )
    if samples.clusters is not None:
        n, of = samples.clusters
        notes.append(
            f"The agreement with k-means is that of the documents of {n} of {of} classes, a sample "
            "that is always the same."
        )
    return notes


def find_occurring(data: Documents) -> NDArray[np.bool_]:
    """Find the labels of which something is known among documents. For exclusive labels only
    presence counts, because each is absent wherever another one is present.

    data (Documents): The documents.
    RETURNS (ndarray): Whether something is known of each label, bool, shape (L,).
    """
    counts = count_labels(data)
    carried = counts.carry > 0
    return carried if data.targets.exclusive else carried | (counts.lack > 0)


def _describe_labels(data: Documents) -> list[str]:
    counts = count_labels(data)
    names = np.asarray(data.labels, dtype=object)
    if not counts.carry.any():
        return ["No document carries a label, so only the shape of the space is measured."]
    occurring = find_occurring(data)
    if (
        not counts.can_be_retrieved.any()
        and (counts.carry > 0).sum() == 1
        and not (counts.lack[counts.carry > 0].any())
    ):
        only = str(names[counts.carry > 0][0])
        return [f"All labelled documents carry {only!r} only, so there is nothing to tell apart."]
    notes = []
    left_out = "left out of p@1 and MAP@R" if data.targets.exclusive else "left out"
    rare = occurring & (counts.carry < 2)
    if rare.any():
        notes.append(
            f"Fewer than two documents carry {quote_some(names[rare].tolist())}: {left_out}."
        )
    always = (counts.carry >= 2) & (counts.lack < 1)
    if always.any():
        notes.append(
            f"No document is known to lack {quote_some(names[always].tolist())}: {left_out}. Write "
            "0.0 where the label is absent."
        )
    return notes
