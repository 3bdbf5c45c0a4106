"""Pairs from the documents of a corpus: documents with similar labels, of the same group, or parts
of the same text."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc
from spacy.training import Example

from .._texts import shorten
from ._pair_sampling import PairSample, sample_partners, similarity_by_cats, similarity_by_group
from .doc_pairs import GROUP, get_group, get_partners, set_group, set_partners

logger = logging.getLogger(__name__)

Reader: TypeAlias = Callable[[Language], Iterable[Example]]
PairSource: TypeAlias = Literal["cats", "group", "paragraphs", "sentences"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")

# What a corpus needs, by the source of the pairs: for the error that there are no pairs.
_NEEDS = {
    "cats": "Pairs by cats need labels that several documents have.",
    "group": "Pairs by group need several different texts in the same group, and the group of each "
    "document in its user_data, under group_key (stored with DocBin(store_user_data=True)).",
    "paragraphs": "Pairs by paragraphs need texts with blank lines in them.",
    "sentences": "Pairs by sentences need texts of several sentences.",
}


def make_pairs_from_corpus(
    corpus: Reader,
    by: PairSource,
    n_pos: int = 1,
    n_neg: int = 0,
    hard_negatives: bool = False,
    component: str = "embtune",
    group_key: str = GROUP,
    exclusive_classes: bool | None = None,
    keep_cats: bool = True,
    redraw: bool = True,
    shuffle: bool = False,
    window: int = 10_000,
    seed: int = 0,
) -> "PairsFromCorpus":
    """Create the reader `spacy-embtune.pairs_from_corpus.v1`, which pairs the documents of another
    reader. See `PairsFromCorpus`. In a config:

        [corpora.train]
        @readers = "spacy-embtune.pairs_from_corpus.v1"
        by = "paragraphs"

        [corpora.train.corpus]
        @readers = "spacy.Corpus.v1"
        path = ${paths.train}
        gold_preproc = false

    >>> make_pairs_from_corpus(lambda nlp: [], "paragraphs", n_neg=2).n_neg
    2
    """
    return PairsFromCorpus(
        corpus,
        by,
        n_pos=n_pos,
        n_neg=n_neg,
        hard_negatives=hard_negatives,
        component=component,
        group_key=group_key,
        exclusive_classes=exclusive_classes,
        keep_cats=keep_cats,
        redraw=redraw,
        shuffle=shuffle,
        window=window,
        seed=seed,
    )


class PairsFromCorpus:
    """Gives each document of a corpus partners from the same corpus, which have another text.

    Each pass over the corpus samples other partners. The seed and the number of the pass determine
    them, so that two runs see the same pairs. Partners come from a window of consecutive documents.
    Only the documents of one window are in memory, and only one block of their similarities.

    A document for which there is no partner is yielded without one, because its labels and its
    group may still be used in training. The number of these documents is logged once.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> examples = [Example.from_dict(nlp.make_doc("One.\\n\\nTwo."), {})]
    >>> for example in PairsFromCorpus(lambda nlp: examples, "paragraphs")(nlp):
    ...     print(example.reference.text, get_partners(example.reference)[0].text)
    One. Two.
    Two. One.
    """

    def __init__(
        self,
        corpus: Reader,
        by: PairSource,
        *,
        n_pos: int = 1,
        n_neg: int = 0,
        hard_negatives: bool = False,
        component: str = "embtune",
        group_key: str = GROUP,
        exclusive_classes: bool | None = None,
        keep_cats: bool = True,
        redraw: bool = True,
        shuffle: bool = False,
        window: int = 10_000,
        seed: int = 0,
    ) -> None:
        """Initialize the reader.

        corpus (Callable[[Language], Iterable[Example]]): The reader of the corpus.
        by (str): What makes a pair.
            "cats": the similarity of the labels (`labels.pair_similarity`), which is also the score
            of the pair. From 0.5 on the pair is positive, below it is negative. Documents whose
            similarity is not known are not paired.
            "group": documents of the same group get the score 1, of different groups 0.
            "paragraphs": each paragraph becomes a document (blank lines separate paragraphs). The
            paragraphs of a document are a group, or belong to the group of the document if it has
            one.
            "sentences": the same with sentences. The sentence boundaries of the document are used
            if it has any, and otherwise punctuation.
        n_pos (int): The number of positive partners of each document. A document with fewer
            candidates gets fewer.
        n_neg (int): The number of negative partners of each document. Unless pairs are made by
            cats, documents of other groups in the same batch are negatives as well.
        hard_negatives (bool): Whether the negatives are the documents closest to the document by
            base vectors. If False, they are sampled at random.
        component (str): The component of the pipeline whose encoder gives these base vectors.
        group_key (str): The key of the group in the user_data of a document.
        exclusive_classes (bool | None): Whether a document has exactly one label; used by cats.
            None: yes, if the cats of every labelled document of the window sum to 1.
        keep_cats (bool): Whether documents keep their cats. If False, training sees no labels.
        redraw (bool): Whether each pass over the corpus samples other partners. If False, which
            suits a corpus for evaluation, every pass gives the same pairs. spaCy makes one pass in
            a whole training, or one per epoch if max_epochs = -1.
        shuffle (bool): Whether the documents of a window are shuffled. spaCy does not shuffle a
            corpus if max_epochs = -1.
        window (int): The number of consecutive documents from which partners are sampled.
        seed (int): The seed of the random numbers.
        RAISES (ValueError): If a setting is out of range.
        """
        if by not in get_args(PairSource):
            raise ValueError(f"by is {by!r}: give one of {', '.join(get_args(PairSource))}.")
        least = {"n_pos": (n_pos, 0), "n_neg": (n_neg, 0), "window": (window, 2), "seed": (seed, 0)}
        for name, (value, minimum) in least.items():
            if value < minimum:
                raise ValueError(f"{name} is {value}: give a number of {minimum} or more.")
        if by == "cats" and n_pos + n_neg == 0:
            raise ValueError("n_pos and n_neg are both 0, which makes no pairs by cats.")
        if hard_negatives and n_neg == 0:
            raise ValueError("hard_negatives = true chooses no negatives: n_neg is 0.")
        self.corpus = corpus
        self.by: PairSource = by
        self.n_pos = n_pos
        self.n_neg = n_neg
        self.hard_negatives = hard_negatives
        self.component = component
        self.group_key = group_key
        self.exclusive_classes = exclusive_classes
        self.keep_cats = keep_cats
        self.redraw = redraw
        self.shuffle = shuffle
        self.window = window
        self.seed = seed
        self._n_passes = 0
        self._has_reported = False
        self._sentencizer = Sentencizer()

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Make one pass over the corpus.

        nlp (Language): The pipeline.
        RETURNS (Iterator[Example]): The documents with their partners, in the order of the corpus
            unless `shuffle` is set.
        RAISES (ValueError): While the examples are read: if no document of the corpus has a pair,
            or there is no encoder for hard negatives.
        """
        rng = np.random.default_rng([self.seed, self._n_passes])
        self._n_passes += self.redraw
        return self._read(nlp, rng)

    def _read(self, nlp: Language, rng: np.random.Generator) -> Iterator[Example]:
        n = n_without_positive = n_without_negative = 0
        has_pairs = False
        for window in self._windows(nlp):
            if self.shuffle:
                rng.shuffle(cast(Any, window))
            for example, sample in zip(window, self._sample(nlp, window, rng), strict=True):
                reference = example.reference
                n += 1
                n_without_positive += not sample.positives
                n_without_negative += not sample.negatives
                chosen = [*sample.positives, *sample.negatives]
                others = [(window[j].reference, score) for j, score in chosen]
                partners = [(doc.text, score, get_group(doc)) for doc, score in others]
                # If no partners are sampled, the groups make pairs within a batch.
                is_grouped = self.n_pos + self.n_neg == 0 and get_group(reference) is not None
                has_pairs = has_pairs or bool(partners) or is_grouped
                set_partners(reference, [*get_partners(reference), *partners])
                if not self.keep_cats:
                    reference.cats = {}
                yield example
        if not has_pairs:
            raise ValueError(
                f"spacy-embtune.pairs_from_corpus.v1 (by = {self.by!r}) found no pair among the "
                f"{n} documents of the corpus. {_NEEDS[self.by]}"
            )
        if not self._has_reported:
            self._has_reported = True
            self._report("positive", n_without_positive if self.n_pos else 0, n)
            self._report("negative", n_without_negative if self.n_neg else 0, n)

    def _report(self, kind: str, n_without: int, n: int) -> None:
        if n_without:
            logger.warning(
                "Pairs by %s: for %d of %d documents there is no %s partner in the same window of "
                "documents (window = %d). They are used without one.",
                self.by,
                n_without,
                n,
                kind,
                self.window,
            )

    def _windows(self, nlp: Language) -> Iterator[list[Example]]:
        """YIELDS (list[Example]): The documents of each window. All parts of a document are in the
        same window. The references are copies."""
        window: list[Example] = []
        for i, example in enumerate(self.corpus(nlp)):
            window += self._parts(nlp, i, example)
            if len(window) >= self.window:
                yield window
                window = []
        if window:
            yield window

    def _parts(self, nlp: Language, i: int, example: Example) -> Iterator[Example]:
        """YIELDS (Example): The i-th document of the corpus itself, or its parts."""
        doc = example.reference
        group = doc.user_data.get(self.group_key)
        if self.by in ("cats", "group"):
            reference = doc.copy()
            if self.by == "group" and group is not None:
                set_group(reference, group)
            yield Example(example.predicted, reference)
            return
        for part in self._split(doc):
            predicted = nlp.make_doc(part)
            reference = predicted.copy()
            reference.cats = dict(doc.cats)
            set_group(reference, f"document {i}" if group is None else group)
            yield Example(predicted, reference)

    def _split(self, doc: Doc) -> list[str]:
        if self.by == "paragraphs":
            parts = _BLANK_LINES.split(doc.text)
        else:
            if not doc.has_annotation("SENT_START"):
                doc = self._sentencizer(doc.copy())
            parts = [sentence.text for sentence in doc.sents]
        return [part.strip() for part in parts if part.strip()]

    def _sample(
        self, nlp: Language, window: Sequence[Example], rng: np.random.Generator
    ) -> Iterator[PairSample]:
        references = [example.reference for example in window]
        texts = [reference.text for reference in references]
        if self.by == "cats":
            similarity = similarity_by_cats(
                [reference.cats for reference in references],
                exclusive=self.exclusive_classes,
                where=lambda i: f"document {shorten(texts[i])!r}",
            )
        else:
            similarity = similarity_by_group([get_group(reference) for reference in references])
        vectors = self._encode(nlp, texts) if self.hard_negatives else None
        return sample_partners(
            texts, similarity, rng, n_pos=self.n_pos, n_neg=self.n_neg, vectors=vectors
        )

    def _encode(self, nlp: Language, texts: Sequence[str]) -> NDArray[Any]:
        """RETURNS (ndarray): Base vectors of the texts, float32, shape (n, d)."""
        pipe: Any = nlp.get_pipe(self.component) if nlp.has_pipe(self.component) else None
        encoder = getattr(pipe, "encoder", None)
        if encoder is None:
            raise ValueError(
                f"hard_negatives = true needs a component {self.component!r} with an encoder of "
                f"its own; the pipeline has {nlp.pipe_names}. Give its name as component, or set "
                "hard_negatives = false."
            )
        # Training switches the cache on later anyway. If it is on now, training does not have to
        # encode these texts again.
        encoder.caching = True
        rows = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        vectors = encoder.vectors(list(rows))
        return cast("NDArray[Any]", vectors[[rows[text] for text in texts]])
