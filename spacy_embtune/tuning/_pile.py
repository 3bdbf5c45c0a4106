"""The pile: texts without labels, and the labels that a pipeline gives to some of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language

from .._files import atomic_path
from .._texts import digest_number, text_key, word_key
from ..data import Record, write_pseudo_labels
from ..metrics.ranking import unit_vectors
from ..pipeline import EmbTune, find_component, pseudo_label

# A smaller pile teaches nothing.
LEAST_TEXTS = 50
# Of a larger pile, a sample gets labels.
MOST_TEXTS = 5000
# A classifier that tells the pile from the labelled documents with this AUC says that they are of
# different kinds: another language, another genre.
OTHER_KIND = 0.95
_MOST_COMPARED = 300


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

    def why_unusable(self, records: Sequence[Record], nlp: Language) -> str | None:
        """Find out why the pile cannot teach.

        records (Sequence[Record]): The labelled documents.
        nlp (Language): A pipeline, for base vectors.
        RETURNS (str | None): The reason. None if it may teach.
        """
        if not self.texts:
            return "there are no unlabelled texts"
        others = self.texts
        if len(others) < LEAST_TEXTS:
            return f"the pile has {len(others)} other texts, and {LEAST_TEXTS} are needed"
        rng = np.random.RandomState(0)
        if len(others) > _MOST_COMPARED:
            others = [others[i] for i in rng.permutation(len(others))[:_MOST_COMPARED]]
        pipe = find_component(nlp, None)
        labelled = _encode(pipe, [record.text for record in records])
        auc = separability(labelled, _encode(pipe, others))
        if auc > OTHER_KIND:
            return (
                f"the pile is of another kind than the labelled texts: a classifier tells them "
                f"apart with AUC {auc:.2f}"
            )
        return None

    def label(
        self, nlp: Language, records: Sequence[Record], name: str, *, n_texts: int | None = None
    ) -> int:
        """Write the labels that a pipeline gives to the surest texts.

        nlp (Language): The pipeline.
        records (Sequence[Record]): The labelled documents that it learned from.
        name (str): The name of the file.
        n_texts (int | None): How many texts of the pile, a sample, may get a label. None: all.
        RETURNS (int): The number of texts with a label.
        """
        texts = self.texts
        if n_texts is not None and n_texts < len(texts):
            order = np.random.RandomState(0).permutation(len(texts))[:n_texts]
            texts = [texts[i] for i in np.sort(order)]
        found = pseudo_label(nlp, records, texts)
        labels = found.by_digest()
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


def _encode(pipe: EmbTune, texts: Sequence[str]) -> NDArray[Any]:
    untuned = pipe.encode_untuned(texts)
    if untuned is not None:
        return untuned
    encoder: Any = pipe.model.get_ref("encoder")
    return cast(NDArray[Any], encoder.ops.to_numpy(encoder.predict(texts)))


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
