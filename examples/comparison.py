"""What the examples share: texts with labels from JSONL, and a table of base and tuned vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from wasabi import msg

from spacy_embtune.finetune import SentenceEncoder
from spacy_embtune.finetune.cached import cached
from spacy_embtune.metrics import knn_scores, probe_scores, retrieval_scores
from spacy_embtune.types import Targets

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """RETURNS (list[dict]): The lines of a JSONL file, {"text": str, "cats": {label: 0 to 1}}."""
    if not path.is_file():
        msg.fail(f"There is no {path}", "Give the directory that holds it.", exits=1)
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines() if line]


def make_encoder(name: str, cache: Path | None) -> Any:
    """RETURNS (SentenceEncoder): The encoder, which keeps its vectors on disk if there is a place
    for them: a second run then encodes nothing."""
    encoder = SentenceEncoder(name, show_progress=cache is None)
    return encoder if cache is None else cached(encoder, cache)


def score(
    train: np.ndarray, y_train: np.ndarray, test: np.ndarray, y_test: np.ndarray
) -> dict[str, float | None]:
    """Say how well vectors tell labels.

    train, test (ndarray): Vectors, shape (n, d) and (m, d).
    y_train, y_test (ndarray): The labels that they carry: one column each, 0 or 1; if there are
        several, each row carries one.
    RETURNS (dict[str, float | None]): The scores by name; None where there is nothing to score.
    """
    exclusive = y_train.shape[1] > 1
    learned, held_out = (
        Targets(y.astype("float32"), np.ones(y.shape, dtype="float32"), exclusive)
        for y in (y_train, y_test)
    )
    neighbours = retrieval_scores(test, y_test)
    return {
        "p@1": neighbours.p_at_1,
        "MAP@R": neighbours.map_at_r,
        "nearest neighbour, accuracy": knn_scores(train, learned, test, held_out).accuracy,
        "linear probe, accuracy": probe_scores(train, learned, test, held_out).accuracy,
    }


def show(base: dict[str, float | None], tuned: dict[str, float | None]) -> None:
    """Print the scores of base and tuned vectors."""
    rows = []
    for name, before in base.items():
        after = tuned[name]
        if before is None or after is None:
            rows.append((name, "-", "-", "-"))
        else:
            rows.append((name, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}"))
    header = ("metric", "base", "tuned", "difference")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
