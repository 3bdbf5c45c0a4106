"""Compare tuned vectors with base vectors on documents that were held out."""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import srsly
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

from spacy_embtune.extensions import get_vector
from spacy_embtune.metrics import knn_scores, probe_scores, retrieval_scores
from spacy_embtune.targets import is_exclusive, labels_in, make_targets
from spacy_embtune.types import Targets

NAMES = {
    "p_at_1": "p@1",
    "map_at_r": "MAP@R",
    "knn_accuracy": "nearest neighbour, accuracy",
    "probe_accuracy": "linear probe, accuracy",
    "knn_macro_f1": "nearest neighbour, macro-F1",
    "probe_macro_f1": "linear probe, macro-F1",
}


def main(
    model: Annotated[str, typer.Argument(help="Directory of the trained pipeline")],
    train: Annotated[Path, typer.Argument(help="Where neighbours and probe learn: .spacy")],
    dev: Annotated[Path, typer.Argument(help="Held-out documents, which are scored: .spacy")],
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Save the numbers here too", dir_okay=False)
    ] = None,
) -> None:
    """Print how well labels can be told from the base and from the tuned vectors of DEV.

    p@1 and MAP@R say how well the nearest neighbours within DEV share labels. The nearest neighbour
    and the linear probe (a logistic regression) learn from TRAIN and are scored on DEV.
    """
    try:
        nlp = spacy.load(model)
        name = find_component(nlp, model)
        corpora = [read_docs(path, nlp) for path in (train, dev)]
    except (OSError, ValueError) as error:
        msg.fail("Nothing was evaluated", str(error), exits=1)
    results = evaluate(nlp, name, *corpora)
    show(results)
    if json_path is not None:
        save(results, json_path)
        msg.good(f"Saved the numbers to {json_path}")


def find_component(nlp: Language, model: str) -> str:
    """Find the component by its factory: its name is the user's choice.

    nlp (Language): The pipeline.
    model (str): What to call it in an error.
    RETURNS (str): The name of the component.
    RAISES (ValueError): If there is none.
    """
    for name, factory in nlp.pipe_factories.items():
        if factory == "embtune":
            return name
    raise ValueError(
        f"{model}: has no component of the factory 'embtune', only {nlp.pipe_names}. Give a "
        "pipeline that was trained with a config of this project."
    )


def read_docs(path: Path, nlp: Language) -> list[Doc]:
    """Read the documents of a corpus.

    path (Path): A .spacy file.
    nlp (Language): The pipeline, whose vocabulary they share.
    RETURNS (list[Doc]): The documents with their cats.
    RAISES (ValueError): If there is no such file, or it holds no documents.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file. Make the corpus first.")
    try:
        docs = list(DocBin().from_disk(path).get_docs(nlp.vocab))
    except (zlib.error, ValueError, KeyError) as error:
        raise ValueError(f"{path}: is not a .spacy file ({error}).") from error
    if not docs:
        raise ValueError(f"{path}: holds no documents.")
    return docs


def evaluate(nlp: Language, name: str, train: Sequence[Doc], dev: Sequence[Doc]) -> dict[str, Any]:
    """Score the base and the tuned vectors, by the labels that the component knows, or, if it was
    trained without labels, by those of the documents.

    nlp (Language): The pipeline.
    name (str): The name of its component.
    train (Sequence[Doc]): The documents to learn from.
    dev (Sequence[Doc]): The documents to score.
    RETURNS (dict[str, Any]): JSON: how much was used, and under "metrics" the scores of each
        metric, None where there is nothing to score.
    """
    pipe = nlp.get_pipe(name)
    labels, exclusive = list(pipe.labels), bool(pipe.cfg["exclusive_classes"])
    if not labels:
        # Trained on pairs alone: the labels are those that its documents happen to have.
        cats = [doc.cats for doc in (*train, *dev)]
        labels, exclusive = labels_in(cats), is_exclusive(cats)
    targets, vectors = [], []
    for docs in (train, dev):
        targets.append(make_targets([doc.cats for doc in docs], labels, exclusive=exclusive))
        done = list(nlp.pipe(doc.text for doc in docs))
        vectors.append([stack(done, e) for e in (pipe.base_extension, pipe.extension)])
    base, tuned = (
        score(vectors[0][i], targets[0], vectors[1][i], targets[1], exclusive=exclusive)
        for i in (0, 1)
    )
    return {
        "component": name,
        "exclusive_classes": exclusive,
        "labels": labels,
        "n_train": len(train),
        "n_dev": len(dev),
        "metrics": {
            metric: {
                "base": base[metric],
                "tuned": tuned[metric],
                "difference": _difference(base[metric], tuned[metric]),
            }
            for metric in base
        },
    }


def score(
    train_x: np.ndarray, train: Targets, dev_x: np.ndarray, dev: Targets, *, exclusive: bool
) -> dict[str, float | None]:
    """Score one kind of vectors; rare labels, which only F1 does justice, occur without exclusive
    classes.

    train_x, dev_x (ndarray): The vectors, shape (n, d) and (m, d).
    train, dev (Targets): The labels.
    exclusive (bool): Whether a document carries exactly one label.
    RETURNS (dict[str, float | None]): The scores by metric.
    """
    retrieval = retrieval_scores(dev_x, dev.values, dev.known)
    knn = knn_scores(train_x, train, dev_x, dev)
    probe = probe_scores(train_x, train, dev_x, dev)
    scores = {
        "p_at_1": retrieval.p_at_1,
        "map_at_r": retrieval.map_at_r,
        "knn_accuracy": knn.accuracy,
        "probe_accuracy": probe.accuracy,
    }
    if not exclusive:
        scores |= {"knn_macro_f1": knn.macro_f1, "probe_macro_f1": probe.macro_f1}
    return scores


def stack(docs: Sequence[Doc], extension: str) -> np.ndarray:
    """RETURNS (ndarray): The vectors under `doc._.<extension>`, shape (n, d), zeros for none."""
    vectors = [get_vector(doc, extension) for doc in docs]
    width = max((len(vector) for vector in vectors if vector is not None), default=0)
    nothing = np.zeros(width, dtype="float32")
    return np.stack([nothing if vector is None else vector for vector in vectors])


def verdict(results: dict[str, Any]) -> str:
    """RETURNS (str): One sentence on which vectors did better."""
    differences = [m["difference"] for m in results["metrics"].values()]
    known = [difference for difference in differences if difference is not None]
    if not known:
        return "Nothing can be compared: too few documents carry a known label."
    better = sum(difference > 0 for difference in known)
    return f"Tuned beats base on {better} of {len(known)} metrics."


def show(results: dict[str, Any]) -> None:
    """Print the results.

    results (dict[str, Any]): What `evaluate` returns.
    """
    n_labels = len(results["labels"])
    msg.info(
        f"{results['n_dev']} held-out documents, {results['n_train']} to learn from, "
        f"{n_labels} label{'s' * (n_labels != 1)}"
        f"{', exclusive' if results['exclusive_classes'] else ''}"
    )
    rows = [
        (NAMES[metric], _number(m["base"]), _number(m["tuned"]), _number(m["difference"], "+"))
        for metric, m in results["metrics"].items()
    ]
    header = ("metric", "base", "tuned", "difference")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    msg.text(verdict(results))


def save(results: dict[str, Any], path: Path) -> None:
    """Save the results as JSON, whole or not at all.

    results (dict[str, Any]): What `evaluate` returns.
    path (Path): The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    srsly.write_json(unfinished, {**results, "verdict": verdict(results)})
    os.replace(unfinished, path)


def _difference(base: float | None, tuned: float | None) -> float | None:
    return None if base is None or tuned is None else tuned - base


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


if __name__ == "__main__":
    typer.run(main)
