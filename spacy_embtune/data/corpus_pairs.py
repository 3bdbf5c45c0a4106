"""Pairs made of a corpus: documents whose labels agree, or of one group, or parts of one text."""

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
from ._sampling import Drawn, draw_partners, relate_by_cats, relate_by_group
from .pairs import GROUP, get_group, get_partners, set_group, set_partners

logger = logging.getLogger(__name__)

Reader: TypeAlias = Callable[[Language], Iterable[Example]]
Source: TypeAlias = Literal["cats", "group", "paragraphs", "sentences"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")

ADVICE = {
    "cats": "Pairs by cats need labels that several documents carry.",
    "group": "Pairs by group need several different texts in one group, and the group of each in "
    "its user_data, under group_key (stored with DocBin(store_user_data=True)).",
    "paragraphs": "Pairs by paragraphs need texts with blank lines in them.",
    "sentences": "Pairs by sentences need texts of several sentences.",
}


def make_pairs_from_corpus(
    corpus: Reader,
    by: Source,
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
) -> Callable[[Language], Iterator[Example]]:
    """Create the reader `spacy-embtune.pairs_from_corpus.v1`, which pairs the documents of another
    reader: see `PairsFromCorpus`. In a config:

        [corpora.train]
        @readers = "spacy-embtune.pairs_from_corpus.v1"
        by = "paragraphs"

        [corpora.train.corpus]
        @readers = "spacy.Corpus.v1"
        path = ${paths.train}
        gold_preproc = false
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
    """Gives each document of a corpus partners from the same corpus, never its own text.

    Each pass over the corpus draws anew, from the seed and the number of the pass, so that two runs
    see the same pairs. Partners are drawn from a window of the corpus. No more documents than that
    are held, and no more of their similarities than a block of them.

    A document for which there is no partner is kept without one: its labels and its group may still
    teach. How many there are is logged once.
    """

    def __init__(
        self,
        corpus: Reader,
        by: Source,
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

        corpus (Callable[[Language], Iterable[Example]]): Another reader.
        by (str): What makes a pair.
            "cats": the similarity of the labels (`targets.pair_similarity`), which is the score of
            the pair as well: from 0.5 on the pair is positive, below negative, and there is none
            where it is not known.
            "group": documents of one group are alike (1), of different groups not (0).
            "paragraphs": each paragraph, separated by blank lines, becomes a document; those of one
            document are a group, and belong to the document's group if it has one.
            "sentences": the same with sentences, by the boundaries that the document has, else by
            punctuation.
        n_pos (int): How many positive partners each document gets, or as many as there are.
        n_neg (int): How many negative ones. Unless pairs are made by cats, documents of other
            groups in the same batch are negatives as well.
        hard_negatives (bool): Whether the negatives are those closest to the document in the
            encoder's vectors; otherwise they are drawn.
        component (str): The component of the pipeline whose encoder says what is close.
        group_key (str): Under what key of its user_data the group of a document is.
        exclusive_classes (bool | None): By cats: whether a document carries exactly one label.
            None: yes, if the cats of every labelled document of the window sum to 1.
        keep_cats (bool): Whether documents keep their cats. False: training sees no labels.
        redraw (bool): Whether each pass over the corpus draws anew. False, for a corpus to evaluate
            on: every pass gives the same pairs. spaCy makes one pass in a whole training, unless
            max_epochs = -1, where it makes one each epoch.
        shuffle (bool): Whether the documents of a window come in random order, which spaCy leaves
            to the reader if max_epochs = -1.
        window (int): From how many documents in a row partners are drawn.
        seed (int): Decides what is drawn.
        RAISES (ValueError): If a setting is out of range.
        """
        if by not in get_args(Source):
            raise ValueError(f"by is {by!r}: give one of {', '.join(get_args(Source))}.")
        least = {"n_pos": (n_pos, 0), "n_neg": (n_neg, 0), "window": (window, 2), "seed": (seed, 0)}
        for name, (value, minimum) in least.items():
            if value < minimum:
                raise ValueError(f"{name} is {value}: give a number of {minimum} or more.")
        if by == "cats" and n_pos + n_neg == 0:
            raise ValueError("n_pos and n_neg are both 0, which makes no pairs by cats.")
        if hard_negatives and n_neg == 0:
            raise ValueError("hard_negatives = true chooses no negatives: n_neg is 0.")
        self.corpus = corpus
        self.by: Source = by
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
        RETURNS (Iterator[Example]): The documents with their partners, in the order of the corpus.
        RAISES (ValueError): When they are asked for: if no document of the corpus has a pair, or
            there is no encoder for hard negatives.
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
            for example, drawn in zip(window, self._draw(nlp, window, rng), strict=True):
                reference = example.reference
                n += 1
                n_without_positive += not drawn.positives
                n_without_negative += not drawn.negatives
                chosen = [*drawn.positives, *drawn.negatives]
                others = [(window[j].reference, score) for j, score in chosen]
                partners = [(doc.text, score, get_group(doc)) for doc, score in others]
                # Without any to be drawn, the groups make pairs within a batch.
                is_grouped = self.n_pos + self.n_neg == 0 and get_group(reference) is not None
                has_pairs = has_pairs or bool(partners) or is_grouped
                set_partners(reference, [*get_partners(reference), *partners])
                if not self.keep_cats:
                    reference.cats = {}
                yield example
        if not has_pairs:
            raise ValueError(
                f"spacy-embtune.pairs_from_corpus.v1 (by = {self.by!r}) found no pair among the "
                f"{n} documents of the corpus. {ADVICE[self.by]}"
            )
        if not self._has_reported:
            self._has_reported = True
            self._report("positive", n_without_positive if self.n_pos else 0, n)
            self._report("negative", n_without_negative if self.n_neg else 0, n)

    def _report(self, kind: str, n_without: int, n: int) -> None:
        if n_without:
            logger.warning(
                "Pairs by %s: for %d of %d documents there is no %s partner among the documents "
                "read with them (window = %d). They are kept without one.",
                self.by,
                n_without,
                n,
                kind,
                self.window,
            )

    def _windows(self, nlp: Language) -> Iterator[list[Example]]:
        """YIELDS (list[Example]): Some documents in a row, all parts of a document in one window.
        Their references are copies."""
        window: list[Example] = []
        for i, example in enumerate(self.corpus(nlp)):
            window += self._parts(nlp, i, example)
            if len(window) >= self.window:
                yield window
                window = []
        if window:
            yield window

    def _parts(self, nlp: Language, i: int, example: Example) -> Iterator[Example]:
        """YIELDS (Example): What a document of the corpus gives: itself, or its parts."""
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

    def _draw(
        self, nlp: Language, window: Sequence[Example], rng: np.random.Generator
    ) -> Iterator[Drawn]:
        references = [example.reference for example in window]
        texts = [reference.text for reference in references]
        if self.by == "cats":
            relation = relate_by_cats(
                [reference.cats for reference in references],
                exclusive=self.exclusive_classes,
                where=lambda i: f"document {shorten(texts[i])!r}",
            )
        else:
            relation = relate_by_group([get_group(reference) for reference in references])
        vectors = self._encode(nlp, texts) if self.hard_negatives else None
        return draw_partners(
            texts, relation, rng, n_pos=self.n_pos, n_neg=self.n_neg, vectors=vectors
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
        # Training switches the cache on a moment later: nothing is then encoded twice.
        encoder.caching = True
        rows = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        vectors = encoder.vectors(list(rows))
        return cast("NDArray[Any]", vectors[[rows[text] for text in texts]])
