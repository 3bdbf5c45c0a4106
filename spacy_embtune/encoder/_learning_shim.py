"""Holds the encoder of an encoder layer when some of the encoder's layers learn."""

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import srsly
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import NumpyOps, torch2xp, xp2torch
from thinc.compat import has_cupy

from ._split import SplitModel
from .cache import VectorCache
from .settings import LearningSettings
from .shim import EncoderShim, texts_of
from .text_encoder import TextEncoder
from .trainer import EncoderTrainer

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class LearningShim(EncoderShim):
    """Holds an encoder that learns. Vectors are kept until the weights change.

    The reference encoder is the encoder as it was before all training, in this process and in
    earlier ones. Losses, scores and reports compare with it. It is, in this order:
    1. if the training began in this process, a copy of the encoder from that time;
    2. the encoder that is found by its name on this machine, if its fingerprint fits;
    3. with a warning, the encoder as this process loaded it.

    learning (LearningSettings): How the encoder learns.
    *args, **kwargs: As for `EncoderShim`.
    """

    def __init__(self, learning: LearningSettings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.learning = learning
        self._trainer: EncoderTrainer | None = None
        # The encoder as it was when the training in this process began.
        self._start: TextEncoder | None = None
        # The fingerprint of the encoder before all training; pipelines store it.
        self._reference_fingerprint: str | None = None
        self._reference: TextEncoder | None = None
        self._reference_cache = VectorCache(self.cache.size)

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): Whether the encoder learns."""
        return True

    @property
    def trainer(self) -> EncoderTrainer:
        """RETURNS (EncoderTrainer): Runs the encoder in training. The training in this process
        begins when this property is first read."""
        if self._trainer is None:
            encoder = self.encoder
            fingerprint = encoder.fingerprint
            if self._reference_fingerprint is None:
                self._reference_fingerprint = fingerprint
            self._trainer = EncoderTrainer(
                encoder,
                trainable_layers=self.learning.trainable_layers,
                memory=self.learning.memory_mb * 2**20,
            )
            self._start = _copy_encoder(encoder, self._trainer.parameters)
            if fingerprint == self._reference_fingerprint or self._reference is encoder:
                self._reference = self._start
                # The vectors that are kept so far are those of the reference encoder.
                self._reference_cache, self.cache = self.cache, VectorCache(self.cache.size)
        return self._trainer

    def restart(self) -> None:
        """Begin the training anew, from the weights that the encoder had when the training in this
        process began.

        RAISES (ValueError): If the encoder does not have the layers that are to learn.
        """
        if self._trainer is not None and self._start is not None:
            self._set_weights(dict(self._start.model.named_parameters()))
            self.encoder.model.requires_grad_(False)
        self._forget_training()
        # Raises the error now, not at the first update.
        SplitModel(self.encoder.model, self.learning.trainable_layers)

    def _forget_training(self) -> None:
        self._trainer, self._start, self._reference = None, None, None
        self._reference_cache.clear()

    def begin_update(
        self, X: Sequence[Doc | str]
    ) -> tuple[NDArray[Any], Callable[[NDArray[Any]], None]]:
        """Encode documents or texts for training.

        X (Sequence[Doc | str]): The n documents or texts.
        RETURNS (tuple): Base vectors, float32, shape (n, d), and the callback that takes the
            gradient with respect to them.
        """
        texts = texts_of(X)
        self.n_requested += len(texts)
        trainer = self.trainer
        before = trainer.n_passed
        rows, backprop = trainer.forward(texts)
        self.n_encoded += trainer.n_passed - before
        return rows, backprop

    def finish_update(self, optimizer: Any) -> None:
        """Apply the gradients gathered so far, with the encoder's own learning rate.

        optimizer (Optimizer): The optimizer of thinc.
        """
        if self._trainer is None:
            return
        gradients = {
            name: parameter
            for name, parameter in self._trainer.parameters.items()
            if parameter.grad is not None
        }
        if not gradients:
            return
        self._weights_changed()
        # The model may be on a GPU that thinc has no arrays for.
        ops = None if has_cupy else NumpyOps()
        # Not through lr_scale, because thinc's RAdam ignores it.
        learn_rate = optimizer.learn_rate
        optimizer.learn_rate = learn_rate * self.learning.learn_rate_scale
        try:
            for name, parameter in gradients.items():
                shape = parameter.shape or (1,)
                weights, _ = optimizer(
                    (self.id, name),
                    torch2xp(parameter.data.reshape(shape), ops=ops),
                    torch2xp(parameter.grad.reshape(shape), ops=ops),
                )
                updated = xp2torch(weights, device=parameter.device)
                parameter.data = updated.reshape(parameter.shape)
                parameter.grad = None
        finally:
            optimizer.learn_rate = learn_rate

    @contextlib.contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Use other weights within a context: those that the optimizer averaged.

        params (dict): Weights by the key (id of the shim, name of the parameter).
        """
        averaged = {}
        if self._trainer is not None:
            averaged = {
                name: xp2torch(params[(self.id, name)], device=parameter.device)
                for name, parameter in self._trainer.parameters.items()
                if (self.id, name) in params
            }
        if not averaged or self._trainer is None:
            yield
            return
        learned = {name: self._trainer.parameters[name].detach().clone() for name in averaged}
        self._set_weights(averaged)
        try:
            yield
        finally:
            self._set_weights(learned)

    def _set_weights(self, weights: dict[str, "torch.Tensor"]) -> None:
        """Set the parameters that learn."""
        import torch

        assert self._trainer is not None
        with torch.no_grad():
            for name, parameter in self._trainer.parameters.items():
                if name in weights:
                    parameter.copy_(weights[name].reshape(parameter.shape))
        self._weights_changed()

    def _weights_changed(self) -> None:
        self.cache.clear()
        self.fingerprint = None
        self.encoder.weights_changed()

    def _encode(self, texts: Sequence[str]) -> NDArray[Any]:
        # Vectors of weights that are about to change are not worth storing.
        return self._compute(texts) if self._trainer is not None else super()._encode(texts)

    def reference_vectors(self, X: Sequence[Doc | str]) -> NDArray[Any] | None:
        """Return the vectors of the reference encoder, each distinct text encoded once.

        X (Sequence[Doc | str]): The n documents or texts.
        RETURNS (ndarray | None): float32, shape (n, d). None if the encoder in use is the reference
            encoder, so that `vectors` returns the same.
        """
        if self._reference_fingerprint is None and self._start is None:
            # Not trained yet.
            return None
        reference = self._find_reference()
        if reference is self.encoder:
            return None

        def encode(texts: list[str]) -> NDArray[Any]:
            return self._compute(texts, encoder=reference)

        return self._reference_cache.lookup(texts_of(X), encode, reference.width)

    def _find_reference(self) -> TextEncoder:
        if self._reference is not None:
            return self._reference
        loaded = self.encoder if self._start is None else self._start
        wanted = self._reference_fingerprint
        self._reference = loaded
        if wanted not in (None, loaded.fingerprint):
            try:
                # Nothing is downloaded only to compare with it.
                found = TextEncoder.load(self.settings, only_here=True)
                is_reference = found.fingerprint == wanted
                problem = "" if is_reference else "this name leads to another encoder now"
            except ValueError as error:
                problem = str(error)
            if problem:
                logger.warning(
                    "The encoder as it was before training, %s, cannot be compared with (%s). Base "
                    "vectors are those of the finetuned encoder, as this process loaded it.",
                    self.settings.name,
                    problem.rstrip("."),
                )
            else:
                found.model.float()
                self._reference = found
        return self._reference

    # Weights that learn are not shared, in memory and on disk.

    def _load(self) -> TextEncoder:
        return TextEncoder.load(self.settings)

    def _load_stored(self, load: Callable[[], TextEncoder]) -> TextEncoder:
        return load()

    def _take(self, encoder: TextEncoder) -> TextEncoder:
        return encoder

    def _join(self) -> None:
        """Share nothing."""

    def _begin_caching(self) -> VectorCache:
        return self.cache

    def _adopt(self, encoder: TextEncoder, *, is_stored: bool = False) -> None:
        super()._adopt(encoder, is_stored=is_stored)
        # The type that it has when it learns, so that its vectors before training stay comparable.
        encoder.model.float()
        self._forget_training()

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Name, revision and fingerprint of the encoder, and the fingerprint of
        the reference encoder, as msgpack; no weights."""
        if self._trainer is not None:
            # So that the bytes do not fit another encoder, such as the one before training.
            self.identify()
        identity = srsly.msgpack_loads(super().to_bytes())
        return srsly.msgpack_dumps({**identity, "original": self._reference_fingerprint})

    def from_bytes(self, data: bytes) -> "LearningShim":
        """Require the encoder that the bytes name, and the reference encoder that they name.

        data (bytes): The bytes that `to_bytes` returned.
        RETURNS (LearningShim): The shim.
        """
        super().from_bytes(data)
        original = srsly.msgpack_loads(data).get("original")
        if original != self._reference_fingerprint:
            self._reference_fingerprint, self._reference = original, None
            self._reference_cache.clear()
        if self._model is None:
            self._forget_training()
        return self

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the encoder to a device, if it is loaded, and what is kept of its training."""
        super().to_device(device_type, device_id)
        for encoder in (self._start, self._reference):
            if encoder is not None:
                encoder.model.to(self.encoder.model.device)
        if self._trainer is not None:
            # What it keeps was computed on the other device.
            self._trainer.forget()

    def _renew(self) -> "LearningShim":
        renewed = LearningShim(self.learning, self.settings, **self._how_kept())
        renewed.fingerprint = self.fingerprint
        renewed._reference_fingerprint = self._reference_fingerprint
        return renewed

    def __deepcopy__(self, memo: dict[int, Any]) -> "LearningShim":
        copied = self._renew()
        if self._model is not None:
            copied._adopt(TextEncoder(copy.deepcopy(self.encoder.model), self.settings))
        return copied


def _copy_encoder(encoder: TextEncoder, learned: dict[str, Any]) -> TextEncoder:
    """Copy an encoder as it is now, without its frozen weights and its tokenizer, which are shared.

    learned (dict[str, Parameter]): The parameters that learn, by name.
    RETURNS (TextEncoder): The copy.
    """
    model = encoder.model
    shared = [p for name, p in model.named_parameters() if name not in learned]
    memo = {id(thing): thing for thing in (*shared, model.tokenizer)}
    copied = TextEncoder(copy.deepcopy(model, memo), encoder.settings)
    copied._fingerprint = encoder.fingerprint
    return copied
