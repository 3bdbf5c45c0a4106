"""How well a student does what its teacher does, on texts that were held out."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoder import TextEncoder
from ..metrics import neighbour_overlap
from ..metrics.ranking import unit_vectors
from ..pipeline import EmbTune
from ._corpus import HELD_OUT, MOST_HELD_OUT, Corpus, head_outputs

N_NEIGHBOURS = 10


class Fidelity(NamedTuple):
    """How well a student agrees with its teacher on texts that were held out.

    n (int): Number of these texts.
    cosine (float): Mean cosine of the student's and the teacher's tuned vectors.
    overlap (float | None): Share of the ten nearest neighbours of a text that are the same among
        these texts. None if there are ten others at most.
    agreement (float | None): Share of texts for which both predict the same label, see Stanton et
        al. (2021), arXiv:2106.05945. If labels are not exclusive: the mean share of the predicted
        labels of both that are the same. None if the teacher predicts no labels.
    """

    n: int
    cosine: float
    overlap: float | None
    agreement: float | None

    @property
    def value(self) -> float:
        """RETURNS (float): The agreement; the cosine if the teacher predicts no labels."""
        return self.cosine if self.agreement is None else self.agreement


def measure_fidelity(
    teacher: EmbTune, corpus: Corpus, student: EmbTune, encoder: TextEncoder
) -> Fidelity:
    """Compare a student with its teacher.

    teacher, student (EmbTune): The components.
    corpus (Corpus): The texts of the teacher.
    encoder (TextEncoder): The encoder of the student.
    RETURNS (Fidelity): The comparison.
    """
    held_out = corpus.first(MOST_HELD_OUT, HELD_OUT)
    if not held_out.texts:
        return Fidelity(0, float("nan"), None, None)
    tuned, scores = head_outputs(teacher, held_out.base)
    rows, own_scores = head_outputs(student, encoder.encode(held_out.texts))
    cosines = np.einsum("ij,ij->i", unit_vectors(tuned), unit_vectors(rows))
    n = len(held_out.texts)
    overlap = neighbour_overlap(tuned, rows, k=N_NEIGHBOURS)
    agreement = None
    if teacher.predicts_labels and scores.shape[1]:
        if teacher.cfg["exclusive_classes"]:
            same = scores.argmax(axis=1) == own_scores.argmax(axis=1)
            agreement = float(same.mean())
        else:
            agreement = _jaccard(_decide(teacher, scores), _decide(teacher, own_scores))
    return Fidelity(n, float(cosines.mean()), overlap, agreement)


def _decide(pipe: EmbTune, scores: NDArray[Any]) -> NDArray[Any]:
    probabilities = 1 / (1 + np.exp(-scores / pipe.temperature))
    decided: NDArray[Any] = probabilities >= pipe.threshold
    return decided


def _jaccard(one: NDArray[Any], other: NDArray[Any]) -> float:
    both, either = (one & other).sum(axis=1), (one | other).sum(axis=1)
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())
