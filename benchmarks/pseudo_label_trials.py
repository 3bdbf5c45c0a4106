"""Other ways to use unlabelled texts, beside pseudo-labels where two views agree.

python benchmarks/pseudo_label_trials.py DATA_DIR --sets trec,ag_news,sst2 --draws 3

DATA_DIR and draws are those of benchmarks/pseudo_labels.py. The head is that of
configs/feedforward.cfg on frozen vectors. Accuracy on held-out texts, mean (lowest to highest):

labels alone        the output layer
means               the nearest class mean of the labelled texts, in the tuned space
transductive means  means, computed again from all texts of the pile, with soft classes
propagation         labels that spread over the graph of 10 nearest neighbours in the tuned space
two views           a round of pseudo-labels where output layer and nearest labelled text agree
output layer only   the same without the second view
equal shares        two views; as many texts of each class as of the smallest
class shares        two views; each class in the share that the output layer predicts for it
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import spread
from numpy.typing import NDArray
from pseudo_labels import Trainer, draw_texts, predict
from scipy.sparse import csr_array, identity
from scipy.sparse.linalg import splu

from spacy_embtune.data import PseudoLabel, text_digest
from spacy_embtune.labels import make_targets
from spacy_embtune.semi_supervised import choose_pseudo_labels

TEMPERATURE = 0.1


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Separated by commas")] = "trec,ag_news,sst2",
    per_class: Annotated[int, typer.Option(help="Labelled texts of a class")] = 8,
    n_pile: Annotated[int, typer.Option("--pile", help="Unlabelled texts")] = 1000,
    draws: Annotated[int, typer.Option(help="How many draws")] = 3,
    first_draw: Annotated[int, typer.Option(help="Number of the first")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 500,
    steps: Annotated[int, typer.Option(help="Steps of each training")] = 100,
    share: Annotated[float, typer.Option(help="Share of each class")] = 0.3,
) -> None:
    """Print a table."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in sets.split(","):
        for draw in range(first_draw, first_draw + draws):
            drawn = draw_texts(data / name, per_class, 0, n_pile, n_test, draw)
            for way, accuracy in run(drawn, draw, steps, share).items():
                found.setdefault(way, {}).setdefault(name, []).append(accuracy)
    print("| | " + " | ".join(sets.split(",")) + " |")
    print("|---" * (len(sets.split(",")) + 1) + "|")
    for way, of_set in found.items():
        print(f"| {way} | {' | '.join(spread(values) for values in of_set.values())} |")


def run(drawn: Any, draw: int, steps: int, share: float) -> Mapping[str, float]:
    """RETURNS (Mapping): The accuracy of each way in one draw."""
    train = Trainer("feedforward", drawn, draw)
    nlp, figures = train(steps)
    pipe: Any = nlp.get_pipe("embtune")
    (near, _), (pile, probabilities), (test, _) = (
        predict(pipe, rows) for rows in (train.known, train.pile, train.test)
    )
    near, pile, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (near, pile, test))
    targets = make_targets([row["cats"] for row in train.known], pipe.labels, exclusive=True)
    values = np.asarray(targets.values)
    truth = np.asarray([[row["cats"].get(n, 0.0) for n in pipe.labels] for row in train.test])
    ways = {
        "labels alone": figures["accuracy"],
        "means": accuracy_of(test @ means_of(near, values).T, truth),
        "transductive means": accuracy_of(test @ transductive_means(near, values, pile).T, truth),
        "propagation": accuracy_of(propagate(near, values, pile, test), truth),
    }
    both = choose_pseudo_labels(near, targets, pile, probabilities, share=share)
    chosen = {"two views": (both.rows, both.targets.columns)}
    # Without a second view: the labelled texts are the pile itself, with its predicted labels.
    best = probabilities.argmax(axis=1)
    own = make_targets([{pipe.labels[c]: 1.0} for c in best], pipe.labels, exclusive=True)
    one = choose_pseudo_labels(pile, own, pile, probabilities, share=share)
    chosen["output layer only"] = (one.rows, one.targets.columns)
    agreed = choose_pseudo_labels(near, targets, pile, probabilities, share=1.0)
    columns, sure = agreed.targets.columns, probabilities[agreed.rows].max(axis=1)
    order = np.lexsort((-sure, columns))
    of_class = [order[columns[order] == c] for c in range(len(pipe.labels))]
    least = min(len(rows) for rows in of_class)
    n_chosen = len(both.rows)
    mass = probabilities.sum(axis=0) / len(probabilities)
    for way, sizes in (
        ("equal shares", [min(least, n_chosen // len(of_class))] * len(of_class)),
        ("class shares", [round(n_chosen * m) for m in mass]),
    ):
        kept = np.concatenate([rows[:k] for rows, k in zip(of_class, sizes, strict=True)])
        chosen[way] = (agreed.rows[kept], columns[kept])
    for way, (rows, places) in chosen.items():
        labels = {
            text_digest(train.pile[i]["text"]): PseudoLabel({pipe.labels[c]: 1.0})
            for i, c in zip(rows.tolist(), places.tolist(), strict=True)
        }
        ways[way] = train(steps, labels)[1]["accuracy"]
    return ways


def accuracy_of(scores: NDArray[Any], truth: NDArray[Any]) -> float:
    """RETURNS (float): The share of rows whose highest score is right."""
    return float(truth[np.arange(len(truth)), scores.argmax(axis=1)].mean())


def means_of(rows: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The mean of each class, at unit length."""
    means = values.T @ rows
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def transductive_means(
    near: NDArray[Any], values: NDArray[Any], pile: NDArray[Any], *, n_rounds: int = 10
) -> NDArray[Any]:
    """RETURNS (ndarray): Class means from labelled texts and the soft classes of the pile."""
    means = means_of(near, values)
    for _ in range(n_rounds):
        scores = pile @ means.T / TEMPERATURE
        soft = np.exp(scores - scores.max(axis=1, keepdims=True))
        soft /= soft.sum(axis=1, keepdims=True)
        means = means_of(np.concatenate([near, pile]), np.concatenate([values, soft]))
    return means


def propagate(
    near: NDArray[Any],
    values: NDArray[Any],
    pile: NDArray[Any],
    test: NDArray[Any],
    *,
    k: int = 10,
    alpha: float = 0.9,
) -> NDArray[Any]:
    """Spread labels over the graph of nearest neighbours (Zhou et al. 2003, "Learning with Local
    and Global Consistency").

    RETURNS (ndarray): The scores of the test texts.
    """
    rows = np.concatenate([near, pile, test])
    n = len(rows)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -1.0)
    columns = np.argpartition(-cosines, k, axis=1)[:, :k]
    weights = np.maximum(np.take_along_axis(cosines, columns, axis=1), 0.0).ravel()
    graph = csr_array((weights, (np.repeat(np.arange(n), k), columns.ravel())), shape=(n, n))
    graph = graph + graph.T
    scale = 1.0 / np.sqrt(np.maximum(graph.sum(axis=1), 1e-9))
    normal = graph.multiply(scale[:, None]).multiply(scale)
    start = np.zeros((n, values.shape[1]))
    start[: len(near)] = values
    spread_out = splu((identity(n) - alpha * normal).tocsc()).solve(start)
    return np.asarray(spread_out[-len(test) :])


if __name__ == "__main__":
    typer.run(main)
