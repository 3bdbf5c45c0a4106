"""Does a linear probe over a sample of exclusive classes rank base and tuned like one over all?

python benchmarks/probe_sample.py

Vectors are made up: a random centre for each class, and noise. Tuned vectors have larger centres
by `gain`, and a part of the noise anew. The numbers are macro-F1 of tuned minus base, one for each
draw.
"""

import numpy as np
from numpy.typing import NDArray

from spacy_embtune.labels import make_targets
from spacy_embtune.metrics import probe_scores

N_CLASSES, N_SAMPLED, N_TRAIN, N_TEST, WIDTH = 120, 40, 1200, 600, 48
N_DRAWS = 5


def main() -> None:
    """Print the differences for three gains."""
    print("| gain | all classes | sample |")
    print("|---|---|---|")
    for gain in (0.0, 0.1, 0.3):
        found = np.asarray([draw(seed, gain) for seed in range(N_DRAWS)])
        cells = [", ".join(f"{value:+.3f}" for value in column) for column in found.T]
        print(f"| {gain} | {' | '.join(cells)} |", flush=True)


def draw(seed: int, gain: float) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): The difference over all classes, and over the sample."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(N_CLASSES, WIDTH))
    classes = [np.arange(n) % N_CLASSES for n in (N_TRAIN, N_TEST)]
    noise = [rng.normal(size=(n, WIDTH)) for n in (N_TRAIN, N_TEST)]
    sampled = np.sort(rng.choice(N_CLASSES, N_SAMPLED, replace=False))
    scores = []
    for size in (0.8, 0.8 + gain):
        vectors = [
            size * centres[of] + 2 * (0.7 * common + 0.3 * rng.normal(size=common.shape))
            for of, common in zip(classes, noise, strict=True)
        ]
        scores.append([score(vectors, classes, some) for some in (np.arange(N_CLASSES), sampled)])
    return scores[1][0] - scores[0][0], scores[1][1] - scores[0][1]


def score(
    vectors: list[NDArray[np.float64]], classes: list[NDArray[np.intp]], chosen: NDArray[np.intp]
) -> float:
    """RETURNS (float): Macro-F1 of a probe for some classes; documents of others are left out."""
    names = [str(j) for j in chosen]
    train, test = (
        make_targets([{str(j): 1.0} if j in chosen else {} for j in of], names, exclusive=True)
        for of in classes
    )
    return probe_scores(vectors[0], train, vectors[1], test).macro_f1 or 0.0


if __name__ == "__main__":
    main()
