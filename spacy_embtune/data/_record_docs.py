"""Records as Docs: the text tokenized, the labels as cats, the other fields as user data."""

import datetime
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ._sources import Source
from .fields import STDIN, resolve_kind
from .records import Record, read_records
from .spans import set_spans

# spaCy reads a directory of these files as one corpus.
DOCS_SUFFIX = ".spacy"


class RecordDoc(NamedTuple):
    """A document of a file with its Doc.

    record (Record): The document as `read_records` gives it.
    doc (Doc): The document with its labels in `Doc.cats`, and with the id and the other fields in
        `Doc.user_data`. From a .spacy file it has the annotations of that file.
    """

    record: Record
    doc: Doc


def read_record_docs(
    path: str | Path,
    *,
    tokenize: Callable[[str], Doc],
    vocab: Vocab,
    settings: Mapping[str, Any],
) -> Iterator[RecordDoc]:
    """Read the documents of a file, or of a directory of .spacy files, as Docs.

    >>> import spacy
    >>> from tempfile import TemporaryDirectory
    >>> nlp = spacy.blank("en")
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "data.csv")
    ...     _ = path.write_text("text,label\\nGood soup.,FOOD\\n")
    ...     found = read_record_docs(path, tokenize=nlp.tokenizer, vocab=nlp.vocab, settings={})
    ...     [(record.id, doc.cats) for record, doc in found]
    [('0', {'FOOD': 1.0})]

    path (str | Path): The file, in any format of `read_records`, or a directory of .spacy files.
    tokenize (Callable[[str], Doc]): Makes a Doc of a text.
    vocab (Vocab): The vocabulary for the Docs of a .spacy file.
    settings (Mapping[str, Any]): The settings of `read_records`, without the source.
    RETURNS (Iterator[RecordDoc]): The documents.
    RAISES (ValueError): If there is no such file, or its contents are invalid, see `read_records`.
    """
    paths: list[str | Path] = [path]
    if str(path) != STDIN and Path(path).is_dir():
        # Like spaCy's own reader: all folders below, apart from hidden ones, in order.
        paths = [
            found
            for found in sorted(Path(path).rglob(f"*{DOCS_SUFFIX}"))
            if not any(part.startswith(".") for part in found.relative_to(path).parts)
        ]
        if not paths:
            raise ValueError(
                f"{path}: is a directory without {DOCS_SUFFIX} files. Give a file, or a directory "
                f"with files that end in {DOCS_SUFFIX}."
            )
    id_field = str(settings.get("id_field", "id"))
    for one in paths:
        records = read_records(one, **settings)
        if resolve_kind(one, settings.get("kind")) != "spacy":
            for record in records:
                yield RecordDoc(record, make_doc(record, tokenize, id_field=id_field))
            continue
        # Records come first, because their errors say what is wrong with a file.
        read = list(records)
        with Source(one).open() as file:
            docs = list(DocBin().from_bytes(file.read()).get_docs(vocab))
        for record in read:
            doc = docs[record.line - 1]
            doc.cats = dict(record.cats)
            yield RecordDoc(record, doc)


def make_doc(record: Record, tokenize: Callable[[str], Doc], *, id_field: str = "id") -> Doc:
    """Create the Doc of a record.

    >>> import spacy
    >>> record = Record("Good soup.", {"FOOD": 1.0}, "a1", {}, 1)
    >>> doc = make_doc(record, spacy.blank("en").tokenizer)
    >>> doc.cats, doc.user_data["id"]
    ({'FOOD': 1.0}, 'a1')

    record (Record): The record.
    tokenize (Callable[[str], Doc]): Makes a Doc of a text.
    id_field (str): The name of the id in `Doc.user_data`.
    RETURNS (Doc): The Doc, with the labels as cats, the spans of the field `spans` in `doc.spans`,
        and the id and the other fields as user data.
    """
    doc = tokenize(record.text)
    set_spans(doc, record.meta)
    doc.cats = dict(record.cats)
    doc.user_data[id_field] = record.id
    for name, value in record.meta.items():
        doc.user_data[name] = to_plain(value)
    return doc


def to_plain(value: Any) -> Any:
    """Convert a value of a table to one that a .spacy file can hold.

    >>> to_plain({"day": datetime.date(2026, 1, 31), "n": Decimal(3)})
    {'day': '2026-01-31', 'n': 3}

    value (Any): The value.
    RETURNS (Any): None, a truth value, a number, a string, bytes, or lists and mappings of these.
        Dates are strings in ISO format. Values of other types are strings.
    """
    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, Integral):
        # msgpack holds integers of 64 bits.
        return int(value) if -(2**63) <= int(value) < 2**64 else str(int(value))
    if isinstance(value, Real | Decimal):
        number = float(value)
        return number if math.isfinite(number) or isinstance(value, float) else str(value)
    return str(value)
