"""Heads of rungs that leave the encoder as it is, trained on vectors that are computed once.

A fold takes a fraction of a second. The rung that is kept is then trained by spaCy.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Record
from ..finetune import FeedForwardTuner
from ..labels import dense_if_small, make_sparse_targets
from ..reports import Documents, LabelSpace
from ..training.row_batches import RowBatch
from ._rungs import HEAD, LOSS, Rung


class RungTuner(FeedForwardTuner):
    """A tuner with the head and the loss of a rung."""

    def set_rung(self, rung: Rung) -> "RungTuner":
        """Take the settings of a rung.

        rung (Rung): The rung.
        RETURNS (RungTuner): The tuner.
        """
        self._rung = rung
        return self

    def head_config(self) -> dict[str, Any]:
        return dict(self._rung.settings[HEAD])

    def _train(self, batches: Iterable[RowBatch], *, n_steps: int | None) -> bool:
        # An estimator would keep what it has learned after Ctrl-C.
        if not super()._train(batches, n_steps=n_steps):
            raise KeyboardInterrupt
        return True

    def loss_config(self) -> dict[str, Any]:
        return dict(self._rung.settings[LOSS])


def fit_head(
    rung: Rung,
    vectors: NDArray[Any],
    records: Sequence[Record],
    labels: LabelSpace,
    *,
    label_vectors: Mapping[str, NDArray[Any]],
    seed: int,
) -> RungTuner:
    """Train the head of a rung.

    rung (Rung): The rung.
    vectors (ndarray): The base vectors of n documents, float32, shape (n, d).
    records (Sequence[Record]): The documents.
    labels (LabelSpace): Their labels.
    label_vectors (Mapping): See `FeedForwardTuner`.
    seed (int): The seed of weights and batches.
    RETURNS (RungTuner): The trained tuner.
    """
    size = 64
    n_batches = -(-len(records) // size)
    tuner = RungTuner(
        n_epochs=max(1, round(rung.n_steps / n_batches)),
        learning_rate=0.001,
        batch_size=size,
        weight_decay=rung.settings["training.optimizer.L2"],
        exclusive_classes=labels.exclusive,
        calibrate=False,
        label_vectors=dict(label_vectors) or None,
        random_state=seed,
    ).set_rung(rung)
    with warnings.catch_warnings():
        # That names of labels mean nothing is said when the final pipeline is trained.
        warnings.simplefilter("ignore")
        return tuner.fit(vectors, [record.cats for record in records])


def to_documents(
    tuner: RungTuner | None,
    vectors: NDArray[Any],
    records: Sequence[Record],
    labels: LabelSpace,
    *,
    with_probabilities: bool = True,
) -> Documents:
    """Compute the tuned vectors and probabilities of documents.

    tuner (RungTuner | None): The tuner. None: base vectors, without probabilities.
    vectors (ndarray): The base vectors of n documents, float32, shape (n, d).
    records (Sequence[Record]): The documents.
    labels (LabelSpace): Their labels.
    with_probabilities (bool): Whether to compute probabilities; otherwise they are 0.
    RETURNS (Documents): The documents. The columns of `probabilities` are those of the labels.
    """
    tuned = vectors if tuner is None else tuner.transform(vectors)
    shape = (len(records), len(labels.labels)) if with_probabilities else (0, 0)
    probabilities = np.zeros(shape, dtype="float32")
    if tuner is not None and with_probabilities:
        place = {label: i for i, label in enumerate(labels.labels)}
        columns = [place[str(label)] for label in tuner.classes_]
        probabilities[:, columns] = tuner.predict_proba(vectors)
    targets = make_sparse_targets(
        [record.cats for record in records], labels.labels, exclusive=labels.exclusive
    )
    return Documents(
        ids=[record.id for record in records],
        texts=[record.text for record in records],
        labels=labels.labels,
        targets=dense_if_small(targets),
        base=vectors,
        tuned=tuned,
        probabilities=probabilities,
        predicted_labels=labels.labels,
    )
