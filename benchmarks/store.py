"""Which embedded store should keep vectors on disk: LMDB, diskcache, or SQLite as Python has it?

pip install lmdb diskcache && python benchmarks/store.py

20,000 vectors of 384 float32 with keys of 16 bytes, written and read in batches, each batch one
transaction. Reading in random order: cold, in a new process and with the files dropped from the
page cache, then warm. Then two processes write half of the vectors each at once. Rates are of the
first store in vectors per second, of the others relative to it. SQLite is measured as the package
uses it, with a checksum for each vector.

At last stores are damaged as files are, by an interrupted copy or a bad disk, and read by a new
process: does it raise an error, give wrong vectors, or die?
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

WIDTH = 384
Keys = Sequence[bytes]
Rows = NDArray[Any]
Write = Callable[[Keys, Rows], None]
Read = Callable[[Keys], Rows]


def open_lmdb(path: Path) -> tuple[Write, Read]:
    """An entry a vector; a crash of the machine may undo the last transaction, as in the others."""
    import lmdb

    env = lmdb.open(str(path), map_size=1 << 30, metasync=False)

    def write(keys: Keys, rows: Rows) -> None:
        with env.begin(write=True) as txn:
            for key, row in zip(keys, rows, strict=True):
                txn.put(key, row.tobytes())

    def read(keys: Keys) -> Rows:
        with env.begin(buffers=True) as txn:
            return np.stack([np.frombuffer(txn.get(key), dtype="float32") for key in keys])

    return write, read


def open_diskcache(path: Path) -> tuple[Write, Read]:
    """An entry a vector, many in a transaction as its manual advises, and bytes, not pickles."""
    import diskcache

    cache = diskcache.Cache(str(path), size_limit=1 << 30)

    def write(keys: Keys, rows: Rows) -> None:
        with cache.transact(retry=True):
            for key, row in zip(keys, rows, strict=True):
                cache.set(key, row.tobytes())

    def read(keys: Keys) -> Rows:
        with cache.transact(retry=True):
            return np.stack([np.frombuffer(cache[key], dtype="float32") for key in keys])

    return write, read


def open_sqlite(path: Path) -> tuple[Write, Read]:
    """The package's own."""
    from spacy_embtune.encoder._database import VectorDatabase

    database = VectorDatabase(path, 1 << 30)

    def read(keys: Keys) -> Rows:
        found = dict(database.read(keys))
        return np.stack([found[key] for key in keys])

    return database.insert, read


STORES = {"lmdb": open_lmdb, "diskcache": open_diskcache, "sqlite3": open_sqlite}
# What happens to a file, given its size and where.
DAMAGES: dict[str, Callable[[Path, int, random.Random], None]] = {
    "cut off": lambda path, at, rng: os.truncate(path, at),
    "16 KiB of zeros": lambda path, at, rng: _overwrite(path, at, bytes(16384)),
    "16 KiB of noise": lambda path, at, rng: _overwrite(path, at, rng.randbytes(16384)),
    "one byte changed": lambda path, at, rng: _overwrite(path, at, rng.randbytes(1)),
}


def make(n: int) -> tuple[list[bytes], Rows]:
    """RETURNS (tuple[list[bytes], ndarray]): n keys, as random as digests, and their vectors."""
    rng = np.random.default_rng(0)
    rows = np.random.default_rng(1).normal(size=(n, WIDTH)).astype("float32")
    return [rng.bytes(16) for _ in range(n)], rows


def time_writing(write: Write, keys: Keys, rows: Rows, batch: int) -> float:
    """RETURNS (float): Vectors per second."""
    begin = time.perf_counter()
    for first in range(0, len(keys), batch):
        write(keys[first : first + batch], rows[first : first + batch])
    return len(keys) / (time.perf_counter() - begin)


def time_reading(read: Read, keys: Keys, rows: Rows, batch: int) -> float:
    """RETURNS (float): Vectors per second, in random order; each is compared with what it was."""
    order = np.random.default_rng(1).permutation(len(keys))
    seconds = 0.0
    for first in range(0, len(keys), batch):
        chosen = order[first : first + batch]
        wanted = [keys[i] for i in chosen]
        begin = time.perf_counter()
        found = read(wanted)
        seconds += time.perf_counter() - begin
        assert np.array_equal(found, rows[chosen])
    return len(keys) / seconds


def forget(folder: Path) -> None:
    """Drop the files of a store from the page cache, where the system lets one do so."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with path.open("r+b") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def take_step(what: str, name: str, path: Path, batch: int, first: int, last: int) -> Any:
    """What a child process does. RETURNS (Any): What it tells its parent, JSON."""
    keys, rows = make(last)
    keys, rows = keys[first:], rows[first:]
    begin = time.time()
    if what == "check":
        try:
            is_right = np.array_equal(STORES[name](path)[1](keys), rows)
            return "right" if is_right else "wrong vectors"
        except Exception:
            return "error"
    write, read = STORES[name](path)
    if what == "write":
        return time_writing(write, keys, rows, batch), begin, time.time()
    return [time_reading(read, keys, rows, batch) for _ in range(2)]


def start(*step: object) -> "subprocess.Popen[str]":
    """RETURNS (Popen): A child process that takes a step."""
    command = [sys.executable, __file__, "--step", json.dumps([str(part) for part in step])]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def finish(process: "subprocess.Popen[str]") -> Any:
    """RETURNS (Any): What the child told; "died" if a signal ended it."""
    output, errors = process.communicate()
    if process.returncode < 0:
        return "died"
    assert process.returncode == 0, errors
    return json.loads(output)


def measure(name: str, n: int, batch: int) -> list[float]:
    """RETURNS (list[float]): Vectors per second written, read cold, read warm and written by two
    processes at once; bytes on disk per vector."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one"
        written, *_ = finish(start("write", name, path, batch, 0, n))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        forget(path)
        read = finish(start("read", name, path, batch, 0, n))
        path = Path(folder) / "two"
        children = [
            start("write", name, path, batch, 0, n // 2),
            start("write", name, path, batch, n // 2, n),
        ]
        _, begins, ends = zip(*(finish(child) for child in children), strict=True)
        finish(start("read", name, path, batch, 0, n))
    return [written, *read, n / (max(ends) - min(begins)), size / n]


def damage(name: str, n: int, trials: int) -> dict[str, "Counter[str]"]:
    """RETURNS (dict[str, Counter]): What came of each damage, over trials at random places."""
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in DAMAGES}
    with tempfile.TemporaryDirectory() as folder:
        whole, copy = Path(folder) / "whole", Path(folder) / "copy"
        finish(start("write", name, whole, 100, 0, n))
        for kind, do in DAMAGES.items():
            for trial in range(trials):
                shutil.copytree(whole, copy)
                file = max(copy.rglob("*"), key=lambda path: path.stat().st_size)
                rng = random.Random(trial)
                do(file, rng.randrange(file.stat().st_size), rng)
                outcomes[kind][finish(start("check", name, copy, 0, 0, n))] += 1
                shutil.rmtree(copy)
    return outcomes


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        # By pages, as disks lose them.
        file.seek(at if len(data) == 1 else at // 4096 * 4096)
        file.write(data)


def main(
    n: Annotated[int, typer.Option("--vectors", help="Number of vectors")] = 20_000,
    batches: Annotated[str, typer.Option(help="Separated by commas")] = "1,32,1000",
    repeats: Annotated[int, typer.Option(help="Runs, of which the median is shown")] = 3,
    trials: Annotated[int, typer.Option(help="Damages of each kind")] = 40,
    step: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print rates and sizes of the stores, and what becomes of damaged ones."""
    if step:
        what, name, path, *numbers = json.loads(step)
        print(json.dumps(take_step(what, name, Path(path), *map(int, numbers))))
        return
    for batch in map(int, batches.split(",")):
        # One transaction a vector is slow: fewer will do.
        n_batch = min(n, 1000 * batch)
        print(f"\n**{n_batch:,} vectors, batches of {batch:,}**\n")
        print("| | write | read, cold | read, warm | two writing at once | bytes per vector |")
        print("|---|---|---|---|---|---|")
        first: list[float] = []
        for name in STORES:
            runs = [measure(name, n_batch, batch) for _ in range(repeats)]
            *rates, size = np.median(runs, axis=0)
            cells = [f"{rate / own:.2f}" for rate, own in zip(rates, first, strict=False)]
            if not first:
                first, cells = rates, [f"1 ({rate:,.0f} / s)" for rate in rates]
            print(f"| {name} | {' | '.join(cells)} | {size:,.0f} |", flush=True)
    print(f"\n**Damaged stores of 2,000 vectors, {trials} of each kind**\n")
    print(f"| | {' | '.join(DAMAGES)} |")
    print("|---|" + "---|" * len(DAMAGES))
    for name in STORES:
        counts = damage(name, 2000, trials).values()
        cells = [", ".join(f"{n} {what}" for what, n in count.most_common()) for count in counts]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
