"""The ladder: rungs are tried one after the other, and kept if held-out documents do not object."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from thinc.api import Config

from ..data import Record
from ..encoder import token_counter
from ..encoder.shim import find_shim
from ..labels import CARRIES, find_codes, read_label_texts
from ..pipeline import EmbTune, pile_teaches
from ..reports import Documents, LabelSpace, documents
from ..training import build_section
from ._evidence import (
    Estimate,
    Fold,
    FoldScores,
    estimate,
    estimate_gain,
    judge,
    make_folds,
)
from ._fitting import change, fit, quiet, write_documents
from ._frozen import fit_head, to_documents
from ._names import make_from_names
from ._pile import LEAST_ACCURACY, LEAST_TEXTS, NeighbourLabels, Pile
from ._rungs import (
    Rung,
    base_rung,
    encoder_rungs,
    head_rungs,
    names_rung,
    pseudo_rung,
    with_neighbours,
)

logger = logging.getLogger(__name__)

# A slow rung (`Rung.is_slow`) is judged by at least and at most so many folds, if there is time.
LEAST_FOLDS = 2
MOST_FOLDS = 4
# If there is less time than this, in seconds, the other rungs have at most as many folds, and heads
# are left out if the encoder can learn.
LITTLE_TIME = 45.0
# A slow rung is judged no further when its expected gain is so many standard errors from 0.
CLEAR = 2.0
# A cost that was only estimated may be so many times as large.
DOUBT = 1.25
# An encoder takes so many times as long to learn from a text as to encode it.
LEARNING = 2.3
# If all layers learn, a text takes so many times as long as with two thirds of them.
DEEPER = 1.7
# Making an encoder that learns takes so many seconds at least.
SECONDS_TO_START = 1.5
# The rungs with an encoder that does not learn.
FROZEN = ("base", "contrastive", "feed_forward")
MOST_ROUNDS = 2
# With fewer labelled texts a label the encoder does not learn: with 77 and 150 labels it cost .03
# to .05 of p@1 ("The ladder" in benchmarks/README.md).
FEWEST_TO_LEARN = 2.0
# The speed of the encoder is measured on so many texts, in parts of so many.
N_TIMED, PART = 96, 32
# If time is short, so many texts of the pile get labels, and so many help the names of labels.
ENOUGH_TEXTS, LITTLE_PILE = 500, 200
# The share of the time that encoding texts of the pile may take, to find neighbours among them.
PILE_SHARE = 0.15
# With more labelled texts than this, neighbours are not asked: then pipelines know more.
MOST_TO_ASK = 1_000
# What leaves a rung, or the pile, out: there is a pipeline already.
ERRORS = (ValueError, RuntimeError, OSError, MemoryError)

Progress = Callable[["Attempt"], None]


class Attempt(NamedTuple):
    """A rung that was tried.

    key (str): Its name: "names", "base", "contrastive", "feed_forward", "encoder_neighbours",
        "encoder", "encoder_all", "pseudo_labels_1", ...
    title (str): Its name in words.
    decision (str): "running", "kept", "dropped", or "left out" if it was not tried.
    reason (str): Why, in words.
    scores (list[Estimate]): Accuracy, nearest neighbour accuracy, p@1 and MAP@R on documents that
        were held out, then their mean. Empty if it was not judged. Labels that do not exclude
        each other have macro-F1 in place of accuracy.
    gain (list[Estimate]): The differences from the rung that was kept before. Empty for the first.
    n_folds (int): The number of folds that it was judged by.
    seconds (float): How long it took.
    """

    key: str
    title: str
    decision: str
    reason: str
    scores: list[Estimate]
    gain: list[Estimate]
    n_folds: int
    seconds: float


class Kept(NamedTuple):
    """The best rung so far.

    rung (Rung | None): The rung. None for the nearest name.
    nlp (Language): Its pipeline, which learned from all documents.
    of_folds (list[Language]): Its pipelines of the folds.
    scores (list[FoldScores]): Its scores on the folds.
    config (Config): The config of `nlp`.
    held_out (Documents | None): The documents of the first fold that were held out. None: none
        were.
    """

    rung: Rung | None
    nlp: Language
    of_folds: list[Language]
    scores: list[FoldScores]
    config: Config
    held_out: Documents | None


class NoPseudoLabels(Exception):
    """No text of the pile has a sure label."""


# The scores of a fold, and its documents that were held out.
Judged: TypeAlias = tuple[FoldScores, Documents]


class Ladder:
    """Climbs the ladder. `kept` is the best pipeline so far.

    config (Config): The config that rungs change.
    name (str): The name of the component.
    records (Sequence[Record]): The n labelled documents, each with a text.
    labels (LabelSpace): Their labels.
    folder (Path): A directory for temporary files.
    pile (Sequence[str]): Texts without labels.
    seconds (float): How long climbing may take, in seconds.
    label_texts (str | Mapping | None): Texts of labels, see `EmbTune.initialize`.
    seed (int): The seed of folds and of training.
    progress (Callable | None): Called with each attempt, when it begins, when a fold is finished,
        and when it is decided.
    """

    def __init__(
        self,
        config: Config,
        name: str,
        records: Sequence[Record],
        labels: LabelSpace,
        *,
        folder: Path,
        pile: Sequence[str],
        seconds: float,
        label_texts: str | Mapping[str, Any] | None,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.name = name
        self.records = list(records)
        self.labels = labels
        self.label_texts = label_texts
        self.end = time.monotonic() + seconds
        self.seconds = seconds
        self.progress = progress
        self.attempts: list[Attempt] = []
        self.kept: Kept | None = None
        # Those of the base vectors, to compare with.
        self.base_scores: list[FoldScores] = []
        self.notes: list[str] = []
        self.is_interrupted = False
        self.folder = folder
        initialize = f"initialize.components.{name}"
        self.config = change(
            config,
            {
                "paths.train": str(self.folder / "train.jsonl"),
                f"{initialize}.labels": list(labels.labels),
                f"{initialize}.label_texts": label_texts,
                f"components.{name}.exclusive_classes": labels.exclusive,
                "system.seed": seed,
            },
        )
        write_documents(self.folder / "train.jsonl", self.records)
        classes = main_labels(self.records, labels)
        self.folds = make_folds(
            [record.text for record in self.records],
            classes,
            seed=seed,
        )
        self.texts_a_label = len(self.records) / max(1, len(labels.labels))
        self.seed = seed
        self.pile = Pile(pile, self.records, self.folder)
        self.folds = [fold for fold in self.folds if self._has_contrast(fold.known)]
        section = self.config.interpolate()["components"][name]["model"]["encoder"]
        # It is kept, because the encoders of the pipelines below share its weights.
        self._encoder: Any = build_section(dict(section))
        self._encoder.initialize()
        self.vectors = self._encode([record.text for record in self.records])
        # How long an encoder that learns takes for a text of a step. None: not known yet.
        self._of_learning: float | None = None
        self.label_vectors = self._encode_names()
        # What neighbours in the pile say, taught by each fold; None: by all documents.
        self._asked: dict[int | None, NeighbourLabels] = {}
        # Whether the encoder did not learn well from them.
        self._are_refused = False

    def _has_contrast(self, rows: NDArray[Any]) -> bool:
        """RETURNS (bool): Whether some documents carry a label that others lack."""
        carried: set[str] = set()
        lacked: set[str] = set()
        for i in rows:
            for label, value in self.records[i].cats.items():
                (carried if value >= CARRIES else lacked).add(label)
        return len(carried) > 1 if self.labels.exclusive else bool(carried & lacked)

    @cached_property
    def _of_text(self) -> float:
        """RETURNS (float): The seconds that the encoder takes for a text: in the fastest of some
        parts of the texts, because other programs may disturb the others."""
        shim = find_shim(self._encoder)
        encode = self._encode if shim is None else shim.encoder.encode
        texts = [*self.pile.texts[:N_TIMED], *(record.text for record in self.records)][:N_TIMED]
        found = []
        for start in range(0, len(texts), PART):
            part = texts[start : start + PART]
            begin = time.monotonic()
            encode(part)
            found.append((time.monotonic() - begin) / len(part))
        return min(found)

    def _encode(self, texts: list[str]) -> NDArray[Any]:
        return np.asarray(self._encoder.ops.to_numpy(self._encoder.predict(texts)))

    def _encode_names(self) -> dict[str, NDArray[Any]]:
        """RETURNS (dict): The vectors of the texts of labels. Names that look like codes are left
        out."""
        if self.label_texts is None:
            return {}
        texts = read_label_texts(self.label_texts, self.labels.labels)
        if isinstance(self.label_texts, str):
            shim = find_shim(self._encoder)
            codes = find_codes(texts, None if shim is None else token_counter(shim.encoder))
            texts = {label: given for label, given in texts.items() if label not in set(codes)}
        if not texts:
            return {}
        rows = self._encode([text for given in texts.values() for text in given])
        ends = np.cumsum([len(given) for given in texts.values()])[:-1]
        return dict(zip(texts, np.split(rows, ends), strict=True))

    def climb(self) -> Kept:
        """Try all rungs for which there is time.

        RETURNS (Kept): The best. After Ctrl-C, the best so far.
        RAISES (KeyboardInterrupt): If there is no pipeline yet.
        """
        try:
            with quiet():
                self._climb()
        except KeyboardInterrupt:
            if self.kept is None:
                raise
            self.is_interrupted = True
        assert self.kept is not None
        self._compare_with_chance()
        return self.kept

    def _compare_with_chance(self) -> None:
        """Add a note if the labels of held-out documents cannot be predicted."""
        kept = self.kept
        if kept is None or not kept.scores or not self.labels.exclusive:
            return
        accuracy = estimate(kept.scores)[0]
        classes = main_labels(self.records, self.labels)
        most = float(np.bincount(classes[classes >= 0]).max() / len(classes))
        if accuracy.is_known and accuracy.value - most < 2 * accuracy.error:
            self.notes.append(
                f"The accuracy on held-out texts is {accuracy.value:.3f} ± {accuracy.error:.3f}, "
                f"no better than always predicting the most frequent label ({most:.3f}). Label "
                "more texts, or check the labels: python -m spacy embtune inspect."
            )

    def _climb(self) -> None:
        self._try(base_rung())
        if self.label_texts is not None and self.labels.exclusive:
            self._try_names()
        n_layers = self._count_layers()
        reason = self._why_frozen(n_layers)
        heads = head_rungs(len(self.records), self.texts_a_label)
        first, *others = encoder_rungs(len(self.records), max(n_layers, 1))
        left = self.end - time.monotonic()
        # An encoder that learned is better than any head, so what little time there is, is for it.
        leaves_heads = (
            self.seconds < LITTLE_TIME and reason is None and self._expected_seconds(first) < left
        )
        if leaves_heads:
            # It was worth so much over heads.
            first = first._replace(gain=first.gain + heads[0].gain)
        else:
            self._try_all(heads)
        if reason is not None:
            self._leave_out(first, reason)
            self._learn_from_pile()
            return
        is_taught = False
        if self._neighbours_teach:
            is_taught = self._try_safely(self._with_neighbours(first))
            self._are_refused = not is_taught
        is_learned = is_taught or self._try_safely(first)
        if leaves_heads and not is_learned:
            self._try_all(heads)
        elif leaves_heads:
            for rung in heads:
                self._leave_out(rung, "little time, and an encoder that learns is worth more")
        self._learn_from_pile()
        self._try_all(self._with_neighbours(rung) if is_taught else rung for rung in others)

    def _try_all(self, rungs: Iterable[Rung]) -> None:
        for rung in rungs:
            self._try_safely(rung)

    def _with_neighbours(self, rung: Rung) -> Rung:
        """RETURNS (Rung): The rung that learns from neighbours as well: the quick one if there is
        little time."""
        taught = with_neighbours(rung, n_pile=len(self._near_rows))
        if self._expected_seconds(taught) < self.end - time.monotonic():
            return taught
        return with_neighbours(rung, n_pile=len(self._near_rows), is_quick=True)

    # One rung

    def _try_safely(self, rung: Rung) -> bool:
        """Try a rung. An error leaves it out: there is a pipeline already.

        RETURNS (bool): Whether it was kept.
        """
        try:
            return self._try(rung)
        except NoPseudoLabels:
            self._leave_out(rung, "no text of the pile has a sure label")
            return False
        except ERRORS as error:
            self._leave_out(rung, f"failed: {error}")
            return False

    def _try(self, rung: Rung) -> bool:
        """Try a rung.

        RETURNS (bool): Whether it was kept.
        """
        begin = time.monotonic()
        folds = self._affordable(rung)
        if folds is None:
            return False
        self._tell(rung, "running", "", [], [], [], begin)
        fitted: list[Language] = []
        scores: list[FoldScores] = []
        found: list[Estimate] = []
        gain: list[Estimate] = []
        first = None
        for k, fold in enumerate(folds):
            if k and not self._has_time_for(begin, k):
                break
            if rung.is_slow and k >= LEAST_FOLDS and _is_clear(rung, gain):
                break
            if rung.is_slow:
                nlp = fit(self._config_of(rung, k))
                fitted.append(nlp)
                of_fold, held = self._judge(nlp, fold)
            else:
                of_fold, held = self._judge_head(rung, fold)
            scores.append(of_fold)
            if k == 0:
                first = held
            found, gain = estimate(scores), self._gain(scores)
            self._tell(rung, "running", "", found, gain, scores, begin)
        if rung.key == "base":
            self.base_scores = scores
        is_kept, reason = self._decide(rung, gain)
        if not folds and self.folds and self.kept is not None:
            reason = f"no time to judge it, {_signed(rung.gain)} elsewhere"
        if is_kept:
            config = self._config_of(rung, None)
            nlp = fit(config)
            self.kept = Kept(rung, nlp, fitted, scores, config, first)
        if rung.learns_encoder and (rung.by_neighbours or not rung.reads_pile):
            n_trained = max(1, len(scores) + is_kept)
            of_one = (time.monotonic() - begin) / n_trained
            # Not less than half of it is learning, also where making an encoder takes longer.
            learning = max(of_one - SECONDS_TO_START, 0.5 * of_one)
            self._of_learning = learning / self._count_read(rung)
        self._tell(rung, "kept" if is_kept else "dropped", reason, found, gain, scores, begin)
        return is_kept

    def _try_names(self) -> None:
        """Try the pipeline that learns from names of labels and the pile."""
        begin = time.monotonic()
        n_read = LITTLE_PILE if self.seconds < LITTLE_TIME else ENOUGH_TEXTS
        texts = self.pile.texts[:n_read]
        knows_more = pile_teaches(len(texts), len(self.labels.labels))
        if not knows_more:
            # For their mean. Otherwise held-out documents would teach.
            texts = [*texts, *(record.text for record in self.records)][:LITTLE_PILE]
        rung = names_rung(self.texts_a_label, knows_more=knows_more)
        try:
            nlp = make_from_names(
                self.config, self.name, self.labels.labels, texts, label_texts=self.label_texts
            )
        except ValueError as error:
            self._leave_out(rung, str(error))
            return
        judged = [self._judge(nlp, fold) for fold in self.folds]
        scores = [of_fold for of_fold, _ in judged]
        gain = self._gain(scores)
        is_kept, reason = self._decide(rung, gain)
        if is_kept:
            assert self.kept is not None
            nlps = [nlp] * len(scores)
            first = judged[0][1] if judged else None
            self.kept = Kept(None, nlp, nlps, scores, Config(nlp.config), first)
        found = estimate(scores) if scores else []
        self._tell(rung, "kept" if is_kept else "dropped", reason, found, gain, scores, begin)

    def _judge(self, nlp: Language, fold: Fold) -> Judged:
        held, learned = (
            documents(
                nlp,
                None,
                [self.records[i] for i in rows],
                labels=self.labels,
                progress=None,
            )
            for rows in (fold.held, fold.known)
        )
        return judge(held, learned, fold.held, held.threshold), held

    def _judge_head(self, rung: Rung, fold: Fold) -> Judged:
        known, held = ([self.records[i] for i in rows] for rows in fold)
        tuner = fit_head(
            rung,
            self.vectors[fold.known],
            known,
            self.labels,
            label_vectors=self.label_vectors,
            seed=self.seed,
        )
        component = self.config["components"][self.name]
        found = to_documents(tuner, self.vectors[fold.held], held, self.labels)
        learned = to_documents(
            tuner, self.vectors[fold.known], known, self.labels, with_probabilities=False
        )
        threshold = float(component.get("threshold", 0.5))
        return judge(found, learned, fold.held, threshold), found

    def _gain(self, scores: Sequence[FoldScores]) -> list[Estimate]:
        if self.kept is None or not scores or not self.kept.scores:
            return []
        return estimate_gain(self.kept.scores, scores)

    def _decide(self, rung: Rung, gain: Sequence[Estimate]) -> tuple[bool, str]:
        """Decide whether a rung is kept: whether it is expected to be better. What it was worth on
        other data counts as well, the more the weaker the evidence of the folds is.

        RETURNS (tuple[bool, str]): The decision, and the reason in words.
        """
        if self.kept is None:
            return True, "the start"
        if not gain or not gain[-1].is_known:
            is_kept = rung.gain > 0 and rung.spread > 0
            return is_kept, "no held-out documents; " + (
                "it helped elsewhere" if is_kept else "it did not help elsewhere"
            )
        value, error = gain[-1]
        expected = _expect(rung, gain).value
        found = f"{_signed(value)} ± {error:.3f} here"
        if rung.gain:
            found += f", {_signed(rung.gain)} elsewhere"
        return expected > 0, f"{found}: {_signed(expected)} expected"

    # The pile

    def _learn_from_pile(self) -> None:
        """Try rounds of pseudo-labels."""
        # An encoder that learned from neighbours has had its first round.
        is_taught = (
            self.kept is not None and self.kept.rung is not None and self.kept.rung.reads_pile
        )
        for n_round in range(2 if is_taught else 1, MOST_ROUNDS + 1):
            kept = self.kept
            assert kept is not None
            of_kept = base_rung() if kept.rung is None else kept.rung
            by_neighbours = n_round == 1 and self._neighbours_teach and not self._are_refused
            accuracy = None if by_neighbours else self._known_accuracy()
            n_pile = len(self._near_rows) if by_neighbours else len(self.pile.texts)
            make = partial(pseudo_rung, of_kept, n_round, accuracy, by_neighbours=by_neighbours)
            rung = make(n_pile=n_pile)
            if self._why_no_pile is not None:
                if self.pile.texts:
                    self._leave_out(rung, self._why_no_pile)
                return
            if accuracy is not None and accuracy < LEAST_ACCURACY:
                self._leave_out(rung, f"the accuracy is too low for sure labels: {accuracy:.2f}")
                return
            n_least = 1 if rung.is_trusted else 2
            n_few = n_pile if by_neighbours else min(n_pile, ENOUGH_TEXTS)
            for is_quick in (False, True):
                if n_least * self._expected_seconds(rung) < self.end - time.monotonic():
                    break
                rung = make(n_pile=n_few, is_quick=is_quick)
            if not self._try_safely(rung):
                return

    @cached_property
    def _near_rows(self) -> NDArray[np.intp]:
        """RETURNS (ndarray): The texts of the pile among which neighbours are found: those that
        are encoded in a part of the time."""
        seconds = PILE_SHARE * max(0.0, min(self.seconds, self.end - time.monotonic()))
        return self.pile.sample(int(seconds / max(self._of_text, 1e-9)))

    @cached_property
    def _of_pile(self) -> NDArray[Any]:
        """RETURNS (ndarray): The base vectors of these texts."""
        return self._encode([self.pile.texts[i] for i in self._near_rows])

    def _encode_rows(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """RETURNS (ndarray): The base vectors of texts of the pile."""
        if np.isin(rows, self._near_rows).all():
            return self._of_pile[np.searchsorted(self._near_rows, rows)]
        return self._encode([self.pile.texts[i] for i in rows])

    @cached_property
    def _why_no_pile(self) -> str | None:
        """RETURNS (str | None): Why the pile cannot teach."""
        try:
            return self.pile.why_unusable(self.vectors, self._encode_rows)
        except ERRORS as error:
            return f"failed: {error}"

    @cached_property
    def _neighbours_teach(self) -> bool:
        """RETURNS (bool): Whether neighbours in the pile teach better than a pipeline."""
        return self._neighbours is not None and self._neighbours.teaches

    @cached_property
    def _neighbours(self) -> NeighbourLabels | None:
        """RETURNS (NeighbourLabels | None): What neighbours in the pile say that all documents
        taught. None: they are not asked."""
        try:
            return self._ask_neighbours(None)
        except ERRORS as error:
            self.notes.append(f"Neighbours in the pile were not asked: {error}")
            return None

    def _ask_neighbours(self, k: int | None) -> NeighbourLabels | None:
        """RETURNS (NeighbourLabels | None): What neighbours in the pile say that fold k taught, or
        all documents. None if labels do not exclude each other, there are many labelled texts, or
        the pile is too small or of another kind."""
        labels = self.labels.labels
        if not self.labels.exclusive or len(self.records) > MOST_TO_ASK or not self.pile.texts:
            return None
        if not pile_teaches(len(self._near_rows), len(labels)) or self._why_no_pile is not None:
            return None
        if k not in self._asked:
            rows = np.arange(len(self.records)) if k is None else self.folds[k].known
            self._asked[k] = self.pile.ask_neighbours(
                self._near_rows,
                self._of_pile,
                [self.records[i] for i in rows],
                self.vectors[rows],
                labels,
                self.label_vectors,
            )
        return self._asked[k]

    def _known_accuracy(self) -> float | None:
        """RETURNS (float | None): The accuracy of the best rung on held-out documents. None if it
        was not judged."""
        assert self.kept is not None
        accuracy = estimate(self.kept.scores)[0] if self.kept.scores else None
        return accuracy.value if accuracy is not None and accuracy.is_known else None

    def _label_pile(self, rung: Rung, k: int | None, name: str) -> None:
        """Write the labels that neighbours, or the pipeline of fold k, or the one of all documents,
        give to texts of the pile."""
        kept = self.kept
        assert kept is not None
        if rung.by_neighbours:
            near = self._ask_neighbours(k)
            if near is None or not self.pile.write(near.surest, name):
                raise NoPseudoLabels
            return
        if k is None:
            nlp, known = kept.nlp, self.records
        else:
            # Heads were judged without a pipeline.
            while len(kept.of_folds) <= k:
                assert kept.rung is not None
                kept.of_folds.append(fit(self._config_of(kept.rung, len(kept.of_folds))))
            nlp, known = kept.of_folds[k], [self.records[i] for i in self.folds[k].known]
        if not self.pile.label(nlp, known, name, n_texts=rung.n_pile):
            raise NoPseudoLabels

    # Time

    def _affordable(self, rung: Rung) -> list[Fold] | None:
        """RETURNS (list[Fold] | None): The folds that judge a rung. None if there is no time for
        it; then the attempt is concluded."""
        if self.kept is None:
            # There has to be a pipeline, and this is the fastest.
            n = 0 if self.seconds < 5 else MOST_FOLDS if self.seconds < LITTLE_TIME else None
            return self.folds[:n]
        left = self.end - time.monotonic()
        # The first folds, so that there are pipelines of the rung before for them.
        n = min(len(self.folds), len(self.kept.scores))
        if rung.is_slow or self.seconds < LITTLE_TIME:
            n = min(n, MOST_FOLDS)
        n_least = 0 if rung.is_trusted or not self.folds else 1
        if n < n_least:
            self._leave_out(rung, "the rung before was not judged")
            return None
        one = self._expected_seconds(rung)
        if one * (n_least + 1) > left:
            needed = one * (n_least + 1) + self.seconds - left
            self._leave_out(rung, f"needs {needed:.0f} s or more")
            return None
        reserve = self._reserve(rung)
        n_folds = int((left - reserve) / max(one, 1e-9)) - 1
        return self.folds[: min(n, max(n_least, n_folds))]

    def _reserve(self, rung: Rung) -> float:
        """RETURNS (float): The seconds that a round of pseudo-labels after this rung takes, which
        are better spent on it than on judging the rung. 0.0 if there is no time for both."""
        if rung.key != "encoder" or len(self.pile.texts) < LEAST_TEXTS:
            return 0.0
        n_pile = min(len(self.pile.texts), ENOUGH_TEXTS)
        after = self._expected_seconds(pseudo_rung(rung, 1, None, n_pile=n_pile, is_quick=True))
        left = self.end - time.monotonic()
        return after if after + self._expected_seconds(rung) < left else 0.0

    def _has_time_for(self, begin: float, k: int) -> bool:
        """RETURNS (bool): Whether there is time for one more fold after k, and for the training on
        all documents."""
        of_one = (time.monotonic() - begin) / k
        return time.monotonic() + 2.2 * of_one < self.end

    def _expected_seconds(self, rung: Rung) -> float:
        """RETURNS (float): How long one training and judging of a rung takes."""
        if rung.learns_encoder:
            if self._of_learning is None:
                of_texts = LEARNING * self._of_text * self._count_read(rung)
                seconds = DOUBT * (SECONDS_TO_START + of_texts)
            else:
                factor = DEEPER if rung.key == "encoder_all" else 1.0
                of_texts = factor * self._of_learning * self._count_read(rung)
                seconds = 1.1 * (SECONDS_TO_START + of_texts)
            # Each pipeline reads the pile with an encoder of its own, if it gives the labels.
            return seconds + (0.0 if rung.by_neighbours else rung.n_pile * self._of_text)
        frozen = [a.seconds / (a.n_folds + 1) for a in self.attempts if a.key in FROZEN]
        seconds = DOUBT * max(frozen, default=1.0)
        if rung.reads_pile:
            # It is encoded once for all folds.
            seconds += rung.n_pile * self._of_text / (MOST_FOLDS + 1)
        return seconds

    def _count_read(self, rung: Rung) -> int:
        """RETURNS (int): How many texts one training of a rung reads in all its steps, with those
        that judge it."""
        size = int(rung.settings.get("training.batcher.size", 64))
        batch = min(size, len(self.records)) * (2 if rung.reads_pile else 1)
        return rung.n_steps * batch + len(self.records)

    # What is said

    def _tell(
        self,
        rung: Rung,
        decision: str,
        reason: str,
        found: list[Estimate],
        gain: list[Estimate],
        scores: Sequence[FoldScores],
        begin: float,
    ) -> None:
        """Tell of an attempt, and remember it if it is decided."""
        seconds = time.monotonic() - begin
        n_folds = len(scores)
        attempt = Attempt(rung.key, rung.title, decision, reason, found, gain, n_folds, seconds)
        if decision != "running":
            # Before anything is said, because Ctrl-C may come at any time.
            self.attempts.append(attempt)
        if self.progress is not None:
            self.progress(attempt)

    def _leave_out(self, rung: Rung, reason: str) -> None:
        self._tell(rung, "left out", reason, [], [], [], time.monotonic())

    # Configs

    def _config_of(self, rung: Rung, k: int | None) -> Config:
        """RETURNS (Config): The config of a rung that learns from fold k, or from all documents."""
        settings: dict[str, Any] = dict(rung.settings)
        if k is not None:
            path = self.folder / f"train_{k}.jsonl"
            if not path.exists():
                write_documents(path, [self.records[i] for i in self.folds[k].known])
            settings["paths.train"] = str(path)
        if rung.reads_pile:
            name = f"{rung.key}_{'all' if k is None else k}.jsonl"
            if not (self.folder / name).exists():
                self._label_pile(rung, k, name)
            settings |= self.pile.settings(self.name, name)
        return change(self.config, settings, name=self.name)

    def _count_layers(self) -> int:
        from ..encoder import find_layers

        assert self.kept is not None
        pipe = cast(EmbTune, self.kept.nlp.get_pipe(self.name))
        if pipe.encoder is None or pipe.encoder.encoder.is_table:
            return 0
        try:
            return len(find_layers(pipe.encoder.encoder.model))
        except ValueError:
            return 0

    def _why_frozen(self, n_layers: int) -> str | None:
        if n_layers == 0:
            return "this encoder has no layers that can learn"
        if self.texts_a_label < FEWEST_TO_LEARN:
            return "fewer than two labelled texts a label, and elsewhere p@1 then fell"
        own = self.config["components"][self.name]["model"]["encoder"]
        backend = own.get("backend", "torch")
        if backend != "torch":
            return f'backend = "{backend}" cannot learn'
        if own.get("save_weights") is False:
            return "save_weights is false, and a finetuned encoder exists nowhere else"
        return None


def combine(prior: Estimate, found: Estimate) -> Estimate:
    """Combine what is known from before with a measurement, both normally distributed.

    >>> combine(Estimate(0.06, 0.05), Estimate(-0.02, 0.05)).value
    0.02

    prior (Estimate): What is known from before. With an error of 0 it has no weight.
    found (Estimate): The measurement.
    RETURNS (Estimate): The mean, weighted by precision, and its standard deviation.
    """
    if prior.error == 0 or found.error == 0:
        return found
    weights = 1 / prior.error**2, 1 / found.error**2
    total = sum(weights)
    value = (weights[0] * prior.value + weights[1] * found.value) / total
    return Estimate(round(value, 12), total**-0.5)


def _expect(rung: Rung, gain: Sequence[Estimate]) -> Estimate:
    """RETURNS (Estimate): The gain of a rung, by these documents and by other data."""
    return combine(Estimate(rung.gain, rung.spread), gain[-1])


def _is_clear(rung: Rung, gain: Sequence[Estimate]) -> bool:
    """RETURNS (bool): Whether more folds would hardly change the decision on a rung."""
    if not gain or not gain[-1].is_known:
        return False
    expected = _expect(rung, gain)
    return abs(expected.value) > CLEAR * expected.error


def main_labels(records: Sequence[Record], labels: LabelSpace) -> NDArray[Any]:
    """Choose one label of each document: of several that it carries, the rarest.

    records (Sequence[Record]): The n documents.
    labels (LabelSpace): The labels.
    RETURNS (ndarray of int): The column of the label, -1 if it carries none, shape (n,).
    """
    place = {label: i for i, label in enumerate(labels.labels)}
    carried = [
        [place[label] for label, value in record.cats.items() if value >= CARRIES]
        for record in records
    ]
    counts = np.bincount([i for one in carried for i in one], minlength=len(place))
    return np.asarray([min(one, key=lambda i: counts[i]) if one else -1 for one in carried])


def _signed(value: float) -> str:
    return f"{value:+.3f}"
