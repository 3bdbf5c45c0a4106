"""Errors and warnings about a pipeline and its training corpus."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TextCategorizer
from thinc.api import Model

from .._texts import quote_some
from ..encoder import differing_settings
from ..encoder.shim import find_shim
from ._training_corpus import TrainingCorpus

logger = logging.getLogger(__name__)

# How many labels a warning names.
MOST_NAMES = 10

# The name of a score is the name of the extension and one of these.
SCORES = (
    *("_p1", "_map_r", "_base_p1", "_base_map_r"),
    *("_spearman", "_pearson", "_base_spearman", "_base_pearson"),
)


def check_pipeline(pipe: Any, nlp: Language) -> None:
    """Compare the settings of a component with the rest of its pipeline. Log a warning if
    [training.score_weights] names a score that no component gives, or if another component writes
    to `doc.cats` as well.

    pipe (EmbTune): The component.
    nlp (Language): Its pipeline.
    RAISES (ValueError): When two components write different vectors to the same attribute.
    """
    prefixes = set()
    for other_name, other in nlp.components:
        if other is not pipe and pipe.set_cats and _writes_cats(other):
            logger.warning(
                "[%s] and [%s] both write to doc.cats and give the scores cats_*, so the component "
                "that comes later in the pipeline replaces the values of labels that both have. "
                "Set set_cats = false, or leave one of them out.",
                pipe.name,
                other_name,
            )
        if not isinstance(other, type(pipe)):
            continue
        prefixes.add(f"{other.extension}_")
        if other is not pipe:
            name = _find_shared_attribute(pipe, other)
            if name is not None:
                raise ValueError(
                    f"[{pipe.name}] and [{other_name}] both write to doc._.{name}. Give each an "
                    f"extension of its own, and, if their encoders differ, a base_extension."
                    f"{_explain_difference(pipe, other)}"
                )
            warn_of_second_encoder(pipe, other, nlp)
    weights = nlp.config["training"]["score_weights"]
    named = [key for key, weight in weights.items() if weight is not None and key.endswith(SCORES)]
    unknown = [key for key in named if not key.startswith(tuple(prefixes))]
    # Of several components, one warns for all.
    if unknown and pipe is next(p for _, p in nlp.pipeline if isinstance(p, type(pipe))):
        logger.warning(
            "[training.score_weights] names scores that no component gives, so they count as 0: "
            "%s. The scores of a component begin with its extension: %s.",
            ", ".join(unknown),
            ", ".join(f"{prefix[:-1]}{score}" for prefix in sorted(prefixes) for score in SCORES),
        )


def _writes_cats(pipe: Any) -> bool:
    """RETURNS (bool): Whether a component writes to `doc.cats`."""
    # spaCy's multi-label classifier is a subclass of this one.
    return isinstance(pipe, TextCategorizer) or getattr(pipe, "set_cats", False) is True


def _find_shared_attribute(pipe: Any, other: Any) -> str | None:
    """RETURNS (str | None): An attribute to which two components would write different vectors."""
    for name in (pipe.extension, other.extension):
        if name in (pipe.extension, pipe.base_extension) and name in (
            other.extension,
            other.base_extension,
        ):
            return str(name)
    if pipe.base_extension == other.base_extension and not _has_same_encoder(pipe, other):
        return str(pipe.base_extension)
    return None


def _has_same_encoder(pipe: Any, other: Any) -> bool:
    """RETURNS (bool): Whether two components get the same base vectors."""
    one, two = pipe.encoder, other.encoder
    # Two encoders that learn become different, even if they started as the same one.
    if one is None or two is None or one.is_trainable or two.is_trainable:
        return False
    return not differing_settings(one.settings, two.settings) or one.encoder is two.encoder


def _explain_difference(pipe: Any, other: Any) -> str:
    """RETURNS (str): Why the encoders of two components differ; empty if that is obvious."""
    one, two = pipe.encoder, other.encoder
    if one is None or two is None or one.settings.name != two.settings.name:
        return ""
    if one.is_trainable or two.is_trainable:
        names = [p.name for p in (pipe, other) if p.encoder.is_trainable]
        return (
            f" Both name the encoder {one.settings.name!r}, but that of [{names[0]}] learns "
            f"(trainable_layers), so its vectors become others. To share one encoder, set "
            f"trainable_layers = 0."
        )
    differing = _list_differences(pipe, other)
    return f" Their encoders differ in {differing}." if differing else ""


def _list_differences(pipe: Any, other: Any) -> str:
    differing = differing_settings(pipe.encoder.settings, other.encoder.settings)
    return ", ".join(f"{name} ({one!r}, {two!r})" for name, (one, two) in differing.items())


def warn_of_second_encoder(pipe: Any, other: Any, nlp: Language) -> None:
    """Log a warning if two components name the same frozen encoder with other settings, so that
    they cannot share it.

    pipe, other (EmbTune): The components.
    nlp (Language): Their pipeline. Only the later one of the two warns.
    """
    one, two = pipe.encoder, other.encoder
    if one is None or two is None or one.is_trainable or two.is_trainable:
        return
    is_later = next(p is other for _, p in nlp.components if p is pipe or p is other)
    differing = differing_settings(one.settings, two.settings)
    # Two revisions may be one model.
    if is_later and "name" not in differing and set(differing) - {"revision"}:
        logger.warning(
            "[%s] and [%s] name the same encoder, %s, but differ in %s. So it is in memory twice, "
            "and each text is encoded twice. Give both the same settings if they should share it.",
            other.name,
            pipe.name,
            one.settings.name,
            _list_differences(other, pipe),
        )


def check_spans(pipe: Any, corpus: TrainingCorpus) -> None:
    """Log a warning if documents have no spans for a component that learns from spans.

    pipe (EmbTune): The component.
    corpus (TrainingCorpus): The training corpus.
    RAISES (ValueError): When no document has such spans.
    """
    counts = corpus.spans
    if counts is None or not counts.n_docs:
        return
    if counts.n_without < counts.n_docs:
        if counts.n_without:
            logger.warning(
                "[%s] %d of %d training documents have no spans in doc.spans[%r], so nothing is "
                "learned from them.",
                pipe.name,
                counts.n_without,
                counts.n_docs,
                pipe.spans,
            )
        return
    found = ", ".join(repr(key) for key, _ in counts.keys.most_common(MOST_NAMES))
    raise ValueError(
        f"[{pipe.name}] learn_spans = true learns from doc.spans[{pipe.spans!r}], but none of the "
        f"{counts.n_docs} training documents has a span there. "
        + (
            f"They have spans under {found}: set spans to one of these keys."
            if found
            else "Set doc.spans[KEY] in the training data, or set learn_spans = false to learn "
            "from doc.cats."
        )
    )


def require_something_to_learn(pipe: Any, corpus: TrainingCorpus) -> None:
    """Check that a corpus has labels or pairs.

    pipe (EmbTune): The component.
    corpus (TrainingCorpus): The training corpus.
    RAISES (ValueError): When there is neither a label nor a pair.
    """
    if pipe.labels or corpus.has_pairs:
        return
    if corpus.spans is not None:
        raise ValueError(
            f"[{pipe.name}] no labels: none of the {len(corpus.cats)} spans in "
            f"doc.spans[{pipe.spans!r}] has a label, and the component learns from nothing else. "
            f"Set them: Span(doc, start, end, label='LABEL'). {Errors.E143.format(name=pipe.name)}"
        )
    raise ValueError(
        f"[{pipe.name}] no labels: none of the {len(corpus.cats)} training documents has doc.cats, "
        f"a pair or a group, and the component learns from nothing else. Set labels "
        f"(example.reference.cats = {{'LABEL': 1.0}}), or pairs (spacy_embtune.data), or pass "
        f"labels to initialize ([initialize.components.{pipe.name}] labels). With a streamed "
        f"corpus (max_epochs = -1) labelled documents must come early. "
        f"{Errors.E143.format(name=pipe.name)}"
    )


def check_corpus(
    corpus: TrainingCorpus,
    name: str,
    labels: Sequence[str],
    counts: Any,
    *,
    exclusive: bool,
    described: Collection[str] = (),
) -> None:
    """Log how many labels and documents a training corpus has, and warn of labels and documents
    that teach nothing.

    corpus (TrainingCorpus): The training corpus.
    name (str): The component.
    labels (Sequence[str]): Its L labels.
    counts (ndarray): How often each label is known to be present and known to be absent, shape
        (2, L).
    exclusive (bool): Whether a document carries exactly one label.
    described (Collection[str]): The labels that have texts to learn from.
    """
    n_docs = len(corpus.cats)
    unit = "document" if corpus.spans is None else "span"
    n_unlabelled = sum(not known for known in corpus.cats)
    logger.info("[%s] %d labels, %d %ss", name, len(labels), n_docs, unit)
    if n_unlabelled and labels:
        logger.info("[%s] %d of %d %ss have no labels", name, n_unlabelled, n_docs, unit)
    present, absent = counts
    never = [label for label, n in zip(labels, present, strict=True) if n == 0]
    never = [label for label in never if label not in described]
    if never:
        logger.warning(
            "[%s] no training %s carries %s, so these labels cannot be learned.",
            name,
            unit,
            quote_some(never, MOST_NAMES),
        )
    always: list[str] = []
    if not exclusive:
        counted = zip(labels, present, absent, strict=True)
        always = [label for label, n, m in counted if n and not m]
    always = always if len(described) < 2 else []
    if always:
        logger.warning(
            "[%s] no training %s is known to lack %s, so these labels cannot be learned: "
            "their scores are 1 for all of them. Write 0.0 where a label is absent.",
            name,
            unit,
            quote_some(always, MOST_NAMES),
        )
    carriers = Counter(label for cats in corpus.cats for label, value in cats.items() if value > 0)
    once = [label for label in labels if carriers[label] == 1 and label not in described]
    if once:
        logger.warning(
            "[%s] only one training %s carries %s: there is no other one to be close to.",
            name,
            unit,
            quote_some(once, MOST_NAMES),
        )
    n_classes = sum(int(n > 0) for n in present) + sum(int(n > 0) for n in absent)
    if labels and n_classes <= 1 and len(described) < 2 and not corpus.has_pairs:
        logger.warning(
            "[%s] all labelled training %ss are of one class, so there is nothing to tell apart. "
            "Add %ss with another label, or %ss where the label is known to be absent.",
            name,
            unit,
            unit,
            unit,
        )
    n_contradicting = corpus.n_contradicting + (corpus.n_of_two_labels if exclusive else 0)
    if n_contradicting:
        logger.warning(
            "[%s] %d texts occur more than once with cats that contradict each other. The "
            "component learns from all of them. `python -m spacy embtune inspect` shows them.",
            name,
            n_contradicting,
        )
    if corpus.n_empty:
        logger.warning(
            "[%s] %d of %d training %ss have no text, so nothing is learned from them.",
            name,
            corpus.n_empty,
            n_docs,
            unit,
        )


def check_cache_size(corpus: TrainingCorpus, name: str, model: Model[Any, Any]) -> None:
    """Log a warning if the encoder's cache is too small for the texts of a corpus.

    corpus (TrainingCorpus): The training corpus.
    name (str): The component.
    model (Model): Its model.
    """
    shim = find_shim(model)
    if shim is not None and shim.store is None and corpus.n_left_out:
        logger.warning(
            "[%s] the training corpus has %d more texts than cache_size = %d. These texts are "
            "encoded again each time they are read. Raise cache_size if memory allows (4 bytes "
            "times the encoder's width for each text).",
            name,
            corpus.n_left_out,
            shim.cache.size,
        )


def warn_of_no_spans(pipe: Any) -> None:
    """Log a warning that there are no spans to score.

    pipe (EmbTune): The component.
    """
    logger.warning(
        "[%s] learn_spans = true scores doc.spans[%r], but no document that is scored has a span "
        "there, so there are no scores. Give a dev corpus with the same key.",
        pipe.name,
        pipe.spans,
    )


def warn_of_idle_updates(pipe: Any) -> None:
    """Log a warning that many updates in a row had no gradient.

    pipe (EmbTune): The component.
    """
    # An encoder that learns cannot have a memory bank.
    learns = pipe.encoder is not None and pipe.encoder.is_trainable
    logger.warning(
        "[%s] %d updates in a row taught nothing: the loss (%s) found nothing to learn in their "
        "documents. Losses on labels need doc.cats. supervised_contrastive needs "
        "batches with documents that are alike and documents that are not: use larger batches or "
        "%s. For pairs with scores, use spacy-embtune.cosine_pairs.v1.",
        pipe.name,
        pipe._n_idle,
        type(pipe.loss).__name__,
        "spacy-embtune.batch_by_class.v1 with a size of twice the classes"
        if learns
        else "bank_size",
    )
