"""Finetunes a sentence-transformers model on pairs of texts with scores."""

import contextlib
import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..encoder import EncoderSettings, EncoderTrainer, TextEncoder, encode_distinct
from ..losses import make_cosine_pairs
from ..training import count_batches, pair_targets, run_steps, shuffled_batches, training_step
from ..types import HeadOutput, Output
from ._parameters import check_parameters
from .encoder import read_texts
from .pair_estimators import check_scores, paired_cosines

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


class SbertLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Finetunes a sentence-transformers model on pairs of texts, so that the cosine of their
    vectors approaches their score. Each distinct text of a batch goes through the model once, and
    the model learns without dropout, see `spacy_embtune.encoder.EncoderTrainer`.

    sent_tfm (SentenceTransformer | str): The model, or its name or directory. The learner changes a
        copy of it.
    batch_size (int): Pairs per training step.
    epochs (int): Passes over the pairs.
    warmup_steps (int | None): Steps in which the learning rate rises, at most half of all. None: a
        tenth of all.
    learning_rate (float): Highest learning rate of AdamW.
    weight_decay (float): Weight decay of AdamW.
    in_place (bool): Whether to change the caller's model, as embetter does, instead of a copy.
    trainable_layers (int): Number of the last layers that learn; -1: all layers and the embeddings.
        Fewer layers are faster. Parameters with requires_grad = False do not learn.
    memory_mb (int): Bound in megabytes for the kept activations, and also for one training step.
        Larger batches are computed in parts.
    random_state (int | RandomState | None): Seed for the order of the pairs.
    pool_windows (bool): Whether a text that is longer than the model's window gets the mean of its
        parts, see `spacy_embtune.encoder.EncoderSettings`. False: it is cut, with a warning.

    >>> learner = SbertLearner("all-MiniLM-L6-v2", trainable_layers=1, random_state=0)
    >>> _ = learner.fit(["bread", "guitar"], ["soup", "stadium"], [1.0, 0.0])
    >>> learner.transform(["bread", "piano"]).shape
    (2, 384)
    """

    def __init__(
        self,
        sent_tfm: Any,
        batch_size: int = 16,
        epochs: int = 1,
        warmup_steps: int | None = None,
        *,
        learning_rate: float = 2e-5,
        weight_decay: float = 0.01,
        in_place: bool = False,
        trainable_layers: int = -1,
        memory_mb: int = 1024,
        random_state: Any = None,
        pool_windows: bool = False,
    ) -> None:
        self.sent_tfm = sent_tfm
        self.batch_size = batch_size
        self.epochs = epochs
        self.warmup_steps = warmup_steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.in_place = in_place
        self.trainable_layers = trainable_layers
        self.memory_mb = memory_mb
        self.random_state = random_state
        self.pool_windows = pool_windows

    def fit(self, X1: Any, X2: Any, y: Any) -> Self:
        """Learn from pairs of texts. What an earlier fit learned is dropped.

        X1, X2 (Any): The first and the second text of each pair, n texts each.
        y (Any): The similarity of each pair, 0..1, shape (n,).
        RETURNS (Self): The learner.
        RAISES (ValueError): If a value is no text or no score, their numbers differ, or there is
            nothing to learn.
        """
        check_parameters(self)
        if self.memory_mb < 1:
            raise ValueError(f"SbertLearner: memory_mb is {self.memory_mb!r}: give 1 or more.")
        if self.epochs is None:
            raise ValueError("SbertLearner: epochs is None: give an integer above 0.")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ValueError(f"SbertLearner: warmup_steps is {self.warmup_steps}: give 0 or more.")
        texts1, texts2 = read_texts(X1, name="X1"), read_texts(X2, name="X2")
        scores = check_scores(y)
        check_consistent_length(texts1, texts2, scores)
        pairs = [
            (a, b, score)
            for a, b, score in zip(texts1, texts2, scores, strict=True)
            if a != b and a.strip() and b.strip()
        ]
        if not pairs:
            raise ValueError(
                "There is nothing to learn: each text of X1 is equal to its text of X2, or one of "
                "them is empty."
            )
        rng = check_random_state(self.random_state)
        self._set_model(self._own_model())
        try:
            self._train(pairs, rng)
        except BaseException:
            # Otherwise the learner would count as fitted.
            del self.sent_tfm_
            raise
        return self

    def _set_model(self, model: "SentenceTransformer") -> None:
        self.sent_tfm_ = model
        self._n_features_out = self._encoder().width

    def _encoder(self) -> TextEncoder:
        """RETURNS (TextEncoder): The encoder with the finetuned model."""
        with _kept_trainable(self.sent_tfm_):
            # The name is for messages.
            settings = EncoderSettings("sent_tfm_", pool_windows=bool(self.pool_windows))
            return TextEncoder(self.sent_tfm_, settings)

    def _own_model(self) -> "SentenceTransformer":
        """RETURNS (SentenceTransformer): The model to change."""
        if isinstance(self.sent_tfm, str | Path):
            encoder = TextEncoder.load(EncoderSettings(name=str(self.sent_tfm)))
            return encoder.model.requires_grad_(True)
        if not hasattr(self.sent_tfm, "encode"):
            raise ValueError(
                f"sent_tfm is {self.sent_tfm!r:.80}: give a SentenceTransformer, or its name or "
                "directory."
            )
        return self.sent_tfm if self.in_place else copy.deepcopy(self.sent_tfm)

    def _train(self, pairs: list[tuple[str, str, float]], rng: Any) -> None:
        import torch

        n_steps = self.epochs * count_batches(len(pairs), self.batch_size)
        n_warmup = math.ceil(n_steps / 10) if self.warmup_steps is None else self.warmup_steps
        n_warmup = min(n_warmup, n_steps // 2)
        loss = make_cosine_pairs()
        with _kept_trainable(self.sent_tfm_) as can_learn:
            encoder = self._encoder()
            texts = list(dict.fromkeys(text for a, b, _ in pairs for text in (a, b)))
            if not encoder.pools_windows:
                self._warn_of_truncated(encoder, encoder.count_truncated(texts), len(texts))
            trainer = EncoderTrainer(
                encoder,
                trainable_layers=self.trainable_layers,
                memory=self.memory_mb * 2**20,
            )
            for name, parameter in trainer.parameters.items():
                parameter.requires_grad_(can_learn[name])
            learned = [p for p in trainer.parameters.values() if p.requires_grad]
            if not learned:
                raise ValueError(
                    "No parameter of sent_tfm can learn: requires_grad is False for all of them. "
                    "Set it for those that are to change, model.requires_grad_(True) for all."
                )
            optimizer = torch.optim.AdamW(
                learned, lr=self.learning_rate, weight_decay=self.weight_decay
            )

            def apply_gradients() -> None:
                torch.nn.utils.clip_grad_norm_(learned, 1.0)
                optimizer.step()
                optimizer.zero_grad()

            def step(i: int, chosen: list[tuple[str, str, float]]) -> bool:
                rising = (i + 1) / max(n_warmup, 1)
                falling = (n_steps - i) / max(n_steps - n_warmup, 1)
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * min(rising, falling, 1.0)
                texts = list(dict.fromkeys(text for a, b, _ in chosen for text in (a, b)))
                row = {text: i for i, text in enumerate(texts)}
                result = training_step(
                    partial(_forward, trainer),
                    texts,
                    pair_targets(len(texts), [(row[a], row[b], score) for a, b, score in chosen]),
                    loss,
                    apply_gradients=apply_gradients,
                )
                return result.has_gradient

            try:
                run_steps(
                    self._batches(pairs, rng),
                    step,
                    n_steps=n_steps,
                    discard_gradients=optimizer.zero_grad,
                )
            finally:
                # The model may be the caller's.
                optimizer.zero_grad()

    def _batches(
        self, pairs: list[tuple[str, str, float]], rng: Any
    ) -> Iterator[list[tuple[str, str, float]]]:
        for _ in range(self.epochs):
            for chosen in shuffled_batches(len(pairs), self.batch_size, rng):
                yield [pairs[i] for i in chosen]

    def transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Encode texts with the finetuned model.

        X (Any): The n texts.
        y (Any): Not used.
        RETURNS (ndarray): Their vectors, float32, shape (n, d).
        RAISES (NotFittedError): Before `fit`.
        """
        check_is_fitted(self, "sent_tfm_")
        encoder = self._encoder()

        def encode(texts: list[str]) -> NDArray[Any]:
            rows, n_truncated = encoder.encode_and_count(texts)
            self._warn_of_truncated(encoder, n_truncated, len(texts))
            return rows

        return encode_distinct(read_texts(X), encode, encoder.width)

    def _warn_of_truncated(self, encoder: TextEncoder, n_truncated: int, n_texts: int) -> None:
        if n_truncated and not vars(self).get("_warned_of_truncation"):
            self._warned_of_truncation = True
            logger.warning(encoder.describe_truncated(n_truncated, n_texts))

    def predict(self, X1: Any, X2: Any) -> NDArray[Any]:
        """Compute the similarity of each pair of texts.

        X1, X2 (Any): The first and the second text of each pair, n texts each.
        RETURNS (ndarray): The cosine of their vectors, float32, shape (n,).
        RAISES (NotFittedError): Before `fit`.
        """
        check_is_fitted(self, "sent_tfm_")
        texts1, texts2 = read_texts(X1, name="X1"), read_texts(X2, name="X2")
        check_consistent_length(texts1, texts2)
        both = self.transform([*texts1, *texts2])
        return paired_cosines(both[: len(texts1)], both[len(texts1) :])

    def to_disk(self, path: str | Path) -> None:
        """Save the finetuned model as a directory that `SentenceTransformer(path)` opens.

        path (str | Path): The directory; it is created if there is none. It contains the model,
            not the learner's parameters.
        RAISES (ValueError): If the path is a file.
        """
        check_is_fitted(self, "sent_tfm_")
        if Path(path).is_file():
            raise ValueError(f"{path} is a file: give a directory, or a path where nothing is yet.")
        self._encoder().to_directory(Path(path))

    @classmethod
    def from_disk(cls, path: str | Path) -> Self:
        """Load a model that `to_disk` saved, or any directory of a sentence-transformers model.

        path (str | Path): The directory.
        RETURNS (Self): A fitted learner with default parameters. Its `fit` begins with this
            model.
        RAISES (ValueError): If there is no such model.
        """
        if not Path(path).is_dir():
            raise ValueError(f"{path} is not a directory: give the one that to_disk wrote.")
        learner = cls(str(Path(path).absolute()))
        learner._set_model(learner._own_model())
        return learner


def _forward(
    trainer: EncoderTrainer, texts: Sequence[str]
) -> tuple[Output, Callable[[HeadOutput], None]]:
    """Run the forward pass of an encoder whose vectors are the tuned vectors, for `training_step`.

    RETURNS (tuple[Output, Callable]): The output, without scores, and the backward pass.
    """
    vectors, backprop = trainer.forward(texts)
    rows = cast(Any, vectors)
    no_scores = cast(Any, np.zeros((len(rows), 0), dtype="float32"))
    return Output(rows, rows, no_scores), lambda gradient: backprop(cast(Any, gradient.tuned))


@contextlib.contextmanager
def _kept_trainable(model: "SentenceTransformer") -> Iterator[dict[str, bool]]:
    """Restore `requires_grad` of all parameters afterwards, because the model may be the caller's.

    RETURNS (ContextManager[dict[str, bool]]): Whether each parameter can learn, by name.
    """
    can_learn = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    try:
        yield can_learn
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(can_learn[name])
