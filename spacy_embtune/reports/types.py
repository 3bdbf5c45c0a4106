"""The data of a report: documents with their vectors and labels, metrics, the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..metrics import Difference
from ..types import Targets

N_NEIGHBOURS = 10
TITLES = {
    "p_at_1": "p@1",
    "map_at_r": "MAP@R",
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


class Documents(NamedTuple):
    """n documents with their vectors and labels. A document without text has vectors of zeros.

    ids (list[str]): Names that tell the documents apart.
    texts (list[str]): Their texts.
    labels (list[str]): The L labels, the columns of `targets`.
    targets (Targets): What is known of their labels, as numpy arrays, shape (n, L).
    base (ndarray): Base vectors, float32, shape (n, d). If the encoder learned, these are the
        vectors of the encoder before training.
    tuned (ndarray): Tuned vectors, float32, shape (n, k).
    probabilities (ndarray): Probabilities of the component's own labels, float32, shape (n, M).
    predicted_labels (list[str]): The M labels of the component, the columns of `probabilities`.
    fields (Sequence[Mapping[str, Any]]): The other fields of each document, `Record.meta`. Empty
        if there are none.
    """

    ids: list[str]
    texts: list[str]
    labels: list[str]
    targets: Targets
    base: NDArray[Any]
    tuned: NDArray[Any]
    probabilities: NDArray[Any]
    predicted_labels: list[str]
    fields: Sequence[Mapping[str, Any]] = ()

    def fields_of(self, i: int) -> Mapping[str, Any]:
        """RETURNS (Mapping[str, Any]): The other fields of document i."""
        return self.fields[i] if self.fields else {}


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
        return None if self.base is None or self.tuned is None else self.tuned - self.base


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
