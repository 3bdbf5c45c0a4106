"""Inspect labelled data before training."""

import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import PROGRESS_FROM
from .._texts import count, shorten
from ..data import Record
from ..encoder import EncoderSettings, TextEncoder, VectorStore, encode_distinct
from ..labelling import find_suspects
from ..labels import CARRIES, make_targets
from ..reports import Documents
from ._duplicates import (
    MOST_EXAMPLES,
    describe_labels,
    find_nearest,
    group_copies,
    inspect_copies,
    inspect_leakage,
    inspect_near_copies,
)
from ._labels import count_labels, explain_exclusive, inspect_labels
from ._languages import UNKNOWN, guess_language
from .types import Finding, Inspection, LabelCount, find_known_languages

NEAR = 0.95
# The number of texts whose language is guessed, taken evenly from all.
_MOST_GUESSED = 10_000
# Texts in other languages than the most frequent one are reported from this share on.
_FEW = 0.02
# Near duplicates are searched among this many texts at most: the time grows with the square.
MOST_COMPARED = 50_000
# Suspect labels need this many labelled documents, and labels that this many of them carry.
_ENOUGH_DOCUMENTS = 50
_ENOUGH_CARRIERS = 10
# The number of documents times the number of separate classifiers beyond which the search for
# suspects takes minutes.
_MOST_CLASSIFIED = 50_000
_INVISIBLE = ("C", "Z")


def inspect_records(
    records: Sequence[Record],
    *,
    against: Sequence[Record] | None = None,
    encoder: str | TextEncoder | None = None,
    cache_dir: str | Path | None = None,
    near: float = NEAR,
    suspects: bool | None = None,
) -> Inspection:
    """Inspect labelled documents before training: labels, duplicates, leakage, languages.

    >>> records = [
    ...     Record("Kick-off at eight.", {"SPORT": 1.0}, "0", {}, 1),
    ...     Record("kick-off  at eight.", {"FOOD": 1.0}, "1", {}, 2),
    ... ]
    >>> inspection = inspect_records(records)
    >>> inspection.exclusive, [finding.key for finding in inspection.findings]
    (True, ['contradicting_copies', 'rare_labels', 'copies'])

    records (Sequence[Record]): The documents, DATA.
    against (Sequence[Record] | None): Other documents, TEST, that must not be among them. None: no
        leakage is looked for.
    encoder (str | TextEncoder | None): An encoder, or its name, for near duplicates, suspect labels
        and texts beyond its window. None: these are not looked for.
    cache_dir (str | Path | None): A directory that keeps vectors across runs, the same as that of a
        training. None: vectors are not kept.
    near (float): The cosine from which on texts count as near duplicates.
    suspects (bool | None): Whether to look for labels that are probably wrong. None: if there are
        enough labels, and it takes seconds.
    RETURNS (Inspection): The counts and findings.
    RAISES (ValueError): If there are no documents, `near` is not in 0..1, or the encoder is not
        found.
    """
    if not records:
        raise ValueError("There are no documents to inspect. Give at least one.")
    if not 0.0 < near <= 1.0:
        raise ValueError(f"near is {near}: give a cosine above 0 and up to 1.")
    exclusive, why = explain_exclusive(records)
    counts = count_labels(records, exclusive=exclusive)
    copies = group_copies(records)
    findings = [
        *inspect_labels(records, counts, exclusive=exclusive),
        *_inspect_empty(records),
        *inspect_copies(copies, exclusive=exclusive),
    ]
    others = group_copies(against or ())
    if against is not None:
        findings += inspect_leakage(copies, others, exclusive=exclusive)
        findings += _compare_labels(counts, count_labels(against, exclusive=exclusive))
    languages = _count_languages(records)
    findings += _inspect_languages(languages, records)
    if isinstance(encoder, str):
        encoder = TextEncoder.load(EncoderSettings(name=encoder))
    if encoder is not None:
        findings += _inspect_encoded(
            records,
            copies,
            others,
            encoder=encoder,
            cache_dir=cache_dir,
            near=near,
            exclusive=exclusive,
            counts=counts,
            suspects=suspects,
        )
    lengths = [len(record.text) for record in records]
    return Inspection(
        n_documents=len(records),
        n_labelled=sum(bool(record.cats) for record in records),
        exclusive=exclusive,
        why_exclusive=why,
        labels=counts,
        languages=languages,
        n_characters={"median": int(statistics.median(lengths)), "most": max(lengths)},
        encoder=None if encoder is None else encoder.settings.name,
        findings=sorted(findings, key=lambda finding: not finding.is_grave),
    )


# Without vectors


def _inspect_empty(records: Sequence[Record]) -> Iterator[Finding]:
    empty = [record for record in records if not record.text.strip()]
    if empty:
        yield Finding(
            "empty_texts",
            len(empty) == len(records),
            len(empty),
            f"{count(len(empty), 'document')} without text, which have no vector and are left "
            "out. If "
            "the text is in another field, name it (--text-field).",
            [f"line {record.line}" for record in empty[:MOST_EXAMPLES]],
        )
    invisible = [r for r in records if r.text.strip() and not any(map(_is_visible, r.text))]
    if invisible:
        yield Finding(
            "invisible_texts",
            False,
            len(invisible),
            f"{count(len(invisible), 'text')} of invisible characters only, such as a zero-width "
            "space. All of them have the same vector.",
            [f"line {record.line}" for record in invisible[:MOST_EXAMPLES]],
        )


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in _INVISIBLE


def _count_languages(records: Sequence[Record]) -> dict[str, int]:
    texts = [record.text for record in records if record.text.strip()]
    step = max(1, -(-len(texts) // _MOST_GUESSED))
    counts = Counter(guess_language(text) for text in texts[::step])
    return dict(counts.most_common())


def _inspect_languages(languages: dict[str, int], records: Sequence[Record]) -> Iterator[Finding]:
    known = find_known_languages(languages)
    if not known:
        return
    total = sum(known.values())
    main = max(known, key=lambda name: known[name])
    n_others = total - known[main]
    if n_others > _FEW * total:
        examples: list[str] = []
        for record in records:
            language = guess_language(record.text)
            if language not in (main, UNKNOWN):
                examples.append(f"line {record.line} ({language}): {shorten(record.text)!r}")
            if len(examples) == MOST_EXAMPLES:
                break
        yield Finding(
            "languages",
            False,
            n_others,
            f"{n_others / total:.0%} of the texts are not in {main}, the most frequent language. "
            "Make sure that the encoder was trained on these languages.",
            examples,
        )


def _compare_labels(counts: Sequence[LabelCount], others: Sequence[LabelCount]) -> list[Finding]:
    findings = []
    ours = {one.label for one in counts if one.present}
    theirs = {one.label for one in others if one.present}
    only_test = sorted(theirs - ours)
    if only_test:
        findings.append(
            Finding(
                "labels_only_in_test",
                True,
                len(only_test),
                f"{count(len(only_test), 'label')} in TEST only, so DATA cannot teach them.",
                only_test[:MOST_EXAMPLES],
            )
        )
    only_data = sorted(ours - theirs)
    if only_data and theirs:
        findings.append(
            Finding(
                "labels_only_in_data",
                False,
                len(only_data),
                f"{count(len(only_data), 'label')} in DATA only, so TEST does not measure them.",
                only_data[:MOST_EXAMPLES],
            )
        )
    return findings


# With vectors


def _inspect_encoded(
    records: Sequence[Record],
    copies: Mapping[str, list[Record]],
    others: Mapping[str, list[Record]],
    *,
    encoder: TextEncoder,
    cache_dir: str | Path | None,
    near: float,
    exclusive: bool,
    counts: Sequence[LabelCount],
    suspects: bool | None,
) -> Iterator[Finding]:
    distinct = [same[0] for same in copies.values()]
    # Exact copies are reported on their own.
    tested = [same[0] for key, same in others.items() if key not in copies]
    texts = [record.text for record in (*distinct, *tested)]
    vectors = _encode(texts, encoder, cache_dir)
    n_long = 0 if encoder.pools_windows else encoder.count_truncated(texts)
    if n_long:
        yield Finding(
            "beyond_window",
            False,
            n_long,
            f"{count(n_long, 'text')} of more than {encoder.window} tokens, which is all that the "
            "encoder reads: the rest of a text has no effect. Set pool_windows = true to average "
            "the vectors of their parts, split them, or take an encoder with a larger window.",
            [],
        )
    if len(distinct) > MOST_COMPARED:
        yield Finding(
            "not_compared",
            False,
            len(distinct) - MOST_COMPARED,
            f"Near duplicates were looked for among the first {MOST_COMPARED} texts only.",
            [],
        )
    data, rows = distinct[:MOST_COMPARED], vectors[: min(len(distinct), MOST_COMPARED)]
    yield from inspect_near_copies(
        data, find_nearest(rows), data, near=near, exclusive=exclusive, is_test=False
    )
    if tested:
        test, test_rows = tested[:MOST_COMPARED], vectors[len(distinct) :][:MOST_COMPARED]
        yield from inspect_near_copies(
            test, find_nearest(test_rows, rows), data, near=near, exclusive=exclusive, is_test=True
        )
    yield from _inspect_suspects(
        distinct, vectors[: len(distinct)], counts, exclusive=exclusive, wanted=suspects
    )


def _encode(
    texts: Sequence[str], encoder: TextEncoder, cache_dir: str | Path | None
) -> NDArray[Any]:
    """RETURNS (ndarray): A row for each text."""
    if cache_dir is None:
        title = "Encoding texts" if len(texts) >= PROGRESS_FROM else None
        return encode_distinct(
            texts, lambda missing: encoder.encode(missing, progress=title), encoder.width
        )
    store = VectorStore(cache_dir)
    try:
        return store.lookup(
            texts,
            encoder.encode,
            encoder.width,
            fingerprint=encoder.fingerprint,
            precision=encoder.numerics,
            progress="Encoding texts",
        )
    finally:
        store.close()


def _inspect_suspects(
    records: Sequence[Record],
    vectors: NDArray[Any],
    counts: Sequence[LabelCount],
    *,
    exclusive: bool,
    wanted: bool | None,
) -> Iterator[Finding]:
    if wanted is False:
        return
    labels = [
        one.label
        for one in counts
        if one.present >= _ENOUGH_CARRIERS and (exclusive or one.absent >= _ENOUGH_CARRIERS)
    ]
    labelled = [i for i, record in enumerate(records) if record.cats]
    if len(labelled) < _ENOUGH_DOCUMENTS or len(labels) < (2 if exclusive else 1):
        return
    n_classifiers = len(labels) if not exclusive else max(1, len(labels) // 10)
    if wanted is None and n_classifiers * len(labelled) > _MOST_CLASSIFIED:
        yield Finding(
            "suspects_not_searched",
            False,
            len(labels),
            f"Labels that are probably wrong were not looked for: with {len(labels)} labels it "
            "takes "
            "minutes. Ask for it: --suspects.",
            [],
        )
        return
    if exclusive:
        # Documents of rare labels would look like errors, because no classifier knows these labels.
        known = set(labels)
        labelled = [
            i
            for i in labelled
            if any(value >= CARRIES and label in known for label, value in records[i].cats.items())
        ]
    chosen, rows = [records[i] for i in labelled], vectors[labelled]
    targets = make_targets([record.cats for record in chosen], labels, exclusive=exclusive)
    found = find_suspects(
        Documents(
            ids=[record.id for record in chosen],
            texts=[record.text for record in chosen],
            labels=labels,
            targets=targets,
            base=rows,
            tuned=rows,
            probabilities=np.zeros((len(chosen), 0)),
            predicted_labels=[],
        )
    )
    suspect = np.flatnonzero(found.is_suspect)
    if suspect.size:
        worst = suspect[np.argsort(found.probability[suspect], kind="stable")]
        yield Finding(
            "suspects",
            False,
            int(suspect.size),
            f"{count(int(suspect.size), 'document')} with labels that are probably wrong: a "
            "classifier that was trained without the document predicts another label with "
            "confidence.",
            [
                f"{shorten(chosen[i].text)!r}: line {chosen[i].line} "
                f"({describe_labels(chosen[i].cats)}), predicted "
                f"{', '.join(found.expected[i]) or 'none'}"
                for i in worst[:MOST_EXAMPLES].tolist()
            ],
        )
