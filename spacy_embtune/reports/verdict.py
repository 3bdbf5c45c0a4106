"""Give the verdict on a comparison in words, and warn of a collapsed space."""

from collections.abc import Sequence
from typing import NamedTuple

from .._texts import count
from ..metrics import SpaceScores
from .types import Verdict

# With fewer scored documents the intervals are too narrow.
FEWEST_DOCUMENTS = 20
# From this gain of MAP@R on, training documents count as much better.
MUCH_BETTER = 0.10
# If training saw at least this share of the documents, they are not held out.
MOSTLY_SEEN = 0.5
# A space counts as collapsed below this share of the base spread or effective rank,
_LEFT_OVER = 0.1
# below this ratio of distances within labels to distances between labels,
_NARROW = 0.1
# or below this share of kept neighbours, corrected for chance.
_UNRELATED = 0.05

RULE = (
    "Beyond chance: the simultaneous 95 % intervals of all primary differences (max-T over the "
    "bootstrap) leave out zero. helps: at least one metric is better beyond chance, and none is "
    "worse. overfitted: it does not help so, and MAP@R is better among the TRAIN documents "
    f"themselves, by at least {MUCH_BETTER:.2f}, but not among those held out. mixed: some metrics "
    "are better, some worse. harms: some are worse, none better. no evidence of a gain: none of "
    f"these, or fewer than {FEWEST_DOCUMENTS} documents to score. not held out: at least half of "
    "the documents were trained on. nothing to compare: no metric is defined."
)


class Finding(NamedTuple):
    """The difference of one primary metric, as the verdict needs it.

    key, title (str): The names of the metric in JSON and in tables.
    difference (float): Tuned minus base.
    better, worse (bool): Whether it is better, or worse, beyond chance.
    """

    key: str
    title: str
    difference: float
    better: bool
    worse: bool


def judge(
    findings: Sequence[Finding],
    *,
    n_scored: int,
    on_train: Finding | None = None,
    n_documents: int = 0,
    n_seen: int = 0,
) -> Verdict:
    """Give the verdict that `RULE` defines.

    >>> gain = Finding("p_at_1", "p@1", 0.25, better=True, worse=False)
    >>> print(judge([gain], n_scored=100))
    Helps: better at p@1 (+0.250), and worse at none of the primary metrics.

    findings (Sequence[Finding]): The primary metrics that are defined.
    n_scored (int): The number of documents that they are computed from.
    on_train (Finding | None): MAP@R within the documents that the model was trained on.
    n_documents, n_seen (int): The number of documents, and of those that training saw.
    RETURNS (Verdict): The verdict.
    """
    if not findings:
        return Verdict("nothing to compare", "too few documents carry a label to tell apart.")
    better = [f for f in findings if f.better]
    worse = [f for f in findings if f.worse]
    if n_seen and n_seen >= MOSTLY_SEEN * n_documents:
        text = (
            f"the model was trained on {n_seen} of {n_documents} documents, so new texts may score "
            "lower. Take documents that training did not see."
        )
        return Verdict("not held out", text)
    if n_scored < FEWEST_DOCUMENTS:
        text = (
            f"only {count(n_scored, 'document')} can be scored, too few to tell. "
            f"Take at least {FEWEST_DOCUMENTS}, better hundreds."
        )
        return Verdict("no evidence of a gain", text)
    praise, blame = f"better at {_name(better)}", f"worse at {_name(worse)}"
    if better and not worse:
        return Verdict("helps", f"{praise}, and worse at none of the primary metrics.")
    if on_train is not None and _is_overfitted(on_train, better):
        text = (
            f"{on_train.title} is better by {on_train.difference:.3f} among the training "
            f"documents, but not among those held out{f', {blame}' if worse else ''}. Train for "
            "fewer steps, with more dropout, or on more documents."
        )
        return Verdict("overfitted", text)
    if better:
        return Verdict("mixed", f"{praise}, but {blame}.")
    if worse:
        return Verdict("harms", f"{blame}, and better at none of the primary metrics.")
    return Verdict(
        "no evidence of a gain",
        "no difference is beyond chance. More documents would show smaller ones.",
    )


def warn_of_collapse(
    base: SpaceScores,
    tuned: SpaceScores,
    overlap: float | None,
    *,
    n_documents: int,
    n_neighbours: int,
) -> list[str]:
    """Warn of signs that the tuned vectors have collapsed. Training on the sets in benchmarks/
    stays far from these bounds, even when it goes on for too long.

    base, tuned (SpaceScores): The measures of both spaces.
    overlap (float | None): The share of nearest neighbours that both spaces have in common.
    n_documents (int): The number of documents that have a vector.
    n_neighbours (int): The number of neighbours of each document that were compared.
    RETURNS (list[str]): The warnings.
    """
    warnings = []
    if _is_left_over(base.spread, tuned.spread):
        warnings.append(
            f"The tuned vectors all point the same way: the mean cosine distance of two documents "
            f"is {tuned.spread:.3f}, and {base.spread:.3f} with base vectors."
        )
    if tuned.within is not None and tuned.within < _NARROW:
        warnings.append(
            f"Each label has shrunk to nearly a point: documents of one label are only "
            f"{tuned.within:.3f} times as far apart as documents of different ones."
        )
    if _is_left_over(base.effective_rank, tuned.effective_rank):
        warnings.append(
            f"The tuned vectors use only {tuned.effective_rank:.1f} directions (effective rank; "
            f"base vectors {base.effective_rank:.1f}): most of what the encoder knew is lost."
        )
    if overlap is not None and n_documents > 1:
        chance = n_neighbours / (n_documents - 1)
        if overlap - chance < _UNRELATED * (1 - chance):
            warnings.append(
                f"Of the {n_neighbours} nearest neighbours of a document only {overlap:.0%} are "
                f"left, where chance alone gives {chance:.0%}: the tuned vectors have nothing to "
                "do with the base vectors."
            )
    return warnings


def _is_overfitted(on_train: Finding, better: Sequence[Finding]) -> bool:
    is_much_better = on_train.better and on_train.difference >= MUCH_BETTER
    return is_much_better and on_train.key not in [f.key for f in better]


def _is_left_over(base: float | None, tuned: float | None) -> bool:
    return base is not None and tuned is not None and tuned < _LEFT_OVER * base


def _name(findings: Sequence[Finding]) -> str:
    """RETURNS (str): The metrics with their differences, for a sentence."""
    names = [f"{f.title} ({f.difference:+.3f})" for f in findings]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
