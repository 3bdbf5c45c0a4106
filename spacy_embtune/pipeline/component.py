"""The component "embtune": what spaCy's training loop and `nlp(text)` call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d
from thinc.util import to_numpy as _to_numpy

from ..encoder.shim import EncoderShim, find_shim
from ..labels import labels_in, make_sparse_targets
from ..metrics import Rows
from ..training import (
    Batch,
    MemoryBank,
    SeenTexts,
    add_memory,
    head_forward,
    make_batch,
    training_step,
)
from ..types import HeadOutput, Loss, Output
from . import _serialization, extensions
from ._added_documents import add_documents, select_documents
from ._label_texts import (
    LabelDocuments,
    described_labels,
    make_label_documents,
    restore_label_documents,
)
from ._labels import add_labels
from ._listeners import ListenedTo
from ._temperature import find_temperature
from ._training_checks import (
    check_cache_size,
    check_corpus,
    check_pipeline,
    check_spans,
    require_something_to_learn,
    warn_of_idle_updates,
    warn_of_no_spans,
)
from ._training_corpus import find_exclusive, read_corpus
from ._unlabelled import (
    Corpus,
    PseudoLabelledDocuments,
    make_pseudo_labelled,
    read_unlabelled,
)
from .annotations import annotate, count_cats, register_attributes
from .model import Prediction, to_probabilities
from .rows import probability_rows
from .scorer import embed_partners
from .units import (
    MOST_LEARNED,
    SpanUnit,
    check_span_settings,
    complete_cats,
    find_spans,
    make_span_units,
    predict_with_spans,
)

# thinc's function has no type hints.
as_numpy: Callable[[Any], NDArray[Any]] = _to_numpy

# A warning is logged after this many updates in a row that taught nothing.
IDLE_UPDATES = 20


class EmbTune(ListenedTo, TrainablePipe):
    """Adds a base vector and a tuned vector to each Doc, and with the setting spans to its
    sentences or spans. Learns the tuned vectors from `doc.cats`, labelled spans or pairs.

    A label that is missing from `doc.cats` is unknown, not absent. A Doc without text gets vectors
    of zeros. It is ignored in training and in the scores.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> pipe = nlp.add_pipe("embtune")
    >>> pipe.add_label("SPORT"), pipe.add_label("FOOD")
    (1, 1)
    >>> pipe.labels, pipe.is_trained
    (('SPORT', 'FOOD'), False)
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
        threshold: float = 0.5,
        max_cats: int | None = None,
        vector_hooks: bool = False,
        bank_size: int = 0,
        spans: str | None = None,
        learn_spans: bool = False,
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        """Initialize the component.

        vocab (Vocab): The shared vocabulary.
        model (Model[Sequence[Doc | str], Output]): The encoder and the head, see
            `spacy-embtune.EmbTune.v1`.
        name (str): The name of this instance, and the key of its loss in `losses`.
        loss (Loss): The loss that training minimises.
        extension (str): The tuned vector is in `doc._.<extension>`.
        base_extension (str): The base vector is in `doc._.<base_extension>`.
        exclusive_classes (bool | None): Whether a document carries exactly one label. None: True if
            the cats of every labelled training document sum to 1.
        set_cats (bool): Whether to write the probabilities of the labels to `doc.cats`.
        threshold (float): The probability from which a label counts as predicted, 0..1, if labels
            are not exclusive. It is used by scores and reports; `doc.cats` are probabilities.
        max_cats (int | None): How many labels set_cats writes to `doc.cats`: the most probable
            ones. None: all labels if there are at most 1,000, otherwise 100.
        vector_hooks (bool): Whether `doc.vector`, `doc.similarity` and similar properties use the
            tuned vector.
        bank_size (int): Size of the memory bank: the number of earlier documents that each batch is
            compared with, see `MemoryBank`. It is used by losses on pairs.
        spans (str | None): Which spans of a document get vectors as well, in `span._.<extension>`
            and `span._.<base_extension>`: "sents" for its sentences, or a key of `doc.spans`. None:
            documents only.
        learn_spans (bool): Whether the component learns from the spans `doc.spans[spans]`, each
            with its label, in place of documents with `doc.cats`.
        scorer (Callable | None): The scoring method.
        RAISES (ValueError): When an extension cannot be used, the threshold is outside 0..1,
            max_cats is below 1, or learn_spans is true and spans is no key of `doc.spans`.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.loss = loss
        self.extension = extension
        self.base_extension = base_extension
        self.set_cats = set_cats
        self.max_cats = max_cats
        if max_cats is not None and max_cats < 1:
            raise ValueError(f"[{name}] max_cats is {max_cats}: give 1 or more, or null.")
        self.vector_hooks = vector_hooks
        self.exclusive_classes = exclusive_classes
        self.scorer = scorer
        # What is learned besides weights. It is saved as JSON.
        self.cfg: dict[str, Any] = {
            "labels": [],
            "exclusive_classes": exclusive_classes,
            "label_counts": None,
            "is_trained": False,
            "temperature": 1.0,
            "predicts_labels": None,
        }
        self.threshold = threshold
        self._configured_threshold = self.threshold
        self.cfg["configured_threshold"] = self.threshold
        self.bank = MemoryBank(bank_size)
        if bank_size and self.encoder is not None and self.encoder.is_trainable:
            raise ValueError(
                f"[{name}] bank_size is {bank_size}, but the encoder learns (trainable_layers), so "
                f"the vectors of earlier documents would be out of date. Set bank_size = 0 and use "
                f"larger batches."
            )
        # The texts that the component was trained on. None if that is not known.
        self.seen: SeenTexts | None = None
        self._has_gradient = False
        self._n_idle = 0
        self._label_documents: LabelDocuments | None = None
        self._pseudo_labelled: PseudoLabelledDocuments | None = None
        self.listener_map = {}
        self.overwritten_by = set()
        if extension == base_extension:
            raise ValueError(
                f"[{name}] extension and base_extension are both {extension!r}: the tuned vector "
                f"would overwrite the base vector. Give them different names."
            )
        check_span_settings(spans, learn_spans=learn_spans, name=name)
        self.spans = spans
        self.learn_spans = learn_spans
        register_attributes(self)

    @property
    def encoder(self) -> EncoderShim | None:
        """RETURNS (EncoderShim | None): The encoder with its cache and its counts. None if the
        encoder pools vectors of the pipeline and has no weights of its own."""
        return find_shim(self.model)

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels that the component learns from."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """RETURNS (list[str]): The labels, as `spacy init labels` writes them."""
        return list(self.cfg["labels"])

    @property
    def threshold(self) -> float:
        """The probability from which a label counts as predicted, if labels are not exclusive. A
        value that is set here is saved with the component. It is used until the threshold of the
        config is changed.

        RETURNS (float): The threshold, 0..1.
        """
        return float(self.cfg["threshold"])

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise ValueError(
                f"[{self.name}] threshold is {value!r}: give a probability between 0 and 1."
            )
        self.cfg["threshold"] = float(value)

    @property
    def predicts_labels(self) -> bool:
        """RETURNS (bool): Whether a loss trained the output layer, so that the probabilities of
        labels have a meaning. Losses that only compare pairs do not. True if it is not known, as in
        pipelines of earlier versions."""
        return self.is_trained and bool(self.labels) and self.cfg["predicts_labels"] is not False

    @property
    def temperature(self) -> float:
        """RETURNS (float): Raw scores of labels are divided by it before they become probabilities,
        see `calibrate`. 1.0 before calibration and after each update of the weights."""
        return float(self.cfg["temperature"])

    @property
    def is_trained(self) -> bool:
        """RETURNS (bool): Whether at least one update had a gradient that was not zero."""
        return bool(self.cfg["is_trained"])

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        label_texts: str | dict[str, Any] | None = None,
        unlabelled: Corpus | None = None,
    ) -> None:
        """Learn from the training corpus what the labels are, whether they are exclusive, and the
        mean of the base vectors, and set random weights. This encodes all texts that fit the
        encoder's cache. Labels that were added before are kept, as in spaCy's text classifiers.

        get_examples (Callable): Gives the training examples.
        nlp (Language | None): The pipeline.
        labels (list[str] | None): The labels. None: the labels of the examples.
        label_texts (str | dict | None): Texts that are learned as documents of their label, with a
            weight that falls as labels grow: "names" for the names of the labels, or a mapping from
            label to a text or a list of texts. Its labels need no labelled document. Texts that
            mean nothing, such as "LABEL_3", are left out, and the log says so. None: no texts.
        unlabelled (Callable | None): A corpus of texts without labels, such as the reader
            `spacy-embtune.unlabelled.v1`: takes the pipeline and gives Examples. If the training
            corpus is small, a sample of them counts for the mean of the base vectors as well. Texts
            with cats have a pseudo-label: they are learned beside the documents of each batch, with
            the weight in `user_data["weight"]` (default 1). Nothing counts them. They are never
            saved, so a component that was loaded goes on learning without them. None: no such
            texts.
        RAISES (ValueError): When there are no examples or no labels, or cats, label_texts or
            unlabelled are invalid.
        """
        validate_get_examples(get_examples, "EmbTune.initialize")
        if nlp is not None:
            check_pipeline(self, nlp)
        learned = None if labels is None else {*self.labels, *labels}
        corpus = read_corpus(get_examples(), self.model, nlp, self, labels=learned)
        check_spans(self, corpus)
        assert corpus.sample, Errors.E923.format(name=self.name)
        labels = described_labels(label_texts, labels, labels_in(corpus.cats), self.name)
        add_labels(self, labels)
        require_something_to_learn(self, corpus)
        setting = self.exclusive_classes
        if setting is None and label_texts is not None and not any(corpus.cats):
            # Without labelled documents, nothing says that a document has several labels.
            setting = len(self.labels) > 1
        exclusive = find_exclusive(corpus, self.name, self.labels, setting)
        if self.learn_spans and not exclusive:
            cats = [complete_cats(carried, self.labels) for carried in corpus.cats]
            corpus = corpus._replace(cats=cats)
        targets = make_sparse_targets(corpus.cats, self.labels, exclusive=exclusive)
        counts = targets.count_labels()
        # The component counts as untrained, because its weights are replaced below.
        self.cfg.update(exclusive_classes=exclusive, label_counts=counts.tolist(), is_trained=False)
        self.cfg.update(temperature=1.0, predicts_labels=False)
        self.cfg.pop("label_texts", None)
        self.seen = corpus.seen
        self._has_gradient = False
        described = set(self.labels if isinstance(label_texts, str) else label_texts or ())
        check_corpus(
            corpus, self.name, self.labels, counts, exclusive=exclusive, described=described
        )
        check_cache_size(corpus, self.name, self.model)
        self.bank.clear()
        pile = None if unlabelled is None else read_unlabelled(self, unlabelled, corpus, nlp)
        sample = targets.select(range(min(10, targets.shape[0])))
        texts = corpus.sample if pile is None else [*corpus.sample, *pile.sample]
        self.model.initialize(X=texts, Y=cast(Any, sample.values))
        self._label_documents, self._pseudo_labelled = None, None
        if pile is not None:
            self._pseudo_labelled = make_pseudo_labelled(self, pile, corpus)
        if label_texts is not None:
            self._label_documents = make_label_documents(self, label_texts, corpus, counts, nlp)

    def predict(self, docs: Iterable[Doc], *, with_spans: bool = True) -> Prediction:
        """Compute vectors and label probabilities of documents, and, with the setting spans, the
        vectors of their sentences or spans. The documents are not changed.

        docs (Iterable[Doc]): The documents. There may be none, and a text may be empty.
        with_spans (bool): Whether to follow the setting spans. False: documents only.
        RETURNS (Prediction): Their vectors and the probabilities of the labels.
        RAISES (ValueError): When vectors of sentences are wanted and a document has no sentence
            boundaries.
        """
        docs = list(docs)
        # Texts, as of pairs, have no spans.
        if self.spans is None or not with_spans or not all(isinstance(doc, Doc) for doc in docs):
            return self._predict(docs)
        spans = [find_spans(doc, self.spans, self.name) for doc in docs]
        if not any(spans):
            return self._predict(docs)
        return predict_with_spans(self._predict, self.model.get_ref("encoder"), docs, spans)

    def _predict(self, docs: Sequence[Any]) -> Prediction:
        if not docs:
            nothing = np.zeros((0, 0), dtype="float32")
            return Prediction(nothing, nothing, nothing)
        if not self.is_trained:
            base = self.model.get_ref("encoder").predict(docs)
            return Prediction(as_numpy(base), None, None)
        output = self.model.predict(docs)
        return Prediction(
            as_numpy(output.base), as_numpy(output.tuned), self._to_probabilities(output)
        )

    def _to_probabilities(self, output: Output) -> NDArray[Any]:
        return as_numpy(
            to_probabilities(
                self.model.ops,
                output,
                exclusive=bool(self.cfg["exclusive_classes"]),
                temperature=self.temperature,
            )
        )

    def set_annotations(self, docs: Iterable[Doc], prediction: Prediction) -> None:
        """Set the vectors of documents and of their spans, and with the setting set_cats also
        `doc.cats`.

        docs (Iterable[Doc]): The documents.
        prediction (Prediction): What `predict` gave for these documents.
        """
        annotate(self, docs, prediction)

    @property
    def n_cats(self) -> int:
        """RETURNS (int): How many labels set_cats writes to `doc.cats`."""
        return count_cats(len(self.cfg["labels"]), self.max_cats)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples.

        examples (Iterable[Example]): The batch. Labels are read from reference.cats, or, with the
            setting learn_spans, from the spans of the reference.
        drop (float): The dropout rate for a head that has no rate of its own.
        sgd (Optimizer | None): The optimizer. None: call `finish_update` later.
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
        if self.seen is not None and self.learn_spans:
            # The texts of spans are added below.
            self.seen.add(example.reference.text for example in examples)
        for batch in self._make_batches(examples):
            losses[self.name] += self._learn(batch)
        if sgd:
            self.finish_update(sgd)
        return losses

    def _learn(self, batch: Batch) -> float:
        """Add the gradient of a batch to those of the weights.

        RETURNS (float): The loss.
        """
        n_labelled = int(cast(Any, batch.targets.known).any(axis=1).sum())
        sources = (self._get_label_documents(), self._pseudo_labelled)
        added = select_documents(sources, n_labelled)
        inputs = [*batch.docs, *(text for part in added for text in part.inputs)]
        n = len(batch.docs)
        # Losses compare with the vectors of the untuned encoder. They are computed here because
        # the encoder runs with its learned weights below.
        untuned = None
        if self.encoder is not None and getattr(self.loss, "reads_base", True):
            untuned = self.encoder.reference_vectors(inputs)
        if self.seen is not None:
            # initialize reads only the beginning of a streamed corpus.
            self.seen.add(batch.keys)
        base, backprop_base = self.model.get_ref("encoder").begin_update(inputs)
        rows, targets = add_memory(batch, base[:n], self.bank, self.model.ops)
        n_compared = len(rows)
        rows, targets = add_documents(rows, targets, base[n:], added, self.model.ops)
        compared = None if untuned is None else self.model.ops.asarray2f(cast(Any, untuned))
        run_head = head_forward(self.model.get_ref("head"), compared=compared)

        def forward(rows: Floats2d) -> tuple[Output, Callable[[HeadOutput], None]]:
            output, backprop_head = run_head(rows)

            def backprop(gradient: HeadOutput) -> None:
                if cast(Any, gradient.scores).any():
                    self.cfg["predicts_labels"] = True
                # Gradients go back to the encoder for the documents of the batch and those that
                # are added to it, not for those of the memory bank.
                d_rows = backprop_head(gradient)
                if n_compared > n:
                    xp: Any = self.model.ops.xp
                    d_rows = xp.concatenate([d_rows[:n], d_rows[n_compared:]])
                backprop_base(d_rows)

            return output, backprop

        loss, has_gradient = training_step(forward, rows, targets, self.loss)
        if has_gradient:
            self._has_gradient = True
            self._n_idle = 0
        else:
            self._n_idle += 1
            if self._n_idle == IDLE_UPDATES:
                warn_of_idle_updates(self)
        return loss

    def _get_label_documents(self) -> LabelDocuments | None:
        """RETURNS (LabelDocuments | None): The texts of labels that are learned as documents."""
        if "label_texts" not in self.cfg:
            return None
        if self._label_documents is None:
            self._label_documents = restore_label_documents(self)
        return self._label_documents

    def get_loss(self, examples: Iterable[Example], output: Output) -> tuple[float, HeadOutput]:
        """Compute the loss of a batch and its gradient. Unknown labels and documents without a
        vector are ignored.

        examples (Iterable[Example]): The batch.
        output (Output): The output of the model for the documents, followed by the texts that they
            are paired with.
        RETURNS (tuple[float, HeadOutput]): The loss, and its gradient with respect to tuned vectors
            and scores.
        """
        examples = list(examples)
        validate_examples(examples, "EmbTune.get_loss")
        units = self._make_units(examples)
        batch = self._make_batch(examples if units is None else [unit.example for unit in units])
        _, targets = add_memory(batch, output.base, MemoryBank(0), self.model.ops)
        return self.loss(output, targets)

    def _make_units(self, examples: Iterable[Example]) -> list[SpanUnit] | None:
        """RETURNS (list[SpanUnit] | None): The labelled spans of examples; None if the component
        learns from documents."""
        if not self.learn_spans or self.spans is None:
            return None
        labels = None if self.cfg["exclusive_classes"] else self.labels
        encoder = self.model.get_ref("encoder")
        return list(make_span_units(examples, self.spans, encoder, labels=labels))

    def _make_batches(self, examples: list[Example]) -> Iterator[Batch]:
        """YIELDS (Batch): The documents of examples. Of labelled spans, at most MOST_LEARNED at a
        time, because one document may have thousands."""
        units = self._make_units(examples)
        if units is None:
            yield self._make_batch(examples)
            return
        for start in range(0, len(units), MOST_LEARNED):
            part = units[start : start + MOST_LEARNED]
            batch = self._make_batch([unit.example for unit in part])
            yield batch._replace(docs=[unit.input for unit in part])

    def _make_batch(self, examples: list[Example]) -> Batch:
        counts = self.cfg["label_counts"]
        return make_batch(
            examples,
            self.labels,
            exclusive=bool(self.cfg["exclusive_classes"]),
            counts=None if counts is None else np.asarray(counts, dtype="float32"),
        )

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the weights with the gradients that were added up so far.

        sgd (Optimizer): The optimizer.
        """
        self.model.finish_update(sgd)
        if self._has_gradient:
            self.cfg["is_trained"] = True
            # The temperature was measured with other weights.
            self.cfg["temperature"] = 1.0
            self._has_gradient = False

    def _require_initialized(self) -> None:
        if self.cfg["label_counts"] is None:
            raise ValueError(
                f"[{self.name}] cannot be updated before it is initialized. Call "
                f"nlp.initialize(lambda: examples) first."
            )

    def add_label(self, label: str) -> int:
        """Add a label before or after training. The weights of other labels are kept.

        label (str): The label.
        RETURNS (int): 0 if the component has this label already, otherwise 1.
        RAISES (ValueError): When the label is no string, or the head cannot be resized.
        """
        return add_labels(self, [label])

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score documents that the pipeline has processed.

        examples (Iterable[Example]): The examples.
        RETURNS (dict[str, Any]): The scores, see `spacy-embtune.embtune_scorer.v1`.
        """
        if self.scorer is None:
            return {}
        examples = list(examples)
        inputs: list[Any] = [example.predicted for example in examples]
        units = self._make_units(examples)
        if units is not None:
            if examples and not units:
                warn_of_no_spans(self)
            examples = [unit.example for unit in units]
            inputs = [unit.input for unit in units]
            docs = [example.predicted for example in examples]
            self.set_annotations(docs, self._predict(inputs))
        settings = {
            "labels": self.labels,
            "exclusive_classes": self.cfg["exclusive_classes"],
            "extension": self.extension,
            "base_extension": self.base_extension,
            "set_cats": self.set_cats,
            "threshold": self.threshold,
            "partners": embed_partners(self, examples),
            "untuned": self.encode_untuned(inputs),
            "probabilities": self._probabilities([example.predicted for example in examples]),
            "all_cats": self.n_cats == len(self.labels),
        }
        return self.scorer(examples, **{**settings, **kwargs})

    def _probabilities(self, docs: Sequence[Doc]) -> Rows | None:
        """RETURNS (Rows | None): The probabilities of the labels of annotated documents, from
        their base vectors, shape (n, L). None without base vectors or a trained output layer."""
        vectors = [extensions.get_vector(doc, self.base_extension) for doc in docs]
        width = next((len(vector) for vector in vectors if vector is not None), 0)
        if not (width and self.predicts_labels):
            return None
        nothing = np.zeros(width, dtype="float32")
        rows = np.stack([nothing if vector is None else vector for vector in vectors])
        return probability_rows(self, rows)

    def calibrate(self, examples: Iterable[Example]) -> float:
        """Make the probabilities of labels agree with how often they are right, see
        `find_temperature`. Vectors and the order of labels do not change.

        examples (Iterable[Example]): Labelled documents that the component was not trained on.
            The pipeline has processed `predicted`.
        RETURNS (float): The temperature.
        RAISES (ValueError): When too few labelled documents are new to the component, it is not
            trained, or no loss trained its output layer.
        """
        units = self._make_units(examples)
        pairs = [(example, example.predicted) for example in examples] if units is None else units
        # Rounded, because a number in cfg keeps 10 digits when it is saved.
        self.cfg["temperature"] = round(find_temperature(self, pairs), 6)
        return self.temperature

    def encode_untuned(self, docs: Sequence[Doc | str]) -> NDArray[Any] | None:
        """Encode documents with the encoder as it was before training, to compare with it.

        docs (Sequence[Doc | str]): The n documents.
        RETURNS (ndarray | None): The vectors, float32, shape (n, d). None if the encoder is frozen
            (its vectors are then the base vectors), or if the encoder from before training cannot
            be found (a warning is logged).
        """
        return None if self.encoder is None else self.encoder.reference_vectors(docs)

    # Save and load

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a directory. After an error the directory does not load.

        path (str | Path): The directory.
        exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
        """
        self._validate_serialization_attrs()
        _serialization.save(self, path, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Load the component from a directory. This needs no network if the encoder is stored in
        the directory.

        path (str | Path): The directory.
        exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
        RETURNS (Self): The component.
        RAISES (StorageError): When a file is missing or damaged, or a newer version saved it.
        RAISES (ValueError): When the weights do not fit the model, or the encoder is not the one
            that the component was trained with.
        """
        self._validate_serialization_attrs()
        _serialization.load(self, path, exclude)
        self._after_loading()
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component, including the encoder unless save_weights is false.

        exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
        RETURNS (bytes): The component as msgpack.
        """
        self._validate_serialization_attrs()
        return _serialization.pack(self, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Load the component from bytes.

        bytes_data (bytes): What `to_bytes` gave.
        exclude (Iterable[str]): Parts to leave out: "vocab", "cfg", "model", "encoder", "seen".
        RETURNS (Self): The component.
        RAISES (ValueError): As `from_disk`.
        """
        self._validate_serialization_attrs()
        _serialization.unpack(self, bytes_data, exclude)
        self._after_loading()
        return self

    def _after_loading(self) -> None:
        self.bank.clear()
        self._pseudo_labelled = None
        # The config comes first if its threshold is another than when the component was saved.
        if self.cfg["configured_threshold"] != self._configured_threshold:
            self.threshold = self._configured_threshold
            self.cfg["configured_threshold"] = self._configured_threshold

    # scikit-learn: spaCy's registry gives these functions, because finetune imports this module.

    @staticmethod
    def from_estimator(tuner: Any, nlp: Language, **settings: Any) -> "EmbTune":
        """Add a component to a pipeline that has the head of a fitted scikit-learn tuner, see
        `spacy_embtune.finetune.bridge.to_component`.

        tuner (HeadTuner | Pipeline): A fitted tuner of `spacy_embtune.finetune`, or a scikit-learn
            pipeline of `SentenceEncoder` and tuner.
        nlp (Language): The pipeline.
        settings: `name`, `encoder`, `labels`, `config`.
        RETURNS (EmbTune): The component, trained.
        """
        to_component = registry.get("misc", "spacy-embtune.from_estimator.v1")
        return cast(EmbTune, to_component(tuner, nlp, **settings))

    def to_estimator(self) -> Any:
        """Make a fitted scikit-learn tuner that has the head of this component, see
        `spacy_embtune.finetune.bridge.to_estimator`.

        RETURNS (FeedForwardTuner | ContrastiveTuner): The tuner.
        """
        return registry.get("misc", "spacy-embtune.to_estimator.v1")(self)
