"""The unlabelled texts of a component: what it learns from them beside its corpus."""

import heapq
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Example

from .._texts import count, digest_number, text_key, word_key
from ..data import WEIGHT_FIELD, check_weight
from ..labels import CARRIES, SparseTargets, make_sparse_targets, validate_cats
from ..semi_supervised import BalancedOrder
from ..training import describe
from ._added_documents import AddedDocuments
from ._training_corpus import TrainingCorpus, annotate

logger = logging.getLogger(__name__)

# If unlabelled texts count for the mean of the base vectors, it is that of so many texts. With 1 to
# 2 labelled texts a class this gains a little MAP@R, from 8 on nothing (benchmarks/README.md).
MOST_AVERAGED = 200
# The number of documents with a pseudo-label that are added to a batch if the corpus has no labels.
BATCH_WITHOUT_LABELS = 64
# The order of the documents with a pseudo-label is drawn with this seed.
SEED = 0

Corpus: TypeAlias = Callable[[Language], Iterable[Example]]


class UnlabelledTexts(NamedTuple):
    """What `initialize` reads of the unlabelled texts.

    sample (list[Any]): A sample of the texts for the mean of the base vectors: strings, or Docs.
    inputs (list[Any]): What the encoder reads for each of the m texts with a pseudo-label.
    cats (list[dict[str, float]]): Their cats.
    weights (list[float]): How much each of them counts, in labelled documents.
    """

    sample: list[Any]
    inputs: list[Any]
    cats: list[dict[str, float]]
    weights: list[float]


def read_unlabelled(
    pipe: Any, unlabelled: Corpus, corpus: TrainingCorpus, nlp: Language | None
) -> UnlabelledTexts:
    """Read the unlabelled texts in one pass.

    pipe (EmbTune): The component, with its labels.
    unlabelled (Callable): The setting: gives the texts as Examples. Those with cats have a
        pseudo-label, and may have a weight in `user_data["weight"]` of the reference.
    corpus (TrainingCorpus): The training corpus.
    nlp (Language | None): The pipeline.
    RETURNS (UnlabelledTexts): The texts. The sample does not depend on their order.
    RAISES (ValueError): If there is no pipeline, the component learns from spans, or cats or
        weights are invalid.
    """
    if nlp is None or pipe.learn_spans:
        raise ValueError(
            f"[{pipe.name}] unlabelled cannot be used "
            + (
                "with learn_spans = true, because pseudo-labels are labels of documents. Set "
                "unlabelled = null."
                if pipe.learn_spans
                else "without a pipeline, which reads the texts. Call nlp.initialize, or pass "
                "nlp=nlp."
            )
        )
    encoder = pipe.model.get_ref("encoder")
    reads_texts = encoder.attrs.get("reads_texts", False)
    known = {
        word_key(text if isinstance(text, str) else text.text)
        for text, cats in zip(corpus.sample, corpus.sample_cats, strict=True)
        if cats
    }
    own = set(pipe.labels)
    # Other heads have no use for the mean.
    has_mean = pipe.model.get_ref("head").has_ref("standardize")
    room = max(MOST_AVERAGED - len(corpus.sample), 0) if has_mean else 0
    sampled: list[tuple[int, int, Callable[[], Any]]] = []
    found = UnlabelledTexts([], [], [], [])
    n, n_known, n_foreign = 0, 0, 0
    for i, example in enumerate(unlabelled(nlp)):
        text = example.reference.text
        key = text_key(text)
        if not key:
            continue
        n += 1
        make: Callable[[], Any] = (
            partial(str, text)
            if reads_texts
            else partial(annotate, example.predicted, nlp, pipe, encoder)
        )
        # The texts with the smallest digests are the same whatever the order of the texts.
        is_known = word_key(text) in known
        entry = (-digest_number(key), i, make)
        # A labelled text counts for the mean already.
        if room and not is_known:
            add = heapq.heappush if len(sampled) < room else heapq.heappushpop
            add(sampled, entry)
        cats = example.reference.cats
        if not cats:
            continue
        where = f"unlabelled {describe(i, example)}"
        validate_cats(cats, where=where)
        weight = check_weight(example.reference.user_data.get(WEIGHT_FIELD, 1.0), where=where)
        if is_known:
            n_known += 1
        elif not own.intersection(cats):
            n_foreign += 1
        elif weight:
            found.inputs.append(make())
            found.cats.append(dict(cats))
            found.weights.append(weight)
    found.sample.extend(make() for _, _, make in sorted(sampled, reverse=True))
    logger.info(
        "[%s] unlabelled: %s, %d of them with a pseudo-label",
        pipe.name,
        count(n, "text"),
        n_known + n_foreign + len(found.inputs),
    )
    if n_known:
        logger.info(
            "[%s] unlabelled: %d pseudo-labels are left out, because the training corpus has the "
            "labels of their texts",
            pipe.name,
            n_known,
        )
    if n_foreign:
        logger.warning(
            "[%s] unlabelled: %d pseudo-labels have none of the labels of the component and are "
            "left out.",
            pipe.name,
            n_foreign,
        )
    return found


class PseudoLabelledDocuments:
    """Unlabelled texts with pseudo-labels as documents that are added to batches: as many as the
    batch has labelled documents, of each class equally many, in a random order.

    inputs (list[Any]): What the encoder reads for each of the m documents: strings, or Docs.
    targets (SparseTargets): Their targets, with `weights`.
    n_documents (int): The number of labelled documents of the training corpus.
    """

    def __init__(self, inputs: list[Any], targets: SparseTargets, *, n_documents: int) -> None:
        self.inputs = inputs
        self.targets = targets
        self.n_documents = n_documents
        self._order = BalancedOrder(_find_classes(targets), seed=SEED)

    def __reduce__(self) -> tuple[Any, ...]:
        # The texts belong to one training. They are not pickled, as they are not saved.
        return (_forget, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def select(self, n_labelled: int) -> AddedDocuments | None:
        """Choose documents for a batch.

        n_labelled (int): The number of labelled documents in the batch.
        RETURNS (AddedDocuments | None): The documents. None if the batch has no labelled document
            and the corpus has some.
        """
        rows = self._order.draw(n_labelled if self.n_documents else BATCH_WITHOUT_LABELS)
        if not rows.size:
            return None
        return AddedDocuments([self.inputs[i] for i in rows], self.targets.subset(rows))


def _forget() -> None:
    """RETURNS (None): What a copy of the documents is."""


def _find_classes(targets: SparseTargets) -> NDArray[np.intp]:
    """RETURNS (ndarray): The rarest label that each document carries; -1 if it carries none."""
    carried = targets.values >= CARRIES
    rows, columns = targets.rows[carried], targets.columns[carried]
    counts = np.bincount(columns, minlength=targets.n_labels)
    classes = np.full(targets.shape[0], -1, dtype=np.intp)
    # The rarest label of a document comes last, and stays.
    order = np.lexsort((columns, -counts[columns]))
    classes[rows[order]] = columns[order]
    return classes


def make_pseudo_labelled(
    pipe: Any, texts: UnlabelledTexts, corpus: TrainingCorpus
) -> PseudoLabelledDocuments | None:
    """Make documents of the texts that have a pseudo-label.

    pipe (EmbTune): The component, initialized with the corpus.
    texts (UnlabelledTexts): The unlabelled texts.
    corpus (TrainingCorpus): The training corpus.
    RETURNS (PseudoLabelledDocuments | None): The documents. None if there are none.
    RAISES (ValueError): If labels are exclusive, and the values of a text sum to more than 1.
    """
    if not texts.inputs:
        return None
    targets = make_sparse_targets(
        texts.cats,
        pipe.labels,
        exclusive=bool(pipe.cfg["exclusive_classes"]),
        where=lambda i: f"the pseudo-label of text {i}",
    )
    weights: Any = np.asarray(texts.weights, dtype="float32")
    n_documents = sum(bool(known) for known in corpus.cats)
    return PseudoLabelledDocuments(
        texts.inputs, targets._replace(weights=weights), n_documents=n_documents
    )
