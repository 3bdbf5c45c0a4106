"""The reader `spacy-embtune.unlabelled.v1`: texts without labels, with the labels that a model gave
to some of them."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .._texts import count, text_key
from ._record_docs import make_doc, read_record_docs
from .cats import FIELDS
from .fields import STDIN, is_in_memory, source_name
from .pseudo_labels import WEIGHT_FIELD, PseudoLabel, read_pseudo_labels, text_digest
from .records import OnError, Record, read_records

logger = logging.getLogger(__name__)


def make_unlabelled_reader(
    path: Any,
    pseudo_labels: str | Path | Mapping[str, PseudoLabel] | None = None,
    text_field: str = "text",
    id_field: str = "id",
    kind: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: str | None = None,
    on_error: OnError = "fail",
    limit: int = 0,
) -> "UnlabelledReader":
    """Create the reader `spacy-embtune.unlabelled.v1`. See `UnlabelledReader`. In a config:

        [corpora.unlabelled]
        @readers = "spacy-embtune.unlabelled.v1"
        path = "unlabelled.jsonl"

        [initialize.components.embtune]
        unlabelled = ${corpora.unlabelled}

    >>> make_unlabelled_reader("unlabelled.jsonl", limit=1000).limit
    1000
    """
    settings = {
        "text_field": text_field,
        "id_field": id_field,
        "kind": kind,
        "delimiter": delimiter,
        "encoding": encoding,
        "quotes": quotes,
        "on_error": on_error,
    }
    return UnlabelledReader(
        path,
        pseudo_labels,
        limit=limit,
        **{name: value for name, value in settings.items() if value is not None},
    )


class UnlabelledReader:
    """Reads texts without labels as Examples, for the setting `unlabelled` of the component.

    Labels of the file are ignored. A text that has a pseudo-label gets its cats, and its weight in
    `user_data["weight"]`. Texts that are empty, and copies of an earlier text, are left out.

    >>> import spacy
    >>> texts = ["Kick-off at eight.", "Good soup.", "good soup.", ""]
    >>> labels = {text_digest("Good soup."): PseudoLabel({"FOOD": 1.0}, 0.5)}
    >>> examples = list(UnlabelledReader(texts, labels)(spacy.blank("en")))
    >>> [(example.reference.text, example.reference.cats) for example in examples]
    [('Kick-off at eight.', {}), ('Good soup.', {'FOOD': 1.0})]
    """

    def __init__(
        self,
        path: Any,
        pseudo_labels: str | Path | Mapping[str, PseudoLabel] | None = None,
        *,
        limit: int = 0,
        **settings: Any,
    ) -> None:
        """Initialize the reader, without reading the file.

        path (Any): A file in any format of `read_records`, a directory of .spacy files, or a
            collection in memory, such as a list of texts.
        pseudo_labels (str | Path | Mapping | None): The file that `write_pseudo_labels` wrote, or
            the pseudo-labels by digest, as `PseudoLabels.by_digest` gives them. None: there are
            none.
        limit (int): The largest number of texts; 0: no limit.
        text_field, id_field: See `read_records`.
        kind, delimiter, encoding, quotes, on_error: See `read_records`.
        RAISES (ValueError): If there is no path, or it is standard input.
        """
        if path is None:
            raise ValueError(Errors.E913)
        if isinstance(path, str) and path == STDIN:
            raise ValueError(
                "A corpus is read several times, but standard input can be read only once. Save "
                "it as a file."
            )
        self.path = path
        self.pseudo_labels = pseudo_labels
        self.limit = limit
        self.settings = {**settings, "label_field": ""}
        self._has_reported = False

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the texts.

        nlp (Language): Tokenizes them.
        YIELDS (Example): The texts.
        RAISES (ValueError): If a file cannot be read, or there is no text.
        """
        labels = self._read_labels()
        missing = set(labels)
        read: set[str] = set()
        n_read, n_labelled = 0, 0
        for record, doc in self._read(nlp):
            n_read += 1
            n_labelled += any(record.meta.get(field) for field in FIELDS)
            key = text_key(record.text)
            if not key or key in read:
                continue
            read.add(key)
            digest = text_digest(record.text)
            missing.discard(digest)
            found = labels.get(digest)
            doc.cats = {} if found is None else dict(found.cats)
            doc.user_data.pop(WEIGHT_FIELD, None)
            if found is not None:
                doc.user_data[WEIGHT_FIELD] = found.weight
            yield Example(nlp.tokenizer(record.text), doc)
            if self.limit and len(read) >= self.limit:
                missing.clear()
                break
        if not read:
            raise ValueError(
                f"{self._name()}: has no text, in {count(n_read, 'row')}. Give a file with texts."
            )
        if not self._has_reported:
            self._has_reported = True
            self._report(n_labelled, len(missing), len(labels))

    def _read(self, nlp: Language) -> Iterator[tuple[Record, Doc]]:
        if not is_in_memory(self.path):
            yield from read_record_docs(
                self.path, tokenize=nlp.tokenizer, vocab=nlp.vocab, settings=self.settings
            )
            return
        for record in read_records(self.path, **self.settings):
            yield record, make_doc(record, nlp.tokenizer)

    def _read_labels(self) -> Mapping[str, PseudoLabel]:
        if self.pseudo_labels is None:
            return {}
        if isinstance(self.pseudo_labels, Mapping):
            return self.pseudo_labels
        return read_pseudo_labels(self.pseudo_labels)

    def _report(self, n_labelled: int, n_missing: int, n_labels: int) -> None:
        if n_labelled:
            logger.warning(
                "%s: the labels of %d texts are ignored, because this corpus is read without "
                "labels. To learn from them, add these texts to the training corpus.",
                self._name(),
                n_labelled,
            )
        if n_missing:
            logger.warning(
                "%s: %d of %d pseudo-labels belong to texts that are not there. Pseudo-labels fit "
                "the texts that they were made of.",
                self._name(),
                n_missing,
                n_labels,
            )

    def _name(self) -> str:
        return source_name(self.path)
