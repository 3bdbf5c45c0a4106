"""Compare tuned with base vectors on documents that were held out."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..data import Record
from ..labels import known_rows
from ..metrics import LEVEL, N_RESAMPLES
from ..pipeline import find_component
from ..training.seen_texts import SeenTexts
from ._notes import (
    describe,
    describe_samples,
    explain_chance,
    explain_units,
    find_occurring,
    warn_of_seen,
)
from .documents import choose_labels, documents, labels_of_others, make_units
from .measures import measure
from .notebook import to_html
from .render import to_markdown, to_text
from .types import Calibration, Comparison, Documents, LabelRow, LabelScores, Row, Seen, subtract
from .verdict import RULE, Finding, judge

# If the component remembers a smaller share of TRAIN, it was not trained on TRAIN.
_TRAINED_ON = 0.5


class Report(Comparison):
    """A comparison of base and tuned vectors. `print` and notebooks show it as a table."""

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All fields in a form for JSON. Undefined metrics are None."""
        return {
            "component": self.component,
            "verdict": {**self.verdict._asdict(), "rule": RULE},
            "n_documents": self.n_documents,
            "n_sources": self.n_sources,
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
            "per_label": {row.label: _label_to_dict(row) for row in self.per_label},
            "per_label_classifier": self.classifier,
            "calibration": None if self.calibration is None else _calibration(self.calibration),
            "samples": {
                key: None if some is None else {"n": some[0], "of": some[1]}
                for key, some in self.samples._asdict().items()
            },
            "intervals": {"level": LEVEL, "n_resamples": N_RESAMPLES},
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def to_markdown(self, *, per_label: bool = False, calibration: bool = False) -> str:
        """Write the report in Markdown.

        per_label (bool): Whether to add the scores of each label.
        calibration (bool): Whether to add how well probabilities agree with the labels.
        RETURNS (str): The text.
        """
        return to_markdown(self, per_label=per_label, calibration=calibration)

    def to_text(
        self, *, colors: bool = False, per_label: bool = False, calibration: bool = False
    ) -> str:
        """Write the report for a terminal of 80 columns.

        colors (bool): Whether to use colours.
        per_label (bool): Whether to add the scores of each label.
        calibration (bool): Whether to add how well probabilities agree with the labels.
        RETURNS (str): The lines.
        """
        return to_text(self, colors=colors, per_label=per_label, calibration=calibration)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return to_html(self)


def report(
    nlp: Language,
    examples: Iterable[Record | Example | Doc],
    *,
    train: Iterable[Record | Example | Doc] | None = None,
    name: str | None = None,
    progress: bool = True,
    unit: str = "doc",
) -> Report:
    """Compare the tuned with the base vectors of documents that were held out.

    >>> import numpy as np, spacy
    >>> from spacy_embtune.data import read_records
    >>> nlp = spacy.blank("en")
    >>> for i, word in enumerate(["ball", "team", "soup", "oven"]):
    ...     _ = nlp.vocab.set_vector(word, np.eye(4, dtype="float32")[i] + 1)
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    >>> _ = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    >>> texts, labels = ["ball team", "ball", "soup oven", "soup"], ["A", "A", "B", "B"]
    >>> records = list(read_records({"text": texts, "label": labels}))
    >>> docs = [(nlp.make_doc(record.text), {"cats": record.cats}) for record in records]
    >>> examples = [Example.from_dict(doc, cats) for doc, cats in docs]
    >>> _ = nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    >>> report(nlp, records, progress=False).n_documents
    4

    nlp (Language): The pipeline.
    examples (Iterable[Record | Example | Doc]): The documents with their labels.
    train (Iterable[Record | Example | Doc] | None): The documents that the model was trained on.
        A nearest neighbour and a linear probe are trained on them; they also show overfitting.
    name (str | None): The name of the component. None: there must be exactly one.
    progress (bool): Whether to show progress bars.
    unit (str): What is compared: "doc", "sents" (sentences) or "spans:KEY" (labelled spans), see
        `unit_records`.
    RETURNS (Report): The comparison.
    RAISES (ValueError): When there are no documents, there is no such component, it is not trained,
        cats are invalid, or documents cannot be turned into units.
    """
    pipe = find_component(nlp, name)
    rows = make_units(nlp, pipe, examples, unit)
    train_rows = None if train is None else make_units(nlp, pipe, train, unit)
    if not rows:
        raise ValueError("There are no documents to report on. Give documents that were held out.")
    cats = [row.cats for row in (*rows, *(train_rows or ()))]
    labels = choose_labels(pipe, cats, others=labels_of_others(nlp, pipe))
    title = "Encoding texts" if progress else None
    data = documents(nlp, pipe.name, rows, labels=labels, progress=title)
    learned = None
    if train_rows:
        learned = documents(nlp, pipe.name, train_rows, labels=labels, progress=title)
    notes = [] if labels.note is None else [labels.note]
    if pipe.learn_spans and not data.locations:
        notes.append(
            f"The component learned from the spans in doc.spans[{pipe.spans!r}], and these are "
            f"whole documents. To compare spans, say unit='spans:{pipe.spans}' "
            f"(--unit spans:{pipe.spans})."
        )
    return compare(
        data,
        learned,
        component=pipe.name,
        remembered=pipe.seen,
        unknown_labels=labels.unknown,
        notes=notes,
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
    """Compare tuned with base vectors that are computed already; `report` computes them first.

    >>> from spacy_embtune.labels import make_targets
    >>> labels = ["A", "B"] * 30
    >>> targets = make_targets([{label: 1.0} for label in labels], ["A", "B"], exclusive=True)
    >>> base = np.random.default_rng(0).normal(size=(60, 8)).astype("float32")
    >>> tuned = base.copy()
    >>> tuned[::2, 0] += 9.0
    >>> names = [f"document {i}" for i in range(60)]
    >>> none = np.zeros((60, 0), dtype="float32")
    >>> found = compare(Documents(names, names, ["A", "B"], targets, base, tuned, none, []))
    >>> found.verdict.kind
    'helps'
    >>> [row.title for row in found.primary]
    ['p@1', 'MAP@R']

    data (Documents): The documents.
    train (Documents | None): The documents that the model was trained on, with the same labels.
    component (str): The name of the component.
    remembered (SeenTexts | None): The texts that the component remembers from its training.
    unknown_labels (Sequence[str]): Labels that the component does not know.
    notes (Sequence[str]): Notes to begin with.
    RETURNS (Report): The comparison.
    """
    measures = measure(data, train)
    every = np.ones(len(data.ids), dtype=bool)
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
        warnings=[*warn_of_seen(seen, len(data.ids), is_trained_on), *measures.warnings],
        notes=[
            *notes,
            *explain_units(data),
            *describe(data, train, unknown_labels, seen, is_trained_on),
            *explain_chance(measures.primary),
            *describe_samples(measures.samples),
        ],
        seen=seen,
        n_documents=len(data.ids),
        n_labelled=int(known_rows(data.targets).sum()),
        n_train=0 if train is None else len(train.ids),
        labels=data.labels,
        n_occurring=int(find_occurring(data).sum()),
        exclusive=data.targets.exclusive,
        unknown_labels=list(unknown_labels),
        per_label=measures.per_label,
        classifier=measures.classifier,
        calibration=measures.calibration,
        samples=measures.samples,
        n_sources=data.count_sources(every) if data.locations else None,
    )


def _to_dict(row: Row, *, has_interval: bool = False) -> dict[str, Any]:
    entry: dict[str, Any] = {"title": row.title, "base": row.base, "tuned": row.tuned}
    entry["difference"] = row.difference
    if has_interval:
        interval = row.interval
        entry["interval"] = None if interval is None else [interval.low, interval.high]
        entry["beyond_chance"] = row.beyond_chance
    return entry


def _calibration(found: Calibration) -> dict[str, Any]:
    names = {"error": "expected_calibration_error", "log_loss": "log_loss"}
    return {
        "temperature": found.temperature,
        "n": found.after.n,
        **{
            new: {"before": getattr(found.before, name), "after": getattr(found.after, name)}
            for name, new in names.items()
        },
    }


def _label_to_dict(row: LabelRow) -> dict[str, Any]:
    entry: dict[str, Any] = {"n": row.n}
    for name in LabelScores._fields:
        base, tuned = getattr(row.base, name), getattr(row.tuned, name)
        entry[name] = {"base": base, "tuned": tuned, "difference": subtract(tuned, base)}
    entry["component"] = {"precision": row.precision, "recall": row.recall, "f1": row.f1}
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
    in_train = None if train is None else SeenTexts(train.texts, max_texts=len(train.texts) + 1)
    for texts in (in_train, remembered):
        found = None if texts is None else data.is_seen(texts)
        counts.append(None if found is None else int(found.sum()))
        if found is not None and (texts is remembered or is_trained_on):
            is_seen |= found
    is_complete = remembered is not None and not remembered.is_full
    return Seen(int(is_seen.sum()), counts[0], counts[1], is_complete)


def _is_trained_on(train: Documents, remembered: SeenTexts | None) -> bool:
    """RETURNS (bool): Whether the model was trained on TRAIN. True if that is not known."""
    if remembered is None or remembered.is_full:
        return True
    return bool(remembered.recognize(train.texts).mean() >= _TRAINED_ON)
