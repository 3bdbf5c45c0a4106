"""How long the vectors of sentences take beside those of documents.

python benchmarks/units.py DATA_DIR --sets ag_news --most 10000 --rounds 3

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text"} a line. One process, no
cache. Three ways take turns, so that other work on the machine slows all of them down alike: ratios
are taken round by round. Seconds of the processor do not count the time in which other work runs.

    documents     the sentencizer, and vectors of documents
    in one call   the same, with spans = "sents": vectors of documents and of their sentences
    in two calls  documents first, then each sentence as a document of its own
"""

import statistics
import time
from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer
from common import read_rows, spread
from spacy.language import Language

WAYS = ("documents", "in one call", "in two calls")


def make_nlp(name: str, spans: str | None) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    encoder = {
        "@architectures": "spacy-embtune.SentenceTransformer.v1",
        "name": name,
        # "auto" measures, and might choose another type for each pipeline.
        "precision": "float32",
    }
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}, "spans": spans})
    return nlp


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the sets")],
    sets: Annotated[str, typer.Option(help="Names of sets, with commas")] = "ag_news",
    most: Annotated[int, typer.Option(help="Number of documents")] = 10_000,
    rounds: Annotated[int, typer.Option(help="How many turns each way takes")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of torch")] = 2,
    encoder: Annotated[
        str, typer.Option(help="Name of the encoder")
    ] = "sentence-transformers/all-MiniLM-L6-v2",
) -> None:
    """Print a table of seconds and texts a second."""
    torch.set_num_threads(threads)
    plain, with_spans = make_nlp(encoder, None), make_nlp(encoder, "sents")
    for nlp in (plain, with_spans):
        nlp("The encoder is loaded before its time is taken.")
    for name in sets.split(","):
        rows = [
            row for part in ("train", "test") for row in read_rows(data / name / f"{part}.jsonl")
        ]
        texts = [row["text"] for row in rows[:most]]
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        of_processor: dict[str, list[float]] = {way: [] for way in WAYS}
        encoded = dict.fromkeys(WAYS, 0)
        n_sentences = 0
        for _ in range(rounds):
            for way in WAYS:
                nlp = with_spans if way == "in one call" else plain
                shim = nlp.get_pipe("embtune").encoder
                before, start, used = shim.n_encoded, time.perf_counter(), time.process_time()
                sentences = []
                for doc in nlp.pipe(texts):
                    if way == "in two calls":
                        sentences += [sent.text for sent in doc.sents]
                    elif way == "in one call":
                        # Read as a user would.
                        sentences += [sent._.embedding.shape for sent in doc.sents]
                if way == "in two calls":
                    for doc in nlp.pipe(sentences):
                        assert doc._.embedding.any() or not doc.text.strip()
                seconds[way].append(time.perf_counter() - start)
                of_processor[way].append(time.process_time() - used)
                encoded[way] = shim.n_encoded - before
                n_sentences = max(n_sentences, len(sentences))
        print(
            f"\n**{name}, {len(texts):,} documents, {n_sentences:,} sentences, {rounds} rounds**\n"
        )
        print(
            "| | seconds | against documents | processor's seconds | against documents "
            "| texts encoded | texts a second |"
        )
        print("|---|---|---|---|---|---|---|")
        for way in WAYS:
            cells = []
            for taken in (seconds, of_processor):
                ratios = [a / b for a, b in zip(taken[way], taken["documents"], strict=True)]
                cells += [spread(taken[way], ".1f"), spread(ratios, ".2f")]
            rate = encoded[way] / statistics.mean(seconds[way])
            print(f"| {way} | {' | '.join(cells)} | {encoded[way]:,} | {rate:,.0f} |")


if __name__ == "__main__":
    typer.run(main)
