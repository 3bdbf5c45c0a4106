"""Probabilities of the shipped configs before and after calibration, on held-out texts.

python benchmarks/calibration_configs.py DATA_DIR [--configs encoder,contrastive] [--draws 2]

DATA_DIR holds trec/ with train.jsonl and test.jsonl, {"text", "cats"} a line. `spacy train` trains
each config on 200 texts, with the callback spacy-embtune.calibrate.v1 on 100 dev texts. The figures
are those of the best model on the test texts, at temperature 1 and at the one that it learned.
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from common import ROOT, Row, read_rows
from spacy.language import Language

from spacy_embtune.labels import make_targets
from spacy_embtune.metrics import calibration_scores

N_TRAIN, N_DEV = 200, 100
CALLBACK = """
[training.before_to_disk]
@callbacks = "spacy-embtune.calibrate.v1"
corpus = ${corpora.dev}
"""


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    configs: Annotated[str, typer.Option(help="Names of configs")] = "encoder,contrastive",
    draws: Annotated[int, typer.Option(help="How many draws of training texts")] = 2,
) -> None:
    """Print the expected calibration error and the log loss, before and after."""
    pool, test = (read_rows(data / "trec" / f"{part}.jsonl") for part in ("train", "test"))
    print("| config | draw | temperature | ECE | log loss |")
    print("|---|---|---|---|---|")
    for name in configs.split(","):
        for draw in range(draws):
            rows = random.Random(draw).sample(pool, N_TRAIN + N_DEV)
            nlp = train(name, rows[:N_TRAIN], rows[N_TRAIN:], draw)
            pipe: Any = nlp.get_pipe("embtune")
            if not pipe.predicts_labels:
                print(f"| {name} | {draw} | predicts no labels | | |", flush=True)
                continue
            temperature = pipe.temperature
            before, after = (score(nlp, test, t) for t in (1.0, temperature))
            cells = [f"{one:.3f} → {other:.3f}" for one, other in zip(before, after, strict=True)]
            print(f"| {name} | {draw} | {temperature:.2f} | {' | '.join(cells)} |", flush=True)


def train(name: str, rows: list[Row], dev: list[Row], seed: int) -> Language:
    """RETURNS (Language): The best pipeline that `spacy train` made."""
    text = (ROOT / "configs" / f"{name}.cfg").read_text("utf8")
    if "[training.before_to_disk]" not in text:
        text = text.replace("\n[initialize]\n", f"{CALLBACK}\n[initialize]\n", 1)
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        (folder / "config.cfg").write_text(text, "utf8")
        srsly.write_jsonl(folder / "train.jsonl", rows)
        srsly.write_jsonl(folder / "dev.jsonl", dev)
        command: list[str | Path] = [sys.executable, "-m", "spacy", "train", folder / "config.cfg"]
        command += ["--output", folder, "--paths.train", folder / "train.jsonl"]
        command += ["--paths.dev", folder / "dev.jsonl", "--system.seed", str(seed)]
        subprocess.run(command, check=True, capture_output=True)
        return spacy.load(folder / "model-best")


def score(nlp: Language, rows: list[Row], temperature: float) -> list[float]:
    """RETURNS (list[float]): The expected calibration error and the log loss."""
    pipe: Any = nlp.get_pipe("embtune")
    pipe.cfg["temperature"] = temperature
    exclusive = bool(pipe.cfg["exclusive_classes"])
    targets = make_targets([row["cats"] for row in rows], list(pipe.labels), exclusive=exclusive)
    found = calibration_scores(
        pipe.predict([nlp.make_doc(row["text"]) for row in rows]).cats, targets
    )
    return [float(value or 0.0) for value in (found.error, found.log_loss)]


if __name__ == "__main__":
    typer.run(main)
