"""Scored pairs: correlation of the cosines with scores that people gave, base against tuned.

python benchmarks/pairs.py DATA_DIR/stsb --score-range 0,5

DATA_DIR/stsb has train.jsonl and test.jsonl, with {"text1", "text2", "score"} on each line. A tenth
of the training pairs is the dev set that chooses the best model. The figures are of the test pairs.
Pairs of two equal texts are left out: nothing can be learned or measured with them.
"""

import random
from pathlib import Path
from typing import Annotated, Any

import typer
from common import ROOT, deviation, encode, read_rows, train_head
from wasabi import msg

from spacy_embtune.data import pairs_to_examples

NAMES = ("spearman", "pearson")
PAIRS = {
    "components.embtune.model.head": {"@architectures": "spacy-embtune.Contrastive.v1"},
    "training.score_weights": {"embtune_spearman": 1.0},
    "training.eval_frequency": 100,
}


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    score_range: Annotated[str, typer.Option(help="Lowest and highest score")] = "0,5",
    losses: Annotated[str, typer.Option(help="Separated by commas")] = "cosine_pairs",
    draws: Annotated[int, typer.Option(help="How many draws")] = 5,
    decay: Annotated[float, typer.Option(help="Weight decay (L2)")] = 2.0,
    rate: Annotated[float, typer.Option(help="Learning rate")] = 0.001,
    steps: Annotated[int, typer.Option(help="Training steps at most")] = 2000,
) -> None:
    """Print Spearman and Pearson of the test pairs: mean±sd over draws of dev pairs and seed."""
    low, high = map(float, score_range.split(","))
    train_rows, test_rows = (
        [row for row in read_rows(data / name) if row["text1"].split() != row["text2"].split()]
        for name in ("train.jsonl", "test.jsonl")
    )
    for row in (*train_rows, *test_rows):
        row["score"] = (row["score"] - low) / (high - low)
    encode([row[key] for row in (*train_rows, *test_rows) for key in ("text1", "text2")])
    results: dict[str, list[list[float]]] = {"base": []}
    for draw in range(draws):
        rows = random.Random(draw).sample(train_rows, len(train_rows))
        dev, known = rows[: len(rows) // 10], rows[len(rows) // 10 :]
        for loss in losses.split(","):
            changes: dict[str, Any] = {
                **PAIRS,
                "components.embtune.loss": {"@losses": f"spacy-embtune.{loss}.v1"},
                "training.optimizer.L2": decay,
                "training.optimizer.learn_rate": rate,
                "training.max_steps": steps,
                "system.seed": draw,
            }
            nlp = train_head(ROOT / "configs" / "contrastive.cfg", known, dev, changes)
            scores = nlp.evaluate(list(pairs_to_examples(nlp, test_rows)))
            results.setdefault(loss, []).append([scores[f"embtune_{name}"] for name in NAMES])
        results["base"].append([scores[f"embtune_base_{name}"] for name in NAMES])
    msg.divider(f"{data.name}: {len(known)} training pairs, {len(test_rows)} test pairs")
    print(f"| | {' | '.join(NAMES)} |\n|---|---|---|")
    for name, runs in results.items():
        print(f"| {name} | {' | '.join(deviation([run[i] for run in runs]) for i in (0, 1))} |")


if __name__ == "__main__":
    typer.run(main)
