"""Labelled spans of texts: the field `spans` of a row, as Prodigy and spaCy write it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc

from .._texts import is_missing, shorten
from ._cells import parse_container
from ._rows import InvalidRowError

SPANS_FIELD = "spans"
_BEYOND = "a span is not a part of the text"
# The key of spans without a key, which is the default of spaCy's span categorizer.
DEFAULT_KEY = "sc"


class TextSpan(NamedTuple):
    """A part of a text.

    >>> TextSpan(0, 4, "FOOD").label
    'FOOD'

    start (int): The offset of its first character.
    end (int): The offset behind its last character.
    label (str): Its label; empty if it has none.
    """

    start: int
    end: int
    label: str


def read_spans(fields: Mapping[str, Any], text: str) -> dict[str, list[TextSpan]]:
    """Read the spans of a text from the field `spans`: a list of {"start", "end", "label"}, as
    Prodigy writes it, or such a list for each key, as `doc.spans` has them. Offsets are in
    characters.

    >>> read_spans({"spans": [{"start": 0, "end": 4, "label": "FOOD"}]}, "Soup.")
    {'sc': [TextSpan(start=0, end=4, label='FOOD')]}

    fields (Mapping[str, Any]): The fields of a row.
    text (str): Its text.
    RETURNS (dict[str, list[TextSpan]]): The spans by key. A list without keys has the key "sc".
        Empty if there is no such field.
    RAISES (InvalidRowError): If the field is written in another way, or a span is not a part of the
        text.
    """
    value = fields.get(SPANS_FIELD)
    value = parse_container(value) if isinstance(value, str) else value
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return {}
    groups = value if isinstance(value, Mapping) else {DEFAULT_KEY: value}
    return {
        str(key): [_read_span(span, i, len(text)) for i, span in enumerate(_check_list(group))]
        for key, group in groups.items()
        if not is_missing(group)
    }


def describe_spans(doc: Doc) -> dict[str, list[dict[str, Any]]]:
    """Write `doc.spans` as the field `spans`.

    >>> import spacy
    >>> doc = spacy.blank("en")("Good soup.")
    >>> doc.spans["sc"] = [doc.char_span(5, 9, label="FOOD")]
    >>> describe_spans(doc)
    {'sc': [{'start': 5, 'end': 9, 'label': 'FOOD'}]}

    doc (Doc): The document.
    RETURNS (dict[str, list[dict]]): The spans by key, as `read_spans` reads them.
    """
    return {
        key: [
            {"start": span.start_char, "end": span.end_char, "label": span.label_} for span in group
        ]
        for key, group in doc.spans.items()
    }


def set_spans(doc: Doc, fields: Mapping[str, Any]) -> None:
    """Set `doc.spans` from the field `spans`, if it holds spans. A span that ends within a token
    takes all of the token. Values of another form are left alone, because a field of this name may
    mean something else, and so are spans of which one is not a part of the text (`find_misplaced`).

    >>> import spacy
    >>> doc = spacy.blank("en")("Good soup.")
    >>> set_spans(doc, {"spans": [{"start": 5, "end": 8, "label": "FOOD"}]})
    >>> doc.spans["sc"]
    [soup]

    doc (Doc): The document.
    fields (Mapping[str, Any]): The fields of its row.
    """
    try:
        groups = read_spans(fields, doc.text)
    except InvalidRowError:
        return
    for key, spans in groups.items():
        found = [
            doc.char_span(span.start, span.end, label=span.label, alignment_mode="expand")
            for span in spans
            if span.start < span.end
        ]
        doc.spans[key] = [span for span in found if span is not None]


def find_misplaced(fields: Mapping[str, Any], text: str) -> str | None:
    """Find a span that is not a part of its text, so that the spans of the text cannot be used.

    >>> find_misplaced({"spans": [{"start": 5, "end": 99, "label": "FOOD"}]}, "Good soup.")[:46]
    "span 0 of 'spans' goes from 5 to 99, but the t"

    fields (Mapping[str, Any]): The fields of a row.
    text (str): Its text.
    RETURNS (str | None): What is wrong with the first such span, and the cure; None if there is
        none, or the field holds no spans.
    """
    try:
        read_spans(fields, text)
    except InvalidRowError as error:
        return error.detail if error.fault == _BEYOND else None
    return None


def _check_list(group: Any) -> Sequence[Any]:
    if isinstance(group, Sequence) and not isinstance(group, str | bytes):
        return group
    if hasattr(group, "tolist"):
        return list(group)
    raise InvalidRowError(
        f"{SPANS_FIELD!r} holds no spans",
        f"{SPANS_FIELD!r} holds {shorten(repr(group))}, a {type(group).__name__}. Give a list of "
        '{"start": 0, "end": 4, "label": "FOOD"}, or such a list for each key.',
    )


def _read_span(span: Any, i: int, length: int) -> TextSpan:
    where = f"span {i} of {SPANS_FIELD!r}"
    given: list[Any] = []
    if isinstance(span, Mapping):
        given = [span.get("start"), span.get("end")]
    offsets = [int(x) for x in given if _is_whole(x)]
    if len(offsets) < 2:
        raise InvalidRowError(
            f"{SPANS_FIELD!r} holds no spans",
            f"{where} is {shorten(repr(span))}. Give its first and last offset in characters and "
            'its label: {"start": 0, "end": 4, "label": "FOOD"}.',
        )
    start, end = offsets
    if not 0 <= start <= end <= length:
        raise InvalidRowError(
            _BEYOND,
            f"{where} goes from {start} to {end}, but the text has {length} characters. Correct "
            "the offsets; they count characters from 0.",
        )
    label = span.get("label")
    return TextSpan(start, end, "" if is_missing(label) else str(label))


def _is_whole(value: Any) -> bool:
    if isinstance(value, bool) or is_missing(value):
        return False
    return isinstance(value, int) or (
        hasattr(value, "__int__") and not isinstance(value, str) and int(value) == value
    )
