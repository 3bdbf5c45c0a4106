"""What a pipeline makes of documents, in arrays: what every report starts from."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .._progress import PROGRESS_FROM, progress_interval
from .._texts import shorten
from ..data import Record
from ..labels import (
    TOLERANCE,
    is_exclusive,
    labels_in,
    make_targets,
    validate_cats,
)
from ..pipeline import EmbTune, find_component
from .types import Documents

_BATCH_SIZE = 512


class LabelSpace(NamedTuple):
    """Which labels documents are measured by.

    labels (list[str]): Those of the component, then those that only the documents have.
    exclusive (bool): Whether a document carries exactly one of them.
    unknown (list[str]): Those that the component does not know.
    note (str | None): What was found out about them, if that is not what the component says.
    """

    labels: list[str]
    exclusive: bool
    unknown: list[str]
    note: str | None


def choose_labels(pipe: EmbTune, cats: Sequence[Mapping[str, float]]) -> LabelSpace:
    """Decide which labels documents are measured by, and whether these exclude each other.

    Labels that the component does not know are measured all the same: vectors have neighbours,
    whatever the labels. They exclude each other if the component says so, unless a document carries
    several, or is only said to lack one that the component does not know; if the component knows
    none of the labels, what the documents say counts. Where each document
    names one label and says nothing of others, as files with a column of labels do, labels exclude
    each other as well: there would be nothing to tell apart otherwise.

    pipe (EmbTune): The component.
    cats (Sequence[Mapping[str, float]]): What is known of each document's labels.
    RETURNS (LabelSpace): The labels.
    """
    found = labels_in(cats)
    own = list(pipe.labels)
    unknown = [label for label in found if label not in set(own)]
    labels = [*own, *unknown]
    # That its own labels exclude each other says nothing of others.
    is_about_own = not found or any(label in set(own) for label in found)
    exclusive = bool(pipe.cfg["exclusive_classes"]) if own and is_about_own else is_exclusive(cats)
    if exclusive and unknown:
        strange = [known for known in cats if known and not set(known) & set(own)]
        exclusive = all(math.fsum(known.values()) > 0.0 for known in strange)
    note = None
    if exclusive and any(math.fsum(known.values()) > 1.0 + TOLERANCE for known in cats):
        exclusive = False
        note = (
            "Some documents carry several labels, though the component was trained on labels that "
            "exclude each other: each label is measured on its own."
        )
    elif not exclusive and len(found) > 1 and _names_one_label(cats):
        exclusive = True
        note = (
            "Each document names one label and says nothing of the others: they count as absent. "
            'If several can apply, say which do not: {"cats": {"A": 1.0, "B": 0.0}}.'
        )
    return LabelSpace(labels, exclusive, unknown, note)


def documents(
    nlp: Language,
    name: str | None,
    records: Iterable[Record | Example | Doc],
    *,
    labels: LabelSpace | None = None,
    progress: str | None = "Encoding texts",
) -> Documents:
    """Put documents through a pipeline, from their texts, and arrange what is known of them.

    nlp (Language): The pipeline. It is not changed.
    name (str | None): The name of its component; None: the only one there is.
    records (Iterable[Record | Example | Doc]): The documents. Of Examples, the reference counts.
        Docs have their place in the row as id.
    labels (LabelSpace | None): The labels, so that several corpora can share theirs; None: as
        `choose_labels` decides.
    progress (str | None): Title of a progress bar on standard error; None: no bar.
    RETURNS (Documents): The documents with their vectors.
    RAISES (ValueError): If there is no such component, it is not trained yet, or cats are invalid.
    """
    pipe = find_component(nlp, name)
    rows = to_records(records)
    if labels is None:
        labels = choose_labels(pipe, [row.cats for row in rows])
    targets = make_targets(
        [row.cats for row in rows],
        labels.labels,
        exclusive=labels.exclusive,
        where=lambda i: _describe(rows[i]),
    )
    texts = [row.text for row in rows]
    base, tuned, probabilities = _predict(nlp, pipe, texts, progress)
    return Documents(
        ids=[row.id for row in rows],
        texts=texts,
        labels=labels.labels,
        targets=targets,
        base=base,
        tuned=tuned,
        probabilities=probabilities,
        predicted_labels=list(pipe.labels),
    )


def to_records(records: Iterable[Record | Example | Doc]) -> list[Record]:
    """RETURNS (list[Record]): Documents of any kind as records, their cats checked.
    RAISES (ValueError): If cats are invalid, or a document is of no kind that is known."""
    rows = []
    for i, record in enumerate(records):
        doc = record.reference if isinstance(record, Example) else record
        if isinstance(doc, Doc):
            doc = Record(doc.text, dict(doc.cats), str(i), {}, i + 1)
        if not isinstance(doc, Record):
            raise ValueError(
                f"Document {i} is {shorten(repr(doc))}, a {type(doc).__name__}. Give Examples, "
                "Docs with doc.cats, or records of spacy_embtune.data.read_records."
            )
        validate_cats(doc.cats, where=_describe(doc))
        rows.append(doc)
    return rows


def _describe(record: Record) -> str:
    return f"document {record.id!r} ({shorten(record.text)!r})"


def _names_one_label(cats: Sequence[Mapping[str, float]]) -> bool:
    return all(len(known) <= 1 and all(v == 1.0 for v in known.values()) for known in cats)


def _predict(
    nlp: Language, pipe: EmbTune, texts: Sequence[str], progress: str | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): Base vectors, tuned vectors and probabilities, float32, n rows each."""
    from tqdm.auto import tqdm

    if not pipe.is_trained:
        raise ValueError(
            f"The component {pipe.name!r} is not trained yet: there are no tuned vectors to report "
            "on. Train it first (`spacy train`, or nlp.initialize and nlp.update)."
        )
    batches = []
    hidden = progress is None or len(texts) < PROGRESS_FROM
    with tqdm(
        total=len(texts),
        desc=progress,
        unit="text",
        disable=hidden,
        leave=False,
        mininterval=progress_interval(),
    ) as bar:
        for start in range(0, len(texts), _BATCH_SIZE):
            batch = texts[start : start + _BATCH_SIZE]
            inputs = _prepare(nlp, pipe, batch)
            prediction = pipe.predict(inputs)
            # Of an encoder that was finetuned: what it was before, or there was nothing to compare.
            untuned = pipe.encode_untuned(inputs)
            batches.append(prediction if untuned is None else prediction._replace(base=untuned))
            bar.update(len(batch))
    arrays = []
    for kind in ("base", "tuned", "cats"):
        rows = [getattr(batch, kind) for batch in batches]
        arrays.append(np.concatenate(rows) if rows else np.zeros((0, 0), dtype="float32"))
    return arrays[0], arrays[1], arrays[2]


def _prepare(nlp: Language, pipe: EmbTune, texts: Sequence[str]) -> Any:
    """RETURNS (list[Doc | str]): What the encoder reads of texts: the texts themselves, or what the
    components before it make of them."""
    if pipe.model.get_ref("encoder").attrs.get("reads_texts", False):
        return list(texts)
    names = nlp.pipe_names
    before = names[: names.index(pipe.name)]
    with nlp.select_pipes(enable=before):
        return list(nlp.pipe(texts))
