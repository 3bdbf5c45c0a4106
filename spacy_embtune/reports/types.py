"""The data of a report: documents with their vectors and labels, metrics, the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import Location
from ..labels import AnyTargets
from ..metrics import CalibrationScores, Difference, Rows
from ..training.seen_texts import SeenTexts

N_NEIGHBOURS = 10
TITLES = {
    "p_at_1": "p@1",
    "map_at_r": "MAP@R",
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "mrr": "MRR",
    "spearman": "Spearman's correlation",
    "pearson": "Pearson's correlation",
    "knn_accuracy": "nearest neighbour accuracy",
    "knn_macro_f1": "nearest neighbour macro-F1",
    "probe_accuracy": "linear probe accuracy",
    "probe_macro_f1": "linear probe macro-F1",
    "probe_auc": "linear probe AUC",
    "silhouette": "silhouette",
    "cluster_agreement": "agreement with k-means, AMI",
    "spread": "mean cosine distance",
    "within_between": "within / between labels",
    "effective_rank": "effective rank",
    "neighbour_overlap": f"{N_NEIGHBOURS} nearest neighbours kept",
}


def subtract(a: float | None, b: float | None) -> float | None:
    """RETURNS (float | None): a - b. None if one of them is not defined."""
    return None if a is None or b is None else a - b


class Documents(NamedTuple):
    """n documents with their vectors and labels. A document without text has vectors of zeros.

    ids (list[str]): Names that tell the documents apart.
    texts (list[str]): Their texts.
    labels (list[str]): The L labels, the columns of `targets`.
    targets (Targets | SparseTargets): What is known of their labels, as numpy arrays, shape (n, L);
        only the known values if these arrays would have more than `labels.MOST_DENSE` entries.
    base (ndarray): Base vectors, float32, shape (n, d). If the encoder learned, these are the
        vectors of the encoder before training.
    tuned (ndarray): Tuned vectors, float32, shape (n, k).
    probabilities (Rows): Probabilities of the component's own labels, float32, shape (n, M): an
        array, or an object that computes rows when they are read, if the array would have more than
        `labels.MOST_DENSE` entries.
    predicted_labels (list[str]): The M labels that the component predicts, the columns of
        `probabilities`. Empty if no loss trained its output layer.
    fields (Sequence[Mapping[str, Any]]): The other fields of each document, `Record.meta`. Empty
        if there are none.
    threshold (float): The probability from which the component predicts a label, if its labels are
        not exclusive.
    temperature (float): The temperature that the probabilities were computed with.
    locations (Sequence[Location]): If the rows are sentences or spans, the place of each in its
        document. Empty if they are documents.
    """

    ids: list[str]
    texts: list[str]
    labels: list[str]
    targets: AnyTargets
    base: NDArray[Any]
    tuned: NDArray[Any]
    probabilities: Rows
    predicted_labels: list[str]
    fields: Sequence[Mapping[str, Any]] = ()
    threshold: float = 0.5
    temperature: float = 1.0
    locations: Sequence[Location] = ()

    def fields_of(self, i: int) -> Mapping[str, Any]:
        """RETURNS (Mapping[str, Any]): The other fields of document i."""
        return self.fields[i] if self.fields else {}

    def sources(self) -> list[str]:
        """RETURNS (list[str]): The text of the document of each row. It is the text of the row
        itself if rows are documents."""
        return [place.text for place in self.locations] or self.texts

    @property
    def row_name(self) -> str:
        """RETURNS (str): The word for a row: "document", or "unit" for a sentence or span."""
        return "unit" if self.locations else "document"

    def source_numbers(self) -> NDArray[np.intp] | None:
        """RETURNS (ndarray | None): If rows are sentences or spans, the number of the document of
        each, from 0, shape (n,). None if rows are documents."""
        if not self.locations:
            return None
        numbers: dict[tuple[str, str], int] = {}
        return np.asarray(
            [numbers.setdefault((p.document, p.text), len(numbers)) for p in self.locations]
        )

    def count_sources(self, is_chosen: NDArray[np.bool_]) -> int:
        """Count the documents of some rows.

        is_chosen (ndarray): Whether each row counts, bool, shape (n,).
        RETURNS (int): The number of documents that these rows are, or are parts of.
        """
        numbers = self.source_numbers()
        return int(is_chosen.sum() if numbers is None else np.unique(numbers[is_chosen]).size)

    def describe_rows(self, is_chosen: NDArray[np.bool_] | None = None) -> str:
        """Write how many rows there are.

        is_chosen (ndarray | None): Whether each row counts, bool, shape (n,). None: all count.
        RETURNS (str): "7 documents", or "7 units of 2 documents" if rows are sentences or spans.
        """
        if is_chosen is None:
            is_chosen = np.ones(len(self.texts), dtype=bool)
        n, n_docs = int(is_chosen.sum()), self.count_sources(is_chosen)
        docs = f"{n_docs:,} document{'s' * (n_docs != 1)}"
        return f"{n:,} unit{'s' * (n != 1)} of {docs}" if self.locations else docs

    def is_seen(self, texts: SeenTexts) -> NDArray[np.bool_]:
        """Find out which rows are not held out.

        texts (SeenTexts): The texts that a component was trained on.
        RETURNS (ndarray): Whether the text of each row, or the document that it is a part of, is
            among them, bool, shape (n,).
        """
        found = texts.recognize(self.texts)
        return found | texts.recognize(self.sources()) if self.locations else found


class Row(NamedTuple):
    """One metric of both kinds of vectors.

    key (str): Its name in JSON.
    base, tuned (float | None): Its values. None where it is not defined.
    interval (Difference | None): The difference with its 95 % interval, for primary metrics.
    beyond_chance (str | None): "better" or "worse" if the difference is beyond chance, else None.
    """

    key: str
    base: float | None
    tuned: float | None
    interval: Difference | None = None
    beyond_chance: str | None = None

    @property
    def title(self) -> str:
        """RETURNS (str): The name of the metric in tables."""
        return TITLES[self.key]

    @property
    def difference(self) -> float | None:
        """RETURNS (float | None): Tuned minus base."""
        return subtract(self.tuned, self.base)


class LabelScores(NamedTuple):
    """The scores of one label by one kind of vectors. None where a score is not defined.

    p_at_1 (float | None): The share of its documents whose nearest neighbour carries it.
    map_at_r (float | None): The mean average precision at R of its documents.
    precision, recall, f1 (float | None): How well a classifier predicts the label, see
        `Comparison.classifier`.
    """

    p_at_1: float | None
    map_at_r: float | None
    precision: float | None
    recall: float | None
    f1: float | None


class LabelRow(NamedTuple):
    """The scores of one label.

    label (str): The label.
    n (int): The number of documents with a vector that carry it.
    base, tuned (LabelScores): Its scores by base and by tuned vectors.
    precision, recall, f1 (float | None): How well the output layer of the component predicts it, at
        the component's threshold. None if the component does not predict it.
    """

    label: str
    n: int
    base: LabelScores
    tuned: LabelScores
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


class Calibration(NamedTuple):
    """How well the probabilities of the component agree with the labels of the documents.

    before (CalibrationScores): The scores of the probabilities with the temperature 1.
    after (CalibrationScores): The scores of the probabilities that the component gives.
    temperature (float): The temperature of the component; 1.0 if it is not calibrated.
    """

    before: CalibrationScores
    after: CalibrationScores
    temperature: float


class Samples(NamedTuple):
    """How many labels are left in samples. None: all labels are used.

    probe (tuple[int, int] | None): Linear probes of so many labels of so many.
    clusters (tuple[int, int] | None): k-means of so many classes of so many.
    """

    probe: tuple[int, int] | None = None
    clusters: tuple[int, int] | None = None


class Seen(NamedTuple):
    """How many documents of a report the model was trained on. Texts are compared without case and
    white space.

    n (int): Documents that the component remembers, or that are in a TRAIN that it was trained on.
    n_in_train (int | None): Documents that are in TRAIN. None without TRAIN.
    n_remembered (int | None): Documents that the component remembers. None if it remembers nothing.
    is_complete (bool): Whether the component remembers all of its training texts.
    """

    n: int
    n_in_train: int | None
    n_remembered: int | None
    is_complete: bool


class Verdict(NamedTuple):
    """The result of a comparison in words.

    kind (str): "helps", "harms", "mixed", "overfitted", "no evidence of a gain", "not held out" or
        "nothing to compare". `verdict.RULE` defines them.
    text (str): The reason, in one or two sentences.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind[0].upper()}{self.kind[1:]}: {self.text}"


@dataclass(frozen=True)
class Comparison:
    """The numbers and sentences of a report, without their rendering.

    component (str): The name of the component.
    verdict (Verdict): The result in words.
    primary, secondary, on_train, space (list[Row]): The metrics, see `Measures`.
    warnings (list[str]): Reasons to doubt the numbers, or the vectors.
    notes (list[str]): Other remarks, such as labels that are left out.
    seen (Seen): How many documents are not held out.
    n_documents, n_labelled, n_train (int): The number of documents, of documents with a known
        label, and of documents in TRAIN.
    labels (list[str]): The labels of the component, then other labels of the documents.
    n_occurring (int): The number of labels of which something is known among the documents. Of
        exclusive labels, the number that documents carry.
    exclusive (bool): Whether a document carries exactly one.
    unknown_labels (list[str]): Labels that the component does not know.
    per_label (list[LabelRow]): The scores of each label that occurs, in the order of `labels`.
    classifier (str): What predicts labels for `per_label`. "probe": a linear probe that learns from
        TRAIN. "neighbour": the nearest other document, without TRAIN.
    calibration (Calibration | None): How well the component's probabilities agree with the labels.
        None if the component predicts none of the known labels.
    samples (Samples): The metrics that are computed from a sample of the labels.
    n_sources (int | None): If sentences or spans are compared, the number of documents that they
        are parts of. They count as documents in the other numbers. None: documents are compared.
    """

    component: str
    verdict: Verdict
    primary: list[Row]
    secondary: list[Row]
    on_train: list[Row]
    space: list[Row]
    warnings: list[str]
    notes: list[str]
    seen: Seen
    n_documents: int
    n_labelled: int
    n_train: int
    labels: list[str]
    n_occurring: int
    exclusive: bool
    unknown_labels: list[str]
    per_label: list[LabelRow]
    classifier: Literal["probe", "neighbour"]
    calibration: Calibration | None
    samples: Samples
    n_sources: int | None = None
