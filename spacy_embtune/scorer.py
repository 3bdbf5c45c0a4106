"""The registered scorer: Examples in, numbers out."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray
from spacy.scorer import Scorer
from spacy.training import Example

from .extensions import get_vector
from .metrics import correlation_scores, retrieval_scores
from .targets import make_targets
from .types import Targets


class Partners(NamedTuple):
    """The vectors of p texts that documents are paired with.

    documents (list[int]): The example that each is paired with.
    scores (ndarray): The similarity that the two are to have, 0..1, shape (p,).
    base (ndarray): Base vectors, float32, shape (p, d).
    tuned (ndarray | None): Tuned vectors, float32, shape (p, k); None before training.
    """

    documents: list[int]
    scores: NDArray[Any]
    base: NDArray[Any]
    tuned: NDArray[Any] | None


def make_embtune_scorer() -> "EmbTuneScorer":
    """RETURNS (EmbTuneScorer): The scorer `spacy-embtune.embtune_scorer.v1`."""
    return EmbTuneScorer()


class EmbTuneScorer:
    """Scores tuned vectors by whether the nearest neighbours of a document share its labels, and
    base vectors as well, so that the gain is in sight.

    Base vectors do not change while only a head is trained: their scores are kept from one
    evaluation to the next.
    """

    def __init__(self) -> None:
        self._last: tuple[bytes, dict[str, float | None]] | None = None

    def __call__(
        self,
        examples: Iterable[Example],
        *,
        labels: Sequence[str],
        exclusive_classes: bool | None,
        extension: str = "embtune",
        base_extension: str = "embedding",
        set_cats: bool = False,
        partners: Partners | None = None,
        **cfg: Any,
    ) -> dict[str, Any]:
        """Score documents that went through the component.

        examples (Iterable[Example]): Vectors are read from `predicted`, labels from `reference`.
        labels (Sequence[str]): The labels.
        exclusive_classes (bool | None): Whether a document carries exactly one of them.
        extension, base_extension (str): Where the vectors are.
        set_cats (bool): Whether the component writes `doc.cats`; they are then scored as textcat's.
        partners (Partners | None): What the documents are paired with, if they are.
        RETURNS (dict[str, Any]): p@1 and MAP@R (see `metrics.retrieval_scores`) under
            "<extension>_p1" and "<extension>_map_r", those of the base vectors under
            "<extension>_base_p1" and "<extension>_base_map_r". With partners also "_spearman" and
            "_pearson" of each: the correlation of the pairs' cosines with their scores. With
            set_cats also what `Scorer.score_cats` gives. None where nothing can be scored.
        """
        examples = list(examples)
        scores: dict[str, Any] = {}
        targets = make_targets(
            [example.reference.cats for example in examples],
            labels,
            exclusive=bool(exclusive_classes),
        )
        base, tuned = _vectors(examples, base_extension), _vectors(examples, extension)
        scores.update(_score(tuned, targets, f"{extension}_"))
        key = _digest(extension, base, targets)
        if self._last is None or self._last[0] != key:
            self._last = (key, _score(base, targets, f"{extension}_base_"))
        scores.update(self._last[1])
        if partners is not None:
            at, gold = partners.documents, partners.scores
            scores.update(_correlate(tuned, partners.tuned, at, gold, f"{extension}_"))
            scores.update(_correlate(base, partners.base, at, gold, f"{extension}_base_"))
        if set_cats:
            cats_scores = Scorer.score_cats(
                examples, "cats", labels=labels, multi_label=not exclusive_classes, **cfg
            )
            scores.update(cats_scores)
        return scores


def _vectors(examples: Sequence[Example], name: str) -> NDArray[Any] | None:
    """RETURNS (ndarray | None): The vectors under `doc._.name`, float32 of shape (n, k), zeros for
    Docs that have none; None if no Doc has one."""
    vectors = [get_vector(example.predicted, name) for example in examples]
    width = next((len(vector) for vector in vectors if vector is not None), 0)
    if not width:
        return None
    nothing = numpy.zeros(width, dtype="float32")
    return numpy.asarray([nothing if vector is None else vector for vector in vectors])


def _score(vectors: NDArray[Any] | None, targets: Targets, prefix: str) -> dict[str, float | None]:
    if vectors is None:
        return {f"{prefix}p1": None, f"{prefix}map_r": None}
    scores = retrieval_scores(vectors, targets.values, targets.known)
    return {f"{prefix}p1": scores.p_at_1, f"{prefix}map_r": scores.map_at_r}


def _correlate(
    vectors: NDArray[Any] | None,
    of_partners: NDArray[Any] | None,
    documents: list[int],
    gold: NDArray[Any],
    prefix: str,
) -> dict[str, float | None]:
    spearman, pearson = None, None
    if vectors is not None and of_partners is not None:
        a, b = vectors[documents], of_partners
        lengths = numpy.linalg.norm(a, axis=1) * numpy.linalg.norm(b, axis=1)
        # A text without a vector has no cosine.
        has_both = lengths > 0
        cosines = (a * b).sum(axis=1)[has_both] / lengths[has_both]
        spearman, pearson, _ = correlation_scores(cosines, gold[has_both])
    return {f"{prefix}spearman": spearman, f"{prefix}pearson": pearson}


def _digest(name: str, base: NDArray[Any] | None, targets: Targets) -> bytes:
    digest = hashlib.sha256(name.encode("utf8"))
    for array in (base, targets.values, targets.known):
        digest.update(b"" if array is None else numpy.ascontiguousarray(array).tobytes())
    return digest.digest()
