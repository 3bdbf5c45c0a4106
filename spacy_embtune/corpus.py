"""The training corpus as `initialize` reads it, once: labels, a sample of documents, odd things."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from .batches import describe
from .models.sentence_transformer import find_shim
from .pairs import get_group, get_partners
from .targets import validate_cats

logger = logging.getLogger(__name__)

# How many documents a head sees at initialization when their base vectors are not cached.
INITIAL_SAMPLE = 1000


class TrainingCorpus(NamedTuple):
    """What one pass over the corpus gave.

    cats (list[dict[str, float]]): The cats of each document.
    sample (list[Doc | str]): Documents to initialize the model with, as texts if the encoder reads
        no more of them: all distinct ones, as far as the encoder's cache can keep them.
    n_left_out (int): How many texts are beyond that.
    has_pairs (bool): Whether anything is known of pairs other than by labels.
    n_contradicting (int): How many texts occur with different cats.
    """

    cats: list[dict[str, float]]
    sample: list[Any]
    n_left_out: int
    has_pairs: bool
    n_contradicting: int


def read_corpus(
    examples: Iterable[Example], model: Model[Any, Any], nlp: Language | None, pipe: Any
) -> TrainingCorpus:
    """Read a training corpus.

    examples (Iterable[Example]): The corpus.
    model (Model): The component's model, with the ref "encoder".
    nlp (Language | None): The pipeline; what stands before `pipe` annotates the documents if the
        encoder needs more of them than their text.
    pipe (EmbTune): The component.
    RETURNS (TrainingCorpus): What is in it.
    RAISES (ValueError): If cats or pairs are invalid; it names the document.
    """
    reads_texts = model.get_ref("encoder").attrs.get("reads_texts", False)
    shim = find_shim(model)
    room = max(shim.cache.size if shim is not None else 0, INITIAL_SAMPLE)
    cats: list[dict[str, float]] = []
    cats_of_text: dict[str, dict[str, float]] = {}
    sample: dict[str, Any] = {}
    left_out: set[int] = set()
    contradicting: set[str] = set()
    has_pairs = False
    for i, example in enumerate(examples):
        reference = example.reference
        validate_cats(reference.cats, where=describe(i, example))
        cats.append(dict(reference.cats))
        if reference.cats:
            first = cats_of_text.setdefault(reference.text, cats[-1])
            if any(first.get(label, value) != value for label, value in cats[-1].items()):
                contradicting.add(reference.text)
        partners = get_partners(reference)
        has_pairs = has_pairs or bool(partners) or get_group(reference) is not None
        for text in (reference.text, *(partner.text for partner in partners if reads_texts)):
            if text in sample:
                continue
            if len(sample) < room:
                sample[text] = text if reads_texts else _annotate(example.predicted, nlp, pipe)
            else:
                left_out.add(hash(text))
    n_left_out = len(left_out) if reads_texts else 0
    return TrainingCorpus(cats, list(sample.values()), n_left_out, has_pairs, len(contradicting))


def report(corpus: TrainingCorpus, name: str, labels: Sequence[str], counts: Any) -> None:
    """Say what will not teach anything, or not what it seems to, and how often that occurs.

    name (str): The component.
    labels (Sequence[str]): Its labels.
    counts (ndarray): How often each is known to be present and absent, shape (2, L).
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
    once = [label for label, n in zip(labels, counts[0], strict=True) if 0 < n <= 1]
    if once:
        logger.warning(
            "[%s] only one training document carries %s: it has no pair of its label.",
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
    if corpus.n_contradicting:
        logger.warning(
            "[%s] %d texts occur more than once, with cats that contradict each other: all of them "
            "are learned from.",
            name,
            corpus.n_contradicting,
        )


def report_cache(corpus: TrainingCorpus, name: str, model: Model[Any, Any]) -> None:
    """Say if not all texts fit the encoder's cache."""
    shim = find_shim(model)
    if shim is not None and corpus.n_left_out:
        logger.warning(
            "[%s] the training corpus has %d more texts than cache_size = %d: they are encoded "
            "anew each time they are read. Raise cache_size if memory allows (4 bytes times the "
            "encoder's width for each text).",
            name,
            corpus.n_left_out,
            shim.cache.size,
        )


def _annotate(doc: Doc, nlp: Language | None, pipe: Any) -> Doc:
    """Run what stands before the component on a Doc that nothing has annotated yet: an encoder
    that pools `doc.tensor` needs it to be initialized. Frozen components, switched off meanwhile,
    are run as well."""
    doc = doc.copy()
    for _, component in nlp.components if nlp is not None else []:
        if component is pipe:
            break
        doc = component(doc)
    return doc
