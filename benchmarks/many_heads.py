"""Several heads on one encoder against one head: encodings, memory, seconds and bytes on disk.

python benchmarks/many_heads.py --heads 1,2,3 --rounds 2

Trains pipelines of several heads on made-up texts, saves them, and opens each in a process of its
own (A B A B), which runs `nlp.pipe` over new texts.
"""

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.language import Language
from spacy.training import Example
from wasabi import msg

WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book"
)


def make_texts(n: int, seed: int) -> list[str]:
    """RETURNS (list[str]): Distinct texts of 30 words."""
    rng, words = random.Random(seed), WORDS.split()
    return [" ".join(rng.choices(words, k=30)) for _ in range(n)]


def make_pipeline(n_heads: int, n_texts: int) -> tuple[Language, float]:
    """RETURNS (tuple[Language, float]): A trained pipeline, and how often a text of the training
    went through an encoder."""
    nlp = spacy.blank("en")
    for i in range(n_heads):
        nlp.add_pipe("embtune", name=f"head{i}", config={"extension": f"head{i}"})
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"A": float(i % 2), "B": float(not i % 2)}})
        for i, text in enumerate(make_texts(n_texts, 0))
    ]
    optimizer = nlp.initialize(lambda: examples)
    for start in range(0, n_texts, 64):
        nlp.update(examples[start : start + 64], sgd=optimizer)
    return nlp, count(nlp) / n_texts


def count(nlp: Language) -> int:
    """RETURNS (int): How many texts went through the encoders of a pipeline."""
    pipes: list[Any] = [pipe for _, pipe in nlp.components]
    encoders = {id(pipe.encoder.encoder): pipe.encoder.encoder for pipe in pipes}
    return sum(encoder.n_encoded for encoder in encoders.values())


def resident() -> float:
    """RETURNS (float): Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def use(path: Path, n_texts: int) -> dict[str, float]:
    """RETURNS (dict[str, float]): What a process needs that loads and uses a pipeline."""
    import sentence_transformers  # noqa: F401

    before = resident()
    start = time.perf_counter()
    nlp = spacy.load(path)
    loaded = time.perf_counter() - start
    texts = make_texts(n_texts, 1)
    start = time.perf_counter()
    for _ in nlp.pipe(texts):
        pass
    return {
        "load": loaded,
        "pipe": time.perf_counter() - start,
        "encodings": count(nlp) / n_texts,
        "resident": resident() - before,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def start_child(path: Path, *args: object) -> dict[str, float]:
    """RETURNS (dict[str, float]): What a process of its own found out."""
    command = [sys.executable, __file__, "--child", str(path), *map(str, args)]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def main(
    heads: Annotated[str, typer.Option(help="Numbers of heads, separated by commas")] = "1,2,3",
    rounds: Annotated[int, typer.Option(help="How often each pipeline is used")] = 2,
    n_texts: Annotated[int, typer.Option("--texts", help="Texts to train on, and to use")] = 2000,
    child: Annotated[Path | None, typer.Option(hidden=True)] = None,
    make: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Print encodings a text in training and in use, and memory, seconds and bytes on disk."""
    if child is not None and make:
        nlp, encodings = make_pipeline(make, 320)
        nlp.to_disk(child)
        print(json.dumps({"encodings": encodings}))
        return
    if child is not None:
        print(json.dumps(use(child, n_texts)))
        return
    numbers = [int(n) for n in heads.split(",")]
    runs: dict[int, list[dict[str, float]]] = {n: [] for n in numbers}
    training, size = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for n in numbers:
            path = Path(folder) / str(n)
            training[n] = start_child(path, "--make", n)["encodings"]
            size[n] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        for _ in range(rounds):
            for n in numbers:
                runs[n].append(start_child(Path(folder) / str(n), "--texts", n_texts))
    body = []
    for n in numbers:
        mean = {key: statistics.mean(run[key] for run in runs[n]) for key in runs[n][0]}
        body.append(
            (
                n,
                f"{training[n]:.2f}",
                f"{mean['encodings']:.2f}",
                f"{mean['resident']:.0f}",
                f"{mean['peak']:.0f}",
                f"{size[n] / 2**20:.1f}",
                f"{mean['load']:.1f}",
                " ".join(f"{run['pipe']:.1f}" for run in runs[n]),
            )
        )
    header = (
        *("heads", "encodings a text, training", "in use", "loaded and used, MiB", "peak, MiB"),
        *("on disk, MiB", "load, s", "nlp.pipe, s"),
    )
    msg.table(body, header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
