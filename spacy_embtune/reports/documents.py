"""Turn documents into arrays: their vectors and what is known of their labels."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .._progress import PROGRESS_FROM, progress_interval
from .._texts import quote_some, shorten
from ..data import Location, Record
from ..labels import (
    MOST_DENSE,
    TOLERANCE,
    dense_if_small,
    is_exclusive,
    labels_in,
    make_sparse_targets,
    validate_cats,
)
from ..metrics import Rows
from ..pipeline import (
    EmbTune,
    complete_cats,
    find_component,
    prepare_texts,
    unit_records,
)
from ..pipeline.rows import probability_rows
from .types import Documents

_BATCH_SIZE = 512


class LabelSpace(NamedTuple):
    """The labels that documents are measured by.

    labels (list[str]): The labels of the component, then labels that only the documents have.
    exclusive (bool): Whether a document carries exactly one of them.
    unknown (list[str]): The labels that the component does not know.
    note (str | None): Which labels are left out, and why `exclusive` differs from the setting of
        the component, if it does.
    """

    labels: list[str]
    exclusive: bool
    unknown: list[str]
    note: str | None


def labels_of_others(nlp: Language, pipe: EmbTune) -> set[str]:
    """Collect the labels that only other embtune components of a pipeline have. They answer another
    question about the documents.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> topic, urgency = (nlp.add_pipe("embtune", name=name) for name in ("topic", "urgency"))
    >>> topic.add_label("SPORT"), urgency.add_label("NOW")
    (1, 1)
    >>> labels_of_others(nlp, topic)
    {'NOW'}

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    RETURNS (set[str]): The labels. Empty if the component has no labels of its own.
    """
    others = [other for _, other in nlp.components if isinstance(other, EmbTune)]
    found = {label for other in others for label in other.labels}
    return found - set(pipe.labels) if pipe.labels else set()


def choose_labels(
    pipe: EmbTune, cats: Sequence[Mapping[str, float]], *, others: Collection[str] = ()
) -> LabelSpace:
    """Choose the labels that documents are measured by, and decide whether they are exclusive.

    Labels that the component does not know are included, because vectors have neighbours whatever
    the labels. The labels are exclusive if the component was trained so, with these exceptions:
    - A document carries several labels: they are not exclusive.
    - Documents with unknown labels only say that such a label is absent: they are not exclusive.
    - The component knows none of the labels: the cats of the documents decide.
    - Each document names one label and says nothing of others, as in a file with one column of
      labels: they are exclusive, because otherwise no document would be known to lack a label.

    pipe (EmbTune): The component.
    cats (Sequence[Mapping[str, float]]): The cats of each document.
    others (Collection[str]): Labels that are left out, see `labels_of_others`.
    RETURNS (LabelSpace): The labels.
    """
    found = labels_in(cats)
    left_out = [label for label in found if label in set(others)]
    if left_out:
        cats = [{k: value for k, value in known.items() if k not in others} for known in cats]
        space = choose_labels(pipe, cats)
        told = f"Labels of other components are left out: {quote_some(left_out)}."
        return space._replace(note=told if space.note is None else f"{told} {space.note}")
    own = list(pipe.labels)
    unknown = [label for label in found if label not in set(own)]
    labels = [*own, *unknown]
    # That the component's labels are exclusive does not tell whether others are.
    is_about_own = not found or any(label in set(own) for label in found)
    exclusive = bool(pipe.cfg["exclusive_classes"]) if own and is_about_own else is_exclusive(cats)
    if exclusive and unknown:
        strange = [known for known in cats if known and not set(known) & set(own)]
        exclusive = all(math.fsum(known.values()) > 0.0 for known in strange)
    note = None
    if exclusive and any(math.fsum(known.values()) > 1.0 + TOLERANCE for known in cats):
        exclusive = False
        note = (
            "Some documents carry several labels, although the component was trained on exclusive "
            "labels. Each label is measured separately."
        )
    elif not exclusive and len(found) > 1 and _names_one_label(cats):
        exclusive = True
        note = (
            "Each document names one label and says nothing of others, so they count as absent. "
            'If several labels can apply, write which do not: {"cats": {"A": 1.0, "B": 0.0}}.'
        )
    return LabelSpace(labels, exclusive, unknown, note)


def documents(
    nlp: Language,
    name: str | None,
    records: Iterable[Record | Example | Doc],
    *,
    labels: LabelSpace | None = None,
    progress: str | None = "Encoding texts",
    unit: str = "doc",
) -> Documents:
    """Compute the vectors of documents with a trained pipeline, and collect their labels.

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
    >>> found = documents(nlp, None, records)
    >>> found.base.shape, found.tuned.shape, found.labels
    ((4, 4), (4, 200), ['A', 'B'])

    nlp (Language): The pipeline. It is not changed.
    name (str | None): The name of its component. None: there must be exactly one.
    records (Iterable[Record | Example | Doc]): The documents. Of Examples, the reference is used.
        The id of a Doc or Example is its zero-based position.
    labels (LabelSpace | None): The labels, so that several corpora can share them. None: the result
        of `choose_labels`.
    progress (str | None): Title of a progress bar on standard error. None: no bar.
    unit (str): What a row is: "doc", "sents" (a sentence) or "spans:KEY" (a labelled span), see
        `unit_records`.
    RETURNS (Documents): The documents with their vectors.
    RAISES (ValueError): When there is no such component, it is not trained, cats are invalid, or
        documents cannot be turned into units.
    """
    pipe = find_component(nlp, name)
    rows = make_units(nlp, pipe, records, unit)
    if labels is None:
        others = labels_of_others(nlp, pipe)
        labels = choose_labels(pipe, [row.cats for row in rows], others=others)
    targets = make_sparse_targets(
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
        targets=dense_if_small(targets),
        base=base,
        tuned=tuned,
        probabilities=probabilities,
        fields=[row.meta for row in rows],
        predicted_labels=list(pipe.labels) if pipe.predicts_labels else [],
        threshold=pipe.threshold,
        temperature=pipe.temperature,
        locations=_locations(rows),
    )


def make_units(
    nlp: Language, pipe: EmbTune, records: Iterable[Record | Example | Doc], unit: str
) -> list[Record]:
    """Turn documents into records of their units, see `unit_records`. If spans carry several
    labels, the labels that a labelled span does not carry are absent.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.add_pipe("sentencizer")
    >>> pipe = nlp.add_pipe("embtune")
    >>> [record.text for record in make_units(nlp, pipe, [nlp.make_doc("Ball. Soup.")], "sents")]
    ['Ball.', 'Soup.']

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    records (Iterable[Record | Example | Doc]): The documents.
    unit (str): "doc", "sents" or "spans:KEY".
    RETURNS (list[Record]): The records of the units; of documents, themselves.
    RAISES (ValueError): When cats are invalid, or documents cannot be turned into units.
    """
    rows = to_records(records if unit == "doc" else unit_records(nlp, records, unit))
    if unit.startswith("spans:") and any(len(row.cats) > 1 for row in rows):
        labels = sorted({*pipe.labels, *labels_in([row.cats for row in rows])})
        rows = [row._replace(cats=complete_cats(row.cats, labels)) for row in rows]
    return rows


def _locations(rows: Sequence[Record]) -> list[Location]:
    places = [row.location for row in rows if row.location is not None]
    return places if len(places) == len(rows) else []


def to_records(records: Iterable[Record | Example | Doc]) -> list[Record]:
    """Turn documents into records, and check their cats.

    >>> import spacy
    >>> doc = spacy.blank("en")("bread")
    >>> doc.cats = {"FOOD": 1.0}
    >>> record = to_records([doc])[0]
    >>> record.id, record.text, record.cats
    ('0', 'bread', {'FOOD': 1.0})

    records (Iterable[Record | Example | Doc]): The documents.
    RETURNS (list[Record]): The records.
    RAISES (ValueError): When cats are invalid, or a document is of another type.
    """
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
) -> tuple[NDArray[Any], NDArray[Any], Rows]:
    """RETURNS (tuple): Base vectors, tuned vectors and probabilities, float32, n rows each. There
    are no probabilities if the component predicts no labels."""
    from tqdm.auto import tqdm

    if not pipe.is_trained:
        raise ValueError(
            f"The component {pipe.name!r} is not trained yet, so there are no tuned vectors to "
            "report on. Train it first (`spacy train`, or nlp.initialize and nlp.update)."
        )
    is_many = len(texts) * len(pipe.labels) > MOST_DENSE
    batches, encoded = [], []
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
            inputs = prepare_texts(nlp, pipe, batch)
            prediction = pipe.predict(inputs, with_spans=False)
            # If the encoder learned, compare with the vectors of the encoder before training.
            untuned = pipe.encode_untuned(inputs)
            if is_many or not pipe.predicts_labels:
                encoded.append(prediction.base)
                prediction = prediction._replace(cats=np.zeros((len(batch), 0), dtype="float32"))
            batches.append(prediction if untuned is None else prediction._replace(base=untuned))
            bar.update(len(batch))
    arrays = []
    for kind in ("base", "tuned", "cats"):
        rows = [getattr(batch, kind) for batch in batches]
        arrays.append(np.concatenate(rows) if rows else np.zeros((0, 0), dtype="float32"))
    if is_many and pipe.predicts_labels:
        return arrays[0], arrays[1], probability_rows(pipe, np.concatenate(encoded))
    return arrays[0], arrays[1], arrays[2]
