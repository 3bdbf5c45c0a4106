"""What Ray costs and gives for a corpus in shards, with a static student.

python benchmarks/sharded_embedding.py --timed 50000 --texts 2000000 --rounds 3

Makes short texts in a temporary directory and embeds them by `embed_shards`. By default the
pipeline is a table of random vectors for the tokens of all-MiniLM-L6-v2, which takes the time and
memory of a static student of `distill`; --model takes a pipeline. Each worker, and the local
engine, computes with one thread.

    speed     the local engine, one worker and two workers take turns on --timed texts. Making
              counts from the start of the first shard to the end of the last one; starting is the
              rest: the cluster, and the loading of the pipeline by the workers. Seconds of the
              processor are those of the driver and the workers, not of Ray's own processes.
    memory    --texts texts on two workers: resident memory of the driver and of the largest worker
              at each quarter of the run.
    recovery  the only worker is killed while it works: seconds from there to the next finished
              shard, without the seconds that a shard takes.
    100       a calculation from these numbers.
"""

import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import spacy
import torch
import typer
from common import spread
from spacy.language import Language

from spacy_embtune.data import find_parts
from spacy_embtune.embed import RayOptions, embed_shards, verify_shards

WORDS_PER_TEXT = 8
WIDTH = 256
TEXTS_PER_FILE = 100_000


class Run(NamedTuple):
    """The seconds of a run.

    making (float): From the start of the first shard to the end of the last one.
    starting (float): The rest.
    processor (float): What the driver and the workers computed while shards were made.
    """

    making: float
    starting: float
    processor: float


def make_model(folder: Path) -> Language:
    """RETURNS (Language): A pipeline with a table of random vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    whole: Any = spacy.blank("en").add_pipe("embtune")
    whole.predict(["The encoder is loaded."])
    tokenizer = whole.encoder.encoder.model.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    weights = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), WIDTH))
    table = StaticEmbedding(tokenizer, embedding_weights=weights.astype("float32"))
    SentenceTransformer(modules=[table]).save_pretrained(str(folder), create_model_card=False)
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", config={"model": {"encoder": {"name": str(folder)}}})
    return nlp


def make_texts(folder: Path, n: int) -> Path:
    """RETURNS (Path): A directory of JSON lines with n short texts."""
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("aeioubdklmnprst", k=rng.randint(2, 9))) for _ in range(5000)]
    folder.mkdir()
    for start in range(0, n, TEXTS_PER_FILE):
        with (folder / f"{start:09d}.jsonl").open("w") as file:
            for _ in range(min(TEXTS_PER_FILE, n - start)):
                text = " ".join(rng.choices(vocabulary, k=WORDS_PER_TEXT))
                file.write(f'{{"text": "{text}"}}\n')
    return folder


def embed(nlp: Language, data: Path, out: Path, n_workers: int, rows: int, what: list[str]) -> Run:
    """RETURNS (Run): The seconds that a directory takes. 0 workers: the local engine."""
    started = time.time()
    used = Sampler()
    summary = embed_shards(
        nlp,
        data,
        out,
        what=what,
        shard_rows=rows,
        engine="ray" if n_workers else "local",
        ray=RayOptions(workers=n_workers or None, wait=300),
    )
    whole = time.time() - started
    used.stop()
    assert not summary.errors, summary.errors
    ends = []
    for path in (out / "_shards").glob("*.json"):
        ends.append((path.stat().st_mtime, json.loads(path.read_text())["seconds"]))
    first, last = min(end - seconds for end, seconds in ends), max(end for end, _ in ends)
    return Run(last - first, whole - (last - first), used.between(first, last))


class Sampler:
    """Notes how many seconds of the processor this process and the workers have used."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.samples: list[tuple[float, float]] = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        used: dict[int, float] = {}
        known: list[psutil.Process] = []
        looked = 0.0
        while not self.ended.wait(0.1):
            if time.time() - looked > 1:
                known, looked = [psutil.Process(), *find_workers()], time.time()
            for process in known:
                # A worker that has ended keeps what it had used.
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    used[process.pid] = times.user + times.system
            self.samples.append((time.time(), sum(used.values())))

    def stop(self) -> None:
        self.ended.set()
        self.thread.join()

    def between(self, first: float, last: float) -> float:
        """RETURNS (float): The seconds of the processor between two times."""
        at = np.interp([first, last], *zip(*self.samples, strict=True))
        return float(at[1] - at[0])


def find_workers() -> list[psutil.Process]:
    """RETURNS (list[Process]): The workers of Ray below this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if " ".join(child.cmdline()).startswith("ray::Worker"):
                found.append(child)
    return found


def watch(out: Path, n_shards: int, stop: threading.Event, found: list[tuple[float, ...]]) -> None:
    """Note the resident memory in MiB of the driver and of the largest worker at each quarter."""
    quarters = [0.25, 0.5, 0.75, 0.95]
    while quarters and not stop.wait(0.2):
        share = len(list(out.glob("_shards/*.json"))) / n_shards
        if share >= quarters[0]:
            sizes = [worker.memory_info().rss for worker in find_workers()]
            driver = psutil.Process().memory_info().rss
            found.append((quarters.pop(0), driver / 2**20, max(sizes, default=0) / 2**20))


def kill_in_the_middle(out: Path, times: list[float]) -> Callable[[], None]:
    """RETURNS (Callable): Waits until a shard is finished, and kills the worker."""

    def run() -> None:
        while not list(out.glob("_shards/*.json")):
            time.sleep(0.01)
        (worker, *_) = find_workers()
        times.append(time.time())
        worker.send_signal(signal.SIGKILL)

    return run


def main(
    timed: Annotated[int, typer.Option(help="Texts of the comparison of speed")] = 50_000,
    texts: Annotated[int, typer.Option(help="Texts of the measurement of memory")] = 2_000_000,
    rounds: Annotated[int, typer.Option(help="How many turns each engine takes")] = 3,
    rows: Annotated[int, typer.Option(help="Texts of a shard")] = 10_000,
    model: Annotated[str | None, typer.Option(help="A pipeline. Default: a random table")] = None,
    what: Annotated[str, typer.Option(help="As of embed")] = "base",
) -> None:
    """Print the seconds, the memory and the calculation."""
    torch.set_num_threads(1)
    # Tokenizers read it when they are first used.
    os.environ["RAYON_NUM_THREADS"] = "1"
    chosen: list[str] = what.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nlp = spacy.load(model) if model else make_model(folder / "model")
        nlp("The encoder is loaded before its time is taken.")
        data = make_texts(folder / "timed", timed)
        runs: dict[int, list[Run]] = {0: [], 1: [], 2: []}
        for i in range(rounds):
            for n_workers, done in runs.items():
                out = folder / f"out-{n_workers}-{i}"
                done.append(embed(nlp, data, out, n_workers, rows, chosen))
                print(f"round {i}, {n_workers} workers: {done[-1]}", flush=True)
        one = [b.making / a.making for a, b in zip(runs[0], runs[1], strict=True)]
        two = [b.making / c.making for b, c in zip(runs[1], runs[2], strict=True)]
        pairs = list(zip(runs[0], runs[1], strict=True))
        computed = [b.processor / a.processor for a, b in pairs]
        costs = [(b.processor - a.processor) / timed * 1e6 for a, b in pairs]
        print(f"one worker / local engine, seconds of making: {spread(one)}")
        print(f"one worker / local engine, seconds of the processor: {spread(computed)}")
        print(f"milliseconds of the processor more for 1,000 texts: {spread(costs)}")
        print(f"two workers against one: {spread(two)} times as fast")
        print(f"seconds of starting with Ray: {spread([run.starting for run in runs[1]])}")

        out, times = folder / "killed", list[float]()
        thread = threading.Thread(target=kill_in_the_middle(out, times), daemon=True)
        thread.start()
        embed(nlp, data, out, 1, max(rows // 4, 1), chosen)
        thread.join()
        entries = [(p.stat().st_mtime, p) for p in (out / "_shards").glob("*.json")]
        after = min(end for end, _ in entries if end > times[0])
        usual = statistics.median(json.loads(p.read_text())["seconds"] for _, p in entries)
        print(f"recovery after a kill: {after - times[0] - usual:.1f} seconds")
        assert verify_shards(str(out)).n == timed

        many = make_texts(folder / "many", texts)
        started = time.time()
        n_shards = len(find_parts(many, rows=rows))
        dividing = texts / (time.time() - started)
        out, sizes, stop = folder / "memory", list[tuple[float, ...]](), threading.Event()
        watcher = threading.Thread(target=watch, args=(out, n_shards, stop, sizes), daemon=True)
        before = psutil.Process().memory_info().rss / 2**20
        watcher.start()
        run = embed(nlp, many, out, 2, rows, chosen)
        stop.set()
        watcher.join()
        print(f"{texts:,} texts on two workers: {run}; MiB of the driver before: {before:.0f}")
        for share, driver, worker in sizes:
            print(f"  at {share:.0%}: driver {driver:.0f} MiB, largest worker {worker:.0f} MiB")
        calculate(timed / statistics.median(run.making for run in runs[1]), dividing)


def calculate(speed: float, dividing: float) -> Any:
    """Print what 100 workers would give, which nobody has measured."""
    print("A calculation, not a measurement:")
    print(f"  one worker makes {speed:,.0f} texts a second, so 100 make {100 * speed:,.0f}")
    print(f"  the driver divides {dividing:,.0f} texts of JSON lines a second before they begin")
    n = 1e9
    print(
        f"  {n:,.0f} texts: {n / dividing / 60:.0f} minutes of dividing, "
        f"{n / (100 * speed) / 60:.0f} minutes of making"
    )


if __name__ == "__main__":
    typer.run(main)
