"""What the names of labels are worth, with no, few and many labelled texts.

python benchmarks/names.py DATA_DIR --draws 3 --first-draw 0

DATA_DIR holds ag_news/, sst2/, trec/ and goemotions/ with train.jsonl and test.jsonl, {"text",
"cats"} a line. The head is `FeedForwardTuner` with its defaults, once without and once with
`label_vectors` (with --contrastive: `ContrastiveTuner`, and the nearest labelled document decides;
with --component: the component of configs/feedforward.cfg, trained by spaCy, with `label_texts`).
Both see the same texts. Accuracy on held-out texts; of several labels, the share of texts that
carry the label with the highest probability. Without labelled texts, the label with the nearest
name is predicted. "any names" gives label_vectors of all names, also of those that look like codes.

--pile 90,500,2000: pipelines of `pipeline_from_names` instead, which learn from as many texts
without labels (fewer than 100 give only the mean).
"""

import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import ROOT, TABLE, Row, draw_per_class, encode, read_rows, spread, train_head
from numpy.typing import NDArray
from wasabi import msg

from spacy_embtune.encoder import EncoderSettings, TextEncoder, token_counter
from spacy_embtune.finetune import ContrastiveTuner, FeedForwardTuner
from spacy_embtune.labels import find_codes, tidy_name
from spacy_embtune.pipeline import pipeline_from_names
from spacy_embtune.training import find_nearest_labels, label_documents

SIZES = (1, 2, 4, 8, 16)
# Gives the accuracy of a draw; None for the names: without them.
Run = Callable[[Sequence[Row], Sequence[Row], Sequence[str] | None, int], float]


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    draws: Annotated[int, typer.Option(help="How many draws")] = 3,
    first_draw: Annotated[int, typer.Option(help="Number of the first; each draws anew")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 500,
    sets: Annotated[str, typer.Option(help="Folders")] = "ag_news,sst2,trec,goemotions",
    sizes: Annotated[str, typer.Option(help="Texts a class")] = ",".join(map(str, SIZES)),
    contrastive: Annotated[bool, typer.Option(help="ContrastiveTuner, nearest text")] = False,
    weight: Annotated[
        float | None, typer.Option(help="Weight of the names up to 4 labelled texts a class")
    ] = None,
    component: Annotated[bool, typer.Option(help="The component, in spaCy")] = False,
    pile: Annotated[str, typer.Option(help="Only pipelines from names, with piles so large")] = "",
) -> None:
    """Print accuracies, mean (lowest to highest), without and with names, and their difference."""
    if weight is not None:
        label_documents.MOST_WEIGHT, label_documents.SHARE = weight, 4.0 * weight
    run = run_component if component else run_contrastive if contrastive else run_feed_forward
    count_tokens = token_counter(TextEncoder.load(EncoderSettings()))
    if pile:
        compare_piles(data, sets.split(","), draws, first_draw, n_test, pile.split(","))
        return
    print("| set | texts a class | without | with names | difference | any names |")
    print("|---|---|---|---|---|---|")
    for name in sets.split(","):
        train, test = (read_rows(data / name / f"{part}.jsonl") for part in ("train", "test"))
        labels = sorted({label for row in train for label in row["cats"]})
        codes = find_codes(labels, count_tokens)
        named = [label for label in labels if label not in set(codes)]
        encode([tidy_name(label) for label in labels])
        if codes:
            msg.info(f"{name}: look like codes and are left out: {', '.join(codes)}")
        figures: dict[int, list[list[float]]] = {}
        for draw in range(first_draw, first_draw + draws):
            rng = random.Random(draw)
            most = draw_per_class(train, max(int(n) for n in sizes.split(",")), rng)
            new = rng.sample(test, min(n_test, len(test)))
            encode([row["text"] for row in (*most, *new)])
            figures.setdefault(0, []).append([nearest_name(most, new, labels)])
            for n in map(int, sizes.split(",")):
                known = draw_per_class(most, n, random.Random(draw))
                found = [run(known, new, names, draw) for names in (None, named, labels)]
                figures.setdefault(n, []).append(found)
        print(f"| {name} | 0 | | {spread([found for (found,) in figures.pop(0)])} | | |")
        for n, rows in figures.items():
            without, with_names, with_any = zip(*rows, strict=True)
            differences = [b - a for a, b in zip(without, with_names, strict=True)]
            cells = [spread(without), spread(with_names), spread(differences, "+.3f")]
            print(f"| {name} | {n} | {' | '.join(cells)} | {spread(with_any)} |")


def compare_piles(
    data: Path, sets: Sequence[str], draws: int, first_draw: int, n_test: int, sizes: Sequence[str]
) -> None:
    """Print accuracies of `pipeline_from_names`, without any label, mean (lowest to highest)."""
    print(f"| set | {' | '.join(f'{size} texts' for size in sizes)} |\n|---|{'---|' * len(sizes)}")
    for name in sets:
        train, test = (read_rows(data / name / f"{part}.jsonl") for part in ("train", "test"))
        labels = sorted({label for row in train for label in row["cats"]})
        found: dict[str, list[float]] = {}
        for draw in range(first_draw, first_draw + draws):
            rng = random.Random(draw)
            others, new = (rng.sample(rows, len(rows)) for rows in (train, test))
            for size in sizes:
                texts = [row["text"] for row in others[: int(size)]]
                nlp = pipeline_from_names(labels, texts)
                docs = list(nlp.pipe([row["text"] for row in new[:n_test]], batch_size=256))
                best = [labels.index(max(doc.cats, key=doc.cats.__getitem__)) for doc in docs]
                values = values_of(new[:n_test], labels)[np.arange(len(docs)), best]
                found.setdefault(size, []).append(float(values.mean()))
        print(f"| {name} | {' | '.join(spread(values) for values in found.values())} |", flush=True)


def vectors_of(texts: Sequence[str]) -> NDArray[Any]:
    """RETURNS (ndarray): Base vectors from the table."""
    return np.stack([TABLE[text] for text in texts])


def values_of(rows: Sequence[Row], labels: Sequence[str]) -> NDArray[Any]:
    """RETURNS (ndarray): The value of each label of each row."""
    return np.asarray([[row["cats"].get(label, 0.0) for label in labels] for row in rows])


def nearest_name(pile: Sequence[Row], new: Sequence[Row], labels: Sequence[str]) -> float:
    """RETURNS (float): The accuracy of the nearest name. The pile is used without its labels."""
    mean = vectors_of([row["text"] for row in pile]).mean(axis=0)
    names = vectors_of([tidy_name(label) for label in labels])
    base = vectors_of([row["text"] for row in new])
    nearest = find_nearest_labels(base, names, range(len(labels)), mean=mean).nearest
    return float(values_of(new, labels)[np.arange(len(new)), nearest].mean())


def fit(make: Any, known: Sequence[Row], names: Sequence[str] | None, seed: int) -> Any:
    """RETURNS (Any): A tuner, fitted with or without names."""
    vectors = names and {label: vectors_of([tidy_name(label)]) for label in names}
    exclusive = all(sum(row["cats"].values()) == 1 for row in known) and len(known[0]["cats"]) > 1
    # Small draws of several labels may have one label each.
    exclusive = exclusive and len(known[0]["cats"]) <= MOST_CLASSES
    tuner = make(random_state=seed, exclusive_classes=exclusive, label_vectors=vectors or None)
    X = vectors_of([row["text"] for row in known])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="label_vectors are left out")
        return tuner.fit(X, [row["cats"] for row in known])


# The sets with one label a text have fewer classes than this.
MOST_CLASSES = 10


def run_feed_forward(
    known: Sequence[Row], new: Sequence[Row], names: Sequence[str] | None, seed: int
) -> float:
    """RETURNS (float): The accuracy of a head with an output layer."""
    tuner = fit(FeedForwardTuner, known, names, seed)
    scores = tuner.predict_proba(vectors_of([row["text"] for row in new]))
    values = values_of(new, tuner.classes_.tolist())
    return float(values[np.arange(len(new)), scores.argmax(axis=1)].mean())


def run_contrastive(
    known: Sequence[Row], new: Sequence[Row], names: Sequence[str] | None, seed: int
) -> float:
    """RETURNS (float): The accuracy of the nearest labelled text in the tuned space."""
    tuner = fit(ContrastiveTuner, known, names, seed)
    spaces = [tuner.transform(vectors_of([row["text"] for row in rows])) for rows in (known, new)]
    one, two = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in spaces)
    nearest = (two @ one.T).argmax(axis=1)
    labels = sorted(known[0]["cats"])
    predicted = values_of(known, labels)[nearest].argmax(axis=1)
    return float(values_of(new, labels)[np.arange(len(new)), predicted].mean())


def run_component(
    known: Sequence[Row], new: Sequence[Row], names: Sequence[str] | None, seed: int
) -> float:
    """RETURNS (float): The accuracy of the component, trained for 60 steps."""
    texts = names and {label: tidy_name(label) for label in names}
    changes = {
        "training.max_steps": 60,
        "training.eval_frequency": 60,
        "training.seed": seed,
        "system.seed": seed,
        "components.embtune.set_cats": True,
        "initialize.components.embtune.label_texts": texts or None,
    }
    nlp = train_head(ROOT / "configs" / "feedforward.cfg", known, known, changes)
    docs = nlp.pipe([row["text"] for row in new])
    best = [max(doc.cats, key=lambda label: doc.cats[label]) for doc in docs]
    return float(np.mean([row["cats"][label] for row, label in zip(new, best, strict=True)]))


if __name__ == "__main__":
    typer.run(main)
