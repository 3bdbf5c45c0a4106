"""Pairs of texts, with or without scores, from files and in memory."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from spacy.language import Language
from spacy.training import Example

from .._texts import fold_text
from ._pair_fields import (
    Fields,
    Pair,
    PairFields,
    check_score_range,
    find_others,
    parse_pair,
    to_fields,
)
from .doc_pairs import set_group, set_partners
from .fields import (
    FORMATS,
    InvalidRowError,
    ReadSettings,
    find_kind,
    is_address,
    list_suffixes,
    read_fields,
)

logger = logging.getLogger(__name__)

EXAMPLE = '{"text1": "A man eats.", "text2": "Someone eats.", "score": 0.9}'


def make_pairs_reader(
    path: str | Path | None,
    text1: str = "text1",
    text2: str = "text2",
    score: str | None = "score",
    score_range: Sequence[float] = (0.0, 1.0),
    limit: int = 0,
    skip_invalid: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: str | None = None,
) -> Callable[[Language], Iterator[Example]]:
    """Create the reader `spacy-embtune.pairs.v1` for a file of pairs. See `PairsReader`.

    >>> make_pairs_reader(Path("pairs.csv"), score_range=[0, 5]).score_range
    (0.0, 5.0)
    """
    return PairsReader(
        path,
        text1=text1,
        text2=text2,
        score=score,
        score_range=score_range,
        limit=limit,
        skip_invalid=skip_invalid,
        delimiter=delimiter,
        encoding=encoding,
        quotes=quotes,
    )


class PairsReader:
    """Reads pairs of texts from a file, one by one.

    Each pair becomes an Example: its document is the first text, and the second text is the partner
    of the document. A file may contain a pair several times.

    Without scores, the texts of a pair get the similarity 1, and texts of different pairs the
    similarity 0, because each pair is a group. Pairs with the same first text (a question with
    several answers, for example) are in the same group. With the loss
    `spacy-embtune.supervised_contrastive.v1`, the texts of the other pairs of a batch are then the
    negatives. A file has no scores if `score` is None, or if its first pair has no field beside the
    two texts and ids (such as "id", "id1" or "question_id").

    >>> import spacy
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "pairs.tsv")
    ...     _ = path.write_text("text1\\ttext2\\tscore\\nA man eats.\\tSomeone eats.\\t4\\n")
    ...     (example,) = PairsReader(path, score_range=[0, 5])(spacy.blank("en"))
    >>> example.reference.user_data["embtune_partners"]
    [['Someone eats.', 0.8]]
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        text1: str = "text1",
        text2: str = "text2",
        score: str | None = "score",
        score_range: Sequence[float] = (0.0, 1.0),
        limit: int = 0,
        skip_invalid: bool = False,
        delimiter: str | None = None,
        encoding: str | None = None,
        quotes: str | None = None,
    ) -> None:
        """Initialize the reader.

        path (str | Path | None): A file of a format that names fields: JSON, CSV, TSV, Parquet,
            Arrow, or a spreadsheet. gzip, bzip2, xz or zstd may have compressed it.
        text1, text2, score (str): The names of the fields. A score of None: the pairs have no
            scores, and a field of scores is not read.
        score_range (Sequence[float]): The lowest score, which stands for unrelated texts, and the
            highest, which stands for texts of the same meaning. Scores are rescaled to 0..1.
        limit (int): The number of valid pairs to read; 0 reads all.
        skip_invalid (bool): Whether invalid pairs are left out, and their faults are counted and
            logged once. If False, an invalid pair is an error.
        delimiter, encoding, quotes (str | None): See `read_records`.
        RAISES (ValueError): If there is no path, or the range or the limit is not valid.
        """
        if path is None:
            raise ValueError(
                "spacy-embtune.pairs.v1 has no path. Give the path of a file of pairs, for "
                "instance with --paths.train."
            )
        if limit < 0:
            raise ValueError(f"limit is {limit}: give the number of pairs to read, 0 for all.")
        self.path: str | Path = path if is_address(path) else Path(path)
        self.names = PairFields(text1, text2, score)
        self.score_range = check_score_range(score_range)
        self.limit = limit
        self.skip_invalid = skip_invalid
        self._settings = ReadSettings(
            wanted=list(filter(None, self.names)),
            nested=list(filter(None, self.names)),
            example=EXAMPLE,
            delimiter=delimiter,
            encoding=encoding,
            quotes=quotes,
        )
        self._has_reported = False

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the file.

        nlp (Language): The pipeline, whose tokenizer makes the documents.
        YIELDS (Example): The pairs.
        RAISES (ValueError): If the file cannot be read or has no pair, or if a pair is invalid. The
            message has the file, the line, the fault and how to correct it.
        """
        counts = _PairCounts(str(self.path), skip_invalid=self.skip_invalid)
        names, fields = self._find_names(self._read_fields())
        examples = _make_examples(nlp, fields, counts, names=names, score_range=self.score_range)
        yield from islice(examples, self.limit or None)
        if not self._has_reported:
            self._has_reported = True
            counts.report()

    def _find_names(
        self, rows: Iterator[tuple[str, Fields]]
    ) -> tuple[PairFields, Iterator[tuple[str, Fields]]]:
        """RETURNS (tuple): The names of the fields of the file, without that of the score if the
        first valid row has no score; and all rows."""
        read: list[tuple[str, Fields]] = []
        for row in rows:
            read.append(row)
            if isinstance(row[1], InvalidRowError):
                continue
            if self.names.score not in row[1] and not find_others(row[1], self.names):
                unscored = self.names._replace(score=None)
                return unscored, self._refuse_scores(chain(read, rows))
            break
        return self.names, chain(read, rows)

    def _refuse_scores(self, rows: Iterable[tuple[str, Fields]]) -> Iterator[tuple[str, Fields]]:
        """YIELDS (tuple[str, Fields]): The rows, with an error in place of a row that has a score,
        in a file whose first pair has none."""
        name = self.names.score
        for where, fields in rows:
            if name is not None and not isinstance(fields, InvalidRowError) and name in fields:
                fields = InvalidRowError(
                    f"there is a {name!r}, unlike in the first pair",
                    f"there is a {name!r}, but the first pair of the file has none. Give all pairs "
                    "a score, or none (score = null).",
                )
            yield where, fields

    def _read_fields(self) -> Iterator[tuple[str, Fields]]:
        """YIELDS (tuple[str, Fields]): The place of each pair in the file, and its fields."""
        kinds = [name for name, format in FORMATS.items() if format.has_field_names]
        kind = find_kind(self.path)
        if kind not in kinds:
            fault = "the name does not say what the file is"
            if kind is not None:
                fault = f"a file of the format {kind} has no fields for two texts"
            raise ValueError(
                f"{self.path}: {fault}. Give a file that ends in {list_suffixes(kinds)}, also with "
                ".gz, .bz2, .xz or .zst."
            )
        for row in read_fields(self.path, kind, settings=self._settings):
            yield row.where, row.fields


def pairs_to_examples(
    nlp: Language,
    pairs: Iterable[Pair],
    *,
    score_range: Sequence[float] = (0.0, 1.0),
    skip_invalid: bool = False,
) -> Iterator[Example]:
    """Create Examples from pairs in memory, as `PairsReader` does from the pairs of a file.

    >>> import spacy
    >>> pairs = [("A man eats.", "Someone eats.", 4)]
    >>> (example,) = pairs_to_examples(spacy.blank("en"), pairs, score_range=(0, 5))
    >>> example.reference.text, example.reference.user_data["embtune_partners"]
    ('A man eats.', [['Someone eats.', 0.8]])

    nlp (Language): The pipeline, whose tokenizer makes the documents.
    pairs (Iterable[Pair]): Tuples of two texts and a score, or mappings with "text1", "text2" and
        "score". The texts of a pair without a score get the similarity 1, and similarity 0 to the
        texts of other pairs without a score.
    score_range (Sequence[float]): The lowest score, which stands for unrelated texts, and the
        highest, which stands for texts of the same meaning. Scores are rescaled to 0..1.
    skip_invalid (bool): Whether invalid pairs are left out, and their faults are counted and logged
        at the end. If False, an invalid pair is an error.
    RETURNS (Iterator[Example]): The pairs. Each is created when it is asked for.
    RAISES (ValueError): If the range is not valid. While pairs are created: if a pair is invalid,
        or there is no pair.
    """
    low_high = check_score_range(score_range)

    def make() -> Iterator[Example]:
        counts = _PairCounts("pairs", skip_invalid=skip_invalid)
        fields = ((f"pair {i}", to_fields(pair)) for i, pair in enumerate(pairs))
        yield from _make_examples(nlp, fields, counts, names=None, score_range=low_high)
        counts.report()

    return make()


class _PairCounts:
    """The number of pairs that were read, and of those that were left out, by fault.

    name (str): The name of the file or collection, for messages.
    skip_invalid (bool): Whether invalid pairs are left out. If False, they are errors.
    """

    def __init__(self, name: str, *, skip_invalid: bool) -> None:
        self.name = name
        self.skip_invalid = skip_invalid
        self.n_pairs = 0
        self.faults: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add_invalid(self, where: str, error: InvalidRowError) -> None:
        if not self.skip_invalid:
            raise ValueError(f"{self.name}, {where}: {error.detail}") from error
        self.faults[error.fault] += 1
        self.first.setdefault(error.fault, where)

    def report(self) -> None:
        if self.faults:
            logger.warning("%s: skipped %s.", self.name, self.summarize())

    def summarize(self) -> str:
        """RETURNS (str): The number of pairs that were left out, in total and by fault."""
        faults = [f"{fault} ({n}, first: {self.first[fault]})" for fault, n in self.faults.items()]
        return f"{self.faults.total()} of {self.n_pairs} pairs: {'; '.join(faults)}"


def _make_examples(
    nlp: Language,
    pairs: Iterable[tuple[str, Fields]],
    counts: _PairCounts,
    *,
    names: PairFields | None,
    score_range: tuple[float, float],
) -> Iterator[Example]:
    """Create an Example from each pair.

    pairs (Iterable[tuple[str, Fields]]): The place of each pair, and its fields.
    names (PairFields | None): See `parse_pair`.
    YIELDS (Example): The valid pairs.
    """
    for where, fields in pairs:
        counts.n_pairs += 1
        try:
            if isinstance(fields, InvalidRowError):
                raise fields
            text, partner, score = parse_pair(fields, names, score_range)
        except InvalidRowError as error:
            counts.add_invalid(where, error)
            continue
        predicted = nlp.make_doc(text)
        reference = predicted.copy()
        if score is None:
            folded = fold_text(text).encode("utf8")
            group = hashlib.blake2b(folded, digest_size=12).hexdigest()
            set_group(reference, group)
            set_partners(reference, [(partner, 1.0, group)])
        else:
            set_partners(reference, [(partner, score)])
        yield Example(predicted, reference)
    if counts.n_pairs == counts.faults.total():
        found = f"no valid pair. Skipped {counts.summarize()}" if counts.n_pairs else "no pairs"
        raise ValueError(
            f"{counts.name}: holds {found}. Give at least one pair of two texts, such as {EXAMPLE}."
        )
