"""How long does it take to read a file of each format, and how much memory?

python benchmarks/reading.py [--n 1000000] [--formats csv,jsonl]

Records of an id, a text of about 100 characters and one of 20 labels are written by pandas. Each
format is then read by a new process: by `read_records`, record by record, and by the program that
people would use otherwise, which reads all of it at once: pandas, or pyarrow for its own formats,
with the rows as Python objects at the end ("rows") or not ("table"). The seconds are those that
the processor spent on reading, without imports. The memory is the peak of the process above what it
had after the imports, as Linux measures it.
"""

import importlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

WORDS = ["goal", "team", "song", "soup", "oven", "match", "guitar,", "bread", "of", "and", "Äpfel"]
FORMATS = (
    *("csv", "tsv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz", "jsonl.zst", "json", "txt"),
    *("parquet", "feather", "xlsx", "spacy"),
)
# Formats of which fewer records are written. A sheet ends at 1,048,576 rows, takes minutes to
# write, and nobody keeps that many records in one. spaCy holds all Docs of a .spacy file in memory,
# about 7 KB each, and needs 0.3 ms to create one. The time of both grows with the records.
FEWER = {"xlsx": 0.1, "spacy": 0.1}
COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}
MEGABYTE = 1 << 20


def make_frame(n: int) -> Any:
    """RETURNS (pandas.DataFrame): Records."""
    import pandas as pd

    rng = random.Random(0)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "text": [" ".join(rng.choices(WORDS, k=18)) for _ in range(n)],
            "label": [f"label {rng.randrange(20)}" for _ in range(n)],
        }
    )


def write(path: Path, frame: Any) -> None:
    """Write records in the format of the suffix."""
    import pyarrow

    kind, _, compression = path.name.partition(".")[2].partition(".")
    if compression:
        plain = path.with_suffix("")
        write_frame(plain, kind, frame)
        with (
            plain.open("rb") as file,
            pyarrow.CompressedOutputStream(str(path), COMPRESSIONS[compression]) as stream,
        ):
            shutil.copyfileobj(file, stream)
        plain.unlink()
    else:
        write_frame(path, kind, frame)


def write_frame(path: Path, kind: str, frame: Any) -> None:
    if kind in ("jsonl", "json"):
        frame.to_json(path, orient="records", lines=kind == "jsonl", force_ascii=False)
    elif kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    elif kind == "txt":
        path.write_text("".join(f"{text}\n" for text in frame["text"]), "utf8")
    elif kind == "parquet":
        frame.to_parquet(path, index=False)
    elif kind == "feather":
        frame.to_feather(path)
    elif kind == "xlsx":
        _write_excel(path, frame)
    else:
        _write_spacy(path, frame)


def _write_excel(path: Path, frame: Any) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(list(frame.columns))
    for row in frame.itertuples(index=False, name=None):
        sheet.append(row)
    book.save(path)


def _write_spacy(path: Path, frame: Any) -> None:
    import spacy
    from spacy.tokens import DocBin

    nlp, docs = spacy.blank("en"), DocBin(store_user_data=True)
    for id_, text, label in frame.itertuples(index=False, name=None):
        doc = nlp.make_doc(text)
        doc.cats, doc.user_data["id"] = {label: 1.0}, id_
        docs.add(doc)
    docs.to_disk(path)


def read_ours(path: Path) -> int:
    from spacy_embtune.data import read_records

    return sum(1 for _ in read_records(path))


def _read_table(path: Path) -> Any:
    import pandas as pd
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    kind, _, compression = path.name.partition(".")[2].partition(".")
    # pandas needs a further package for zstd.
    source: Any = path
    if compression:
        source = pyarrow.CompressedInputStream(str(path), COMPRESSIONS[compression])
    if kind in ("jsonl", "json"):
        return pd.read_json(source, lines=kind == "jsonl", dtype=False)
    if kind in ("csv", "tsv"):
        return pd.read_csv(source, sep="\t" if kind == "tsv" else ",")
    if kind == "parquet":
        return pyarrow.parquet.read_table(path)
    if kind == "feather":
        return pyarrow.feather.read_table(path)
    if kind == "xlsx":
        return pd.read_excel(path, engine="calamine")
    if kind == "spacy":
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab

        return list(DocBin().from_disk(path).get_docs(Vocab()))
    return path.read_text("utf8").splitlines()


def read_table(path: Path) -> int:
    return len(_read_table(path))


def read_rows(path: Path) -> int:
    table = _read_table(path)
    if hasattr(table, "to_pylist"):
        return len(table.to_pylist())
    return len(table.to_dict("records") if hasattr(table, "to_dict") else table)


READERS: dict[str, Callable[[Path], int]] = {
    "ours": read_ours,
    "table": read_table,
    "rows": read_rows,
}


def _measure_here(reader: str, path: Path) -> dict[str, float]:
    """RETURNS (dict[str, float]): What this process took to read a file."""
    for module in ("pandas", "pyarrow.feather", "pyarrow.parquet", "spacy_embtune.data"):
        importlib.import_module(module)
    # The peak so far is that of the imports: forget it.
    Path("/proc/self/clear_refs").write_text("5")
    before = _read_memory("VmRSS")
    start = time.process_time()
    n = READERS[reader](path)
    seconds = time.process_time() - start
    peak = _read_memory("VmHWM") - before
    return {"n": n, "seconds": seconds, "megabytes": peak}


def _read_memory(name: str) -> float:
    """RETURNS (float): A figure of Linux on the memory of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def measure(reader: str, path: Path) -> dict[str, float]:
    """RETURNS (dict[str, float]): What a new process took to read a file."""
    command = [sys.executable, __file__, "--read", f"{reader}:{path}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def main(
    n: Annotated[int, typer.Option(help="Records")] = 1_000_000,
    formats: Annotated[str, typer.Option(help="Formats, with commas")] = ",".join(FORMATS),
    read: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    if read is not None:
        reader, _, name = read.partition(":")
        print(json.dumps(_measure_here(reader, Path(name))))
        return
    print(
        "| format | records | file, MB | ours, s | table, s | rows, s | ours, MB | table | rows |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    frame = make_frame(n)
    with tempfile.TemporaryDirectory() as folder:
        for kind in formats.split(","):
            path = Path(folder, f"data.{kind}")
            n_here = int(n * FEWER.get(kind, 1.0))
            write(path, frame[:n_here])
            found = {reader: measure(reader, path) for reader in READERS}
            assert {int(one["n"]) for one in found.values()} == {n_here}
            cells = [
                kind,
                f"{n_here:,}",
                f"{path.stat().st_size / MEGABYTE:.0f}",
                *(f"{one['seconds']:.1f}" for one in found.values()),
                *(f"{one['megabytes']:.0f}" for one in found.values()),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
            path.unlink()


if __name__ == "__main__":
    typer.run(main)
