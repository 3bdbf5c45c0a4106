"""Settings of a sentence encoder: where to find it, how to run it, and how it learns."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class EncoderSettings:
    """Where to find an encoder and how to run it.

    Only `name` and `revision` decide which vectors the encoder gives. The other settings change
    them by rounding at most, so they may differ between training and use.

    name (str): A directory or the name of a model. A name is looked up in this order: the packaged
        copy (extra `offline`), the local Hugging Face cache, the hub.
    revision (str | None): Branch, tag or commit on the hub. With a revision the packaged copy is
        not used, because it does not say which revision it is.
    precision (str): "float32", "bfloat16" (autocast), or "auto": bfloat16 where the processor
        computes in it natively, else float32.
    batch_size (int): Texts per forward pass.
    device (str | None): A torch device; None takes the device that thinc works on.
    trust_remote_code (bool): Whether a model from the hub may run its own code.
    RAISES (ValueError): If a setting is out of range.

    >>> EncoderSettings(batch_size=64).name
    'sentence-transformers/all-MiniLM-L6-v2'
    """

    name: str = DEFAULT_ENCODER
    revision: str | None = None
    precision: Precision = "auto"
    batch_size: int = 32
    device: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ValueError(
                f"The encoder's name must be a model name or a directory, got {self.name!r}."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"Unknown precision {self.precision!r}. Choose one of: {', '.join(PRECISIONS)}."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}.")


@dataclass(frozen=True)
class LearningSettings:
    """How an encoder learns.

    trainable_layers (int): Number of the last layers that learn; -1: all layers and the
        embeddings; 0: none.
    learn_rate_scale (float): Factor between the optimizer's learning rate and the encoder's.
    memory_mb (int): Bound in megabytes for the kept activations, and also for the forward and
        backward pass of one training step.
    RAISES (ValueError): If a setting is out of range.

    >>> LearningSettings(trainable_layers=4).learn_rate_scale
    0.1
    """

    trainable_layers: int
    learn_rate_scale: float = 0.1
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
        if self.memory_mb < 1:
            raise ValueError(f"memory_mb must be at least 1, got {self.memory_mb}.")
