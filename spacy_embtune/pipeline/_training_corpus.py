"""Read the training corpus once, when a component is initialized: its cats and a sample."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from .._texts import text_key
from ..data import get_group, get_partners
from ..encoder.doc_vectors import choose_source
from ..encoder.shim import find_shim
from ..labels import is_exclusive, validate_cats
from ..training.batches import describe
from ..training.seen_texts import SeenTexts
from .units import make_span_units

# The number of texts that a head is initialized with when the encoder has no cache.
INITIAL_SAMPLE = 1000


class SpanCounts:
    """Counts the documents that labelled spans come from.

    n_docs (int): The number of documents.
    n_without (int): The number of documents without a span under the key.
    keys (Counter[str]): The number of documents that have each other key.
    """

    def __init__(self) -> None:
        self.n_docs = 0
        self.n_without = 0
        self.keys: Counter[str] = Counter()

    def add(self, doc: Doc, key: str) -> None:
        self.n_docs += 1
        self.n_without += not (key in doc.spans and len(doc.spans[key]))
        self.keys.update(other for other in doc.spans if other != key)


class TrainingCorpus(NamedTuple):
    """The contents of a training corpus.

    cats (list[dict[str, float]]): The cats of each document.
    sample (list[Doc | str]): Documents to initialize the model with: all distinct texts that fit
        the encoder's cache. They are strings if the encoder reads texts, else Docs.
    sample_cats (list[dict[str, float]]): The cats of a labelled document with the text of each
        document of `sample`; empty if there is none.
    n_empty (int): Number of documents without text.
    n_left_out (int): Number of distinct texts that do not fit the encoder's cache.
    has_pairs (bool): Whether a document has partners or a group.
    n_contradicting (int): Number of texts that occur with different values of one label. Texts
        that differ only in case and white space count as one.
    n_of_two_labels (int): Number of other texts that occur with different labels. This is a
        contradiction if labels exclude each other.
    seen (SeenTexts): Digests of the texts, including the texts of partners.
    spans (SpanCounts | None): The documents that the labelled spans come from, if a component
        learns from spans. The other fields then count spans in place of documents.
    """

    cats: list[dict[str, float]]
    sample: list[Any]
    sample_cats: list[dict[str, float]]
    n_empty: int
    n_left_out: int
    has_pairs: bool
    n_contradicting: int
    n_of_two_labels: int
    seen: SeenTexts
    spans: SpanCounts | None = None


def read_corpus(
    examples: Iterable[Example],
    model: Model[Any, Any],
    nlp: Language | None,
    pipe: Any,
    *,
    labels: Collection[str] | None = None,
) -> TrainingCorpus:
    """Read a training corpus in one pass.

    examples (Iterable[Example]): The corpus.
    model (Model): The component's model, with the ref "encoder".
    nlp (Language | None): The pipeline. Its components before `pipe` annotate the documents if the
        encoder does not read texts.
    pipe (EmbTune): The component.
    labels (Collection[str] | None): The labels that the component learns, so that labels for other
        components do not count as contradictions. None: all.
    RETURNS (TrainingCorpus): The contents of the corpus.
    RAISES (ValueError): When cats or pairs are invalid. The error names the document.
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
    n_empty = 0
    counts = SpanCounts() if pipe.learn_spans else None
    units = _read_units(examples, nlp, pipe, encoder, counts, seen)
    for i, (example, annotate) in enumerate(units):
        reference = example.reference
        validate_cats(reference.cats, where=describe(i, example))
        cats.append(dict(reference.cats))
        n_empty += not reference.text.strip()
        if reference.cats:
            key = text_key(reference.text)
            own = {k: value for k, value in cats[-1].items() if labels is None or k in labels}
            first = cats_of_text.setdefault(key, own)
            if any(first.get(label, value) != value for label, value in own.items()):
                contradicting.add(key)
            elif sum({**own, **first}.values()) > 1.0:
                of_two_labels.add(key)
        partners = get_partners(reference)
        if partners and not reads_texts:
            raise ValueError(
                f"{describe(i, example)} is paired with other texts, but the encoder reads "
                f"annotated Docs, not texts. Use spacy-embtune.SentenceTransformer.v1 for pairs, "
                f"or give both texts of a pair as documents of one group."
            )
        has_pairs = has_pairs or bool(partners) or get_group(reference) is not None
        texts = (reference.text, *(partner.text for partner in partners if reads_texts))
        seen.add(texts)
        for text in texts:
            distinct.add(hash(text))
            if text not in sample and len(sample) < room:
                sample[text] = text if reads_texts else annotate()
    n_left_out = max(len(distinct) - shim.cache.size, 0) if shim is not None else 0
    return TrainingCorpus(
        cats,
        list(sample.values()),
        [cats_of_text.get(text_key(text), {}) for text in sample],
        n_empty,
        n_left_out,
        has_pairs,
        len(contradicting),
        len(of_two_labels - contradicting),
        seen,
        counts,
    )


def _read_units(
    examples: Iterable[Example],
    nlp: Language | None,
    pipe: Any,
    encoder: Model[Any, Any],
    counts: SpanCounts | None,
    seen: SeenTexts,
) -> Iterator[tuple[Example, Callable[[], Any]]]:
    """YIELDS (tuple[Example, Callable]): The documents, or their labelled spans, each with a
    function that makes the input for an encoder that reads no texts."""
    reads_texts = encoder.attrs.get("reads_texts", False)
    for example in examples:
        if counts is None:
            yield example, partial(annotate, example.predicted, nlp, pipe, encoder)
            continue
        counts.add(example.reference, pipe.spans)
        seen.add([example.reference.text])
        if not reads_texts and pipe.spans in example.reference.spans:
            annotated = annotate(example.predicted, nlp, pipe, encoder)
            example = Example(annotated, example.reference)
        for unit in make_span_units([example], pipe.spans, encoder):
            yield unit.example, partial(getattr, unit, "input")


def annotate(doc: Doc, nlp: Language | None, pipe: Any, encoder: Model[Any, Any]) -> Doc:
    """Run the components before `pipe` on a Doc, because an encoder that pools `doc.tensor` needs
    it to be initialized. Frozen components run as well, although spaCy disables them meanwhile.

    RETURNS (Doc): An annotated copy, or the Doc itself if the encoder reads static word vectors.
    """
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
                f"The component {name!r} cannot be applied ({error}). It comes before an embtune "
                f"component whose encoder reads its annotations. Initialize or load it first, or "
                f"move it behind the embtune component."
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
