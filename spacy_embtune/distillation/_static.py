"""The static student: a table of token vectors, fitted to the tuned vectors of the teacher."""

import json
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoder import TextEncoder, TokenTable, token_shares, tokens_of
from ..encoder.token_table import MODULES, NORMALIZE, SETTINGS, STATIC, TOKENIZER
from ..metrics.ranking import unit_vectors
from ..pipeline import EmbTune
from ._corpus import FIT, VALIDATION, Block, Corpus, head_outputs
from ._ridge import RidgeSums
from ._vocabulary import extend, find_phrases, surfaces

# Weights of frequent tokens (smooth inverse frequency): a / (a + frequency); None: no weights.
WEIGHTS = (None, 0.1, 0.01)
# The table is refined on so many texts at most, because they are in memory at once.
MOST_REFINED = 50_000
# How strongly a token is held to its vector of the start; from strong to weak.
PULLS = (0.3, 0.1, 0.03, 0.01, 0.003)
N_STEPS = 15


class StaticStudent(NamedTuple):
    """A static student and how it was made.

    table (TokenTable): The student.
    n_phrases (int): Number of words and pairs of words with vectors of their own.
    weight (float | None): The weighting of frequent tokens, see `WEIGHTS`.
    penalty (float): The penalty of the ridge regression.
    pull (float | None): How strongly refined vectors are held to the start; None: refining did not
        help, so the closed form was kept.
    error, refined_error (float): Mean squared error of texts that were left out, before and after
        refining.
    dtype_cosine (float): Lowest cosine of the vectors of texts that were left out with those of
        the table in float32.
    """

    table: TokenTable
    n_phrases: int
    weight: float | None
    penalty: float
    pull: float | None
    error: float
    refined_error: float
    dtype_cosine: float


def fit_static(
    pipe: EmbTune,
    corpus: Corpus,
    *,
    dtype: str = "float32",
    deadline: float | None = None,
    progress: bool = False,
) -> StaticStudent:
    """Fit a table of token vectors to the tuned vectors of a component.

    Tokens go singly through the encoder of the component. A ridge regression in closed form leads
    from their mean in a text to the tuned vector of the text; it folds into the table exactly. Then
    conjugate-gradient steps move each token from there, where texts that were left out say that
    this helps.

    pipe (EmbTune): The teacher.
    corpus (Corpus): The texts.
    dtype (str): The type of the numbers, see `distill`.
    deadline (float | None): The value of `time.monotonic` after which nothing more is tried.
    progress (bool): Whether to show a progress bar.
    RETURNS (StaticStudent): The student.
    RAISES (ValueError): If the encoder has no tokenizer that can be used alone.
    """
    assert pipe.encoder is not None
    encoder = pipe.encoder.encoder
    plain = _tokenizer_of(encoder)
    phrases = find_phrases(corpus.blocks(FIT), plain)
    tokenizer = extend(plain, phrases)
    vectors = _token_vectors(encoder, tokenizer, progress=progress)
    frequency = np.zeros(len(vectors))
    n = 0
    for block in corpus.blocks(FIT):
        frequency += np.asarray(_shares(tokenizer, block, len(vectors)).sum(axis=0)).ravel()
        n += len(block.texts)
    frequency /= max(n, 1)
    vectors = vectors - frequency.astype("float32") @ vectors
    weight, penalty, table, error = _fit_ridge(pipe, corpus, tokenizer, vectors, frequency)
    refined, pull, refined_error = _refine(pipe, corpus, tokenizer, table, deadline)
    exact = np.ascontiguousarray(refined, dtype="float32")
    rounded = round_table(exact, dtype)
    shares = _shares(tokenizer, corpus.first(MOST_REFINED, VALIDATION), len(exact))
    cosines = np.einsum("ij,ij->i", unit_vectors(shares @ exact), unit_vectors(shares @ rounded))
    made = TokenTable(
        rounded,
        tokenizer,
        normalizes=True,
        files=_files(tokenizer),
        is_half=dtype != "float32",
    )
    lowest = float(cosines.min(initial=1.0))
    return StaticStudent(made, len(phrases), weight, penalty, pull, error, refined_error, lowest)


def round_table(vectors: NDArray[Any], dtype: str) -> NDArray[Any]:
    """RETURNS (ndarray): A table with the numbers that a type can hold, float32. "int8": multiples
    of one step, up to 127 steps; as float16, which such tables are stored in."""
    if dtype == "int8":
        # Few numbers of a table are far larger than the others: they are cut off.
        step = max(float(np.quantile(np.abs(vectors), 0.9999)), 1e-6) / 127
        vectors, dtype = np.rint(vectors / step).clip(-127, 127) * step, "float16"
    rounded: NDArray[Any] = vectors.astype(dtype).astype("float32")
    return rounded


def to_int8(vectors: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The steps of a table that `round_table` gave for "int8"."""
    step = max(float(np.abs(vectors).max(initial=0.0)), 1e-6) / 127
    steps: NDArray[Any] = np.rint(vectors / step).astype("int8")
    return steps


def _tokenizer_of(encoder: TextEncoder) -> Any:
    """RETURNS (Tokenizer): The tokenizer of a transformer."""
    tokenizer: Any = encoder.model.tokenizer
    found = getattr(tokenizer, "backend_tokenizer", None)
    if found is None:
        raise ValueError(
            f"The encoder {encoder.settings.name} has no fast tokenizer, so it can have no static "
            "student. Try --student layers:3."
        )
    return found


def _token_vectors(encoder: TextEncoder, tokenizer: Any, *, progress: bool) -> NDArray[Any]:
    """RETURNS (ndarray): The vector that the encoder gives each token as a text of its own,
    float32, shape (V, d)."""
    texts = surfaces(tokenizer)
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    rows = encoder.encode(list(distinct), progress="Tokens" if progress else None)
    return rows[[distinct[text] for text in texts]]


def _shares(tokenizer: Any, block: Block, n_tokens: int) -> Any:
    return token_shares(tokens_of(tokenizer, block.texts), n_tokens)


def _targets(pipe: EmbTune, block: Block) -> NDArray[Any]:
    return unit_vectors(head_outputs(pipe, block.base)[0])


def _fit_ridge(
    pipe: EmbTune,
    corpus: Corpus,
    tokenizer: Any,
    vectors: NDArray[Any],
    frequency: NDArray[Any],
) -> tuple[float | None, float, NDArray[Any], float]:
    """RETURNS (tuple): The weighting and the penalty that cross-validation chose, the table of the
    regression, float32, shape (V, k), and its mean squared error of texts that were left out."""
    width = head_outputs(pipe, corpus.first(1, FIT).base)[0].shape[1]
    weighted = {
        a: vectors if a is None else vectors * (a / (a + frequency)).astype("float32")[:, None]
        for a in WEIGHTS
    }
    sums = {a: RidgeSums(vectors.shape[1], width) for a in WEIGHTS}
    for block in corpus.blocks(FIT):
        shares, Y = _shares(tokenizer, block, len(vectors)), _targets(pipe, block)
        for a in WEIGHTS:
            sums[a].add(shares @ weighted[a], Y)
    best = {a: sums[a].best() for a in WEIGHTS}
    a = min(best, key=lambda a: best[a][1])
    penalty, error = best[a]
    W = sums[a].solve(penalty)
    # The shares of a text sum to 1, so the bias can be added to each token.
    table = (weighted[a] @ W[:-1] + W[-1]).astype("float32")
    return a, penalty, table, error


def _refine(
    pipe: EmbTune, corpus: Corpus, tokenizer: Any, table: NDArray[Any], deadline: float | None
) -> tuple[NDArray[Any], float | None, float]:
    """Move the vectors of tokens so that the means come nearer to the targets, held to the start.

    RETURNS (tuple): The table, float32, shape (V, k); the pull that was chosen, or None; and the
        mean squared error of the validation texts.
    """
    fit = corpus.first(MOST_REFINED, FIT)
    left_out = corpus.first(MOST_REFINED, VALIDATION)
    shares = _shares(tokenizer, fit, len(table))
    check, wanted = _shares(tokenizer, left_out, len(table)), _targets(pipe, left_out)
    residual = _targets(pipe, fit) - shares @ table
    best = _mean_square(wanted - check @ table)
    chosen: tuple[NDArray[Any], float | None] = (table, None)
    used = np.flatnonzero(np.asarray((shares != 0).sum(axis=0)).ravel())
    shares, check = shares[:, used].tocsr(), check[:, used].tocsr()
    transposed = shares.T.tocsr()
    goal = transposed @ residual
    start = check @ table[used]
    moved = np.zeros_like(goal)
    for pull in PULLS:
        moved = _conjugate_gradient(shares, transposed, goal, pull, moved)
        error = _mean_square(wanted - start - check @ moved)
        if error < best:
            refined = table.copy()
            refined[used] += moved
            best, chosen = error, (refined, pull)
        elif chosen[1] is not None:
            # With less pull it only gets worse.
            break
        if deadline is not None and time.monotonic() > deadline:
            break
    return *chosen, best


def _conjugate_gradient(
    shares: Any, transposed: Any, goal: NDArray[Any], pull: float, start: NDArray[Any]
) -> NDArray[Any]:
    """RETURNS (ndarray): Nearly the solution X of (transposed shares + pull) X = goal, column by
    column, after `N_STEPS` steps from `start`."""
    X = start.copy()
    R = goal - (transposed @ (shares @ X) + pull * X)
    P = R.copy()
    size = np.einsum("ij,ij->j", R, R)
    for _ in range(N_STEPS):
        AP = transposed @ (shares @ P) + pull * P
        step = size / np.maximum(np.einsum("ij,ij->j", P, AP), 1e-30)
        X += step * P
        R -= step * AP
        new = np.einsum("ij,ij->j", R, R)
        P = R + (new / np.maximum(size, 1e-30)) * P
        size = new
    return X


def _mean_square(rows: NDArray[Any]) -> float:
    return float(np.einsum("ij,ij->", rows, rows, dtype="float64") / max(len(rows), 1))


def _files(tokenizer: Any) -> dict[str, bytes]:
    """RETURNS (dict[str, bytes]): The files of a sentence-transformers directory besides the
    table."""
    package = "sentence_transformers.sentence_transformer.modules"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{package}.{STATIC}"},
        {"idx": 1, "name": "1", "path": "1_Normalize", "type": f"{package}.{NORMALIZE}"},
    ]
    settings: dict[str, Any] = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    return {
        MODULES: json.dumps(modules, indent=2).encode(),
        SETTINGS: json.dumps(settings, indent=2).encode(),
        TOKENIZER: tokenizer.to_str().encode("utf8"),
        "1_Normalize/config.json": b"{}",
    }
