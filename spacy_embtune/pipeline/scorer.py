"""The registered scorer: scores tuned and base vectors of Examples by labels and by pairs."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.scorer import Scorer
from spacy.training import Example

from ..data import get_partners
from ..labels import SparseTargets, is_exclusive, labels_in, make_sparse_targets
from ..metrics import (
    CARRIES,
    LabelScores,
    Rows,
    pair_correlation,
    precision_recall,
    predict_by_threshold,
    retrieval_scores,
)
from ._cats_scores import score_many_cats
from .extensions import get_vector
from .model import has_predictions

logger = logging.getLogger(__name__)


class Partners(NamedTuple):
    """The vectors of p texts that documents are paired with.

    documents (list[int]): For each text, the position of the example that it is paired with.
    scores (ndarray): The expected similarity of the two texts, 0..1, shape (p,).
    base (ndarray): Base vectors, float32, shape (p, d).
    tuned (ndarray | None): Tuned vectors, float32, shape (p, k); None before training.
    """

    documents: list[int]
    scores: NDArray[Any]
    base: NDArray[Any]
    tuned: NDArray[Any] | None


def embed_partners(pipe: Any, examples: Sequence[Example]) -> Partners | None:
    """Embed the texts that examples are paired with.

    pipe (EmbTune): The component.
    examples (Sequence[Example]): The examples.
    RETURNS (Partners | None): The vectors of the texts. None if there are no pairs, or the encoder
        reads Docs only.
    """
    pairs = [
        (i, partner.text, partner.score)
        for i, example in enumerate(examples)
        for partner in get_partners(example.reference)
    ]
    if not pairs or not pipe.model.get_ref("encoder").attrs.get("reads_texts", False):
        return None
    texts = list(dict.fromkeys(text for _, text, _ in pairs))
    position = {text: row for row, text in enumerate(texts)}
    prediction = pipe.predict(texts)
    untuned = pipe.encode_untuned(texts)
    base = prediction.base if untuned is None else untuned
    rows = [position[text] for _, text, _ in pairs]
    return Partners(
        documents=[i for i, _, _ in pairs],
        scores=np.asarray([score for _, _, score in pairs]),
        base=base[rows],
        tuned=None if prediction.tuned is None else prediction.tuned[rows],
    )


def make_embtune_scorer() -> "EmbTuneScorer":
    """Create the scorer `spacy-embtune.embtune_scorer.v1`.

    >>> scorer = make_embtune_scorer()
    >>> scorer([], labels=["A", "B"], exclusive_classes=True)["embtune_p1"] is None
    True

    RETURNS (EmbTuneScorer): The scorer.
    """
    return EmbTuneScorer()


class EmbTuneScorer:
    """Scores tuned vectors by whether the nearest neighbours of a document share its labels, and
    scores base vectors in the same way, so that a training log shows the gain.

    The scores of base vectors are kept from one evaluation to the next, because base vectors do not
    change while only a head is trained.
    """

    def __init__(self) -> None:
        self._has_warned = False
        self._last: tuple[bytes, _Retrieval] | None = None

    def __call__(
        self,
        examples: Iterable[Example],
        *,
        labels: Sequence[str],
        exclusive_classes: bool | None,
        extension: str = "embtune",
        base_extension: str = "embedding",
        set_cats: bool = False,
        threshold: float = 0.5,
        partners: Partners | None = None,
        untuned: NDArray[Any] | None = None,
        probabilities: Rows | None = None,
        all_cats: bool = True,
        **cfg: Any,
    ) -> dict[str, Any]:
        """Score n documents that the component has processed.

        examples (Iterable[Example]): Vectors are read from `predicted`, labels from `reference`.
        labels (Sequence[str]): The labels. If this is empty, the labels of the examples.
        exclusive_classes (bool | None): Whether a document carries exactly one of them.
        extension, base_extension (str): The attributes of tuned and base vectors.
        set_cats (bool): Whether the component writes `doc.cats`. They are then scored like those of
            spaCy's text classifiers.
        threshold (float): The probability from which a label counts as predicted, if labels are not
            exclusive.
        partners (Partners | None): The texts that the documents are paired with. None: no pairs.
        untuned (ndarray | None): The base vectors to score if the encoder learns, shape (n, d).
            None: the vectors under `base_extension`.
        probabilities (Rows | None): The probabilities of the labels, shape (n, L). None: they are
            not known.
        all_cats (bool): Whether `doc.cats` has all labels. If not, the scores of cats are computed
            from `probabilities`.
        RETURNS (dict[str, Any]): p@1 and MAP@R (see `metrics.retrieval_scores`) of tuned vectors
            under "<extension>_p1" and "<extension>_map_r", and of base vectors under
            "<extension>_base_p1" and "<extension>_base_map_r". With partners also "_spearman" and
            "_pearson" of each: the correlation between the cosines of the pairs and their scores.
            Under "<extension>_per_type" a dict for each label that a document carries: "n", the
            number of these documents, "p1", "map_r", "base_p1", "base_map_r", and, of the labels
            that the component predicts, "p", "r" and "f" (precision, recall, F1).
            With set_cats also the scores of `Scorer.score_cats`. A score is None where nothing can
            be scored, and 0.0 where only the tuned vectors are missing.
        """
        examples = list(examples)
        scores: dict[str, Any] = {}
        cats = [example.reference.cats for example in examples]
        if not labels:
            # The component was trained on pairs only. Score it by the labels that the data have.
            labels, exclusive_classes, set_cats = labels_in(cats), is_exclusive(cats), False
        targets = make_sparse_targets(cats, labels, exclusive=bool(exclusive_classes))
        base, tuned = _vectors(examples, base_extension), _vectors(examples, extension)
        base = base if untuned is None else untuned
        key = _digest(extension, base, targets)
        if self._last is None or self._last[0] != key:
            self._last = (key, _retrieve(base, targets))
        base_retrieval, tuned_retrieval = self._last[1], _retrieve(tuned, targets)
        of_base, of_tuned = base_retrieval.scores, tuned_retrieval.scores
        if partners is not None:
            at, gold = partners.documents, partners.scores
            of_base = {**of_base, **_correlate(base, partners.base, at, gold)}
            of_tuned = {**of_tuned, **_correlate(tuned, partners.tuned, at, gold)}
            if base is not None and of_base["spearman"] is None and not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "The %d pairs of the dev data all have the same score, or no vectors. The "
                    "correlation is then not defined and is shown as 0. Add pairs that are not "
                    "alike (n_neg of spacy-embtune.pairs_from_corpus.v1).",
                    len(gold),
                )
        for name, value in of_base.items():
            # A head that is not trained yet scores 0.0, not None: spaCy ignores a score that was
            # None once for the rest of the training when it chooses the best model.
            is_missing = tuned is None and value is not None
            scores[f"{extension}_{name}"] = 0.0 if is_missing else of_tuned[name]
            scores[f"{extension}_base_{name}"] = value
        scores[f"{extension}_per_type"] = _score_labels(
            labels, targets, base_retrieval, tuned_retrieval, base, probabilities, threshold
        )
        if set_cats:
            cfg.update(exclusive=bool(exclusive_classes), threshold=threshold)
            if not all_cats and probabilities is not None:
                cfg = {key: cfg[key] for key in ("exclusive", "threshold")}
                scores.update(score_many_cats(examples, probabilities, labels, **cfg))
            else:
                scores.update(_score_cats(examples, labels, **cfg))
        return scores


def _vectors(examples: Sequence[Example], name: str) -> NDArray[Any] | None:
    """RETURNS (ndarray | None): The vectors under `doc._.name`, float32, shape (n, k), with zeros
    for Docs without a vector. None if no Doc has a vector."""
    vectors = [get_vector(example.predicted, name) for example in examples]
    width = next((len(vector) for vector in vectors if vector is not None), 0)
    if not width:
        return None
    nothing = np.zeros(width, dtype="float32")
    return np.asarray([nothing if vector is None else vector for vector in vectors])


class _Retrieval(NamedTuple):
    """Retrieval scores of one kind of vectors by their names, and of each label. None without
    vectors."""

    scores: dict[str, float | None]
    per_label: LabelScores | None


def _retrieve(vectors: NDArray[Any] | None, targets: SparseTargets) -> _Retrieval:
    if vectors is None:
        return _Retrieval({"p1": None, "map_r": None}, None)
    found = retrieval_scores(vectors, targets)
    return _Retrieval({"p1": found.p_at_1, "map_r": found.map_at_r}, found.per_label)


def _score_labels(
    labels: Sequence[str],
    targets: SparseTargets,
    base: _Retrieval,
    tuned: _Retrieval,
    vectors: NDArray[Any] | None,
    probabilities: Rows | None,
    threshold: float,
) -> dict[str, dict[str, float | None]]:
    """RETURNS (dict): The scores of each label that a document with a vector carries. `vectors` are
    the base vectors."""
    columns: dict[str, Any] = {}
    for prefix, retrieval in (("", tuned), ("base_", base)):
        if retrieval.per_label is not None:
            columns[f"{prefix}p1"] = retrieval.per_label.p_at_1
            columns[f"{prefix}map_r"] = retrieval.per_label.map_at_r
    if vectors is None:
        return {}
    has_vector: NDArray[np.bool_] = np.asarray(vectors.any(axis=1))
    if probabilities is not None and has_predictions(
        probabilities, exclusive=targets.exclusive, has_vector=has_vector
    ):
        found = precision_recall(
            predict_by_threshold(probabilities, targets, threshold=threshold, has_vector=has_vector)
        )
        columns.update(p=found.precision, r=found.recall, f=found.f1)
    names = ("p1", "map_r", "base_p1", "base_map_r", "p", "r", "f")
    carries = (targets.values >= CARRIES) & has_vector[targets.rows]
    n = np.bincount(targets.columns[carries], minlength=len(labels))
    return {
        labels[j]: {
            "n": int(n[j]),
            **{name: _number(columns[name][j]) if name in columns else None for name in names},
        }
        for j in np.flatnonzero(n).tolist()
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _score_cats(
    examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool, **cfg: Any
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Scores of `doc.cats` over the documents that have predicted cats;
    0.0 if no document has any, as before training."""
    predicted = [example for example in examples if example.predicted.cats]
    if not predicted:
        names = ("score", "micro_f", "macro_f", "macro_auc")
        return {f"cats_{name}": 0.0 for name in names} if examples else {}
    return Scorer.score_cats(predicted, "cats", labels=labels, multi_label=not exclusive, **cfg)


def _correlate(
    vectors: NDArray[Any] | None,
    of_partners: NDArray[Any] | None,
    documents: list[int],
    gold: NDArray[Any],
) -> dict[str, float | None]:
    spearman, pearson = None, None
    if vectors is not None and of_partners is not None:
        spearman, pearson, _ = pair_correlation(vectors[documents], of_partners, gold)
    return {"spearman": spearman, "pearson": pearson}


def _digest(name: str, base: NDArray[Any] | None, targets: SparseTargets) -> bytes:
    digest = hashlib.sha256(name.encode("utf8"))
    digest.update(b"" if base is None else np.ascontiguousarray(base).tobytes())
    digest.update(targets.digest())
    return digest.digest()
