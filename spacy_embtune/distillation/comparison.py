"""Compare a student with its teacher on labelled documents."""

from collections.abc import Iterable
from typing import NamedTuple

from spacy.language import Language

from ..data import Record
from ..pipeline import find_component
from ..reports import report
from .verdict import ENOUGH_LAYERS, ENOUGH_STATIC

_LINE = "{:<27} {:>6} {:>6} {:>8}  {:>7}"


class StudentComparison(NamedTuple):
    """The metrics of `report` for the encoder without tuning, the teacher, and the student.

    rows (list[tuple[str, float | None, float | None, float | None]]): The metric, base, tuned,
        student.
    words (str): What is lost.
    is_good (bool): Whether the student is better than the untuned encoder, and keeps enough of the
        teacher's MAP@R.
    """

    rows: list[tuple[str, float | None, float | None, float | None]]
    words: str
    is_good: bool

    def to_text(self) -> str:
        """RETURNS (str): A table for a terminal, and the words."""
        lines = [_LINE.format("metric", "base", "tuned", "student", "kept"), "-" * 60]
        for metric, base, tuned, student in self.rows:
            cells = ["-" if value is None else f"{value:.3f}" for value in (base, tuned, student)]
            kept = "" if not tuned or student is None else f"{student / tuned:.0%}"
            lines.append(_LINE.format(metric, *cells, kept))
        return "\n".join([*lines, "", self.words])


def compare_student(
    teacher: Language,
    student: Language,
    records: Iterable[Record],
    *,
    train: Iterable[Record] | None = None,
    name: str | None = None,
) -> StudentComparison:
    """Compare a student with its teacher on labelled documents that were held out.

    teacher, student (Language): The pipelines.
    records (Iterable[Record]): The documents.
    train (Iterable[Record] | None): Documents for classifiers to learn from, see `report`.
    name (str | None): The component; None: there must be exactly one.
    RETURNS (StudentComparison): The comparison.
    RAISES (ValueError): As for `report`.
    """
    rows, known = list(records), None if train is None else list(train)
    ours = report(student, rows, train=known, name=name, progress=False)
    theirs = report(teacher, rows, train=known, name=name, progress=False)
    by_key = {row.key: row.tuned for row in (*ours.primary, *ours.secondary)}
    compared = [
        (row.title, row.base, row.tuned, by_key.get(row.key))
        for row in (*theirs.primary, *theirs.secondary)
    ]
    shim = find_component(student, name).encoder
    is_static = shim is not None and shim.encoder.is_table
    scores = {row.key: (row.base, row.tuned, by_key.get(row.key)) for row in theirs.primary}
    base, tuned, own = scores.get("map_at_r", (None, None, None))
    if base is None or tuned is None or own is None:
        return StudentComparison(compared, "MAP@R is not defined here.", False)
    wanted = ENOUGH_STATIC if is_static else ENOUGH_LAYERS
    kept = own / tuned if tuned else 0.0
    is_good = kept >= wanted and own >= base
    words = f"The student keeps {kept:.0%} of the MAP@R of its teacher"
    if own < base:
        words += ", and is worse than the encoder without tuning"
    if is_good:
        words += "."
    else:
        cure = "try --student layers:3" if is_static else "try more layers, or more texts"
        words += f", and {wanted:.0%} is what such a student should keep: {cure}."
    return StudentComparison(compared, words, is_good)
