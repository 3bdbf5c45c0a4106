"""The training corpus as `initialize` reads it, once: cats, and a sample of documents."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from ..data.pairs import get_group, get_partners
from ..encoder.doc_vectors import choose_source
from ..encoder.shim import find_shim
from ..labels import is_exclusive, validate_cats
from ..training.batches import describe
from ..training.seen import SeenTexts

# How many documents a head sees at initialization when their base vectors are not cached.
INITIAL_SAMPLE = 1000


class TrainingCorpus(NamedTuple):
    """What one pass over the corpus gave.

    cats (list[dict[str, float]]): The cats of each document.
    sample (list[Doc | str]): Documents to initialize the model with, as texts if the encoder reads
        no more of them: all distinct ones, as far as the encoder's cache can keep them.
    n_left_out (int): How many distinct texts do not fit the encoder's cache.
    has_pairs (bool): Whether anything is known of pairs other than by labels.
    n_contradicting (int): How many texts occur with different values of one label.
    n_of_two_labels (int): How many others occur with one label here and another one there, which
        contradicts if labels exclude each other.
    seen (SeenTexts): The texts, those of pairs included, as far as they are remembered.
    """

    cats: list[dict[str, float]]
    sample: list[Any]
    n_left_out: int
    has_pairs: bool
    n_contradicting: int
    n_of_two_labels: int
    seen: SeenTexts


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
    encoder = model.get_ref("encoder")
    reads_texts = encoder.attrs.get("reads_texts", False)
    shim = find_shim(model)
    room = max(shim.cache.size if shim is not None else 0, INITIAL_SAMPLE)
    cats: list[dict[str, float]] = []
    cats_of_text: dict[str, dict[str, float]] = {}
    sample: dict[str, Any] = {}
    distinct: set[int] = set()
    seen = SeenTexts()
    contradicting: set[str] = set()
    of_two_labels: set[str] = set()
    has_pairs = False
    for i, example in enumerate(examples):
        reference = example.reference
        validate_cats(reference.cats, where=describe(i, example))
        cats.append(dict(reference.cats))
        if reference.cats:
            first = cats_of_text.setdefault(reference.text, cats[-1])
            if any(first.get(label, value) != value for label, value in cats[-1].items()):
                contradicting.add(reference.text)
            elif sum({**cats[-1], **first}.values()) > 1.0:
                of_two_labels.add(reference.text)
        partners = get_partners(reference)
        if partners and not reads_texts:
            raise ValueError(
                f"{describe(i, example)} is paired with other texts, but the encoder reads "
                f"annotated Docs, not texts. Take spacy-embtune.SentenceTransformer.v1 for pairs, "
                f"or give both texts of a pair as documents of one group."
            )
        has_pairs = has_pairs or bool(partners) or get_group(reference) is not None
        texts = (reference.text, *(partner.text for partner in partners if reads_texts))
        seen.add(texts)
        for text in texts:
            distinct.add(hash(text))
            if text not in sample and len(sample) < room:
                doc = example.predicted
                sample[text] = text if reads_texts else _annotate(doc, nlp, pipe, encoder)
    n_left_out = max(len(distinct) - shim.cache.size, 0) if shim is not None else 0
    return TrainingCorpus(
        cats,
        list(sample.values()),
        n_left_out,
        has_pairs,
        len(contradicting),
        len(of_two_labels - contradicting),
        seen,
    )


def _annotate(doc: Doc, nlp: Language | None, pipe: Any, encoder: Model[Any, Any]) -> Doc:
    """Run what stands before the component on a Doc that nothing has annotated yet: an encoder
    that pools `doc.tensor` needs it to be initialized. Frozen components, switched off meanwhile,
    are run as well."""
    if encoder.name == "doc_vectors" and choose_source(encoder, doc) == "vectors":
        return doc
    doc = doc.copy()
    for name, component in nlp.components if nlp is not None else []:
        if component is pipe:
            break
        try:
            doc = component(doc)
        except Exception as error:
            raise ValueError(
                f"The component {name!r}, which stands before an embtune component whose encoder "
                f"reads its annotations, cannot be applied ({error}). Initialize or load it first, "
                f"or put it behind."
            ) from error
    return doc


def find_exclusive(
    corpus: TrainingCorpus, name: str, labels: Sequence[str], setting: bool | None
) -> bool:
    """Find out whether a document carries exactly one label.

    corpus (TrainingCorpus): The training corpus.
    name (str): The component.
    labels (Sequence[str]): Its labels. Other labels of the corpus do not count.
    setting (bool | None): The setting exclusive_classes. None: True if the cats of every labelled
        document sum to 1.
    RETURNS (bool): The setting, or what the corpus says.
    RAISES (ValueError): When labels exclude each other and there are fewer than two.
    """
    exclusive = setting
    if exclusive is None:
        known = set(labels)
        exclusive = is_exclusive(
            {label: value for label, value in cats.items() if label in known}
            for cats in corpus.cats
        )
    if exclusive and len(labels) < 2:
        raise ValueError(
            f"[{name}] exclusive_classes = true needs at least two labels, found {list(labels)}. "
            f"Use null or false: one label is then learned against its absence."
        )
    return exclusive
