"""Turn the documents of a corpus into records of their sentences or spans."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from .._texts import shorten
from ..data import (
    SPANS_FIELD,
    InvalidRowError,
    Location,
    Record,
    TextSpan,
    describe_spans,
    read_spans,
    rename_fields,
)
from .component import EmbTune
from .units import SENTENCES

logger = logging.getLogger(__name__)

DOCUMENTS = "doc"
_SPANS = "spans:"
# The fields of a unit that tell its place.
UNIT_FIELDS = ("document", "start", "end")
# What a component declares if it sets sentence boundaries.
_SETS_SENTENCES = {"doc.sents", "token.is_sent_start"}
# A batch of documents ends after this many, or after this many characters. Its Docs and the words
# that only it has are then forgotten.
_MOST_DOCS, _MOST_CHARACTERS = 256, 2**20

Item = Record | Example | Doc


class _Source(NamedTuple):
    """A document that is to be turned into units.

    record (Record): The document.
    doc (Doc | None): The Doc that the caller gave; None if the record comes from a file.
    """

    record: Record
    doc: Doc | None


def check_unit(unit: str) -> str:
    """Check the name of a unit.

    >>> check_unit("spans:sc")
    'spans:sc'

    unit (str): "doc", "sents" or "spans:KEY".
    RETURNS (str): The unit.
    RAISES (ValueError): When there is no such unit.
    """
    is_known = unit in (DOCUMENTS, SENTENCES) or (unit.startswith(_SPANS) and unit != _SPANS)
    if not is_known:
        raise ValueError(
            f"The unit is {unit!r}: give doc, sents (the sentences of each document) or spans:KEY "
            "(the labelled spans under a key, such as spans:sc)."
        )
    return unit


def unit_records(nlp: Language, records: Iterable[Item], unit: str) -> Iterator[Record]:
    """Turn documents into records of their units, one by one. Of the documents, only a batch is in
    memory.

    The record of a unit has the text of the unit, an id of its own ("7#0-18"), and the fields
    `document` (the id of the document), `start` and `end` (offsets in characters) before the other
    fields of its document. A sentence has the labels of its document, a span has its own. Spans
    with the same offsets and different labels are one unit with several labels. Sentences have no
    white space at their ends. Units that are empty or only white space are left out.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.add_pipe("sentencizer")
    >>> record = Record("Good soup. Old bread.", {"FOOD": 1.0}, "7", {}, 1)
    >>> [(one.text, one.id, one.cats) for one in unit_records(nlp, [record], "sents")]
    [('Good soup.', '7#0-10', {'FOOD': 1.0}), ('Old bread.', '7#11-21', {'FOOD': 1.0})]

    nlp (Language): The pipeline. Its components find the sentences of documents without sentence
        boundaries.
    records (Iterable[Record | Example | Doc]): The documents. Of Examples, the reference is used.
    unit (str): "doc", "sents" for sentences, or "spans:KEY" for the spans of `doc.spans[KEY]` or of
        the field `spans`.
    YIELDS (Record): The units. With "doc", the documents as records.
    RAISES (ValueError): When there is no such unit, no component of the pipeline sets sentence
        boundaries, spans are invalid, or a document is of another type.
    """
    check_unit(unit)
    sources = map(_to_source, records, count())
    if unit == DOCUMENTS:
        return (source.record for source in sources)
    if unit == SENTENCES:
        return _sentence_records(nlp, sources)
    return _span_records(sources, unit.removeprefix(_SPANS))


def _to_source(item: Item, i: int) -> _Source:
    doc = item.reference if isinstance(item, Example) else item
    if isinstance(doc, Doc):
        spans = describe_spans(doc)
        meta = {SPANS_FIELD: spans} if spans else {}
        return _Source(Record(doc.text, dict(doc.cats), str(i), meta, i + 1), doc)
    if not isinstance(doc, Record):
        raise ValueError(
            f"Document {i} is {shorten(repr(doc))}, a {type(doc).__name__}. Give Examples, "
            "Docs, or records of spacy_embtune.data.read_records."
        )
    return _Source(doc, None)


# Sentences


def _sentence_records(nlp: Language, sources: Iterable[_Source]) -> Iterator[Record]:
    names = _components_for_sentences(nlp)
    for batch in _batches(sources):
        # The vocabulary forgets the words of the batch before its units are given.
        with _memory_zone(nlp):
            split = _split(nlp, batch, names)
        for record, sentences in split:
            for sentence in sentences:
                yield from _make_unit(record, sentence, record.cats)


def _components_for_sentences(nlp: Language) -> list[str]:
    """RETURNS (list[str]): The components that have to run before sentences are known: all up to
    the last one that sets sentence boundaries, apart from those of this package. If none says that
    it sets them, all before the first of this package, because a component of the user may."""
    names = nlp.pipe_names
    own = [isinstance(pipe, EmbTune) for _, pipe in nlp.pipeline]
    setters = [
        i for i, name in enumerate(names) if _SETS_SENTENCES & set(nlp.get_pipe_meta(name).assigns)
    ]
    end = setters[-1] + 1 if setters else own.index(True) if any(own) else len(names)
    return [name for name, is_own in zip(names[:end], own, strict=False) if not is_own]


def _batches(sources: Iterable[_Source]) -> Iterator[list[_Source]]:
    batch: list[_Source] = []
    n_characters = 0
    for source in sources:
        batch.append(source)
        n_characters += len(source.record.text)
        if len(batch) == _MOST_DOCS or n_characters >= _MOST_CHARACTERS:
            yield batch
            batch, n_characters = [], 0
    if batch:
        yield batch


def _split(
    nlp: Language, batch: Sequence[_Source], names: Sequence[str]
) -> list[tuple[Record, list[TextSpan]]]:
    """RETURNS (list[tuple[Record, list[TextSpan]]]): The documents with their sentences. A Doc of
    the caller that has sentence boundaries keeps them."""
    docs = [source.doc for source in batch]
    new = [i for i, doc in enumerate(docs) if doc is None or not doc.has_annotation("SENT_START")]
    # nlp.make_doc would limit the length of texts.
    made = (nlp.tokenizer(batch[i].record.text) for i in new)
    with nlp.select_pipes(enable=list(names)):
        for i, parsed in zip(new, nlp.pipe(made), strict=True):
            docs[i] = parsed
    split = []
    for (record, _), doc in zip(batch, docs, strict=True):
        assert doc is not None
        # A tokenizer of the user may change a text.
        record = record if doc.text == record.text else record._replace(text=doc.text)
        split.append((record, _find_sentences(doc, record, names)))
    return split


def _find_sentences(doc: Doc, record: Record, names: Sequence[str]) -> list[TextSpan]:
    if not doc.has_annotation("SENT_START"):
        ran = f"its components {', '.join(map(repr, names))} set none" if names else "it has none"
        raise ValueError(
            f"The unit sents needs sentence boundaries, but document {record.id!r} has none: no "
            f"component of the pipeline sets them ({ran}). Add one, and save the pipeline: "
            f'nlp.add_pipe("sentencizer", before="embtune"). A parser or a senter sets them, too.'
        )
    return [_strip(sent) for sent in doc.sents]


def _strip(sent: Span) -> TextSpan:
    """RETURNS (TextSpan): A sentence without white space at its ends, which tokenizers make tokens
    of."""
    start = sent.start_char + len(sent.text) - len(sent.text.lstrip())
    return TextSpan(start, start + len(sent.text.strip()), "")


def _memory_zone(nlp: Language) -> AbstractContextManager[Any]:
    vocab: Any = nlp.vocab
    return nullcontext() if vocab.in_memory_zone else nlp.memory_zone()


# Spans


def _span_records(sources: Iterable[_Source], key: str) -> Iterator[Record]:
    n, n_with = 0, 0
    others: Counter[str] = Counter()
    for record, _ in sources:
        n += 1
        try:
            groups = read_spans(record.meta, record.text)
        except InvalidRowError as error:
            raise ValueError(f"Document {record.id!r}: {error.detail}") from error
        others.update(other for other in groups if other != key)
        spans = groups.get(key, [])
        n_with += bool(spans)
        cats: dict[tuple[int, int], dict[str, float]] = {}
        for span in spans:
            carried = cats.setdefault((span.start, span.end), {})
            if span.label:
                carried[span.label] = 1.0
        for (start, end), carried in cats.items():
            yield from _make_unit(record, TextSpan(start, end, ""), carried)
    if n and not n_with:
        named = ", ".join(map(repr, others))
        raise ValueError(
            f"No document of {n} has spans under the key {key!r}. "
            + (
                f"They have spans under {named}: say spans:{next(iter(others))}."
                if others
                else "Spans are read from doc.spans of a .spacy file, and from the field "
                f"{SPANS_FIELD!r} of other files."
            )
        )
    if n_with < n:
        logger.warning(
            "%d of %d documents have no spans under the key %r and are left out.",
            n - n_with,
            n,
            key,
        )


def _make_unit(record: Record, span: TextSpan, cats: dict[str, float]) -> Iterator[Record]:
    """YIELDS (Record): The unit, unless it is empty or only white space."""
    text = record.text[span.start : span.end]
    if not text.strip():
        return
    other = {name: value for name, value in record.meta.items() if name != SPANS_FIELD}
    names = rename_fields(other, UNIT_FIELDS)
    place = dict(zip(UNIT_FIELDS, (record.id, span.start, span.end), strict=True))
    yield Record(
        text=text,
        cats=dict(cats),
        id=f"{record.id}#{span.start}-{span.end}",
        meta={**place, **{names[name]: value for name, value in other.items()}},
        line=record.line,
        location=Location(record.id, record.text, span.start, span.end),
    )
