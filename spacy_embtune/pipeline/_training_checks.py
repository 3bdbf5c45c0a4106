"""What is odd about a pipeline or a training corpus, said before it costs somebody an afternoon."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from spacy.errors import Errors
from spacy.language import Language
from thinc.api import Model

from ..encoder.shim import find_shim
from ._training_corpus import TrainingCorpus

logger = logging.getLogger(__name__)

# What the names of the scores end in, behind the name of the extension.
SCORES = (
    *("_p1", "_map_r", "_base_p1", "_base_map_r"),
    *("_spearman", "_pearson", "_base_spearman", "_base_pearson"),
)


def check_pipeline(pipe: Any, nlp: Language) -> None:
    """Say if another component writes to the same attributes, or if the scores that choose the best
    model have other names than the components give them.

    pipe (EmbTune): The component.
    nlp (Language): Its pipeline.
    RAISES (ValueError): If two components would overwrite each other's vectors.
    """
    prefixes = set()
    for other_name, other in nlp.components:
        if not isinstance(other, type(pipe)):
            continue
        prefixes.add(f"{other.extension}_")
        if other is not pipe:
            name = _shared_attribute(pipe, other)
            if name is not None:
                raise ValueError(
                    f"[{pipe.name}] and [{other_name}] both write to doc._.{name}. Give each an "
                    f"extension of its own, and, if their encoders differ, a base_extension."
                )
    for key in nlp.config["training"]["score_weights"]:
        if key.endswith(SCORES) and not key.startswith(tuple(prefixes)):
            logger.warning(
                "[training.score_weights] names %s, which no component gives: it counts as 0. The "
                "scores of [%s] begin with its extension: %s.",
                key,
                pipe.name,
                ", ".join(f"{pipe.extension}{score}" for score in SCORES),
            )


def warn_of_idle_updates(pipe: Any) -> None:
    """Say that one update after the other teaches nothing.

    pipe (EmbTune): The component.
    """
    # A bank is nothing for an encoder that learns.
    learns = pipe.encoder is not None and pipe.encoder.is_trainable
    logger.warning(
        "[%s] %d updates in a row taught nothing: the loss (%s) found nothing in their documents "
        "to learn from. Losses on labels need doc.cats. supervised_contrastive and triplet need "
        "documents in a batch that are alike and some that are not: larger batches, %s, or, "
        "for pairs that have scores, spacy-embtune.cosent.v1 or spacy-embtune.cosine_pairs.v1.",
        pipe.name,
        pipe._n_idle,
        type(pipe.loss).__name__,
        "spacy-embtune.batch_by_class.v1 with a size of twice the classes"
        if learns
        else "bank_size",
    )


def _shared_attribute(pipe: Any, other: Any) -> str | None:
    """RETURNS (str | None): An attribute that two components would fill with different vectors."""
    for name in (pipe.extension, other.extension):
        if name in (pipe.extension, pipe.base_extension) and name in (
            other.extension,
            other.base_extension,
        ):
            return str(name)
    same_encoder = (
        pipe.encoder is not None
        and other.encoder is not None
        and pipe.encoder.settings == other.encoder.settings
        # Two that learn become different, even if they began as one.
        and not pipe.encoder.is_trainable
        and not other.encoder.is_trainable
    )
    return (
        pipe.base_extension
        if pipe.base_extension == other.base_extension and not same_encoder
        else None
    )


def check_corpus(
    corpus: TrainingCorpus, name: str, labels: Sequence[str], counts: Any, *, exclusive: bool
) -> None:
    """Say what will not teach anything, or not what it seems to, and how often that occurs.

    name (str): The component.
    labels (Sequence[str]): Its labels.
    counts (ndarray): How often each is known to be present and absent, shape (2, L).
    exclusive (bool): Whether a document carries exactly one.
    """
    n_docs = len(corpus.cats)
    n_unlabelled = sum(not known for known in corpus.cats)
    logger.info("[%s] %d labels, %d documents", name, len(labels), n_docs)
    if n_unlabelled and labels:
        logger.info("[%s] %d of %d documents have no cats", name, n_unlabelled, n_docs)
    never = [label for label, n in zip(labels, counts[0], strict=True) if n == 0]
    if never:
        logger.warning(
            "[%s] no training document carries %s: nothing can be learned of it.",
            name,
            ", ".join(repr(label) for label in never),
        )
    always = (
        []
        if exclusive
        else [
            label for label, n, m in zip(labels, counts[0], counts[1], strict=True) if n and not m
        ]
    )
    if always:
        logger.warning(
            "[%s] no training document is known to lack %s, and what nobody lacks cannot be told "
            "apart: its scores are 1 whatever the vectors. Write 0.0 where a label is absent.",
            name,
            ", ".join(repr(label) for label in always),
        )
    carriers = Counter(label for cats in corpus.cats for label, value in cats.items() if value > 0)
    once = [label for label in labels if carriers[label] == 1]
    if once:
        logger.warning(
            "[%s] only one training document carries %s: it has no other to be close to.",
            name,
            ", ".join(repr(label) for label in once),
        )
    n_classes = sum(int(n > 0) for n in counts[0]) + sum(int(n > 0) for n in counts[1])
    if labels and n_classes <= 1 and not corpus.has_pairs:
        logger.warning(
            "[%s] all labelled training documents are of one class: there is nothing to tell "
            "apart. Add documents of which the label is known to be absent, or with another label.",
            name,
        )
    n_contradicting = corpus.n_contradicting + (corpus.n_of_two_labels if exclusive else 0)
    if n_contradicting:
        logger.warning(
            "[%s] %d texts occur more than once, with cats that contradict each other: all of them "
            "are learned from.",
            name,
            n_contradicting,
        )


def check_cache_size(corpus: TrainingCorpus, name: str, model: Model[Any, Any]) -> None:
    """Say if not all texts fit the encoder's cache."""
    shim = find_shim(model)
    if shim is not None and shim.store is None and corpus.n_left_out:
        logger.warning(
            "[%s] the training corpus has %d more texts than cache_size = %d: they are encoded "
            "anew each time they are read. Raise cache_size if memory allows (4 bytes times the "
            "encoder's width for each text).",
            name,
            corpus.n_left_out,
            shim.cache.size,
        )


def require_something_to_learn(pipe: Any, corpus: TrainingCorpus) -> None:
    """Check that a corpus has labels or pairs.

    pipe (EmbTune): The component.
    corpus (TrainingCorpus): The training corpus.
    RAISES (ValueError): When there is neither a label nor a pair.
    """
    if pipe.labels or corpus.has_pairs:
        return
    raise ValueError(
        f"[{pipe.name}] no labels: none of the {len(corpus.cats)} training documents has doc.cats, "
        f"a pair or a group, and the component learns from nothing else. Set labels "
        f"(example.reference.cats = {{'LABEL': 1.0}}), or pairs (spacy_embtune.data), or pass "
        f"labels to initialize ([initialize.components.{pipe.name}] labels). With a streamed "
        f"corpus (max_epochs = -1) labelled documents must come early. "
        f"{Errors.E143.format(name=pipe.name)}"
    )
