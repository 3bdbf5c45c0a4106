"""What the examples share: labelled texts from JSONL, an encoder, a table, and a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from wasabi import msg

from spacy_embtune import SentenceEncoder
from spacy_embtune.finetune import cached
from spacy_embtune.metrics import retrieval_scores

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Read labelled texts.

    path (Path): A JSONL file, one {"text": str, "cats": {label: 0 to 1}} a line.
    RETURNS (list[dict]): The lines.
    """
    if not path.is_file():
        msg.fail(f"There is no {path}", "Give the directory that holds it.", exits=1)
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines() if line]


def name_labels(rows: Sequence[Row]) -> np.ndarray:
    """RETURNS (ndarray): The label of each text that carries exactly one, shape (n,)."""
    return np.asarray([max(row["cats"], key=row["cats"].get) for row in rows])


def draw_per_label(rows: Sequence[Row], n: int, seed: int) -> list[Row]:
    """RETURNS (list[dict]): n texts of each label, drawn at random, in random order."""
    rng = np.random.default_rng(seed)
    labels = name_labels(rows)
    chosen = [
        rng.choice(places, min(n, len(places)), replace=False)
        for places in (np.flatnonzero(labels == label) for label in np.unique(labels))
    ]
    return [rows[i] for i in rng.permutation(np.concatenate(chosen))]


def make_encoder(name: str, cache: Path | None) -> Any:
    """Make an encoder of texts.

    name (str): The name or directory of a sentence-transformers model.
    cache (Path | None): A directory that keeps the vectors: a second run encodes nothing.
    RETURNS (SentenceEncoder | CachedEncoder): The encoder.
    """
    encoder = SentenceEncoder(name, show_progress=cache is None)
    return encoder if cache is None else cached(encoder, cache)


def score(
    train: np.ndarray, y_train: np.ndarray, test: np.ndarray, y_test: np.ndarray
) -> dict[str, float | None]:
    """Measure how well vectors tell labels apart, on held-out texts.

    train, test (ndarray): Vectors, shape (n, d) and (m, d).
    y_train, y_test (ndarray): One label a text, shape (n,) and (m,).
    RETURNS (dict[str, float | None]): The scores by name, 0 to 1; None if one cannot be computed.
        p@1: how often the nearest neighbour shares the label. MAP@R: the same for as many
        neighbours as share it at best. Both are within the held-out texts, as means over labels;
        of labels 0 and 1 only label 1 counts.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    labels = np.unique(y_test)
    counted = labels[1:] if labels.tolist() == [0, 1] else labels
    neighbours = retrieval_scores(test, (y_test[:, None] == counted).astype("float32"))
    nearest = KNeighborsClassifier(1, metric="cosine").fit(train, y_train)
    # At one length, as the cosine sees them.
    unit, unit_test = (
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        for rows in (train, test)
    )
    probe = LogisticRegression(C=10.0, max_iter=1000).fit(unit, y_train)
    return {
        "p@1": neighbours.p_at_1,
        "MAP@R": neighbours.map_at_r,
        "nearest neighbour, accuracy": float(nearest.score(test, y_test)),
        "linear probe, accuracy": float(probe.score(unit_test, y_test)),
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


def draw(path: Path, panels: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Draw vectors in two dimensions (PCA), with a colour for each label.

    path (Path): The picture, .png or .svg.
    panels (dict[str, ndarray]): The vectors of the same n texts by title, each of shape (n, d).
    labels (ndarray): The label of each text, shape (n,).
    """
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    figure = Figure(figsize=(3.6 * len(panels), 3.9), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    order = np.random.default_rng(0).permutation(len(labels))
    colours = ["#2a6fbb", "#e07b39", "#3a9a5b", "#b0458f", "#8a7a2f", "#6b6b6b"]
    for ax, (title, vectors) in zip(axes, panels.items(), strict=True):
        xy = PCA(2).fit_transform(vectors)
        names = np.unique(labels)
        of = [colours[i % len(colours)] for i in np.searchsorted(names, labels)]
        ax.scatter(*xy[order].T, c=[of[i] for i in order], s=7, alpha=0.6, linewidths=0)
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_color("#bbbbbb")
    for i, name in enumerate(names):
        axes[0].scatter([], [], c=colours[i % len(colours)], s=24, label=str(name))
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False, handletextpad=0.1)
    figure.savefig(path, dpi=90)
    msg.good(f"Picture in {path}")
