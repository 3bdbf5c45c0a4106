"""`tune` against the shipped configs, with a pile of unlabelled texts.

python benchmarks/ladder.py DATA_DIR --sets trec,ag_news,sst2 --per-class 8 --draws 3 --seconds 120

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. A draw
takes PER_CLASS texts of each label (or TOTAL texts in all), PILE other ones without labels, and
TEST texts of test to measure with. The draws are those of encoder.py, so its figures of SetFit are
of the same texts. Each run is measured alike: a linear probe (logistic regression, C by inner
cross-validation) and a nearest neighbour that learn from the labelled texts, and p@1 and MAP@R
within the test texts. `own` is the accuracy of the pipeline's own predictions; `logreg` that of a
logistic regression as in encoder.py. Runs: base, tune, and configs by name (feedforward,
contrastive, encoder), setfit (encoder.py says how to install it).

The runs of a draw follow each other, so that they share the machine's state. `--seconds 0` gives
tune a third of the time that setfit took on the draw.
"""

import contextlib
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import ROOT, Row, draw_per_class, read_rows, score_vectors, spread
from sklearn.linear_model import LogisticRegression

SHOWN = ("logreg", "own", "probe", "knn", "p@1", "MAP@R", "seconds")


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Folders")] = "trec,ag_news,sst2",
    per_class: Annotated[int, typer.Option(help="Labelled texts of a label; 0: see --total")] = 8,
    total: Annotated[int, typer.Option(help="Labelled texts in all")] = 0,
    pile: Annotated[int, typer.Option(help="Texts without labels")] = 1500,
    draws: Annotated[int, typer.Option(help="How many draws")] = 3,
    first_draw: Annotated[int, typer.Option(help="Number of the first")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 500,
    seconds: Annotated[float, typer.Option(help="Time for tune")] = 120.0,
    runs: Annotated[str, typer.Option(help="Runs")] = "base,tune",
    one: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print a table for each set, and what tune kept."""
    if one is not None:
        print(f"RESULT {json.dumps(run_one(data, **json.loads(one)))}")
        return
    print(f"| set | run | {' | '.join(SHOWN)} | kept |\n|---|---|{'---|' * (len(SHOWN) + 1)}")
    for name in sets.split(","):
        results: dict[str, list[Row]] = {run: [] for run in runs.split(",")}
        for draw in range(first_draw, first_draw + draws):
            for run, found in results.items():
                task = {"name": name, "run": run, "draw": draw, "n": per_class, "total": total}
                task |= {"n_pile": pile, "n_test": n_test}
                task["seconds"] = seconds
                if run == "tune" and not seconds:
                    task["seconds"] = results["setfit"][-1]["seconds"] / 3
                command = [sys.executable, __file__, str(data), "--one", json.dumps(task)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                lines = [x for x in done.stdout.splitlines() if x.startswith("RESULT ")]
                if not lines:
                    raise SystemExit(f"{task} failed\n{done.stderr[-3000:]}")
                found.append(json.loads(lines[-1].removeprefix("RESULT ")))
                print(f"<!-- {name} {run} {draw}: {found[-1]} -->", flush=True)
        for run, found in results.items():
            cells = [spread([one[key] for one in found], ".3f") for key in SHOWN[:-1]]
            cells.append(spread([one["seconds"] for one in found], ".0f"))
            kept = ", ".join(one["kept"] for one in found)
            print(f"| {name} | {run} | {' | '.join(cells)} | {kept} |", flush=True)


def run_one(
    data: Path,
    *,
    name: str,
    run: str,
    draw: int,
    n: int,
    total: int,
    n_pile: int,
    n_test: int,
    seconds: float,
) -> Row:
    """RETURNS (dict): The figures of one run."""
    rng = random.Random(draw)
    rows = read_rows(data / name / "train.jsonl")
    train = rng.sample(rows, total) if total else draw_per_class(rows, n, rng)
    test = read_rows(data / name / "test.jsonl")
    test = rng.sample(test, min(n_test, len(test)))
    taken = {row["text"] for row in train}
    others = [row["text"] for row in rows if row["text"] not in taken]
    pile = rng.sample(others, min(n_pile, len(others)))
    from spacy_embtune import tune
    from spacy_embtune.encoder import EncoderSettings, TextEncoder

    # Loading it belongs to no run.
    _loaded = TextEncoder.load(EncoderSettings()).encode(["text"])
    begin = time.perf_counter()
    kept = ""
    if run == "tune":
        found = tune(
            [row["text"] for row in train],
            [row["cats"] for row in train],
            unlabelled=pile,
            seconds=seconds,
            seed=draw,
        )
        nlp, kept = found.nlp, found.receipt["kept"]
    elif run in ("base", "setfit"):
        nlp = None
    else:
        nlp = train_config(run, train, draw)
    taken_seconds = time.perf_counter() - begin
    if run == "setfit":
        from encoder import train_setfit

        setfit, figures = train_setfit(train, draw)
        taken_seconds = figures["seconds"]
    texts = [[row["text"] for row in part] for part in (train, test)]
    if run == "setfit":
        learned, held = (setfit.model_body.encode(part) for part in texts)
    else:
        learned, held = (embed(nlp, part) for part in texts)
    probe, knn, p_at_1, map_at_r, *_ = score_vectors(learned, held, train, test)
    classifier = LogisticRegression(max_iter=1000).fit(learned, [label_of(row) for row in train])
    logreg = np.mean(classifier.predict(held) == np.asarray([label_of(row) for row in test]))
    own = float("nan")
    if run == "setfit":
        best = [str(guess) for guess in setfit.predict(texts[1])]
        own = float(np.mean([row["cats"].get(x, 0) for x, row in zip(best, test, strict=True)]))
    if nlp is not None:
        best = [max(doc.cats, key=doc.cats.get) if doc.cats else "" for doc in docs_of(nlp, test)]
        own = float(np.mean([row["cats"].get(x, 0) for x, row in zip(best, test, strict=True)]))
    return {
        "logreg": float(logreg),
        "own": own,
        "probe": probe,
        "knn": knn,
        "p@1": p_at_1,
        "MAP@R": map_at_r,
        "seconds": taken_seconds,
        "kept": kept,
    }


def label_of(row: Row) -> str:
    """RETURNS (str): The label that a row carries."""
    return str(max(row["cats"], key=lambda label: row["cats"][label]))


def docs_of(nlp: Any, rows: list[Row]) -> list[Any]:
    """RETURNS (list): The annotated texts of rows."""
    return list(nlp.pipe([row["text"] for row in rows], batch_size=256))


def embed(nlp: Any, texts: list[str]) -> Any:
    """RETURNS (ndarray): Tuned vectors; base vectors without a pipeline."""
    if nlp is None:
        from spacy_embtune.encoder import EncoderSettings, TextEncoder

        return TextEncoder.load(EncoderSettings()).encode(texts)
    return np.stack([doc._.embtune for doc in nlp.pipe(texts, batch_size=256)])


def train_config(name: str, train: list[Row], seed: int) -> Any:
    """RETURNS (Language): The pipeline of a shipped config, a fifth of the texts as dev set."""
    import spacy
    from spacy.cli.train import train as spacy_train

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "train.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in train))
        overrides = {"paths.train": str(path), "system.seed": seed}
        overrides["components.embtune.set_cats"] = True
        spacy_train(
            ROOT / "configs" / f"{name}.cfg", Path(folder) / "out", overrides=overrides, use_gpu=-1
        )
        return spacy.load(Path(folder) / "out" / "model-best")


if __name__ == "__main__":
    typer.run(main)
