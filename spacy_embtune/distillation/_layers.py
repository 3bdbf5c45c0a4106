"""The student of a few layers: the first layers of the encoder, trained toward the tuned vectors
of the teacher."""

import copy
import math
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._progress import progress_interval
from ..encoder import EncoderSettings, TextEncoder, find_layers, prepare, to_device
from ..metrics.ranking import unit_vectors
from ..pipeline import EmbTune
from ._corpus import FIT, VALIDATION, Corpus, head_outputs
from ._ridge import RidgeSums

# Texts that the closed-form map of the start is fitted to.
MOST_FIRST = 4000
# Texts that are trained on, because they and their targets are in memory.
MOST_TRAINED = 50_000
BATCH_SIZE = 32
LEARN_RATE = 3e-4
WARMUP = 0.1
MOST_EPOCHS = 10


class LayersStudent(NamedTuple):
    """A student of a few layers and how it was made.

    encoder (TextEncoder): The student.
    n_layers (int): Number of its layers.
    n_steps (int): Number of training steps; 0: training did not help, so that the closed form was
        kept.
    start, end (float): Mean cosine with the teacher, on texts that were left out, before and after
        training.
    """

    encoder: TextEncoder
    n_layers: int
    n_steps: int
    start: float
    end: float


def fit_layers(
    pipe: EmbTune, corpus: Corpus, n_layers: int, *, seconds: float, progress: bool = False
) -> LayersStudent:
    """Train the first layers of an encoder toward the tuned vectors of a component.

    pipe (EmbTune): The teacher.
    corpus (Corpus): The texts.
    n_layers (int): Number of layers.
    seconds (float): Bound for the duration of the training.
    progress (bool): Whether to show a progress bar.
    RETURNS (LayersStudent): The student.
    RAISES (ValueError): If the encoder has no layers that can be taken off.
    """
    import torch

    assert pipe.encoder is not None
    model = _shorten(pipe.encoder.encoder, n_layers)
    settings = EncoderSettings(precision="float32", device=str(model.device))
    first = corpus.first(MOST_FIRST, FIT)
    pooled = TextEncoder(model, settings)
    targets = unit_vectors(head_outputs(pipe, first.base)[0])
    with_map = _add_map(pooled, first.texts, targets, progress=progress)
    student = TextEncoder(with_map, settings)
    check = corpus.first(MOST_TRAINED, VALIDATION)
    wanted = unit_vectors(head_outputs(pipe, check.base)[0])
    start = _mean_cosine(student.encode(check.texts), wanted)
    before = copy.deepcopy(with_map.state_dict())
    fit = corpus.first(MOST_TRAINED, FIT)
    n_steps = _train(
        with_map, fit.texts, unit_vectors(head_outputs(pipe, fit.base)[0]), seconds, progress
    )
    with_map.eval().requires_grad_(False)
    end = _mean_cosine(student.encode(check.texts), wanted)
    if end <= start:
        with_map.load_state_dict(before)
        n_steps, end = 0, start
    with torch.no_grad():
        return LayersStudent(TextEncoder(with_map, settings), n_layers, n_steps, start, end)


def _shorten(encoder: TextEncoder, n_layers: int) -> Any:
    """RETURNS (SentenceTransformer): A copy of a model with its first layers only, in float32, and
    without a normalisation at its end."""
    stack = find_layers(encoder.model)
    n = 0 if stack is None else len(stack)
    if not 0 < n_layers < n:
        how = f"1 to {n - 1}" if n > 1 else "static"
        raise ValueError(
            f"A student of {n_layers} layers is asked for, but the encoder "
            f"{encoder.settings.name} has {n or 'no'} layer{'s' * (n != 1)}. Give {how}."
        )
    # Only the layers that stay are copied.
    gone = {id(layer): None for layer in list(stack)[n_layers:]}
    made = copy.deepcopy(encoder.model, dict(gone)).float()
    kept = find_layers(made)
    del kept[n_layers:]
    transformer: Any = made[0]
    transformer.auto_model.config.num_hidden_layers = n_layers
    if type(made[len(made) - 1]).__name__ == "Normalize":
        del made[len(made) - 1]
    return made


def _add_map(
    pooled: TextEncoder, texts: list[str], targets: NDArray[Any], *, progress: bool
) -> Any:
    """RETURNS (SentenceTransformer): The model with a linear map to the targets, in closed form,
    and a normalisation."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    rows = pooled.encode(texts, progress="First layers" if progress else None)
    sums = RidgeSums(rows.shape[1], targets.shape[1])
    sums.add(rows, targets)
    W = sums.solve(sums.best()[0])
    dense = Dense(rows.shape[1], targets.shape[1], activation_function=torch.nn.Identity())
    with torch.no_grad():
        dense.linear.weight.copy_(torch.from_numpy(W[:-1].T))
        dense.linear.bias.copy_(torch.from_numpy(W[-1]))
    model = pooled.model
    made = SentenceTransformer(modules=[*model, dense, Normalize()], device=str(model.device))
    made.prompts, made.default_prompt_name = model.prompts, model.default_prompt_name
    return made


def _train(
    model: Any, texts: list[str], targets: NDArray[Any], seconds: float, progress: bool
) -> int:
    """Train a model to give targets, by cosines. Texts of a batch have nearly one length.

    RETURNS (int): The number of steps.
    """
    import torch
    from tqdm.auto import tqdm

    # Dropout makes the student's vectors noisy, and the teacher has none.
    model.eval()
    for name, parameter in model.named_parameters():
        # Rows of a table of tokens that do not occur would only be decayed.
        parameter.requires_grad_("embeddings" not in name)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARN_RATE, weight_decay=0.0)
    rng = np.random.default_rng(0)
    batches = _batches(texts, rng)
    n_planned = MOST_EPOCHS * len(batches)
    begin, step = time.monotonic(), 0
    with tqdm(
        total=round(seconds),
        desc="Training",
        unit="s",
        disable=not progress,
        leave=False,
        mininterval=progress_interval(),
    ) as bar:
        for _ in range(MOST_EPOCHS):
            for batch in rng.permutation(len(batches)):
                done = max((time.monotonic() - begin) / seconds, step / n_planned)
                if done >= 1.0:
                    return step
                rate = min(done / WARMUP, 1.0) * 0.5 * (1 + math.cos(math.pi * done))
                optimizer.param_groups[0]["lr"] = LEARN_RATE * max(rate, 1e-2)
                rows = batches[batch]
                features = to_device(prepare(model, [texts[i] for i in rows]), model.device)
                vectors = model(features)["sentence_embedding"]
                wanted = torch.from_numpy(targets[rows]).to(vectors.device)
                loss = 1.0 - (vectors * wanted).sum(dim=1).mean()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                bar.n = round(done * seconds)
                bar.update(0)
    return step


def _batches(texts: list[str], rng: np.random.Generator) -> list[NDArray[Any]]:
    noise = rng.uniform(0.9, 1.1, size=len(texts))
    order = np.argsort([len(text) * noise[i] for i, text in enumerate(texts)])
    return [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]


def _mean_cosine(rows: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.einsum("ij,ij->i", unit_vectors(rows), wanted).mean()) if len(rows) else 0.0
