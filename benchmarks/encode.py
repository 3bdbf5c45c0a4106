"""How fast texts are encoded, against plain sentence-transformers, and how exact.

python benchmarks/encode.py DATA_DIR --rounds 5 --threads 2

DATA_DIR holds a directory a set with train.jsonl, {"text"} a line: ag_news has short texts, imdb
long ones. One process. The encoders take turns, so that other work on the machine slows all of them
down alike: ratios are taken round by round. A backend that is not installed is left out.
"""

import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import torch
import typer
from common import read_rows, spread

from spacy_embtune.encoder import EncoderSettings, TextEncoder, has_native_bfloat16

PLAIN = "sentence-transformers"
# Settings of ours by the name of the row.
OURS: dict[str, dict[str, Any]] = {
    "torch, float32": {"precision": "float32"},
    "torch, bfloat16": {"precision": "bfloat16"},
    "torch, int8": {"precision": "int8"},
    "onnx, float32": {"precision": "float32", "backend": "onnx"},
    "onnx, int8": {"precision": "int8", "backend": "onnx"},
    "openvino, float32": {"precision": "float32", "backend": "openvino"},
    "openvino, bfloat16": {"precision": "bfloat16", "backend": "openvino"},
}


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the sets")],
    n_short: Annotated[int, typer.Option("--short", help="Number of short texts")] = 1000,
    n_long: Annotated[int, typer.Option("--long", help="Number of long texts")] = 100,
    rounds: Annotated[int, typer.Option(help="How many turns each encoder takes")] = 5,
    threads: Annotated[int, typer.Option(help="Threads of torch and of the backends")] = 2,
    only: Annotated[str, typer.Option(help="Rows to run, separated by ;")] = "",
) -> None:
    """Print a table of texts a second, ratios and cosines."""
    torch.set_num_threads(threads)
    exact = TextEncoder.load(EncoderSettings(precision="float32"))
    encoders: dict[str, Callable[[list[str]], Any]] = {
        PLAIN: lambda texts: exact.model.encode(texts, show_progress_bar=False)
    }
    wanted = only.split(";") if only else list(OURS)
    for label in wanted:
        backend = OURS[label].get("backend", "torch")
        if backend == "torch" or find_spec({"onnx": "onnxruntime"}.get(backend, backend)):
            encoders[label] = TextEncoder.load(EncoderSettings(**OURS[label])).encode
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "embtune",
        config={
            "model": {
                "encoder": {
                    "@architectures": "spacy-embtune.SentenceTransformer.v1",
                    "precision": "float32",
                }
            }
        },
    )
    encoders["nlp.pipe, torch, float32"] = lambda texts: np.stack(
        [doc._.embedding for doc in nlp.pipe(texts)]
    )
    speed = matrix_product_speed()
    print(f"bfloat16 is native on this processor: {has_native_bfloat16('cpu')}; {threads} threads")
    print(f"matrix products: {speed / 1e9:.0f} GFLOP/s in float32")
    for name, n, title in (("ag_news", n_short, "short"), ("imdb", n_long, "long")):
        texts = [row["text"] for row in read_rows(data / name / "train.jsonl")[:n]]
        run(texts, encoders, rounds, title, exact, speed)


def run(
    texts: list[str],
    encoders: dict[str, Callable[[list[str]], Any]],
    rounds: int,
    title: str,
    exact: TextEncoder,
    speed: float,
) -> None:
    """Print the table of some texts."""
    speeds: dict[str, list[float]] = {label: [] for label in encoders}
    vectors: dict[str, Any] = {}
    for encode in encoders.values():
        encode(texts[:16])
    for _ in range(rounds):
        for label, encode in encoders.items():
            begin = time.perf_counter()
            vectors[label] = encode(texts)
            speeds[label].append(len(texts) / (time.perf_counter() - begin))
    work = operations(exact, texts) / len(texts)
    characters = statistics.mean(map(len, texts))
    print(f"\n{len(texts)} {title} texts ({characters:.0f} characters on average)\n")
    print("| | texts a second | ratio | share of peak | cosine, mean | cosine, lowest |")
    print("|---|---|---|---|---|---|")
    for label, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds[PLAIN], strict=True)]
        a, b = vectors[label], vectors[PLAIN]
        cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        share = statistics.median(found) * work / speed
        print(
            f"| {label} | {spread(found, '.0f')} | {spread(ratios, '.2f')} | {share:.0%} "
            f"| {cosines.mean():.5f} | {cosines.min():.5f} |"
        )


def matrix_product_speed() -> float:
    """RETURNS (float): Operations a second of torch's float32 matrix product, the best of ten."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(10):
        begin = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best


def operations(encoder: TextEncoder, texts: list[str]) -> float:
    """RETURNS (float): Operations of the matrix products that texts need, without padding: those of
    the linear layers, and of attention."""
    config = encoder.model[0].auto_model.config
    linear = sum(
        module.weight.numel()
        for name, module in encoder.model.named_modules()
        if isinstance(module, torch.nn.Linear) and "pooler" not in name
    )
    ids = encoder.model.tokenizer(texts, truncation=True)["input_ids"]
    lengths = np.array([len(row) for row in ids], dtype=float)
    attention = 2 * 2 * lengths**2 * config.hidden_size * config.num_hidden_layers
    return float((2 * linear * lengths + attention).sum())


if __name__ == "__main__":
    typer.run(main)
