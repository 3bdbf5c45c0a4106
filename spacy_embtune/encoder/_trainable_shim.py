"""The encoder layer's shim when some of the encoder's layers learn."""

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import NumpyOps, torch2xp, xp2torch
from thinc.compat import has_cupy

from ._split import SplitModel
from .cache import VectorCache
from .sentence_encoder import SentenceEncoder
from .shim import EncoderShim
from .trainer import EncoderTrainer

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderTraining:
    """How an encoder learns.

    trainable_layers (int): How many of the last layers; -1: all, and the embeddings.
    learn_rate_scale (float): What the optimizer's learning rate is multiplied by for the encoder.
    dropout (float | None): The rate in the layers that learn; None: as the model was configured.
    frozen_steps (int): For how many updates the encoder stays as it is, while the head learns;
        counted from `initialize`, on through loading.
    blend (float): How much of the untuned encoder is in the weights that are used and stored, 0..1.
        In a pipeline that is loaded and learns on, that is the encoder as it was loaded.
    memory_mb (int): Megabytes that kept activations may take, and that the passes of a step may.
    """

    trainable_layers: int
    learn_rate_scale: float = 0.1
    dropout: float | None = None
    frozen_steps: int = 0
    blend: float = 0.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if self.trainable_layers < -1:
            raise ValueError(
                f"trainable_layers is {self.trainable_layers}: give 0 (none), the number of the "
                "last layers that learn, or -1 (all)."
            )
        if self.learn_rate_scale <= 0:
            raise ValueError(
                f"learn_rate_scale is {self.learn_rate_scale}: give a number above 0, or "
                "trainable_layers = 0 for an encoder that does not learn."
            )
        if self.dropout is not None and not 0.0 <= self.dropout < 1.0:
            raise ValueError(
                f"The encoder's dropout is {self.dropout}: give a number from 0 to less than 1, or "
                "null (None) for what its model is configured with."
            )
        if self.frozen_steps < 0:
            raise ValueError(f"frozen_steps must not be negative, got {self.frozen_steps}.")
        if not 0.0 <= self.blend < 1.0:
            raise ValueError(f"blend is {self.blend}: give a number from 0 to less than 1.")
        if self.memory_mb < 1:
            raise ValueError(f"memory_mb must be at least 1, got {self.memory_mb}.")


class TrainableShim(EncoderShim):
    """An `EncoderShim` whose encoder learns: vectors are kept until the weights change.

    training (EncoderTraining): How it learns.
    """

    def __init__(self, training: EncoderTraining, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.training = training
        self._trainer: EncoderTrainer | None = None
        self._untuned: dict[str, torch.Tensor] = {}
        # The weights as they are learned, while those in use are blended.
        self._learned: dict[str, torch.Tensor] | None = None
        self._untuned_cache = VectorCache(self.cache.size)
        self._n_updates = 0
        # Which encoder was there before any training, in this process or earlier ones.
        self._original_fingerprint: str | None = None
        self._began_here = False
        self._original: SentenceEncoder | None = None
        self._original_is_lost = False
        self._original_cache = VectorCache(self.cache.size)

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): Whether some of the encoder's layers learn."""
        return True

    @property
    def learns(self) -> bool:
        """RETURNS (bool): Whether the next update changes the encoder."""
        return self._n_updates >= self.training.frozen_steps

    @property
    def trainer(self) -> EncoderTrainer:
        """RETURNS (EncoderTrainer): Runs the encoder for updates; from now on it is known what its
        weights were before."""
        if self._trainer is None:
            now = self.encoder.fingerprint
            if self._original_fingerprint is None:
                self._original_fingerprint = now
            self._began_here = now == self._original_fingerprint
            self._trainer = EncoderTrainer(
                self.encoder,
                trainable_layers=self.training.trainable_layers,
                dropout=self.training.dropout,
                memory=self.training.memory_mb * 2**20,
            )
            self._untuned = _copy(self._trainer.parameters)
            # What was encoded until now was encoded without training.
            self._untuned_cache, self.cache = self.cache, VectorCache(self.cache.size)
        return self._trainer

    def restart(self) -> None:
        """Begin the training anew: with the weights that were there before it, or that were loaded.

        RAISES (ValueError): If the encoder does not have the layers that are to learn.
        """
        if self._trainer is not None:
            self._learned = None
            self._set(self._untuned)
            self.encoder.model.requires_grad_(False)
        self._forget_training()
        self._n_updates = 0
        SplitModel(self.encoder.model, self.training.trainable_layers)

    def _forget_training(self) -> None:
        self._trainer, self._learned, self._untuned = None, None, {}
        self._untuned_cache.clear()
        self._began_here = False

    def begin_update(
        self, X: Sequence[Doc | str]
    ) -> tuple[NDArray[Any], Callable[[NDArray[Any]], None]]:
        """Encode documents or texts for training.

        RETURNS (tuple): Base vectors, float32, shape (n, d), and the callback that takes the
            gradient with respect to them.
        """
        if not self.learns:
            return self.vectors(X), lambda gradient: None
        texts = [x if isinstance(x, str) else x.text for x in X]
        self.n_requested += len(texts)
        trainer = self.trainer
        self._use_learned()
        before = trainer.n_passed
        rows, backprop = trainer.forward(texts)
        self.n_encoded += trainer.n_passed - before
        return rows, backprop

    def vectors(self, X: Sequence[Doc | str]) -> NDArray[Any]:
        """RETURNS (ndarray): Base vectors of documents or texts, float32, shape (n, d)."""
        self._use_blended()
        return super().vectors(X)

    def untuned_vectors(self, X: Sequence[Doc | str]) -> NDArray[Any] | None:
        """RETURNS (ndarray | None): What the encoder would give without the training in this
        process, float32, shape (n, d); None if there was none, and the encoder may have been
        trained before. Each distinct text is encoded once.
        """
        if self._trainer is None:
            return None
        texts = [x if isinstance(x, str) else x.text for x in X]
        return self._untuned_cache.lookup(texts, self._compute_untuned, self.encoder.width)

    def original_vectors(self, X: Sequence[Doc | str]) -> NDArray[Any] | None:
        """RETURNS (ndarray | None): What the encoder gave before any training, that of processes
        before included, float32, shape (n, d): the encoder of this name, if it is that one. None if
        there was no training, or that encoder is not on this machine any more.
        """
        encoder = self._find_original()
        if encoder is None:
            return None if self._original_is_lost else self.untuned_vectors(X)
        texts = [x if isinstance(x, str) else x.text for x in X]
        return self._original_cache.lookup(texts, encoder.encode, encoder.width)

    def _find_original(self) -> SentenceEncoder | None:
        """RETURNS (SentenceEncoder | None): The encoder before any training, if that began in an
        earlier process, and it is on this machine: nothing is downloaded to compare with."""
        wanted = self._original_fingerprint
        if self._original is not None or wanted is None or self._began_here:
            return self._original
        if self._original_is_lost or (self._trainer is None and self.encoder.fingerprint == wanted):
            return None
        try:
            found = SentenceEncoder.load(self.settings, only_here=True)
            problem = "" if found.fingerprint == wanted else "it is another one now"
        except ValueError as error:
            problem = str(error)
        if problem:
            self._original_is_lost = True
            logger.warning(
                "The encoder that was finetuned, %s, cannot be compared with: %s. Base vectors are "
                "those of the finetuned encoder.",
                self.settings.name,
                problem,
            )
            return None
        found.model.float()
        self._original = found
        return found

    def _compute_untuned(self, texts: Sequence[str]) -> NDArray[Any]:
        assert self._trainer is not None
        self._use_learned()
        kept = _copy(self._trainer.parameters)
        self._set(self._untuned, changes=False)
        try:
            return self._compute(texts)
        finally:
            self._set(kept, changes=False)

    def finish_update(self, optimizer: Any) -> None:
        """Apply the gradients gathered so far, with the encoder's own learning rate."""
        self._n_updates += 1
        if self._trainer is None:
            return
        self._use_learned()
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
        # Not by lr_scale: thinc's RAdam does not look at it.
        learn_rate = optimizer.learn_rate
        optimizer.learn_rate = learn_rate * self.training.learn_rate_scale
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
        """Use other weights, those averaged by the optimizer, for a while."""
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
        self._use_learned()
        kept = _copy({name: self._trainer.parameters[name] for name in averaged})
        self._set(averaged)
        try:
            yield
        finally:
            self._use_learned()
            self._set(kept)

    def _use_blended(self) -> None:
        """Before vectors are used, or weights stored."""
        blend = self.training.blend
        if blend and self._trainer is not None and self._learned is None:
            self._learned = _copy(self._trainer.parameters)
            self._set(
                {name: w.lerp(self._untuned[name], blend) for name, w in self._learned.items()},
                changes=False,
            )
            self.encoder.weights_changed()

    def _use_learned(self) -> None:
        """Before the weights learn."""
        if self._learned is not None:
            learned, self._learned = self._learned, None
            self._set(learned, changes=False)
            self.encoder.weights_changed()

    def _set(self, weights: dict[str, "torch.Tensor"], *, changes: bool = True) -> None:
        import torch

        assert self._trainer is not None
        with torch.no_grad():
            for name, value in weights.items():
                parameter = self._trainer.parameters[name]
                parameter.copy_(value.reshape(parameter.shape))
        if changes:
            self._weights_changed()

    def _weights_changed(self) -> None:
        self.cache.clear()
        self.fingerprint = None
        self.encoder.weights_changed()

    def _adopt(self, encoder: SentenceEncoder, *, is_stored: bool = False) -> None:
        super()._adopt(encoder, is_stored=is_stored)
        # As it will be when it learns, so that its untuned vectors stay what they were.
        encoder.model.float()
        self._forget_training()

    def _encode(self, texts: Sequence[str]) -> NDArray[Any]:
        # What is about to change is not worth a place on disk.
        return self._compute(texts) if self._trainer is not None else super()._encode(texts)

    def to_files(self) -> dict[str, bytes]:
        """RETURNS (dict[str, bytes]): The encoder's files, see `SentenceEncoder.to_files`."""
        self._use_blended()
        return super().to_files()

    def to_directory(self, path: Path) -> None:
        """Write the encoder as a directory, see `EncoderShim.to_directory`."""
        self._use_blended()
        super().to_directory(path)

    def identify(self) -> str:
        """RETURNS (str): The encoder's fingerprint, from now on required on loading."""
        self._use_blended()
        return super().identify()

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Who the encoder is, which it was before training, and how many updates
        there were, as msgpack."""
        if self._trainer is not None:
            # Not for another encoder, such as the untuned one.
            self.identify()
        identity = srsly.msgpack_loads(super().to_bytes())
        more = {"original": self._original_fingerprint, "n_updates": self._n_updates}
        return srsly.msgpack_dumps({**identity, **more})

    def from_bytes(self, data: bytes) -> "TrainableShim":
        """Learn which encoder it must be, and which it was before training."""
        self._use_blended()
        super().from_bytes(data)
        identity = srsly.msgpack_loads(data)
        self._n_updates = identity.get("n_updates", 0)
        original = identity.get("original")
        if original != self._original_fingerprint:
            self._original_fingerprint, self._original = original, None
            self._began_here, self._original_is_lost = False, False
            self._original_cache.clear()
        if self._model is None:
            self._forget_training()
        return self

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the encoder, if it is loaded, and what is kept of its training."""
        super().to_device(device_type, device_id)
        self._original = None
        if self._trainer is not None:
            device = self.encoder.model.device
            self._untuned = {name: w.to(device) for name, w in self._untuned.items()}
            if self._learned is not None:
                self._learned = {name: w.to(device) for name, w in self._learned.items()}
            self._trainer.forget()

    def _renew(self) -> "TrainableShim":
        renewed = TrainableShim(
            self.training,
            self.settings,
            cache_size=self.cache.size,
            save_weights=self.save_weights,
            always_caches=self.always_caches,
            store=copy.copy(self.store),
        )
        renewed.fingerprint = self.fingerprint
        renewed._original_fingerprint = self._original_fingerprint
        renewed._n_updates = self._n_updates
        return renewed

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrainableShim":
        # What is trained is not shared.
        copied = self._renew()
        if self._model is not None:
            self._use_blended()
            copied._adopt(SentenceEncoder(copy.deepcopy(self.encoder.model), self.settings))
        return copied


def _copy(parameters: Any) -> dict[str, "torch.Tensor"]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}
