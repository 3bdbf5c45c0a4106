"""Sentences and spans as units of the component: their vectors beside those of documents, and the
examples that labelled spans give.

A unit is a document, a sentence or a span of `doc.spans[key]`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Model

from .._texts import shorten
from .model import Prediction, SpanVectors

SENTENCES = "sents"
# The number of units that go through the model at a time. A document may have any number of them.
MOST_UNITS = 4096
# The number of spans in one training step. Losses on pairs compare all of them with each other.
MOST_LEARNED = 1024


class SpanUnit(NamedTuple):
    """A labelled span as an example for training or evaluation.

    example (Example): The text of the span as a document; `reference` has its labels as cats.
    input (Any): What the encoder reads: the text, the span within its Doc, or a Doc of the span.
    """

    example: Example
    input: Any


def check_span_settings(spans: str | None, *, learn_spans: bool, name: str) -> None:
    """Check the settings of a component that embeds spans.

    spans (str | None): "sents" or a key of `doc.spans`.
    learn_spans (bool): Whether it learns from the labels of spans.
    name (str): The component.
    RAISES (ValueError): When the settings contradict each other.
    """
    if spans == "":
        raise ValueError(
            f'[{name}] spans is an empty text: give "sents" or a key of doc.spans, or null.'
        )
    if learn_spans and spans in (None, SENTENCES):
        given = "null" if spans is None else f'"{spans}"'
        raise ValueError(
            f"[{name}] learn_spans = true learns from the labels of spans, but spans is {given}, "
            f"which names none with labels. Give the key of labelled spans in doc.spans, such as "
            f'spans = "sc". To learn from doc.cats, set learn_spans = false.'
        )


def find_spans(doc: Doc, spans: str, name: str) -> list[Span]:
    """Find the spans of a Doc that a component embeds.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.add_pipe("sentencizer")
    >>> find_spans(nlp("Good soup. Old bread."), "sents", "embtune")
    [Good soup., Old bread.]

    doc (Doc): The document.
    spans (str): "sents" for its sentences, or a key of `doc.spans`.
    name (str): The component, for the error.
    RETURNS (list[Span]): The spans. Empty if `doc.spans` lacks the key.
    RAISES (ValueError): When sentences are wanted and the Doc has no sentence boundaries.
    """
    if spans != SENTENCES:
        return list(doc.spans.get(spans, []))
    if not doc.has_annotation("SENT_START"):
        raise ValueError(
            f'[{name}] spans = "sents" embeds sentences, but the document '
            f"{shorten(doc.text)!r} has no sentence boundaries. Add a component that sets them "
            f'before this one: nlp.add_pipe("sentencizer", before="{name}"). If this component '
            f"annotates during training, name both in [training] annotating_components."
        )
    return list(doc.sents)


def encoder_inputs(encoder: Model[Any, Any], spans: Sequence[Span]) -> list[Any]:
    """Turn spans into the input of an encoder layer: texts if it reads texts, spans if it can pool
    the token vectors of a span within its Doc, else a Doc of each span.

    encoder (Model): The layer, with the attrs `reads_texts` and `reads_spans`.
    spans (Sequence[Span]): The spans.
    RETURNS (list[str | Span | Doc]): The input.
    """
    if encoder.attrs.get("reads_texts", False):
        return [span.text for span in spans]
    if encoder.attrs.get("reads_spans", False):
        return list(spans)
    return [span.as_doc() for span in spans]


def predict_with_spans(
    predict: Callable[[Sequence[Any]], Prediction],
    encoder: Model[Any, Any],
    docs: Sequence[Doc],
    spans: Sequence[Sequence[Span]],
) -> Prediction:
    """Compute the vectors of documents and of their spans together. Equal texts are encoded once.
    At most MOST_UNITS units go through the model at a time.

    predict (Callable): Computes the vectors of inputs of the encoder, and probabilities.
    encoder (Model): The encoder layer.
    docs (Sequence[Doc]): The n documents.
    spans (Sequence[Sequence[Span]]): The spans of each document.
    RETURNS (Prediction): The prediction of the documents, with the vectors of the spans.
    """
    flat = [span for of_doc in spans for span in of_doc]
    inputs: list[Any] = [*docs, *encoder_inputs(encoder, flat)]
    places = np.arange(len(inputs))
    n_docs = len(docs)
    if encoder.attrs.get("reads_texts", False):
        # A document of one sentence has the text of its sentence.
        texts = [x if isinstance(x, str) else x.text for x in inputs]
        position = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        places = np.asarray([position[text] for text in texts])
        inputs, n_docs = list(position), int(places[:n_docs].max()) + 1
    base = tuned = None
    cats: list[NDArray[Any]] = []
    for start in range(0, len(inputs), MOST_UNITS):
        part = predict(inputs[start : start + MOST_UNITS])
        base = _fill(base, part.base, start, len(inputs))
        if part.tuned is not None:
            tuned = _fill(tuned, part.tuned, start, len(inputs))
        if part.cats is not None and start < n_docs:
            cats.append(part.cats[: n_docs - start])
    assert base is not None
    own, places = places[: len(docs)], places[len(docs) :]
    ends = np.cumsum([len(of_doc) for of_doc in spans])
    of_docs = np.split(places, ends[:-1])
    return Prediction(
        base[own],
        None if tuned is None else tuned[own],
        np.concatenate(cats)[own] if cats else None,
        SpanVectors(
            [[(span.start_char, span.end_char) for span in of_doc] for of_doc in spans],
            [base[rows] for rows in of_docs],
            None if tuned is None else [tuned[rows] for rows in of_docs],
        ),
    )


def _fill(rows: NDArray[Any] | None, part: NDArray[Any], start: int, n: int) -> NDArray[Any]:
    if rows is None:
        rows = np.empty((n, part.shape[1]), dtype=part.dtype)
    rows[start : start + len(part)] = part
    return rows


def make_span_units(
    examples: Iterable[Example],
    key: str,
    encoder: Model[Any, Any],
    *,
    labels: Sequence[str] | None = None,
) -> Iterator[SpanUnit]:
    """Turn the labelled spans of examples into an example for each. Spans with the same offsets and
    different labels are one unit with several labels. A span without a label is a unit of which no
    label is known. Pairs and groups of the documents are not used.

    >>> import spacy
    >>> from spacy_embtune.encoder import DocVectors
    >>> doc = spacy.blank("en")("Good soup.")
    >>> doc.spans["sc"] = [doc.char_span(5, 9, label="FOOD")]
    >>> (unit,) = make_span_units([Example(doc.copy(), doc)], "sc", DocVectors())
    >>> unit.example.reference.text, unit.example.reference.cats
    ('soup', {'FOOD': 1.0})

    examples (Iterable[Example]): The examples. `reference` has the labelled spans.
    key (str): The key of the spans in `doc.spans`.
    encoder (Model): The encoder layer.
    labels (Sequence[str] | None): All labels, if a span may carry several. Those that a labelled
        span does not carry are then absent. None: nothing is said of them.
    YIELDS (SpanUnit): The units, in the order of the documents.
    """
    for example in examples:
        reference = example.reference
        carried: dict[tuple[int, int], dict[str, float]] = {}
        first: dict[tuple[int, int], Span] = {}
        for span in reference.spans.get(key, []):
            first.setdefault((span.start, span.end), span)
            cats = carried.setdefault((span.start, span.end), {})
            if span.label_:
                cats[span.label_] = 1.0
        for at, span in first.items():
            doc = _as_plain_doc(span)
            doc.cats = complete_cats(carried[at], labels)
            unit = Example(_as_plain_doc(span), doc)
            yield SpanUnit(unit, _input_of(example, span, encoder))


def complete_cats(cats: Mapping[str, float], labels: Sequence[str] | None) -> dict[str, float]:
    """Add the labels that a labelled span does not carry, as absent.

    >>> complete_cats({"A": 1.0}, ["A", "B"]), complete_cats({}, ["A", "B"])
    ({'A': 1.0, 'B': 0.0}, {})

    cats (Mapping[str, float]): The labels that the span carries.
    labels (Sequence[str] | None): All labels. None: no label is added.
    RETURNS (dict[str, float]): The cats. Empty if the span carries no label.
    """
    if labels is None or not cats:
        return dict(cats)
    return {**dict.fromkeys(labels, 0.0), **cats}


def _as_plain_doc(span: Span) -> Doc:
    """RETURNS (Doc): The text of a span as a Doc without annotations."""
    words = [token.text for token in span]
    spaces = [bool(token.whitespace_) for token in span]
    # The text of a span ends without the space behind it.
    spaces[-1:] = [False] * len(spaces[-1:])
    return Doc(span.vocab, words=words, spaces=spaces)


def _input_of(example: Example, span: Span, encoder: Model[Any, Any]) -> Any:
    """RETURNS (Any): What the encoder reads of a span of the reference."""
    if encoder.attrs.get("reads_texts", False):
        return span.text
    # The Doc that earlier components annotate may have other tokens.
    tokens = example.alignment.y2x[span.start : span.end] if len(span) else []
    found = example.predicted[0:0]
    if len(tokens):
        found = example.predicted[int(min(tokens)) : int(max(tokens)) + 1]
    return encoder_inputs(encoder, [found])[0]
