"""Settings of a sentence encoder: where to find it, how to run it, and how it learns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Precision = Literal["auto", "float32", "bfloat16", "int8"]
Backend = Literal["torch", "onnx", "openvino"]
DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class EncoderSettings:
    """Where to find an encoder and how to run it.

    `name`, `revision`, `prompt`, `prompt_name`, `task`, `max_seq_length`, `truncate_dim` and
    `pool_windows` decide which vectors the encoder gives; the fingerprint of the encoder depends on
    them. The other settings change vectors by rounding at most, so they may differ between training
    and use.

    name (str): A directory or the name of a model. A name is looked up in this order: the packaged
        copy (extra `offline`), the local Hugging Face cache, the hub.
    revision (str | None): Branch, tag or commit on the hub. With a revision the packaged copy is
        not used, because it does not say which revision it is.
    precision (str): "float32", "bfloat16" (autocast), "int8" (weights of 8 bits, which costs
        quality: the log says how much), or "auto": bfloat16 where the processor computes in it
        natively and the vectors of sample texts stay the same (cosine of .999 or more), else
        float32.
    batch_size (int): Size of a forward pass. On a processor it has `batch_size * 32` tokens, such
        as 32 texts of 32 tokens, or 4 texts of 256; on a GPU eight times as many. A model that
        does not read tokens gets `batch_size` texts.
    device (str | None): A torch device; None takes the device that thinc works on.
    trust_remote_code (bool): Whether a model may run code of its own, from its directory or the
        hub.
    prompt (str | None): Put before each text, as models like E5 want it ("query: "). It takes part
        of the window. "" turns off the prompt that the model puts there by itself; None leaves it.
    prompt_name (str | None): Name of one of the model's own prompts, to be used in its place.
    task (str | None): Route of an asymmetric model (a `Router`), such as "query" or "document".
    max_seq_length (int | None): Number of tokens that are read of a text; None: what the model is
        set to.
    truncate_dim (int | None): Number of leading dimensions that are kept of each vector, for models
        that were trained for it (Matryoshka); None: all.
    attn_implementation (str | None): Which attention transformers uses: "sdpa", "eager",
        "flash_attention_2", ...; None: its own choice.
    backend (str): What runs the model: "torch"; "onnx", ONNX Runtime (extra `onnx`); "openvino"
        (extra `openvino`). It is converted from torch here and runs on the processor. While an
        encoder learns, torch runs it.
    model_kwargs (Mapping | None): More arguments for the `from_pretrained` of transformers, as in
        `SentenceTransformer(model_kwargs=...)`.
    pool_windows (bool): What a text gets that is longer than the window. False: the vector of its
        beginning; the rest is cut off, with a warning. True: the mean of the vectors of pieces that
        fit the window, weighted by their numbers of tokens. The model's fast tokenizer says where
        to split. No effect for a model that reads all of a text.
    RAISES (ValueError): If a setting is out of range, or settings contradict each other.

    >>> EncoderSettings("intfloat/e5-small-v2", prompt="query: ").prompt
    'query: '
    """

    name: str = DEFAULT_ENCODER
    revision: str | None = None
    precision: Precision = "auto"
    batch_size: int = 32
    device: str | None = None
    trust_remote_code: bool = False
    prompt: str | None = None
    prompt_name: str | None = None
    task: str | None = None
    max_seq_length: int | None = None
    truncate_dim: int | None = None
    attn_implementation: str | None = None
    model_kwargs: Mapping[str, Any] | None = None
    backend: Backend = "torch"
    pool_windows: bool = False

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ValueError(
                f"The encoder's name must be a model name or a directory, got {self.name!r}."
            )
        for setting, allowed in (("precision", Precision), ("backend", Backend)):
            if getattr(self, setting) not in get_args(allowed):
                raise ValueError(
                    f"Unknown {setting} {getattr(self, setting)!r}. Choose one of: "
                    f"{', '.join(get_args(allowed))}."
                )
        refused = {("onnx", "bfloat16"): "float32 or int8", ("openvino", "int8"): "float32"}
        instead = refused.get((self.backend, self.precision))
        if instead is not None:
            raise ValueError(
                f"backend {self.backend!r} does not compute in {self.precision} here: set "
                f"precision to {instead}, or backend to torch."
            )
        for setting in ("batch_size", "max_seq_length", "truncate_dim"):
            value = getattr(self, setting)
            if value is None and setting != "batch_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{setting} must be a whole number of at least 1, got {value!r}.")
        if self.prompt is not None and self.prompt_name is not None:
            raise ValueError(
                f"prompt is {self.prompt!r} and prompt_name is {self.prompt_name!r}: give one of "
                "them. prompt is put before each text as it is; prompt_name is the name of a "
                "prompt that the model brings."
            )
        given = (self.model_kwargs or {}).get("attn_implementation")
        if None not in (given, self.attn_implementation) and given != self.attn_implementation:
            raise ValueError(
                f"attn_implementation is {self.attn_implementation!r}, but model_kwargs has "
                f"{given!r} for it: give one of them."
            )

    @property
    def all_model_kwargs(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): `model_kwargs` with `attn_implementation`, if it is given."""
        given = dict(self.model_kwargs or {})
        if self.attn_implementation is not None:
            given["attn_implementation"] = self.attn_implementation
        return given


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
