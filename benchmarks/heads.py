"""Base vectors against the heads of the shipped configs: held-out quality over draws.

python benchmarks/heads.py DATA_DIR --sets trec,ag_news,sst2,new-dataset --draws 5
python scripts/make_docstring_corpus.py corpus && python benchmarks/heads.py . --sets corpus

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. Each draw
takes other training texts, as many again for dev, which choose the best model as in `spacy train`,
and other test texts. All heads of a draw see the same ones.
"""

import json
import random
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from common import METRICS, ROOT, compare, deviation, draw_per_class, encode, read_rows, train_head
from wasabi import msg

SUPCON = {"@losses": "spacy-embtune.supervised_contrastive.v1"}
PRESERVE = {"@losses": "spacy-embtune.preserve.v1"}
CROSS_ENTROPY = {"@losses": "spacy-embtune.cross_entropy.v1"}


def use_loss(**losses: Any) -> dict[str, Any]:
    """RETURNS (dict): The change of a config to the sum of some losses, `preserve` weighed as in
    configs/contrastive.cfg."""
    weights = {"preserve": 30.0} if "preserve" in losses else {}
    loss = {"@losses": "spacy-embtune.sum.v1", "losses": losses, "weights": weights}
    return {"components.embtune.loss": loss}


HEADS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "base": None,
    "feed-forward": ("feedforward.cfg", {}),
    "contrastive": ("contrastive.cfg", {}),
    "sum of both": (
        "contrastive.cfg",
        use_loss(labels=SUPCON, preserve=PRESERVE, classes=CROSS_ENTROPY),
    ),
    "contrastive without preserve": ("contrastive.cfg", use_loss(labels=SUPCON)),
}


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[
        str, typer.Option(help="Separated by commas")
    ] = "trec,ag_news,sst2,new-dataset",
    draws: Annotated[int, typer.Option(help="How many draws")] = 5,
    first_draw: Annotated[int, typer.Option(help="Number of the first; each draws anew")] = 0,
    n_train: Annotated[int, typer.Option("--texts", help="Training texts in all")] = 200,
    per_class: Annotated[int, typer.Option(help="Training texts of each label, else")] = 8,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 1000,
    heads: Annotated[str, typer.Option(help="Separated by commas")] = ",".join(HEADS),
    json_path: Annotated[Path | None, typer.Option("--json", help="Save all figures")] = None,
) -> None:
    """Print the accuracy of a linear probe and of the nearest neighbour, p@1 and MAP@R (means over
    labels, and over queries) on held-out texts: mean±sd over the draws."""
    figures: dict[str, Any] = {}
    for name in sets.split(","):
        train_rows = read_rows(data / name / "train.jsonl")
        test_rows = read_rows(data / name / "test.jsonl")
        for size in ("all", "class"):
            results: dict[str, list[list[float]]] = {head: [] for head in heads.split(",")}
            seconds = dict.fromkeys(results, 0.0)
            for draw in range(first_draw, first_draw + draws):
                rng = random.Random(draw)
                if size == "all":
                    drawn = rng.sample(train_rows, 2 * n_train)
                    known, dev = drawn[:n_train], drawn[n_train:]
                else:
                    known = draw_per_class(train_rows, per_class, rng)
                    rest = [row for row in train_rows if row not in known]
                    dev = rng.sample(rest, len(known))
                new = rng.sample(test_rows, min(n_test, len(test_rows)))
                encode([row["text"] for row in (*known, *dev, *new)])
                for head in results:
                    begin = time.perf_counter()
                    nlp = make(head, known, dev, draw)
                    seconds[head] += time.perf_counter() - begin
                    results[head].append(compare(nlp, known, new))
            title = f"{n_train} texts" if size == "all" else f"{per_class} per class"
            show(f"{name}, {title}, {draws} draws", results, seconds)
            figures[f"{name}, {title}"] = results
            if json_path is not None:
                json_path.write_text(json.dumps(figures))


def make(head: str, known: list[Any], dev: list[Any], draw: int) -> Any:
    """RETURNS (Language | None): The trained pipeline; None for the base vectors."""
    recipe = HEADS[head]
    if recipe is None:
        return None
    config, changes = recipe
    return train_head(ROOT / "configs" / config, known, dev, {**changes, "system.seed": draw})


def show(title: str, results: dict[str, list[list[float]]], seconds: dict[str, float]) -> None:
    """Print a table, as Markdown, for the README."""
    msg.divider(title)
    print("| | " + " | ".join(METRICS) + " | train, s |")
    print("|---" * (len(METRICS) + 2) + "|")
    for head, runs in results.items():
        cells = [deviation([run[i] for run in runs]) for i in range(len(METRICS))]
        print(f"| {head} | {' | '.join(cells)} | {seconds[head] / len(runs):.1f} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
