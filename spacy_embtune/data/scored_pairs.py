"""Pairs that somebody wrote down: files of two texts and a score, and the same in memory."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

from spacy.language import Language
from spacy.training import Example

from .._texts import fold_text, shorten
from ._files import InvalidRecordError, Record, check_text, read_records
from .pairs import check_score, set_group, set_partners

logger = logging.getLogger(__name__)

# Two texts, and perhaps their score.
Pair: TypeAlias = tuple[str, str, float] | tuple[str, str] | Mapping[str, Any]


def make_pairs_reader(
    path: Path | None,
    text1: str = "text1",
    text2: str = "text2",
    score: str | None = "score",
    score_range: Sequence[float] = (0.0, 1.0),
    limit: int = 0,
    skip_invalid: bool = False,
) -> Callable[[Language], Iterator[Example]]:
    """Create the reader `spacy-embtune.pairs.v1` of a file of pairs: see `PairsReader`."""
    return PairsReader(
        path,
        text1=text1,
        text2=text2,
        score=score,
        score_range=score_range,
        limit=limit,
        skip_invalid=skip_invalid,
    )


class PairsReader:
    """Reads pairs of texts from a file, one after the other: it is never in memory as a whole.

    Each pair becomes an Example: its document is the first text, and the second is its partner. A
    pair may occur several times.

    Without scores all pairs are alike (1), and what is not paired is not (0): each pair is a group
    of its own. Pairs with the same first text, a question with several answers, share a group.
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
    ) -> None:
        """Initialize the reader.

        path (str | Path | None): A file in UTF-8: .jsonl with an object a line, .csv (comma, double
            quotes) or .tsv (tab, no quotes) with the names of the columns in the first line; each
            also with .gz.
        text1, text2, score (str): The fields. A score of None: the pairs have none.
        score_range (Sequence[float]): The scores of pairs that are not alike and of those that are
            the same: they are rescaled from there to 0..1.
        limit (int): Read so many valid pairs; 0 reads all.
        skip_invalid (bool): Leave out what is invalid, and log once what and how often; otherwise
            it is an error.
        RAISES (ValueError): If there is no path, or the range or the limit makes no sense.
        """
        if path is None:
            raise ValueError(
                "spacy-embtune.pairs.v1 has no path. Give that of a file of pairs, for instance "
                "with --paths.train."
            )
        if limit < 0:
            raise ValueError(f"limit is {limit}: give the number of pairs to read, 0 for all.")
        self.path = Path(path)
        self.names = (text1, text2, score)
        self.score_range = check_range(score_range)
        self.limit = limit
        self.skip_invalid = skip_invalid
        self._has_reported = False

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the file.

        nlp (Language): The pipeline, whose tokenizer makes the documents.
        YIELDS (Example): The pairs.
        RAISES (ValueError): If the file cannot be read, or holds no pair, or an invalid one, with
            file, line, cause and cure.
        """
        tally = _Tally(str(self.path), skips=self.skip_invalid)
        examples = _make_examples(
            nlp, read_records(self.path), tally, names=self.names, score_range=self.score_range
        )
        yield from islice(examples, self.limit or None)
        if not self._has_reported:
            self._has_reported = True
            tally.report()


def pairs_to_examples(
    nlp: Language,
    pairs: Iterable[Pair],
    *,
    score_range: Sequence[float] = (0.0, 1.0),
    skip_invalid: bool = False,
) -> Iterator[Example]:
    """Make Examples of pairs in memory, as `PairsReader` makes them of those in a file.

        examples = list(pairs_to_examples(nlp, [("A man eats.", "Someone eats.", 4.2)],
                                          score_range=(0, 5)))

    nlp (Language): The pipeline, whose tokenizer makes the documents.
    pairs (Iterable[Pair]): Tuples of two texts and a score, or mappings with "text1", "text2" and
        "score". A pair without a score is alike (1), and unlike other pairs without one (0).
    score_range (Sequence[float]): The scores of pairs that are not alike and of those that are the
        same: they are rescaled from there to 0..1.
    skip_invalid (bool): Leave out what is invalid, and log what and how often at the end; otherwise
        it is an error.
    RETURNS (Iterator[Example]): The pairs, made as they are asked for.
    RAISES (ValueError): If the range makes no sense; when they are asked for, if a pair is invalid,
        or there is none.
    """
    low_high = check_range(score_range)

    def make() -> Iterator[Example]:
        tally = _Tally("pairs", skips=skip_invalid)
        records = (Record(f"pair {i}", _as_fields(pair)) for i, pair in enumerate(pairs))
        yield from _make_examples(nlp, records, tally, names=None, score_range=low_high)
        tally.report()

    return make()


def check_range(score_range: Sequence[float]) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): The range, least and greatest score.
    RAISES (ValueError): If it is not that."""
    try:
        low, high = map(float, score_range)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"score_range is {score_range!r}: give the least and the greatest score, such as "
            "[0.0, 5.0]."
        )
    return low, high


class _Tally:
    """Counts records, and what is wrong with those that are skipped."""

    def __init__(self, name: str, *, skips: bool) -> None:
        self.name = name
        self.skips = skips
        self.n_records = 0
        self.kinds: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, where: str, error: InvalidRecordError) -> None:
        if not self.skips:
            raise ValueError(f"{self.name}, {where}: {error.detail}") from error
        self.kinds[error.kind] += 1
        self.first.setdefault(error.kind, where)

    def report(self) -> None:
        if self.kinds:
            logger.warning("%s: skipped %s.", self.name, self.summary())

    def summary(self) -> str:
        """RETURNS (str): How many were skipped and why, each cause with its number."""
        causes = [f"{kind} ({n}, first: {self.first[kind]})" for kind, n in self.kinds.items()]
        return f"{self.kinds.total()} of {self.n_records} pairs: {'; '.join(causes)}"


def _make_examples(
    nlp: Language,
    records: Iterable[Record],
    tally: _Tally,
    *,
    names: tuple[str, str, str | None] | None,
    score_range: tuple[float, float],
) -> Iterator[Example]:
    for where, fields in records:
        tally.n_records += 1
        try:
            if isinstance(fields, InvalidRecordError):
                raise fields
            text, partner, score = _parse(fields, names, score_range)
        except InvalidRecordError as error:
            tally.add(where, error)
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
    if tally.n_records == tally.kinds.total():
        found = f"no valid pair. Skipped {tally.summary()}" if tally.n_records else "no pairs"
        raise ValueError(
            f"{tally.name}: holds {found}. Give at least one pair of two texts, such as "
            '{"text1": "A man eats.", "text2": "Someone eats.", "score": 0.9}.'
        )


def _parse(
    fields: Mapping[str, Any],
    names: tuple[str, str, str | None] | None,
    score_range: tuple[float, float],
) -> tuple[str, str, float | None]:
    """RETURNS (tuple[str, str, float | None]): Two texts and their score in 0..1.
    RAISES (InvalidRecordError): If that is not what the fields are."""
    if names is None:
        names = ("text1", "text2", "score" if fields.get("score") is not None else None)
        others = sorted(map(repr, fields.keys() - {"text1", "text2", "score"}))
        if "score" not in fields and others:
            # A score by another name would silently make all pairs alike.
            raise InvalidRecordError(
                "there is no 'score'",
                f"there is no 'score', but {', '.join(others)}. Name the score 'score', or leave "
                "the other fields out.",
            )
    *texts, score_name = names
    for name in filter(None, names):
        if name not in fields:
            raise InvalidRecordError(
                f"there is no {name!r}",
                f"there is no {name!r}, only {shorten(', '.join(map(repr, fields)), 200)}. Say "
                "which fields to read (text1, text2, score)"
                + ("; score = null if there are no scores." if name == score_name else "."),
            )
    for name in texts:
        _require_text(name, fields[name])
    first, second = (fields[name] for name in texts)
    if fold_text(first) == fold_text(second):
        raise InvalidRecordError(
            "a text is paired with itself",
            f"{shorten(first)!r} is paired with itself, which teaches nothing. Leave the pair out.",
        )
    if score_name is None:
        return first, second, None
    score, (low, high) = fields[score_name], score_range
    if isinstance(score, str):
        # A field of a table.
        with suppress(ValueError):
            score = float(score)
    try:
        number = check_score(score, low=low, high=high)
    except ValueError as error:
        if isinstance(score, bool) or not isinstance(score, Real):
            kind = "is not a number"
        else:
            kind = "is NaN" if score != score else "is out of range"
        raise InvalidRecordError(f"the score {kind}", str(error)) from error
    return first, second, min(max((number - low) / (high - low), 0.0), 1.0)


def _require_text(name: str, text: Any) -> None:
    if not check_text(name, text).strip():
        raise InvalidRecordError(
            f"{name!r} is empty", f"{name!r} is an empty text. Leave the pair out."
        )


def _as_fields(pair: Any) -> Mapping[str, Any] | InvalidRecordError:
    if isinstance(pair, Mapping):
        return pair
    if isinstance(pair, tuple | list) and len(pair) in (2, 3):
        return dict(zip(("text1", "text2", "score"), pair, strict=False))
    return InvalidRecordError(
        "it is no pair",
        f"is {shorten(repr(pair))}. Give two texts, or two texts and a score.",
    )
