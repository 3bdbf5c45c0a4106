"""Base against tuned vectors on documents that were held out: numbers, how sure they are, and what
they amount to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..data.records import Record
from ..metrics import LEVEL, N_RESAMPLES
from ..pipeline.lookup import find_component
from ..training.seen import SeenTexts
from .documents import choose_labels, documents, to_records
from .measures import (
    N_NEIGHBOURS,
    Row,
    can_teach,
    count_labels,
    measure,
    name_some,
    shares_labels,
)
from .types import Documents
from .verdict import RULE, Finding, Verdict, judge

# With less of TRAIN remembered from training, it is not what the model was trained on.
_TRAINED_ON = 0.5


class Seen(NamedTuple):
    """How many of the documents the model was trained on, by their texts up to case and whitespace.

    n (int): Those that the component remembers, or that are in TRAIN, if it was trained on that.
    n_in_train (int | None): Those in TRAIN; None without TRAIN.
    n_remembered (int | None): Those that the component remembers; None if it remembers nothing.
    is_complete (bool): Whether the component remembers all of its training texts.
    """

    n: int
    n_in_train: int | None
    n_remembered: int | None
    is_complete: bool


@dataclass(frozen=True)
class Report:
    """Base against tuned vectors. Printed, and in a notebook, it is a table.

    component (str): The name of the component.
    verdict (Verdict): What it amounts to.
    primary, secondary, on_train, space (list[Row]): The metrics, see `Measures`.
    warnings (list[str]): What makes the numbers, or the space, doubtful.
    notes (list[str]): What else there is to know: labels left out, and the like.
    seen (Seen): How many documents are not held out.
    n_documents, n_labelled, n_train (int): How many there are, of how many a label is known, and
        how many are in TRAIN.
    labels (list[str]): The labels, those of the component and others.
    n_occurring (int): Of how many labels something is known among the documents; of exclusive ones,
        how many they carry.
    exclusive (bool): Whether a document carries exactly one.
    unknown_labels (list[str]): Labels that the component does not know.
    """

    component: str
    verdict: Verdict
    primary: list[Row]
    secondary: list[Row]
    on_train: list[Row]
    space: list[Row]
    warnings: list[str]
    notes: list[str]
    seen: Seen
    n_documents: int
    n_labelled: int
    n_train: int
    labels: list[str]
    n_occurring: int
    exclusive: bool
    unknown_labels: list[str]

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it, as JSON takes it; None for what is not defined."""
        return {
            "component": self.component,
            "verdict": {**self.verdict._asdict(), "rule": RULE},
            "n_documents": self.n_documents,
            "n_labelled": self.n_labelled,
            "n_train": self.n_train,
            "labels": self.labels,
            "n_occurring_labels": self.n_occurring,
            "exclusive_classes": self.exclusive,
            "unknown_labels": self.unknown_labels,
            "seen": self.seen._asdict(),
            "metrics": {row.key: _to_dict(row, has_interval=True) for row in self.primary},
            "secondary": {row.key: _to_dict(row) for row in self.secondary},
            "on_train": {row.key: _to_dict(row, has_interval=True) for row in self.on_train},
            "space": {row.key: _to_dict(row) for row in self.space},
            "intervals": {"level": LEVEL, "n_resamples": N_RESAMPLES},
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def to_markdown(self) -> str:
        """RETURNS (str): The report in Markdown."""
        from .render import to_markdown

        return to_markdown(self)

    def to_text(self, *, colors: bool = False) -> str:
        """The report for a terminal of 80 columns.

        colors (bool): Whether to colour it.
        RETURNS (str): The lines.
        """
        from .render import to_text

        return to_text(self, colors=colors)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from .notebook import to_html

        return to_html(self)


def report(
    nlp: Language,
    examples: Iterable[Record | Example | Doc],
    *,
    train: Iterable[Record | Example | Doc] | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Report:
    """Compare the tuned with the base vectors of documents that were held out.

    nlp (Language): The pipeline.
    examples (Iterable[Record | Example | Doc]): The documents, with what is known of their labels.
    train (Iterable[Record | Example | Doc] | None): The documents that the model was trained on:
        a nearest neighbour and a linear probe learn from them, and they tell overfitting.
    name (str | None): The name of the component; None: the only one there is.
    progress (bool): Whether to show progress bars.
    RETURNS (Report): The comparison.
    RAISES (ValueError): If there are no documents, no such component, it is not trained, or cats
        are invalid.
    """
    pipe = find_component(nlp, name)
    rows = to_records(examples)
    train_rows = None if train is None else to_records(train)
    if not rows:
        raise ValueError("There are no documents to report on. Give some that were held out.")
    labels = choose_labels(pipe, [row.cats for row in (*rows, *(train_rows or ()))])
    title = "Encoding texts" if progress else None
    data = documents(nlp, pipe.name, rows, labels=labels, progress=title)
    learned = None
    if train_rows:
        learned = documents(nlp, pipe.name, train_rows, labels=labels, progress=title)
    return compare(
        data,
        learned,
        component=pipe.name,
        remembered=pipe.seen,
        unknown_labels=labels.unknown,
        notes=() if labels.note is None else (labels.note,),
    )


def compare(
    data: Documents,
    train: Documents | None = None,
    *,
    component: str = "embtune",
    remembered: SeenTexts | None = None,
    unknown_labels: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Report:
    """Do what `report` does, for documents whose vectors are there already.

    data (Documents): The documents.
    train (Documents | None): The documents that the model was trained on, of the same labels.
    component (str): The name of the component.
    remembered (SeenTexts | None): The texts that the component remembers from its training.
    unknown_labels (Sequence[str]): Labels that the component does not know.
    notes (Sequence[str]): What else there is to know.
    RETURNS (Report): The comparison.
    """
    measures = measure(data, train)
    is_trained_on = train is not None and _is_trained_on(train, remembered)
    seen = _find_seen(data, train, remembered, is_trained_on)
    on_train = [row for row in measures.on_train if row.key == "map_at_r" and is_trained_on]
    findings = _to_findings(measures.primary)
    return Report(
        component=component,
        verdict=judge(
            findings,
            n_scored=measures.n_scored,
            on_train=next(iter(_to_findings(on_train)), None),
            n_documents=len(data.ids),
            n_seen=seen.n,
        ),
        primary=measures.primary,
        secondary=measures.secondary,
        on_train=measures.on_train,
        space=measures.space,
        warnings=[*_warn_of_seen(seen, len(data.ids), is_trained_on), *measures.warnings],
        notes=[
            *notes,
            *_describe(data, train, unknown_labels, seen, is_trained_on),
            *_explain_chance(measures.primary),
        ],
        seen=seen,
        n_documents=len(data.ids),
        n_labelled=int((np.asarray(data.targets.known) > 0).any(axis=1).sum()),
        n_train=0 if train is None else len(train.ids),
        labels=data.labels,
        n_occurring=int(_find_occurring(data).sum()),
        exclusive=data.targets.exclusive,
        unknown_labels=list(unknown_labels),
    )


def _to_dict(row: Row, *, has_interval: bool = False) -> dict[str, Any]:
    entry: dict[str, Any] = {"title": row.title, "base": row.base, "tuned": row.tuned}
    entry["difference"] = row.difference
    if has_interval:
        interval = row.interval
        entry["interval"] = None if interval is None else [interval.low, interval.high]
        entry["beyond_chance"] = row.beyond_chance
    return entry


def _to_findings(rows: Sequence[Row]) -> list[Finding]:
    return [
        Finding(
            row.key,
            row.title,
            row.interval.value,
            better=row.beyond_chance == "better",
            worse=row.beyond_chance == "worse",
        )
        for row in rows
        if row.interval is not None
    ]


def _find_seen(
    data: Documents, train: Documents | None, remembered: SeenTexts | None, is_trained_on: bool
) -> Seen:
    is_seen = np.zeros(len(data.texts), dtype=bool)
    counts: list[int | None] = []
    in_train = None if train is None else SeenTexts(train.texts, most=len(train.texts) + 1)
    for texts in (in_train, remembered):
        found = None if texts is None else texts.recognize(data.texts)
        counts.append(None if found is None else int(found.sum()))
        if found is not None and (texts is remembered or is_trained_on):
            is_seen |= found
    is_complete = remembered is not None and not remembered.is_full
    return Seen(int(is_seen.sum()), counts[0], counts[1], is_complete)


def _is_trained_on(train: Documents, remembered: SeenTexts | None) -> bool:
    """RETURNS (bool): Whether TRAIN is what the model was trained on, as far as is known."""
    if remembered is None or remembered.is_full:
        return True
    return bool(remembered.recognize(train.texts).mean() >= _TRAINED_ON)


def _warn_of_seen(seen: Seen, n: int, is_trained_on: bool) -> list[str]:
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


def _describe(
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
            f"The model does not know {name_some(unknown_labels)}: measured all the same, as "
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


def _explain_chance(primary: Sequence[Row]) -> list[str]:
    unsure = [row.interval for row in primary if row.interval and not row.beyond_chance]
    if all(interval.low <= 0 <= interval.high for interval in unsure):
        return []
    return [
        "Each interval is of its metric alone, and one of several easily misses zero by chance: "
        "better or worse is what is so with all of them looked at together."
    ]


def _find_occurring(data: Documents) -> NDArray[np.bool_]:
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
    occurring = _find_occurring(data)
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
            f"Fewer than two documents carry {name_some(names[rare].tolist())}: {left_out}."
        )
    always = (counts.carry >= 2) & (counts.lack < 1)
    if always.any():
        notes.append(
            f"No document is known to lack {name_some(names[always].tolist())}, so that nothing "
            f"can be confused with it: {left_out}. Write 0.0 where it is absent."
        )
    return notes
