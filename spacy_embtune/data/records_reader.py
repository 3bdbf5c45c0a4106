"""The reader `spacy-embtune.records.v1`: any labelled file as training or dev corpus."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from .._texts import digest_number, text_key
from ._record_docs import RecordDoc, read_record_docs
from .fields import STDIN
from .records import OnError, Record
from .spans import find_misplaced
from .splitting import find_groups, link_documents

logger = logging.getLogger(__name__)

Split: TypeAlias = Literal["train", "dev"]


def make_records_reader(
    path: str | Path | None,
    dev_path: str | Path | None = None,
    split: Split | None = None,
    dev_fraction: float = 0.2,
    group_field: str | None = None,
    text_field: str = "text",
    label_field: str | None = None,
    label_fields: Sequence[str] = (),
    label_separator: str | None = None,
    label_bins: Sequence[float] = (),
    id_field: str = "id",
    kind: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: str | None = None,
    on_error: OnError = "fail",
    limit: int = 0,
    seed: int = 0,
    labelled_only: bool = False,
) -> "RecordsReader":
    """Create the reader `spacy-embtune.records.v1`. See `RecordsReader`. In a config:

        [corpora.train]
        @readers = "spacy-embtune.records.v1"
        path = ${paths.train}
        dev_path = ${paths.dev}
        split = "train"

        [corpora.dev]
        @readers = "spacy-embtune.records.v1"
        path = ${paths.train}
        dev_path = ${paths.dev}
        split = "dev"

    >>> make_records_reader("data.csv", split="dev", dev_fraction=0.1).dev_fraction
    0.1
    """
    settings = {
        "text_field": text_field,
        "label_field": label_field,
        "label_fields": tuple(label_fields),
        "label_separator": label_separator,
        "label_bins": tuple(label_bins),
        "id_field": id_field,
        "kind": kind,
        "delimiter": delimiter,
        "encoding": encoding,
        "quotes": quotes,
        "on_error": on_error,
    }
    return RecordsReader(
        path,
        dev_path=dev_path,
        split=split,
        dev_fraction=dev_fraction,
        group_field=group_field,
        limit=limit,
        seed=seed,
        labelled_only=labelled_only,
        # "" is a value: it reads no labels.
        **{name: value for name, value in settings.items() if value is not None and value != ()},
    )


class RecordsReader:
    """Reads the documents of a file as Examples, for `[corpora.train]` and `[corpora.dev]`.

    One file can serve both. Each document is then in the dev corpus or in the training corpus,
    depending on a digest of its text: the same file always gives the same two parts, whatever the
    order of its documents. Copies of a text, up to case and white space, are on the same side, and
    so are documents of the same group. The shares of labels are about equal; `python -m spacy
    embtune convert` makes them exactly equal.

    A label that the file does not mention for a document is unknown: it is missing in its cats.
    The field `spans` sets `doc.spans` of the reference. Other fields are in its `user_data`.
    Documents without text are left out.

    >>> import spacy
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "data.csv")
    ...     _ = path.write_text("text,label\\nKick-off at eight.,SPORT\\nGood soup.,FOOD\\n")
    ...     examples = list(RecordsReader(path)(spacy.blank("en")))
    >>> [example.reference.cats for example in examples]
    [{'SPORT': 1.0}, {'FOOD': 1.0}]
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        dev_path: str | Path | None = None,
        split: Split | None = None,
        dev_fraction: float = 0.2,
        group_field: str | None = None,
        limit: int = 0,
        seed: int = 0,
        labelled_only: bool = False,
        **settings: Any,
    ) -> None:
        """Initialize the reader, without reading the file.

        path (str | Path | None): A file in any format of `read_records`, or a directory of .spacy
            files. Docs of .spacy files keep their annotations.
        dev_path (str | Path | None): The file of the dev corpus, if it has its own.
        split (str | None): The part to read. "train": all of `path`, without its dev share if there
            is no `dev_path`. "dev": all of `dev_path`, or the dev share of `path`. None: all of
            `path`. If both paths are the same file, the file is split.
        dev_fraction (float): The share of the documents of `path` for the dev corpus, above 0 and
            below 1.
        group_field (str | None): The field with the group of a document, such as its author.
            Documents of a group are on the same side.
        limit (int): The largest number of documents; 0: no limit.
        seed (int): Another seed gives another dev share.
        labelled_only (bool): Whether to leave out documents without cats.
        text_field, label_field, label_fields: See `read_records`.
        label_separator, label_bins, id_field: See `read_records`.
        kind, delimiter, encoding, quotes, on_error: See `read_records`.
        RAISES (ValueError): If there is no path, or a setting is not possible.
        """
        if split is not None and split not in get_args(Split):
            raise ValueError(f'split is {split!r}: give "train", "dev" or null.')
        if not 0.0 < dev_fraction < 1.0:
            raise ValueError(f"dev_fraction is {dev_fraction}: give a number above 0 and below 1.")
        if split is None and dev_path is not None:
            raise ValueError(
                'dev_path needs split = "train" or split = "dev", which says what to read.'
            )
        has_own_dev = dev_path is not None and not _is_same_file(path, dev_path)
        chosen = dev_path if split == "dev" and has_own_dev else path
        if chosen is None:
            raise ValueError(Errors.E913)
        self.path: str | Path = chosen
        # The part of the file that is read. None: all of it.
        self.share: Split | None = None if has_own_dev else split
        if str(self.path) == STDIN:
            raise ValueError(
                "A corpus is read several times, but standard input can be read only once. Save "
                "it as a file."
            )
        self.split = split
        self.dev_fraction = dev_fraction
        self.group_field = group_field
        self.limit = limit
        self.seed = seed
        self.labelled_only = labelled_only
        self.settings = settings
        self._dev: bytes | None = None
        self._has_reported = False

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the file.

        nlp (Language): Tokenizes the texts.
        YIELDS (Example): The documents.
        RAISES (ValueError): If the file cannot be read, or no document is left.
        """
        if self._dev is not None:
            for doc in DocBin().from_bytes(self._dev).get_docs(nlp.vocab):
                yield _make_example(nlp, doc)
            return
        # `spacy train` reads the dev corpus at each evaluation. To find a share of a file takes the
        # whole file, so the dev corpus is kept, compressed.
        kept = DocBin(store_user_data=True) if self.split == "dev" else None
        n, n_read, n_empty, n_labelled = 0, 0, 0, 0
        misplaced: list[str] = []
        for record, doc in self._choose(self._read(nlp)):
            n_read += 1
            if record is None:
                continue
            if not record.text.strip():
                n_empty += 1
                continue
            if self.labelled_only and not doc.cats:
                continue
            n += 1
            n_labelled += bool(doc.cats or any(doc.spans.values()))
            fault = find_misplaced(record.meta, record.text)
            if fault is not None:
                misplaced.append(f"document {record.id!r}: {fault}")
            if kept is not None:
                kept.add(doc)
            yield _make_example(nlp, doc)
            if self.limit and n >= self.limit:
                break
        self._report(n, n_read, n_empty, n_labelled, misplaced)
        if kept is not None:
            self._dev = kept.to_bytes()

    def _read(self, nlp: Language) -> Iterator[RecordDoc]:
        return read_record_docs(
            self.path, tokenize=nlp.tokenizer, vocab=nlp.vocab, settings=self.settings
        )

    def _choose(self, docs: Iterable[RecordDoc]) -> Iterator[tuple[Record | None, Doc]]:
        """YIELDS (tuple[Record | None, Doc]): All documents. The record is None if the document is
        in the other share."""
        if self.share is None:
            yield from docs
            return
        if self.group_field is None:
            for record, doc in docs:
                yield (record if self._is_here(text_key(record.text)) else None), doc
            return
        # Groups are linked by copies of a text, so all documents are needed to decide.
        read = list(docs)
        keys = [text_key(record.text) for record, _ in read]
        groups = find_groups([record for record, _ in read], self.group_field, where=str(self.path))
        dev = self._choose_dev_units(link_documents(keys, groups), keys)
        for (record, doc), is_dev in zip(read, dev, strict=True):
            yield (record if is_dev == (self.share == "dev") else None), doc

    def _choose_dev_units(self, units: Sequence[int], keys: Sequence[str]) -> list[bool]:
        """RETURNS (list[bool]): Whether each document is in the dev corpus. There may be few
        groups, so they are taken in the order of their digests until the share is reached."""
        sizes = Counter(units)
        first: dict[int, str] = {}
        for unit, key in zip(units, keys, strict=True):
            first[unit] = min(first.get(unit, key), key)
        room = self.dev_fraction * len(units)
        dev: set[int] = set()
        for unit in sorted(sizes, key=lambda unit: (self._digest(first[unit]), first[unit])):
            if room >= sizes[unit] / 2:
                dev.add(unit)
                room -= sizes[unit]
        return [unit in dev for unit in units]

    def _is_here(self, key: str) -> bool:
        is_dev = self._digest(key) < self.dev_fraction * 2**64
        return is_dev == (self.share == "dev")

    def _digest(self, key: str) -> int:
        """RETURNS (int): A number below 2 ** 64, which depends on the seed and the text only."""
        return digest_number(f"{self.seed} {key}")

    def _report(
        self, n: int, n_read: int, n_empty: int, n_labelled: int, misplaced: Sequence[str]
    ) -> None:
        """Log once what was left out.

        misplaced (Sequence[str]): What is wrong with the spans of documents.
        RAISES (ValueError): If no document was read.
        """
        if n == 0:
            share = "" if self.share is None else f" for the {self.share} corpus"
            cure = "Give a file with texts."
            if self.share is not None and n_read > n_empty:
                cure = (
                    "Give a file with more texts, another dev_fraction, or a file of its own for "
                    "the dev corpus (--paths.dev)."
                )
            raise ValueError(
                f"{self.path}: no document is left{share}, of {n_read} documents ({n_empty} "
                f"without text). {cure}"
            )
        if self._has_reported:
            return
        self._has_reported = True
        if self.share is not None:
            logger.info(
                "%s: %d of %d documents are the %s corpus", self.path, n, n_read, self.share
            )
        if n_empty:
            logger.warning("%s: left out %d documents without text", self.path, n_empty)
        if misplaced:
            logger.warning(
                "%s: left out the spans of %d documents. The first is %s",
                self.path,
                len(misplaced),
                misplaced[0],
            )
        if not n_labelled:
            logger.warning(
                "%s: no document has a known label. Labels are read from the fields cats and "
                "label. If they are in another field, set label_field.",
                self.path,
            )


def _make_example(nlp: Language, reference: Doc) -> Example:
    if reference.has_unknown_spaces:
        words = [token.text for token in reference]
        spaces = [bool(token.whitespace_) for token in reference]
        return Example(Doc(nlp.vocab, words=words, spaces=spaces), reference)
    return Example(nlp.tokenizer(reference.text), reference)


def _is_same_file(path: str | Path | None, other: str | Path) -> bool:
    if path is None:
        return False
    one, two = Path(path), Path(other)
    if one == two:
        return True
    return one.exists() and two.exists() and one.samefile(two)
