"""What the labels of a corpus say about themselves."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from .._texts import count, shorten, text_key
from ..data import Record
from ..labels import CARRIES, TOLERANCE, is_exclusive
from .types import Finding, LabelCount

MOST_EXAMPLES = 3
# With this many labels, most of which occur in one document only, the field is free text.
_MANY_LABELS = 50


def count_labels(records: Sequence[Record], *, exclusive: bool) -> list[LabelCount]:
    """Count what is known of each label.

    records (Sequence[Record]): The n documents.
    exclusive (bool): Whether a label that a document carries implies the absence of the others.
    RETURNS (list[LabelCount]): The labels, the most frequent ones first.
    """
    present: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    n_implied = 0
    implied_but_named: Counter[str] = Counter()
    for record in records:
        is_sure = exclusive and abs(math.fsum(record.cats.values()) - 1.0) <= TOLERANCE
        n_implied += is_sure
        for label, value in record.cats.items():
            (present if value >= CARRIES else absent)[label] += 1
            if is_sure:
                implied_but_named[label] += 1
    counts = []
    for label in {*present, *absent}:
        n_absent = absent[label] + n_implied - implied_but_named[label]
        n_unknown = len(records) - present[label] - n_absent
        counts.append(LabelCount(label, present[label], n_absent, n_unknown))
    return sorted(counts, key=lambda one: (-one.present, one.label))


def explain_exclusive(records: Sequence[Record]) -> tuple[bool, str]:
    """Decide whether each document carries exactly one label, as `initialize` does.

    records (Sequence[Record]): The documents.
    RETURNS (tuple[bool, str]): Whether labels are exclusive, and the reason in a sentence.
    """
    labelled = [record for record in records if record.cats]
    if not labelled:
        return False, "No document has a known label."
    if is_exclusive(record.cats for record in labelled):
        return True, "Exclusive: the values of each labelled document sum to 1."
    sums = [(record, math.fsum(record.cats.values())) for record in labelled]
    several = [record for record, total in sums if total > 1.0 + TOLERANCE]
    fewer = [record for record, total in sums if total < 1.0 - TOLERANCE]
    if not several and not fewer:
        return False, "Not exclusive: there is only one label. It is learned against its absence."
    reasons = []
    if several:
        reasons.append(
            f"{count(len(several), 'document')} with several labels (first: line "
            f"{several[0].line}, "
            f"{_name(several[0].cats)})"
        )
    if fewer:
        reasons.append(
            f"{count(len(fewer), 'document')} with known absences only, or with values that sum to "
            f"less than 1 (first: line {fewer[0].line})"
        )
    return False, f"Not exclusive: {', and '.join(reasons)}."


def inspect_labels(
    records: Sequence[Record], counts: Sequence[LabelCount], *, exclusive: bool
) -> Iterator[Finding]:
    """Look for labels that cannot be learned.

    records (Sequence[Record]): The documents.
    counts (Sequence[LabelCount]): Their labels.
    exclusive (bool): Whether each document carries exactly one label.
    YIELDS (Finding): The observations.
    """
    n = len(records)
    n_unlabelled = sum(not record.cats for record in records)
    if n_unlabelled == n:
        yield Finding(
            "no_labels",
            True,
            n,
            "No document has a known label, so only pairs and groups can be learned. If labels are "
            "in another field than cats and label, name it (--label-field).",
            [],
        )
        return
    if n_unlabelled:
        yield Finding(
            "unlabelled",
            False,
            n_unlabelled,
            f"{n_unlabelled} of {count(n, 'document')} without a known label.",
            [],
        )
    n_classes = sum((one.present > 0) + (one.absent > 0) for one in counts)
    if n_classes == 1:
        yield Finding(
            "one_class",
            True,
            n - n_unlabelled,
            f"The labelled documents ({n - n_unlabelled}) are all of one class, so there is "
            "nothing "
            "to tell apart. Add documents with another label, or documents that are known to "
            "lack it.",
            [counts[0].label],
        )
    elif not exclusive:
        always = [one.label for one in counts if one.present and not one.absent]
        if always:
            yield Finding(
                "never_absent",
                True,
                len(always),
                f"{count(len(always), 'label')} that no document is known to lack, so nothing "
                "can be "
                "learned. Write 0 where a label is absent.",
                always[:MOST_EXAMPLES],
            )
    never = [one.label for one in counts if not one.present]
    if never:
        yield Finding(
            "never_present",
            False,
            len(never),
            f"{count(len(never), 'label')} that no document carries.",
            never[:MOST_EXAMPLES],
        )
    once = [one.label for one in counts if one.present == 1]
    if len(counts) >= _MANY_LABELS and len(once) > len(counts) / 2:
        yield Finding(
            "free_text",
            True,
            len(once),
            f"{len(once)} of {len(counts)} labels occur in one document each, so they look like "
            "free text. Name the field of the labels (--label-field).",
            [shorten(label, 60) for label in once[:MOST_EXAMPLES]],
        )
    elif once:
        yield Finding(
            "rare_labels",
            False,
            len(once),
            f"{count(len(once), 'label')} that only one document carries: it has no other "
            "document to "
            "be close to.",
            once[:MOST_EXAMPLES],
        )
    yield from _find_spellings([one.label for one in counts])


def _find_spellings(labels: Sequence[str]) -> Iterator[Finding]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        spellings[text_key(label)].append(label)
    several = [sorted(same) for same in spellings.values() if len(same) > 1]
    if several:
        yield Finding(
            "spellings",
            True,
            len(several),
            f"{count(len(several), 'label')} with several spellings, which differ in case or white "
            "space and count as different labels. Make them equal.",
            [" / ".join(map(repr, same)) for same in several[:MOST_EXAMPLES]],
        )


def _name(cats: Mapping[str, float]) -> str:
    carried = [label for label, value in cats.items() if value >= CARRIES]
    return shorten(", ".join(carried or cats), 60)
