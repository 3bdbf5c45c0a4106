"""The pipeline component: the only file that knows spaCy's training loop."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d
from thinc.util import to_numpy as _to_numpy

from ..data.pairs import get_partners
from ..labels import count_labels, is_exclusive, labels_in, make_targets
from ..training.bank import VectorBank
from ..training.batches import Batch, add_bank, make_batch
from ..training.seen import SeenTexts
from ..types import HeadOutput, Loss, Output
from . import extensions
from ._checks import check_pipeline, report, report_cache, report_idle
from ._corpus import TrainingCorpus, read_corpus
from ._encoder_pipe import EncoderPipe
from .scorer import Partners

# A typed name for it.
as_numpy: Callable[[Any], NDArray[Any]] = _to_numpy


# After how many updates in a row that taught nothing to say so.
IDLE_UPDATES = 20


class Prediction(NamedTuple):
    """What the component makes of n documents, as numpy arrays.

    base (ndarray): Base vectors, float32, shape (n, d).
    tuned (ndarray | None): Tuned vectors, float32, shape (n, k); None before training.
    cats (ndarray | None): Probabilities of the labels, float32, shape (n, L); None before training.
    """

    base: NDArray[Any]
    tuned: NDArray[Any] | None
    cats: NDArray[Any] | None


class EmbTune(EncoderPipe):
    """Puts the encoder's vector and the tuned vector on each Doc, and learns the tuning from
    `doc.cats`.

    A label that is missing from `doc.cats` is unknown, not absent. A Doc without text gets vectors
    of zeros, and neither teaches nor counts in the scores.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Sequence[Doc | str], Output],
        name: str = "embtune",
        *,
        loss: Loss,
        extension: str = "embtune",
        base_extension: str = "embedding",
        exclusive_classes: bool | None = None,
        set_cats: bool = False,
        vector_hooks: bool = False,
        bank_size: int = 0,
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        """Initialize the component.

        vocab (Vocab): The shared vocabulary.
        model (Model[Sequence[Doc | str], Output]): The encoder and the head, see
            `spacy-embtune.EmbTune.v1`.
        name (str): The name of this instance, under which losses are added up.
        loss (Loss): What training minimises.
        extension (str): The tuned vector is in `doc._.<extension>`.
        base_extension (str): The encoder's vector is in `doc._.<base_extension>`.
        exclusive_classes (bool | None): Whether a document carries exactly one label. None decides
            it from the training corpus: yes if the cats of every labelled document sum to 1.
        set_cats (bool): Whether to write the output layer's probabilities to `doc.cats`.
        vector_hooks (bool): Whether `doc.vector`, `doc.similarity` and the like answer from the
            tuned vector.
        bank_size (int): How many earlier documents each batch is compared with, see `VectorBank`:
            for losses on pairs.
        scorer (Callable | None): The scoring method.
        RAISES (ValueError): If an extension cannot be used.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.loss = loss
        self.extension = extension
        self.base_extension = base_extension
        self.set_cats = set_cats
        self.vector_hooks = vector_hooks
        self.exclusive_classes = exclusive_classes
        self.scorer = scorer
        # What is learned besides weights; written as JSON.
        self.cfg: dict[str, Any] = {
            "labels": [],
            "exclusive_classes": exclusive_classes,
            "label_counts": None,
            "is_trained": False,
        }
        self.bank = VectorBank(bank_size)
        if bank_size and self.encoder is not None and self.encoder.is_trainable:
            raise ValueError(
                f"[{name}] bank_size is {bank_size}, but the encoder learns (trainable_layers), so "
                f"that the vectors of earlier documents would be out of date. Set bank_size = 0, "
                f"and use larger batches."
            )
        # The texts that it was trained on, None where that is not known.
        self.seen: SeenTexts | None = None
        self._has_gradient = False
        self._n_idle = 0
        if extension == base_extension:
            raise ValueError(
                f"[{name}] extension and base_extension are both {extension!r}: the tuned vector "
                f"would overwrite the base vector. Give them different names."
            )
        self._register_extensions()

    def _register_extensions(self) -> None:
        extensions.register(self.base_extension, "base")
        extensions.register(self.extension, "tuned")

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels that the component learns from."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """RETURNS (list[str]): What `spacy init labels` writes, and `initialize` reads."""
        return list(self.cfg["labels"])

    @property
    def is_trained(self) -> bool:
        """RETURNS (bool): Whether at least one update has taught the head something."""
        return bool(self.cfg["is_trained"])

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
    ) -> None:
        """Learn the labels, whether they are exclusive, and the mean of the base vectors, and draw
        new weights. All texts of the corpus are encoded here, as far as the encoder's cache can
        keep them. Labels that are there already stay, as in spaCy's text classifiers.

        get_examples (Callable): Gives the training examples.
        nlp (Language | None): The pipeline.
        labels (list[str] | None): The labels; None takes those of the examples.
        RAISES (ValueError): If there are no examples or no labels, or cats are invalid.
        """
        validate_get_examples(get_examples, "EmbTune.initialize")
        if nlp is not None:
            check_pipeline(self, nlp)
        corpus = read_corpus(get_examples(), self.model, nlp, self)
        assert corpus.sample, Errors.E923.format(name=self.name)
        for label in labels_in(corpus.cats) if labels is None else labels:
            self.add_label(label)
        self._require_something_to_learn(corpus)
        exclusive = self.exclusive_classes
        if exclusive is None:
            known = set(self.labels)
            exclusive = is_exclusive(
                {label: value for label, value in cats.items() if label in known}
                for cats in corpus.cats
            )
        if exclusive and len(self.labels) < 2:
            raise ValueError(
                f"[{self.name}] exclusive_classes = true needs at least two labels, found "
                f"{list(self.labels)}. Leave it null, or false: one label is then learned against "
                f"its absence."
            )
        targets = make_targets(corpus.cats, self.labels, exclusive=exclusive)
        counts = count_labels(targets)
        # New weights are drawn below: what was trained before is gone.
        self.cfg.update(exclusive_classes=exclusive, label_counts=counts.tolist(), is_trained=False)
        self.seen = corpus.seen
        self._has_gradient = False
        report(corpus, self.name, self.labels, counts, exclusive=exclusive)
        report_cache(corpus, self.name, self.model)
        self.bank.clear()
        self.model.initialize(X=corpus.sample, Y=cast(Any, targets.values[:10]))

    def _require_something_to_learn(self, corpus: TrainingCorpus) -> None:
        if not self.labels and not corpus.has_pairs:
            raise ValueError(
                f"[{self.name}] no labels: none of the {len(corpus.cats)} training documents has "
                f"doc.cats, or a pair or group, which are what the component learns from. Set them "
                f"(example.reference.cats = {{'LABEL': 1.0}}; pairs: spacy_embtune.data), pass "
                f"labels to initialize ([initialize.components.{self.name}] labels), and with a "
                f"streamed corpus (max_epochs = -1) make sure that labelled documents come early. "
                f"{Errors.E143.format(name=self.name)}"
            )

    def predict(self, docs: Iterable[Doc]) -> Prediction:
        """Apply the model to documents, without changing them.

        docs (Iterable[Doc]): The documents; they may be empty.
        RETURNS (Prediction): Their vectors, and the probabilities of the labels.
        """
        docs = list(docs)
        if not docs:
            nothing = np.zeros((0, 0), dtype="float32")
            return Prediction(nothing, nothing, nothing)
        if not self.is_trained:
            base = self.model.get_ref("encoder").predict(docs)
            return Prediction(as_numpy(base), None, None)
        output = self.model.predict(docs)
        cats = self._to_probabilities(output)
        return Prediction(as_numpy(output.base), as_numpy(output.tuned), as_numpy(cats))

    def _to_probabilities(self, output: Output) -> Floats2d:
        """RETURNS (Floats2d): Probabilities of the labels, shape (n, L). A document without a
        vector says nothing of its label: all are equally likely if exclusive, and none is predicted
        if not."""
        ops = self.model.ops
        has_vector: Any = cast(Any, output.base).any(axis=1, keepdims=True)
        if self.cfg["exclusive_classes"]:
            return ops.softmax(output.scores * has_vector)
        return ops.sigmoid(output.scores) * has_vector

    def set_annotations(self, docs: Iterable[Doc], prediction: Prediction) -> None:
        """Write vectors, and cats if asked, on documents.

        docs (Iterable[Doc]): The documents.
        prediction (Prediction): What `predict` gave for them.
        """
        # In a process that unpickled the component __init__ never ran.
        self._register_extensions()
        for i, doc in enumerate(docs):
            # Copies: a row that is a view would keep its whole batch in memory.
            doc._.set(self.base_extension, prediction.base[i].copy())
            if prediction.tuned is not None:
                doc._.set(self.extension, prediction.tuned[i].copy())
            if self.vector_hooks:
                extensions.set_vector_hooks(doc, self.extension)
            if self.set_cats and prediction.cats is not None:
                for label, probability in zip(self.labels, prediction.cats[i], strict=True):
                    doc.cats[label] = float(probability)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples.

        examples (Iterable[Example]): The batch; reference.cats are learned from.
        drop (float): The dropout rate, for a head that has no rate of its own.
        sgd (Optimizer | None): Applied at once; without it call `finish_update` later.
        losses (dict[str, float] | None): The loss is added under the component's name.
        RETURNS (dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "EmbTune.update")
        if not examples:
            return losses
        self._require_initialized()
        set_dropout_rate(self.model, drop)
        batch = self._make_batch(examples)
        # What losses compare with, before the encoder learns: afterwards its weights are in use.
        untuned = None
        if self.encoder is not None and getattr(self.loss, "reads_base", True):
            untuned = self.encoder.reference_vectors(batch.docs)
        if self.seen is not None:
            # Of a corpus that is streamed, initialize reads the beginning only.
            self.seen.add(batch.keys)
        base, backprop_base = self.model.get_ref("encoder").begin_update(batch.docs)
        rows, targets = add_bank(batch, base, self.bank, self.model.ops)
        head = self.model.get_ref("head")
        (tuned, scores), backprop_head = head.begin_update(rows)
        compared = rows if untuned is None else self.model.ops.asarray2f(cast(Any, untuned))
        loss, gradient = self.loss(Output(compared, tuned, scores), targets)
        if cast(Any, gradient.tuned).any() or cast(Any, gradient.scores).any():
            backprop_base(backprop_head(gradient)[: len(base)])
            self._has_gradient = True
            self._n_idle = 0
        else:
            self._n_idle += 1
            if self._n_idle == IDLE_UPDATES:
                report_idle(self)
        if sgd:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: Iterable[Example], output: Output) -> tuple[float, HeadOutput]:
        """The loss of a batch, and its gradient. Unknown labels and documents without a vector have
        no part in either.

        examples (Iterable[Example]): The batch.
        output (Output): What the model made of it: of the documents, and then of the texts that
            they are paired with, if they are.
        RETURNS (tuple[float, HeadOutput]): The loss; the gradient of tuned vectors and scores.
        """
        examples = list(examples)
        validate_examples(examples, "EmbTune.get_loss")
        batch = self._make_batch(examples)
        _, targets = add_bank(batch, output.base, VectorBank(0), self.model.ops)
        return self.loss(output, targets)

    def _make_batch(self, examples: list[Example]) -> Batch:
        counts = self.cfg["label_counts"]
        return make_batch(
            examples,
            self.labels,
            exclusive=bool(self.cfg["exclusive_classes"]),
            counts=None if counts is None else np.asarray(counts, dtype="float32"),
        )

    def finish_update(self, sgd: Optimizer) -> None:
        """Apply the gradients gathered so far.

        sgd (Optimizer): The optimizer.
        """
        self.model.finish_update(sgd)
        if self._has_gradient:
            self.cfg["is_trained"] = True
            self._has_gradient = False

    def _require_initialized(self) -> None:
        if self.cfg["label_counts"] is None:
            raise ValueError(
                f"[{self.name}] cannot be updated before it is initialized: call "
                f"nlp.initialize(lambda: examples) first."
            )

    def add_label(self, label: str) -> int:
        """Add a label, before or after training. What was learned of the others stays.

        label (str): The label.
        RETURNS (int): 0 if it was there already, otherwise 1.
        RAISES (ValueError): If it is no string, or the head cannot be resized.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        try:
            self._allow_extra_label()
        except ValueError as error:
            raise ValueError(
                f"[{self.name}] cannot take the label {label!r} any more: its head has a fixed "
                f"number of labels. Name all labels at initialize, or, for a head of PyTorchHead, "
                f"give its module a method resize_output(n_out). {error}"
            ) from error
        if self.is_resizable and self.model.has_dim("nO"):
            self.model.attrs["resize_output"](self.model, len(self.labels) + 1)
        self.cfg["labels"].append(label)
        if self.cfg["label_counts"] is not None:
            for counts in self.cfg["label_counts"]:
                counts.append(0.0)
        self.bank.clear()
        self.vocab.strings.add(label)
        return 1

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score documents that went through the pipeline.

        examples (Iterable[Example]): The examples.
        RETURNS (dict[str, Any]): The scores, see `spacy-embtune.embtune_scorer.v1`.
        """
        if self.scorer is None:
            return {}
        examples = list(examples)
        settings = {
            "labels": self.labels,
            "exclusive_classes": self.cfg["exclusive_classes"],
            "extension": self.extension,
            "base_extension": self.base_extension,
            "set_cats": self.set_cats,
            "partners": self._embed_partners(examples),
            "untuned": self.encode_untuned([example.predicted for example in examples]),
        }
        return self.scorer(examples, **{**settings, **kwargs})

    def encode_untuned(self, docs: Sequence[Doc | str]) -> NDArray[Any] | None:
        """Encode documents with the encoder as it was before it learned, to compare with.

        docs (Sequence[Doc | str]): The n documents.
        RETURNS (ndarray | None): The vectors, float32, shape (n, d). None if doc._.embedding is
            just that, see `EncoderShim.reference_vectors`.
        """
        return None if self.encoder is None else self.encoder.reference_vectors(docs)

    def _embed_partners(self, examples: Sequence[Example]) -> Partners | None:
        """RETURNS (Partners | None): The vectors of the texts that the examples are paired with, if
        they are."""
        pairs = [
            (i, partner.text, partner.score)
            for i, example in enumerate(examples)
            for partner in get_partners(example.reference)
        ]
        if not pairs or not self.model.get_ref("encoder").attrs.get("reads_texts", False):
            return None
        texts = list(dict.fromkeys(text for _, text, _ in pairs))
        position = {text: row for row, text in enumerate(texts)}
        prediction = self.predict(cast(Any, texts))
        untuned = self.encode_untuned(texts)
        base = prediction.base if untuned is None else untuned
        rows = [position[text] for _, text, _ in pairs]
        return Partners(
            documents=[i for i, _, _ in pairs],
            scores=np.asarray([score for _, _, score in pairs]),
            base=base[rows],
            tuned=None if prediction.tuned is None else prediction.tuned[rows],
        )

    @staticmethod
    def from_estimator(tuner: Any, nlp: Language, **settings: Any) -> "EmbTune":
        """Add a component to a pipeline whose head is that of a fitted scikit-learn tuner, see
        `spacy_embtune.finetune.bridge.to_component`.

        tuner (HeadTuner | Pipeline): A fitted tuner of `spacy_embtune.finetune`, or a pipeline of
            `SentenceEncoder` and tuner.
        nlp (Language): The pipeline.
        settings: `name`, `encoder`, `labels`, `config`.
        RETURNS (EmbTune): The component, trained.
        """
        from ..finetune.bridge import to_component

        return to_component(tuner, nlp, **settings)

    def to_estimator(self) -> Any:
        """RETURNS (FeedForwardTuner | ContrastiveTuner): The head as a fitted scikit-learn tuner,
        see `spacy_embtune.finetune.bridge.to_estimator`."""
        from ..finetune.bridge import to_estimator

        return to_estimator(self)

    def _more_files(self) -> dict[str, bytes]:
        return {} if self.seen is None else {"seen": self.seen.to_bytes()}

    def _load(self, files: dict[str, Any], exclude: set[str], *, where: Any) -> None:
        super()._load(files, exclude, where=where)
        if "seen" not in exclude:
            self.seen = SeenTexts.from_bytes(files["seen"]) if "seen" in files else None
        self.bank.clear()
