"""The pile: texts without labels, and the labels that teachers give to some of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language

from .._files import atomic_path
from .._texts import digest_number, text_key, word_key
from ..data import PseudoLabel, Record, text_digest, write_pseudo_labels
from ..labels import CARRIES, make_targets
from ..metrics.ranking import unit_vectors
from ..pipeline import pseudo_label
from ..semi_supervised import SUREST_SHARE, VectorSpace, fit_classifier, surest

# A smaller pile teaches nothing.
LEAST_TEXTS = 50
# Of a larger pile, a sample gets labels.
MOST_TEXTS = 5000
# A classifier that tells the pile from the labelled documents with this AUC says that they are of
# different kinds: another language, another genre.
OTHER_KIND = 0.95
MOST_COMPARED = 300
# If the labels of neighbours are at least so assortative (`NeighbourGraph.assortativity`), they
# teach better than a pipeline that learned from the labelled texts alone (topics: .62 to .77), if
# less, worse (types of questions, sentiment: .34 to .50). See "Who teaches" in
# benchmarks/README.md.
ASSORTATIVE = 0.55
# Teachers that were less accurate helped nowhere, and cost .03 of p@1 with 77 labels.
LEAST_ACCURACY = 0.35


class NeighbourLabels(NamedTuple):
    """What the classifier of neighbours (`semi_supervised.fit_classifier`) says of texts.

    surest (dict[str, PseudoLabel]): The most probable labels of the surest texts, by digest.
    assortativity (float): How much more often than by chance neighbours have the same label.
    accuracy (float): The accuracy on labelled texts, each without its own label.
    """

    surest: dict[str, PseudoLabel]
    assortativity: float
    accuracy: float

    @property
    def teaches(self) -> bool:
        """RETURNS (bool): Whether these labels teach better than those of a pipeline."""
        return self.assortativity >= ASSORTATIVE and self.accuracy >= LEAST_ACCURACY


class Pile:
    """Texts without labels.

    texts (Sequence[str]): The texts. Empty ones and copies are left out, and those with the words
        of a labelled document: a document that is held out must not be learned from here.
    records (Sequence[Record]): The labelled documents.
    folder (Path): Where files for the readers are written.
    """

    def __init__(self, texts: Sequence[str], records: Sequence[Record], folder: Path) -> None:
        known = {word_key(record.text) for record in records}
        distinct: dict[str, str] = {}
        for text in texts:
            distinct.setdefault(text_key(text), text)
        distinct.pop("", None)
        self.texts = [text for text in distinct.values() if word_key(text) not in known]
        if len(self.texts) > MOST_TEXTS:
            # Those of the smallest digests, as the component chooses its sample for the mean.
            digests = [digest_number(text_key(text)) for text in self.texts]
            rows = np.argsort(np.asarray(digests, dtype=np.uint64), kind="stable")[:MOST_TEXTS]
            self.texts = [self.texts[i] for i in np.sort(rows)]
        self.folder = folder
        self.path = folder / "unlabelled.jsonl"
        if self.texts:
            with atomic_path(self.path) as unfinished, unfinished.open("w") as file:
                file.writelines(f"{json.dumps({'text': text})}\n" for text in self.texts)

    def sample(self, n: int) -> NDArray[np.intp]:
        """RETURNS (ndarray): Rows of n texts at most, ascending. A larger sample has those of a
        smaller one."""
        return np.sort(np.random.RandomState(0).permutation(len(self.texts))[:n])

    def why_unusable(
        self, labelled: NDArray[Any], encode: Callable[[NDArray[np.intp]], NDArray[Any]]
    ) -> str | None:
        """Find out why the pile cannot teach.

        labelled (ndarray): Base vectors of the labelled documents, shape (n, d).
        encode (Callable): Gives the base vectors of rows of the pile.
        RETURNS (str | None): The reason. None if it may teach.
        """
        if not self.texts:
            return "there are no unlabelled texts"
        if len(self.texts) < LEAST_TEXTS:
            return f"the pile has {len(self.texts)} other texts, and {LEAST_TEXTS} are needed"
        auc = separability(labelled, encode(self.sample(MOST_COMPARED)))
        if auc > OTHER_KIND:
            return (
                f"the pile is of another kind than the labelled texts: a classifier tells them "
                f"apart with AUC {auc:.2f}"
            )
        return None

    def ask_neighbours(
        self,
        rows: NDArray[np.intp],
        vectors: NDArray[Any],
        records: Sequence[Record],
        labelled: NDArray[Any],
        labels: Sequence[str],
        label_vectors: Mapping[str, NDArray[Any]],
    ) -> NeighbourLabels:
        """Let labelled documents teach their neighbours in the pile. Labels must be exclusive.

        rows (ndarray of int): The k texts of the pile that are asked, ascending.
        vectors (ndarray): Their base vectors, shape (k, d).
        records (Sequence[Record]): The n labelled documents.
        labelled (ndarray): Their base vectors, shape (n, d).
        labels (Sequence[str]): The L labels.
        label_vectors (Mapping): The vectors of the names of labels. They teach less as labels grow.
        RETURNS (NeighbourLabels): What the neighbours say.
        """
        n = len(records)
        targets = make_targets([record.cats for record in records], labels, exclusive=True)
        carried = np.asarray(targets.values) >= CARRIES
        values = np.where(np.asarray(targets.known) > 0, np.where(carried, 1.0, -1.0), np.nan)
        space = VectorSpace.of(np.concatenate([labelled, vectors]))
        found = fit_classifier(
            space, np.arange(n), values, exclusive=True, labels=labels, names=label_vectors
        )
        best, certainty = found.probabilities.argmax(axis=1), found.probabilities[n:].max(axis=1)
        has_vector = np.flatnonzero(vectors.any(axis=1))
        chosen = has_vector[surest(best[n:][has_vector], certainty[has_vector], SUREST_SHARE)]
        of_known = carried.any(axis=1)
        right = carried[np.arange(n), found.out_of_fold.argmax(axis=1)]
        return NeighbourLabels(
            {
                text_digest(self.texts[rows[i]]): PseudoLabel({labels[best[n + i]]: 1.0})
                for i in chosen
            },
            space.graph.assortativity(best),
            float(right[of_known].mean()) if of_known.any() else 0.0,
        )

    def label(
        self,
        nlp: Language,
        records: Sequence[Record],
        name: str,
        *,
        n_texts: int,
    ) -> int:
        """Write the labels that a pipeline gives to the surest texts.

        nlp (Language): The pipeline.
        records (Sequence[Record]): The labelled documents that it learned from.
        name (str): The name of the file.
        n_texts (int): How many texts of the pile, a sample, may get a label.
        RETURNS (int): The number of texts with a label.
        """
        texts = [self.texts[i] for i in self.sample(n_texts)]
        found = pseudo_label(nlp, records, texts)
        return self.write(found.by_digest(), name)

    def write(self, labels: Mapping[str, PseudoLabel], name: str) -> int:
        """RETURNS (int): The number of labels, which are written to a file of this name."""
        write_pseudo_labels(self.folder / name, labels)
        return len(labels)

    def settings(self, component: str, name: str) -> dict[str, Any]:
        """List the settings of a config that learns from pseudo-labels.

        component (str): The name of the component.
        name (str): The name of the file.
        RETURNS (dict[str, Any]): Dotted name -> value.
        """
        return {
            "paths.unlabelled": str(self.path),
            "paths.pseudo_labels": str(self.folder / name),
            "corpora.unlabelled": {
                "@readers": "spacy-embtune.unlabelled.v1",
                "path": "${paths.unlabelled}",
                "pseudo_labels": "${paths.pseudo_labels}",
            },
            f"initialize.components.{component}.unlabelled": "${corpora.unlabelled}",
        }


def separability(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Measure how well a linear classifier tells two sets of vectors apart, by cross-validation.

    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.normal(size=(2, 100, 4))
    >>> separability(one, two) < 0.7 < separability(one, two + 3)
    True

    first, second (ndarray): The vectors, shapes (n, d) and (m, d).
    RETURNS (float): The area under the ROC curve on held-out vectors. 0.5: not at all.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    n_folds = min(5, len(first), len(second))
    if n_folds < 2:
        return 0.5
    X = unit_vectors(np.concatenate([first, second]))
    y = np.repeat([0, 1], [len(first), len(second)])
    scores = cross_val_predict(
        LogisticRegression(class_weight="balanced", max_iter=500),
        X,
        y,
        cv=StratifiedKFold(n_folds, shuffle=True, random_state=0),
        method="decision_function",
    )
    return float(roc_auc_score(y, scores))
