"""How many labels, and how many actions, a person needs: the queue of `embtune label` against
random order and against strategies of active learning.

python benchmarks/labelling.py DATA_DIR --seeds 5 --plot labelling.png

DATA_DIR holds trec/, ag_news/ and goemotions/ with train.jsonl and test.jsonl, {"text", "cats"} a
line. Of goemotions, texts with one emotion are used, without "neutral". A person is simulated who
knows the true labels. The pile has 2,000 texts without labels, drawn anew for each seed.

An action is a key or a click. One by one, a text takes one, its label, because the next text is
selected by itself. Many at once: select the list (A, Shift+N), drop each text that does not belong
(X, or a click, or one click that drops all texts down to here), give the label. A text that does
not belong is overlooked with the probability --error, and is then labelled wrong.

    random          one by one, in random order
    least certain   one by one: the lowest largest probability (a random text first)
    margin          one by one: the smallest difference of the two largest probabilities
    queue           one by one: the first suggestion of the page, after each label anew
    ..., tuned      the same, but from 32 labels on (--tune-at) with the vectors of `tune`, which
                    the person starts then (--seconds), and which learns from the pile too
    many            a list of up to 20 texts that are predicted to carry a label, and a suggestion
                    alone, in turn; at the start, a suggestion with those like it
    ..., names      the same, and the names of the labels teach from the start

"least certain" and "margin" are what small-text calls LeastConfidence and BreakingTies, written
here in a few lines, with a logistic regression. What counts is the share of the pile that has the
right label if the person stops and takes the predictions for the rest: those of a logistic
regression with balanced classes; of the page in "queue" and "many", and in "random, page" and
"margin, page". The table gives the labels and actions from which on this share reaches a part
(--shares) of the accuracy that a logistic regression with all labels of the pile has on held-out
texts.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from common import read_rows
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from spacy_embtune.app._learning import Learned, encode_names, learn
from spacy_embtune.app._space import Space
from spacy_embtune.finetune import SentenceEncoder, cached
from spacy_embtune.semi_supervised import Names

MOST_TEST = 1000
# Numbers of labels at which the accuracy is measured: each is larger by this share.
GROWTH = 1.08


class Pool(NamedTuple):
    """The pile of one seed, with labels that only the simulated person knows.

    texts (list[str]): The n texts.
    space (Space): Their vectors.
    given (ndarray): The label of each text, an index into `labels`, shape (n,).
    new, new_given (ndarray): Unit vectors and labels of held-out texts.
    labels (list[str]): The labels.
    names (Names): The vectors of their names.
    """

    texts: list[str]
    space: Space
    given: NDArray[Any]
    new: NDArray[Any]
    new_given: NDArray[Any]
    labels: list[str]
    names: Names


class Step(NamedTuple):
    """What one turn of the person adds.

    labels (dict[int, int]): Labels by text. They may be wrong.
    n_actions (int): The number of actions.
    """

    labels: dict[int, int]
    n_actions: int


class Curve(NamedTuple):
    """The share of the pile with the right label; three lists of the same length."""

    n_labels: list[int]
    n_actions: list[int]
    accuracy: list[float]

    def reaches(self, accuracy: float) -> tuple[float, float]:
        """RETURNS (tuple[float, float]): Labels and actions from which on an accuracy is reached;
        infinite if it is not."""
        for labels, actions, found in zip(*self, strict=True):
            if found >= accuracy:
                return labels, actions
        return np.inf, np.inf


# Gives the steps of a person, for a pool, what is labelled so far, and a random generator.
Take = Callable[[Pool, dict[int, int], np.random.Generator], Iterator[Step]]
# Predicts the labels of the whole pile from what is labelled so far.
Predict = Callable[[Pool, dict[int, int]], NDArray[Any]]


class Strategy(NamedTuple):
    """How a person chooses texts, what predicts the others, and at how many labels to tune."""

    take: Take
    predict: Predict
    tune_at: int | None = None


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Folders")] = "trec,ag_news,goemotions",
    seeds: Annotated[int, typer.Option(help="How many piles")] = 5,
    first_seed: Annotated[int, typer.Option(help="The number of the first one")] = 0,
    n_pool: Annotated[int, typer.Option("--pile", help="Texts in a pile")] = 2000,
    most: Annotated[int, typer.Option(help="Labels at most")] = 600,
    shares: Annotated[
        str, typer.Option(help="Shares of the full accuracy to reach, one a set")
    ] = "0.8,0.93,0.65",
    error: Annotated[float, typer.Option(help="Share of odd texts overlooked")] = 0.1,
    strategies: Annotated[str, typer.Option(help="Which, separated by ;")] = "",
    store: Annotated[Path, typer.Option(help="Keeps the vectors")] = Path("labelling.vectors"),
    tune_at: Annotated[int, typer.Option(help="Labels at which to tune")] = 32,
    seconds: Annotated[float, typer.Option(help="Time for tune")] = 60.0,
    plot: Annotated[Path | None, typer.Option(help="PNG of the curves")] = None,
) -> None:
    """Print labels and actions to reach an accuracy: median (lowest to highest) over the piles."""
    encoder = cached(SentenceEncoder(), store)
    made = make_strategies(error, tune_at)
    chosen = {name: made[name] for name in strategies.split(";") if name} or made
    found: dict[str, dict[str, list[Curve]]] = {}
    print("| set | accuracy | strategy | labels | of random | actions | of random |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name, share in zip(sets.split(","), map(float, shares.split(",")), strict=True):
        curves: dict[str, list[Curve]] = {one: [] for one in chosen}
        targets = []
        began = time.perf_counter()
        for seed in range(first_seed, first_seed + seeds):
            pool = draw(data / name, encoder, n_pool, seed)
            targets.append(share * measure_whole(pool))
            for one, strategy in chosen.items():
                curves[one].append(run(strategy, pool, most, seed, targets[-1], seconds))
        found[name] = curves
        report(name, targets, curves)
        if plot is not None:
            draw_curves(found, plot)
        print(f"<!-- {name}: {time.perf_counter() - began:.0f} s -->", flush=True)


def read_set(path: Path) -> list[tuple[str, str]]:
    """RETURNS (list[tuple[str, str]]): Distinct texts with exactly one label, and the label."""
    rows = {}
    for row in read_rows(path):
        carried = [label for label, value in row["cats"].items() if value >= 0.5]
        if len(carried) == 1 and carried != ["neutral"]:
            rows[row["text"]] = carried[0]
    return list(rows.items())


def draw(folder: Path, encoder: Any, n: int, seed: int) -> Pool:
    """RETURNS (Pool): A pile of n texts and held-out texts."""
    rng = np.random.default_rng(seed)
    train, test = read_set(folder / "train.jsonl"), read_set(folder / "test.jsonl")
    train = [train[i] for i in rng.permutation(len(train))[:n]]
    test = [test[i] for i in np.random.default_rng(0).permutation(len(test))[:MOST_TEST]]
    labels = sorted({label for _, label in (*train, *test)})
    place = {label: j for j, label in enumerate(labels)}
    spaces = [Space.of(encoder.transform([text for text, _ in rows])) for rows in (train, test)]
    given, new_given = (np.array([place[label] for _, label in rows]) for rows in (train, test))
    names = encode_names(labels, encoder)
    return Pool(
        [text for text, _ in train], spaces[0], given, spaces[1].vectors, new_given, labels, names
    )


def scaled(pool: Pool, vectors: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): Vectors as the logistic regression reads them."""
    return (vectors - pool.space.mean) / pool.space.scale


def fit_plain(pool: Pool, rows: list[int], labels: list[int]) -> LogisticRegression:
    """RETURNS (LogisticRegression): A classifier of some texts of the pile."""
    model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return model.fit(scaled(pool, pool.space.vectors[rows]), labels)


def measure_whole(pool: Pool) -> float:
    """RETURNS (float): The accuracy, on held-out texts, with all labels of the pile."""
    model = fit_plain(pool, list(range(len(pool.given))), pool.given.tolist())
    found = model.predict(scaled(pool, pool.new))
    return float(np.mean(found == pool.new_given))


def predict_plain(pool: Pool, known: dict[int, int]) -> NDArray[Any]:
    """RETURNS (ndarray): The labels by a logistic regression, shape (n,)."""
    labels = list(known.values())
    if len(set(labels)) < 2:
        return np.full(len(pool.given), labels[0])
    model = fit_plain(pool, list(known), labels)
    return model.predict(scaled(pool, pool.space.vectors))


def predict_page(pool: Pool, known: dict[int, int], *, named: bool) -> NDArray[Any]:
    """RETURNS (ndarray): The labels by the page, shape (n,)."""
    learned = learn_now(pool, known, [], named=named)
    if not learned.labels:
        return np.full(len(pool.given), next(iter(known.values()), 0))
    return np.array([pool.labels.index(label) for label in learned.labels])[learned.predicted]


def measure(pool: Pool, known: dict[int, int], predict: Predict) -> float:
    """RETURNS (float): The share of the pile with the right label, given or predicted."""
    found = predict(pool, known)
    found[list(known)] = list(known.values())
    return float(np.mean(found == pool.given))


def run(
    strategy: Strategy, pool: Pool, most: int, seed: int, target: float, seconds: float
) -> Curve:
    """RETURNS (Curve): The curve of a strategy, up to a number of labels, or somewhat beyond the
    target."""
    known: dict[int, int] = {}
    curve = Curve([], [], [])
    n_actions, measured, reached, is_tuned = 0, 1.0, 0, strategy.tune_at is None
    steps = strategy.take(pool, known, np.random.default_rng(seed))
    while len(known) < min(most, len(pool.given)) and reached < 4:
        step = next(steps, None)
        if step is None:
            break
        known.update(step.labels)
        n_actions += step.n_actions
        if not is_tuned and len(known) >= (strategy.tune_at or 0):
            is_tuned = True
            n_actions += 1
            pool = tune_pool(pool, known, seconds, seed)
            steps = strategy.take(pool, known, np.random.default_rng(seed))
            measured = len(known)
        if len(known) >= measured:
            measured = max(len(known) + 1, len(known) * GROWTH)
            found = measure(pool, known, strategy.predict)
            for part, value in zip(curve, (len(known), n_actions, found), strict=True):
                part.append(value)
            reached += found >= target
    return curve


def tune_pool(pool: Pool, known: dict[int, int], seconds: float, seed: int) -> Pool:
    """RETURNS (Pool): The pool with tuned vectors, as the button of the page makes them."""
    from spacy_embtune import tune

    others = [text for row, text in enumerate(pool.texts) if row not in known]
    cats = [{pool.labels[label]: 1.0} for label in known.values()]
    texts = [pool.texts[row] for row in known]
    nlp = tune(texts, cats, unlabelled=others, seconds=seconds, seed=seed).nlp
    vectors = np.stack([doc._.embtune for doc in nlp.pipe(pool.texts, batch_size=256)])
    return pool._replace(space=Space.of(vectors), names={})


def make_strategies(error: float, tune_at: int) -> dict[str, Strategy]:
    """RETURNS (dict[str, Strategy]): The strategies by name."""
    page, page_names = (partial(predict_page, named=named) for named in (False, True))
    margin = uncertain(lambda sorted_: sorted_[:, -2] - sorted_[:, -1])
    return {
        "random": Strategy(take_random, predict_plain),
        "least certain": Strategy(uncertain(lambda sorted_: -sorted_[:, -1]), predict_plain),
        "margin": Strategy(margin, predict_plain),
        "random, page": Strategy(take_random, page),
        "margin, page": Strategy(margin, page),
        "queue": Strategy(suggested(named=False), page),
        "queue, names": Strategy(suggested(named=True), page_names),
        "random, tuned": Strategy(take_random, page, tune_at),
        "queue, tuned": Strategy(suggested(named=False), page, tune_at),
        "many": Strategy(many(error, named=False), page),
        "many, names": Strategy(many(error, named=True), page_names),
    }


def learn_now(
    pool: Pool, known: dict[int, int], confirmed: Sequence[int], *, named: bool
) -> Learned:
    """RETURNS (Learned): What the page learns from the labels so far."""
    cats = {row: {pool.labels[label]: 1.0} for row, label in known.items()}
    met = [pool.labels[label] for label in dict.fromkeys(known.values())]
    return learn(
        pool.space,
        cats,
        exclusive=True,
        labels=pool.labels if named else met,
        confirmed=confirmed,
        names=pool.names if named else None,
        measures=False,
    )


def one_by_one(pool: Pool, row: int) -> Step:
    """RETURNS (Step): Label the text that is selected."""
    return Step({row: int(pool.given[row])}, 1)


def take_random(pool: Pool, known: dict[int, int], rng: np.random.Generator) -> Iterator[Step]:
    """YIELDS (Step): One text after the other, in random order."""
    for row in rng.permutation(len(pool.given)).tolist():
        yield one_by_one(pool, row)


def uncertain(worth: Callable[[NDArray[Any]], NDArray[Any]]) -> Take:
    """RETURNS (Take): Takes the text of the largest worth, computed from sorted
    probabilities; random texts until there are two labels."""

    def take(pool: Pool, known: dict[int, int], rng: np.random.Generator) -> Iterator[Step]:
        order = iter(rng.permutation(len(pool.given)).tolist())
        while len(known) < len(pool.given):
            if len(known) < 10 or len(set(known.values())) < 2:
                yield one_by_one(pool, next(order))
                continue
            found = worth(np.sort(_probabilities(pool, known), axis=1))
            found[list(known)] = -np.inf
            yield one_by_one(pool, int(found.argmax()))

    return take


def _probabilities(pool: Pool, known: dict[int, int]) -> NDArray[Any]:
    model = fit_plain(pool, list(known), list(known.values()))
    return model.predict_proba(scaled(pool, pool.space.vectors))


def suggested(*, named: bool) -> Take:
    """RETURNS (Take): Takes the first suggestion of the page. A suspect label is confirmed."""

    def take(pool: Pool, known: dict[int, int], rng: np.random.Generator) -> Iterator[Step]:
        confirmed: list[int] = []
        while suggestions := learn_now(pool, known, confirmed, named=named).suggestions:
            row = suggestions[0].row
            if row in known:
                confirmed.append(row)
            yield one_by_one(pool, row)

    return take


def many(error: float, *, named: bool) -> Take:
    """RETURNS (Take): Takes the first list of the page and the first suggestion, in turn. As
    long as there are no lists, takes a suggestion with the texts like it. Lists are read, and texts
    that do not belong are dropped."""

    def take(pool: Pool, known: dict[int, int], rng: np.random.Generator) -> Iterator[Step]:
        confirmed: list[int] = []
        n_single = 0
        while True:
            learned = learn_now(pool, known, confirmed, named=named)
            if not learned.suggestions:
                return
            first = learned.suggestions[0]
            if learned.lists and n_single:
                n_single = 0
                label = pool.labels.index(learned.lists[0].label)
                yield label_list(pool, learned.lists[0].rows, error, rng, label)
            elif learned.lists or first.row in known:
                n_single += 1
                if first.row in known:
                    confirmed.append(first.row)
                yield one_by_one(pool, first.row)._replace(n_actions=2)
            else:
                yield label_list(pool, [first.row, *first.others], error, rng)

    return take


def label_list(
    pool: Pool, rows: list[int], error: float, rng: np.random.Generator, label: int | None = None
) -> Step:
    """RETURNS (Step): Give a label, or the commonest one of a list, to all texts of the list that
    seem to carry it."""
    if label is None:
        label = int(np.bincount(pool.given[rows]).argmax())
    chosen = pool.space.vectors[rows]
    order = np.argsort(chosen @ chosen.sum(axis=0), kind="stable")
    rows = [rows[at] for at in order]
    # What the person sees: the odd texts come first, and some are overlooked.
    seems = [pool.given[row] == label or rng.random() < error for row in rows]
    cut, n_actions = cut_list(seems)
    return Step(
        {row: label for row, ok in list(zip(rows, seems, strict=True))[cut:] if ok}, n_actions
    )


def cut_list(seems: list[bool]) -> tuple[int, int]:
    """Find the cheapest way to drop odd texts from a list.

    seems (list[bool]): Whether each text seems to belong.
    RETURNS (tuple[int, int]): How many texts at the top a click drops (0: no such click), and the
        number of actions, including those to select the list and to label it.
    """
    best = (0, 2 + seems.count(False))
    for cut in range(2, len(seems)):
        n_odd = seems[:cut].count(False)
        # A person gives up texts that belong only for at least as many that do not.
        if 2 * n_odd >= cut and n_odd > 1:
            best = min(best, (cut, 3 + seems[cut:].count(False)), key=lambda found: found[1])
    return best


def report(name: str, targets: Sequence[float], curves: dict[str, list[Curve]]) -> None:
    """Print the rows of a set."""
    reached = {
        one: [curve.reaches(target) for curve, target in zip(found, targets, strict=True)]
        for one, found in curves.items()
    }
    for one, found in reached.items():
        cells = []
        for at in (0, 1):
            values = [pair[at] for pair in found]
            cells.append(
                f"{number(statistics.median(values))} ({number(min(values))} to "
                f"{number(max(values))})"
            )
            ratios = [
                pair[at] / other[at]
                for pair, other in zip(found, reached.get("random", found), strict=True)
                if np.isfinite(other[at])
            ]
            cells.append(f"{statistics.median(ratios):.2f}" if ratios else "")
        print(f"| {name} | {statistics.mean(targets):.3f} | {one} | {' | '.join(cells)} |")


def number(value: float) -> str:
    """RETURNS (str): A number of labels, or "more" if the accuracy was not reached."""
    return f"{value:.0f}" if np.isfinite(value) else "more"


def draw_curves(found: dict[str, dict[str, list[Curve]]], path: Path) -> None:
    """Draw the mean accuracy against labels (above) and actions (below)."""
    from matplotlib import pyplot

    colours = ["#858d9a", "#e69f00", "#d55e00", "#0072b2", "#009e73", "#cc79a7"]
    figure, axes = pyplot.subplots(
        2, len(found), figsize=(4.2 * len(found), 6.4), sharey="col", squeeze=False
    )
    for column, (name, curves) in enumerate(found.items()):
        for (one, runs), colour in zip(curves.items(), colours, strict=False):
            for part, axis in enumerate(axes[:, column]):
                # Each curve ends somewhat beyond the target, so the mean ends with the shortest.
                last = min(run[part][-1] for run in runs)
                first = max(run[part][0] for run in runs)
                grid = np.geomspace(first, max(last, first + 1), 40)
                mean = np.mean([np.interp(grid, run[part], run.accuracy) for run in runs], axis=0)
                axis.plot(grid, mean, color=colour, label=one, linewidth=1.8)
                axis.set_xscale("log")
                axis.set_xlabel("actions" if part else "labels")
                axis.grid(alpha=0.25)
        axes[0, column].set_title(name)
        axes[0, column].set_ylabel("share of the pile that is right" if column == 0 else "")
        axes[1, column].set_ylabel("share of the pile that is right" if column == 0 else "")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    typer.run(main)
