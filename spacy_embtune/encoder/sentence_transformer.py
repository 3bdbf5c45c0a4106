"""The encoder layer: texts through a sentence-transformers model, frozen or learning."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ._learning_shim import LearningShim
from .settings import DEFAULT_ENCODER, Backend, EncoderSettings, LearningSettings, Precision
from .shim import EncoderShim, get_shim
from .store import DEFAULT_MAX_BYTES, VectorStore

logger = logging.getLogger(__name__)


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
    memory_mb: int = 1024,
    dropout: float | None = None,
    frozen_steps: int = 0,
    blend: float = 0.0,
    prompt: str | None = None,
    prompt_name: str | None = None,
    task: str | None = None,
    max_seq_length: int | None = None,
    truncate_dim: int | None = None,
    attn_implementation: str | None = None,
    model_kwargs: dict[str, Any] | None = None,
    backend: Backend = "torch",
    pool_windows: bool = False,
) -> Model[Sequence[Doc | str], Floats2d]:
    """Make a layer of a sentence-transformers model: Docs or strings in, base vectors (n, d) out.
    The model is frozen, unless some of its layers are to learn.

    The model is loaded when it is first needed. During training each distinct text is encoded once.
    A pipeline that is only used keeps no vectors.

    name, revision, precision, batch_size, device, trust_remote_code: See `EncoderSettings`.
    prompt, prompt_name, task, max_seq_length, truncate_dim: See `EncoderSettings`.
    attn_implementation, model_kwargs, backend, pool_windows: See `EncoderSettings`.
    cache_size (int): Number of texts whose vectors are kept in memory; each takes 4 * d bytes.
    cache (str): When they are kept. "training": from the first `initialize` or update on.
        "always": also in a pipeline that is only used, as for a frozen component that annotates
        while another one is trained.
    save_weights (bool): Whether the encoder is stored with the pipeline. If not, only its name and
        fingerprint are stored, and the same encoder must be found by its name on loading.
    cache_dir (str | None): A directory that keeps vectors across runs, see `VectorStore`. It is
        used in pipelines that are only used, too. If the directory cannot be used, a warning says
        so and the texts are encoded.
    cache_dir_bytes (int): Bound for its size in bytes. The oldest vectors are dropped beyond it.
    trainable_layers (int): Number of the last layers that learn; 0: none; -1: all layers and the
        embeddings.
    learn_rate_scale, memory_mb: How they learn, see `LearningSettings`. No effect if none learns.
    dropout, frozen_steps, blend: Accepted and ignored, because pipelines saved earlier have them.
    RETURNS (Model): The layer; its shim is an `EncoderShim`.
    RAISES (ValueError): If a setting is out of range, or the settings exclude each other.

    >>> layer = SentenceTransformer("all-MiniLM-L6-v2", precision="float32")
    >>> layer.predict(["bread and soup", "a guitar"]).shape
    (2, 384)
    """
    if cache_size < 0:
        raise ValueError(f"cache_size must not be negative, got {cache_size}.")
    if cache not in ("training", "always"):
        raise ValueError(f'cache is {cache!r}: give "training" or "always".')
    if cache_dir == "":
        raise ValueError("cache_dir is an empty text: give a directory, or null for none.")
    _warn_of_removed(dropout=dropout, frozen_steps=frozen_steps, blend=blend)
    settings = EncoderSettings(
        name=name,
        revision=revision,
        precision=precision,
        batch_size=batch_size,
        device=device,
        trust_remote_code=trust_remote_code,
        prompt=prompt,
        prompt_name=prompt_name,
        task=task,
        max_seq_length=max_seq_length,
        truncate_dim=truncate_dim,
        attn_implementation=attn_implementation,
        model_kwargs=model_kwargs,
        backend=backend,
        pool_windows=pool_windows,
    )
    how_kept: dict[str, Any] = {
        "cache_size": cache_size,
        "save_weights": save_weights,
        "always_caches": cache == "always",
        "store": None if cache_dir is None else VectorStore(cache_dir, cache_dir_bytes),
    }
    learning = LearningSettings(trainable_layers, learn_rate_scale, memory_mb)
    shim = EncoderShim(settings, **how_kept)
    if trainable_layers != 0:
        if not save_weights:
            raise ValueError(
                f"trainable_layers is {trainable_layers}, but save_weights is false: the finetuned "
                "encoder would be lost. Set save_weights = true."
            )
        shim = LearningShim(learning, settings, **how_kept)
    return Model(
        "sentence_transformer",
        forward,
        init=init,
        dims={"nO": None},
        shims=[shim],
        attrs={"reads_texts": True},
    )


def _warn_of_removed(**settings: float | None) -> None:
    removed = [f"{name} = {value}" for name, value in settings.items() if value]
    if removed:
        logger.warning(
            "The encoder's settings dropout, frozen_steps and blend have no effect any more, found "
            "%s. Remove them from the config.",
            ", ".join(removed),
        )


def forward(
    model: Model[Sequence[Doc | str], Floats2d], X: Sequence[Doc | str], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], list[Any]]]:
    shim = get_shim(model)
    # Evaluations between updates read the same texts again and again. So vectors are kept in both,
    # once the training has begun.
    shim.caching = shim.caching or is_train
    learn = None
    if is_train and isinstance(shim, LearningShim):
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
    if isinstance(shim, LearningShim):
        shim.restart()
    model.set_dim("nO", shim.encoder.width)
    if X is not None:
        shim.vectors(X)
