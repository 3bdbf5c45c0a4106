"""The encoder layer: texts through a sentence-transformers model, frozen or learning."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ._trainable_shim import EncoderTraining, TrainableShim
from .sentence_encoder import DEFAULT_ENCODER, EncoderSettings, Precision
from .shim import EncoderShim, get_shim
from .store import DEFAULT_MAX_BYTES, VectorStore


def SentenceTransformer(
    name: str = DEFAULT_ENCODER,
    revision: str | None = None,
    precision: Precision = "auto",
    batch_size: int = 32,
    device: str | None = None,
    cache_size: int = 100_000,
    cache: Literal["training", "always"] = "training",
    save_weights: bool = True,
    trust_remote_code: bool = False,
    cache_dir: str | None = None,
    cache_dir_bytes: int = DEFAULT_MAX_BYTES,
    trainable_layers: int = 0,
    learn_rate_scale: float = 0.1,
    dropout: float | None = None,
    frozen_steps: int = 0,
    blend: float = 0.0,
    memory_mb: int = 1024,
) -> Model[Sequence[Doc | str], Floats2d]:
    """A sentence-transformers model as a layer: Docs or strings in, base vectors (n, d) out. It is
    frozen, unless some of its layers are to learn.

    The model is loaded when it is first needed. During training each distinct text is encoded
    once; a pipeline that was merely loaded keeps no vectors.

    name, revision, precision, batch_size, device, trust_remote_code: See `EncoderSettings`.
    cache_size (int): How many texts' vectors to keep; each takes 4 * d bytes.
    cache (str): When: "training", from the first initialize or update on; "always", also in a
        pipeline that is only used, as for a frozen component that annotates in the training of
        another one.
    save_weights (bool): Whether the encoder is stored with the pipeline. Otherwise only its name
        and fingerprint are, and it must be found again, unchanged, on loading.
    cache_dir (str | None): A directory that keeps vectors across runs, see `VectorStore`; used
        always, also by a pipeline that was merely loaded. Where it cannot be used, a warning says
        so, and texts are encoded.
    cache_dir_bytes (int): How large it may become; then the oldest vectors are dropped.
    trainable_layers (int): How many of the last layers learn: 0 none, -1 all, and the embeddings.
    learn_rate_scale, dropout, frozen_steps, blend, memory_mb: How they learn, see
        `EncoderTraining`. Without effect if none does.
    RETURNS (Model): The layer; its shim is an `EncoderShim`.
    """
    if cache_size < 0:
        raise ValueError(f"cache_size must not be negative, got {cache_size}.")
    if cache not in ("training", "always"):
        raise ValueError(f'cache is {cache!r}: give "training" or "always".')
    if cache_dir == "":
        raise ValueError("cache_dir is an empty text: give a directory, or null for none.")
    settings = EncoderSettings(
        name=name,
        revision=revision,
        precision=precision,
        batch_size=batch_size,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    keeping: dict[str, Any] = {
        "cache_size": cache_size,
        "save_weights": save_weights,
        "always_caches": cache == "always",
        "store": None if cache_dir is None else VectorStore(cache_dir, cache_dir_bytes),
    }
    shim = EncoderShim(settings, **keeping)
    training = EncoderTraining(
        trainable_layers, learn_rate_scale, dropout, frozen_steps, blend, memory_mb
    )
    if trainable_layers != 0:
        if not save_weights:
            raise ValueError(
                f"trainable_layers is {trainable_layers}, but save_weights is false: the finetuned "
                "encoder would be lost. Set save_weights = true."
            )
        shim = TrainableShim(training, settings, **keeping)
    return Model(
        "sentence_transformer",
        forward,
        init=init,
        dims={"nO": None},
        shims=[shim],
        attrs={"reads_texts": True},
    )


def forward(
    model: Model[Sequence[Doc | str], Floats2d], X: Sequence[Doc | str], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], list[Any]]]:
    shim = get_shim(model)
    # Evaluations run between updates and read the same texts again and again: once training has
    # begun, both are cached.
    shim.caching = shim.caching or is_train
    learn = None
    if is_train and isinstance(shim, TrainableShim):
        rows, learn = shim.begin_update(X)
    else:
        rows = shim.vectors(X)
    if model.has_dim("nO") is None:
        model.set_dim("nO", rows.shape[1])

    def backprop(dY: Floats2d) -> list[Any]:
        if learn is not None:
            ops: Any = model.ops
            learn(ops.to_numpy(dY))
        return []

    return model.ops.asarray2f(cast(Any, rows)), backprop


def init(
    model: Model[Sequence[Doc | str], Floats2d],
    X: Sequence[Doc | str] | None = None,
    Y: Any = None,
) -> None:
    shim = get_shim(model)
    shim.caching = True
    if isinstance(shim, TrainableShim):
        shim.restart()
    model.set_dim("nO", shim.encoder.width)
    if X is not None:
        shim.vectors(X)
