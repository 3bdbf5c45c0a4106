"""Compare tuned with base vectors of pairs: how early the two sides of a pair find each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from spacy.language import Language
from spacy.training import Example

from .._texts import count, fold_text
from ..data import Record, get_partners
from ..metrics import CARRIES, LEVEL, N_RESAMPLES, check_pairs
from ..pipeline import find_component
from ._side_measures import (
    Vectors,
    correlate_pairs,
    describe_sides,
    judge_sides,
    measure_sides,
    warn_of_seen_texts,
)
from .documents import LabelSpace, documents
from .notebook import write_html
from .render import HEADER, closing_lines, markdown_lines, markdown_remarks, table_lines
from .types import Row, Verdict
from .verdict import RULE


@dataclass(frozen=True)
class SidesReport:
    """A comparison of base and tuned vectors by pairs. `print` and notebooks show it as a table.

    component (str): The name of the component or estimator.
    verdict (Verdict): The result in words.
    names (tuple[str, str]): The names of the two sides.
    primary (list[tuple[str, list[Row]]]): Recall@k and MRR with intervals, for the queries of the
        first side among the candidates of the second, and the other way round.
    secondary (list[Row]): The correlation of cosines and scores, if pairs have scores.
    base_is_chance (bool): Whether `Row.base` has the scores of candidates in random order, because
        base vectors of different widths have no cosines.
    n_rows (tuple[int, int]): The number of distinct rows of each side.
    n_pairs (int): The number of distinct pairs that belong together.
    warnings, notes (list[str]): Reasons to doubt the numbers, and other remarks.
    """

    component: str
    verdict: Verdict
    names: tuple[str, str]
    primary: list[tuple[str, list[Row]]]
    secondary: list[Row]
    base_is_chance: bool
    n_rows: tuple[int, int]
    n_pairs: int
    warnings: list[str]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All fields in a form for JSON. Undefined metrics are None."""
        there, back = (rows for _, rows in self.primary)
        first, second = self.names
        return {
            "component": self.component,
            "verdict": {**self.verdict._asdict(), "rule": RULE},
            "sides": list(self.names),
            "n_rows": list(self.n_rows),
            "n_pairs": self.n_pairs,
            "base_is_chance": self.base_is_chance,
            "metrics": {
                f"{first} to {second}": {row.key: _to_dict(row) for row in there},
                f"{second} to {first}": {row.key: _to_dict(row) for row in back},
            },
            "secondary": {row.key: _to_dict(row) for row in self.secondary},
            "intervals": {"level": LEVEL, "n_resamples": N_RESAMPLES},
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def to_text(self, *, colors: bool = False) -> str:
        """Write the report for a terminal of 80 columns.

        colors (bool): Whether to use colours.
        RETURNS (str): The lines.
        """
        table = table_lines(self._groups(), colors=colors, header=self._header())
        closing = closing_lines(self.verdict, self.warnings, self.notes, colors=colors)
        return "\n".join([self._summary(), "", *table, *closing])

    def to_markdown(self) -> str:
        """RETURNS (str): The report in Markdown, with a line break at the end."""
        lines = markdown_lines(self.verdict, self._summary(), self._groups(), header=self._header())
        return "\n".join([*lines, *markdown_remarks(self.warnings, self.notes)]) + "\n"

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return write_html(
            self.verdict,
            self._summary(),
            self._groups(),
            drawn=[row for _, rows in self.primary for row in rows],
            warnings=self.warnings,
            notes=self.notes,
            header=self._header(),
        )

    def _groups(self) -> list[tuple[str, list[Row]]]:
        groups = [(f"F{title[1:]}", rows) for title, rows in self.primary]
        if self.secondary:
            groups.append(("Cosines and scores of pairs", self.secondary))
        return groups

    def _header(self) -> Sequence[str]:
        return tuple("chance" if self.base_is_chance and h == "base" else h for h in HEADER)

    def _summary(self) -> str:
        sides = " and ".join(f"{n} {name}" for n, name in zip(self.n_rows, self.names, strict=True))
        return f"{count(self.n_pairs, 'pair')} of {sides}"


def report_pairs(
    nlp: Language,
    examples: Iterable[Example],
    *,
    name: str | None = None,
    side_names: tuple[str, str] = ("text1", "text2"),
    progress: bool = True,
) -> SidesReport:
    """Compare the tuned with the base vectors of pairs of texts that were held out: how early the
    two texts of a pair find each other among all texts of the other side.

    Pairs without a score belong together, and so do pairs with a score of 0.5 (after rescaling) or
    more. If pairs have scores, their correlation with the cosines is shown, too.

    >>> import numpy as np, spacy
    >>> from spacy_embtune.data import pairs_to_examples
    >>> nlp = spacy.blank("en")
    >>> for i, word in enumerate(["ball", "team", "soup", "oven"]):
    ...     _ = nlp.vocab.set_vector(word, np.eye(4, dtype="float32")[i] + 1)
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    >>> config = {"loss": {"@losses": "spacy-embtune.supervised_contrastive.v1"}}
    >>> config["model"] = {"encoder": encoder}
    >>> _ = nlp.add_pipe("embtune", config=config)
    >>> texts, labels = ["ball team", "ball", "soup oven", "soup"], ["A", "A", "B", "B"]
    >>> docs = [(nlp.make_doc(t), {"cats": {label: 1}}) for t, label in zip(texts, labels)]
    >>> labelled = [Example.from_dict(doc, cats) for doc, cats in docs]
    >>> _ = nlp.update(labelled, sgd=nlp.initialize(lambda: labelled))
    >>> pairs = pairs_to_examples(nlp, [("ball team", "ball"), ("soup oven", "soup")])
    >>> found = report_pairs(nlp, pairs, progress=False)
    >>> found.n_rows, [title for title, _ in found.primary]
    ((2, 2), ['from text1 to text2', 'from text2 to text1'])

    nlp (Language): The pipeline.
    examples (Iterable[Example]): The pairs, as the reader `spacy-embtune.pairs.v1` and
        `pairs_to_examples` make them.
    name (str | None): The name of the component. None: there must be exactly one.
    side_names (tuple[str, str]): The names of the two sides in the report.
    progress (bool): Whether to show progress bars.
    RETURNS (SidesReport): The comparison.
    RAISES (ValueError): When there are no pairs, there is no such component, or it is not trained.
    """
    pipe = find_component(nlp, name)
    pairs = _collect(examples)
    if not pairs:
        raise ValueError(
            "There are no pairs to report on. Give Examples whose documents have partners, such as "
            "those of spacy_embtune.data.pairs_to_examples."
        )
    place: dict[str, int] = {}
    texts: list[str] = []
    for pair in pairs:
        for text in (pair.first, pair.second):
            if place.setdefault(fold_text(text), len(texts)) == len(texts):
                texts.append(text)
    records = [Record(text, {}, str(i), {}, i + 1) for i, text in enumerate(texts)]
    no_labels = LabelSpace([], False, [], None)
    data = documents(
        nlp, pipe.name, records, labels=no_labels, progress="Encoding texts" if progress else None
    )
    ends = np.array([[place[fold_text(text)] for text in pair[:2]] for pair in pairs])
    together = [pair.score is None or pair.score >= CARRIES for pair in pairs]
    lefts, rights = np.unique(ends[:, 0]), np.unique(ends[:, 1])
    common = np.intersect1d(lefts, rights)
    linked = ends[np.asarray(together, dtype=bool)]
    right = np.column_stack(
        [np.searchsorted(lefts, linked[:, 0]), np.searchsorted(rights, linked[:, 1])]
    )
    scored = [i for i, pair in enumerate(pairs) if pair.score is not None]
    scores = np.asarray([pairs[i].score for i in scored], dtype=float)
    is_seen = np.zeros(len(texts), dtype=bool)
    if pipe.seen is not None:
        is_seen = pipe.seen.recognize(texts)
    notes = []
    if scored:
        notes.append(
            f"{len(linked)} of {len(pairs)} pairs belong together: those with a score of "
            f"{CARRIES:g} or more, of 1."
        )
    return _make_report(
        Vectors(data.base[lefts], data.tuned[lefts]),
        Vectors(data.base[rights], data.tuned[rights]),
        np.unique(right, axis=0),
        # A text may be on both sides.
        own=np.column_stack([np.searchsorted(side, common) for side in (lefts, rights)]),
        component=pipe.name,
        names=side_names,
        secondary=correlate_pairs(data.base, data.tuned, ends[scored], scores) if scored else [],
        seen=(int(is_seen.sum()), len(texts)),
        notes=notes,
    )


def compare_sides(
    left: ArrayLike,
    right: ArrayLike,
    tuned_left: ArrayLike,
    tuned_right: ArrayLike,
    pairs: ArrayLike | None = None,
    *,
    names: tuple[str, str] = ("left", "right"),
    title: str = "ContrastiveLearner",
) -> SidesReport:
    """Compare tuned with base vectors of two sides that are computed already, for example by
    `ContrastiveLearner.transform(X, side=...)`: how early each row finds the rows of the other side
    that it belongs to.

    Rows of one side with equal base vectors count as one row. If the base vectors of the two sides
    have different widths, they have no cosines, and tuned vectors are compared with chance.

    >>> rng = np.random.default_rng(0)
    >>> base = rng.normal(size=(40, 8))
    >>> noisy = base + rng.normal(size=(40, 8))
    >>> found = compare_sides(base, noisy, base, base)
    >>> found.verdict.kind, [row.title for row in found.primary[0][1]]
    ('helps', ['recall@1', 'recall@5', 'recall@10', 'MRR'])

    left, right (ArrayLike): The base vectors of both sides, shapes (n, d1) and (m, d2).
    tuned_left, tuned_right (ArrayLike): Their tuned vectors, shapes (n, k) and (m, k).
    pairs (ArrayLike | None): The rows that belong together, (left, right), zero-based, shape
        (p, 2). None: row i of both sides.
    names (tuple[str, str]): The names of the two sides.
    title (str): The name of the estimator.
    RETURNS (SidesReport): The comparison.
    RAISES (ValueError): If shapes do not fit, a vector is not finite, or a pair names a row that
        does not exist.
    """
    arrays = [np.asarray(rows, dtype="float32") for rows in (left, right, tuned_left, tuned_right)]
    for rows, tuned, name in zip(arrays[:2], arrays[2:], names, strict=True):
        if rows.ndim != 2 or tuned.ndim != 2 or len(rows) != len(tuned):
            raise ValueError(
                f"The base vectors of {name} have shape {rows.shape} and the tuned vectors "
                f"{tuned.shape}: give both for the same rows, shapes (n, d) and (n, k)."
            )
    linked = check_pairs(pairs, len(arrays[0]), len(arrays[1]))
    (of_left, place_left), (of_right, place_right) = (_distinct(rows) for rows in arrays[:2])
    linked = np.unique(
        np.column_stack([place_left[linked[:, 0]], place_right[linked[:, 1]]]), axis=0
    )
    return _make_report(
        Vectors(arrays[0][of_left], arrays[2][of_left]),
        Vectors(arrays[1][of_right], arrays[3][of_right]),
        linked,
        component=title,
        names=names,
    )


class _Pair(NamedTuple):
    """Two texts, and their score, 0..1. None: they belong together."""

    first: str
    second: str
    score: float | None


def _collect(examples: Iterable[Example]) -> list[_Pair]:
    """RETURNS (list[_Pair]): The pairs of examples. Partners with a group have no score."""
    pairs = []
    for example in examples:
        if not isinstance(example, Example):
            raise ValueError(
                f"A pair is a {type(example).__name__}. Give Examples, such as those of "
                "spacy_embtune.data.pairs_to_examples."
            )
        for text, score, group in get_partners(example.reference):
            pairs.append(_Pair(example.reference.text, text, None if group else score))
    return pairs


def _distinct(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): The first of each group of equal rows, and the group of each row."""
    # The sum turns -0.0 into 0.0, which has other bytes.
    rows = np.ascontiguousarray(rows) + np.float32(0.0)
    if not rows.size:
        return np.arange(len(rows)), np.arange(len(rows))
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, place = np.unique(as_bytes, return_index=True, return_inverse=True)
    return first, place


def _make_report(
    left: Vectors,
    right: Vectors,
    pairs: NDArray[Any],
    *,
    component: str,
    names: tuple[str, str],
    own: NDArray[Any] | None = None,
    secondary: Sequence[Row] = (),
    seen: tuple[int, int] = (0, 0),
    notes: Sequence[str] = (),
) -> SidesReport:
    """RETURNS (SidesReport): The report on the distinct rows of two sides.

    pairs (ndarray): The distinct rows that belong together, shape (p, 2).
    own (ndarray | None): Rows of both sides that are the same, shape (s, 2).
    seen (tuple[int, int]): The number of texts that training saw, and of all texts.
    """
    measures = measure_sides(left, right, pairs, own=own, names=names)
    return SidesReport(
        component=component,
        verdict=judge_sides(measures, seen),
        names=names,
        primary=measures.primary,
        secondary=list(secondary),
        base_is_chance=measures.base_is_chance,
        n_rows=(len(left.base), len(right.base)),
        n_pairs=len(pairs),
        warnings=warn_of_seen_texts(*seen),
        notes=[*notes, *describe_sides(left, right, pairs, measures, names)],
    )


def _to_dict(row: Row) -> dict[str, Any]:
    interval = row.interval
    return {
        "title": row.title,
        "base": row.base,
        "tuned": row.tuned,
        "difference": row.difference,
        **(
            {}
            if row.key in ("spearman", "pearson")
            else {
                "interval": None if interval is None else [interval.low, interval.high],
                "beyond_chance": row.beyond_chance,
            }
        ),
    }
