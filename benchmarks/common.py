"""What the benchmarks share: sets of labelled texts, draws, encoding once, training with spaCy."""

import contextlib
import io
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, registry
from thinc.api import Model

from spacy_embtune.data import pairs_to_examples
from spacy_embtune.encoder import EncoderSettings, TextEncoder
from spacy_embtune.labels import make_targets
from spacy_embtune.metrics import knn_scores, probe_scores, retrieval_scores

ROOT = Path(__file__).parent.parent
METRICS = ("probe", "knn", "p@1", "MAP@R", "p@1, queries", "MAP@R, queries")

Row = dict[str, Any]
# Base vectors by text: each text is encoded once in a whole benchmark.
TABLE: dict[str, NDArray[Any]] = {}
# What the readers of the current training give.
CORPORA: dict[str, list[Row]] = {}


def read_rows(path: Path) -> list[Row]:
    """RETURNS (list[dict]): The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def draw_per_class(rows: Sequence[Row], n: int, rng: random.Random) -> list[Row]:
    """RETURNS (list[dict]): n texts that carry each label; where a label is alone, as many that are
    known not to carry it. Texts drawn for one label may carry others."""
    rows = rng.sample(rows, len(rows))
    labels = sorted({label for row in rows for label in row["cats"]})
    chosen: dict[int, Row] = {}
    for label in labels:
        carriers = [i for i, row in enumerate(rows) if row["cats"].get(label, 0) >= 0.5]
        chosen.update((i, rows[i]) for i in carriers[:n])
    if len(labels) == 1 or not all(len(row["cats"]) == len(labels) for row in rows):
        for label in labels:
            absent = [i for i, row in enumerate(rows) if row["cats"].get(label, 1) < 0.5]
            chosen.update((i, rows[i]) for i in absent[:n])
    return list(chosen.values())


def encode(texts: Sequence[str]) -> None:
    """Put the base vectors of texts into the table."""
    new = [text for text in dict.fromkeys(texts) if text not in TABLE]
    if new:
        encoder = TextEncoder.load(EncoderSettings())
        TABLE.update(zip(new, encoder.encode(new, progress="Encoding"), strict=True))


@registry.architectures("benchmarks.Table.v1")
def make_table() -> Model[Any, Any]:
    """An encoder that looks vectors up in the table."""
    return Model(
        "table", _look_up, init=_init_table, dims={"nO": None}, attrs={"reads_texts": True}
    )


def _look_up(model: Model[Any, Any], X: Sequence[Doc | str], is_train: bool) -> tuple[Any, Any]:
    rows = np.stack([TABLE[x if isinstance(x, str) else x.text] for x in X])
    return rows, lambda dY: []


def _init_table(model: Model[Any, Any], X: Any = None, Y: Any = None) -> None:
    model.set_dim("nO", len(next(iter(TABLE.values()))))


@registry.readers("benchmarks.rows.v1")
def make_reader(name: str) -> Callable[[Language], Iterator[Example]]:
    """Reads rows of {"text", "cats"} or {"text1", "text2", "score"} from memory."""

    def read(nlp: Language) -> Iterator[Example]:
        rows = CORPORA[name]
        if "text1" in rows[0]:
            yield from pairs_to_examples(nlp, rows)
            return
        for row in rows:
            yield Example.from_dict(nlp.make_doc(row["text"]), {"cats": row["cats"]})

    return read


def train_head(
    config: Path, train_rows: Sequence[Row], dev_rows: Sequence[Row], changes: dict[str, Any]
) -> Language:
    """Train a shipped config's head with spaCy's own loop, the best model of the dev rows kept.

    config (Path): A config of configs/.
    changes (dict[str, Any]): What to set otherwise, by dotted name.
    RETURNS (Language): The pipeline.
    """
    CORPORA.update(train=list(train_rows), dev=list(dev_rows))
    changes = {**changes, "paths.train": "-", "paths.dev": "-"}
    filled = load_config(config, overrides={k: v for k, v in changes.items() if v is not None})
    filled["components"]["embtune"]["model"]["encoder"] = {"@architectures": "benchmarks.Table.v1"}
    for name in ("train", "dev"):
        filled["corpora"][name] = {"@readers": "benchmarks.rows.v1", "name": name}
    filled["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}
    nlp = init_nlp(filled)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        train(nlp, Path(folder), stdout=io.StringIO(), stderr=io.StringIO())
        return spacy.load(Path(folder) / "model-best")


def embed(nlp: Language | None, rows: Sequence[Row]) -> NDArray[Any]:
    """RETURNS (ndarray): Tuned vectors of the rows, or base vectors without a pipeline."""
    texts = [row["text"] for row in rows]
    if nlp is None:
        return np.stack([TABLE[text] for text in texts])
    return np.stack([doc._.embtune for doc in nlp.pipe(texts, batch_size=512)])


def compare(
    nlp: Language | None, train_rows: Sequence[Row], test_rows: Sequence[Row]
) -> list[float]:
    """RETURNS (list[float]): The metrics on the test rows, in the order of METRICS; those of the
    base vectors without a pipeline."""
    return score_vectors(embed(nlp, train_rows), embed(nlp, test_rows), train_rows, test_rows)


def score_vectors(
    learned: NDArray[Any],
    held_out: NDArray[Any],
    train_rows: Sequence[Row],
    test_rows: Sequence[Row],
) -> list[float]:
    """RETURNS (list[float]): The metrics of vectors, in the order of METRICS: the probe and the
    nearest neighbour learn from the training rows, the others compare the test rows."""
    labels = sorted({label for row in train_rows for label in row["cats"]})
    cats = [row["cats"] for row in (*train_rows, *test_rows)]
    exclusive = len(labels) > 1 and all(sum(known.values()) == 1 for known in cats)
    known, new = (
        make_targets([row["cats"] for row in rows], labels, exclusive=exclusive)
        for rows in (train_rows, test_rows)
    )
    retrieval = retrieval_scores(held_out, new.values, new.known)
    probe = probe_scores(learned, known, held_out, new).accuracy
    knn = knn_scores(learned, known, held_out, new).accuracy
    # The mean over queries as well, which the literature mostly gives: there, common labels count
    # more.
    queries = retrieval.per_label.n_queries
    asked = queries > 0
    by_query = [
        float(np.average(of_label[asked], weights=queries[asked]))
        for of_label in (retrieval.per_label.p_at_1, retrieval.per_label.map_at_r)
    ]
    return [x or 0.0 for x in (probe, knn, retrieval.p_at_1, retrieval.map_at_r, *by_query)]


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """RETURNS (str): Mean, and lowest to highest."""
    low, high = format(min(values), form), format(max(values), form)
    return f"{format(statistics.mean(values), form)} ({low} to {high})"


def deviation(values: Sequence[float]) -> str:
    """RETURNS (str): Mean and standard deviation over the draws, as .xxx±.xxx."""
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f}±{sd:.3f}".replace("0.", ".")


def setfit_arguments(seed: int) -> Any:
    """RETURNS (TrainingArguments): The setting of SetFit's paper."""
    import builtins

    import pyarrow

    # datasets makes a digest of a table by pickling, and pickle looks for this class here.
    builtins.MonthDayNano = pyarrow.MonthDayNano  # type: ignore[attr-defined]
    from setfit import TrainingArguments

    return TrainingArguments(
        batch_size=16,
        num_iterations=20,
        num_epochs=1,
        seed=seed,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
