"""How often the 95 % intervals of a report on pairs hold the true difference, by simulation.

python benchmarks/pair_intervals.py

Left rows are random; right rows are left rows with noise, less of it for tuned vectors. The true
difference is the mean over many samples of the same size.

pairs     each left row has one right row
several   each left row has three right rows
hubs      some right rows are pulled towards one point, so that they are near to many left rows
"""

from typing import Annotated, Any

import numpy as np
import typer

from spacy_embtune.metrics import answer_ratios, compare_ratios

Rows = Any


def main(
    n: Annotated[int, typer.Option(help="Right rows in a sample")] = 150,
    samples: Annotated[int, typer.Option(help="Samples whose intervals are counted")] = 400,
    many: Annotated[int, typer.Option(help="Samples for the true difference")] = 1500,
) -> None:
    """Print the coverage of the intervals of recall@1, 5 and 10 and MRR."""
    print("| | recall@1 | recall@5 | recall@10 | MRR |\n|---|---|---|---|---|")
    for name, draw in (("pairs", draw_pairs), ("several", draw_several), ("hubs", draw_hubs)):
        rng = np.random.default_rng(0)
        differences = []
        for _ in range(many):
            before, after = split(*draw(rng, n))
            differences.append([b.value - a.value for a, b in zip(before, after, strict=True)])
        true = np.mean(differences, axis=0)
        held = np.zeros(4)
        for seed in range(samples):
            found = compare_ratios(*split(*draw(rng, n)), n_resamples=400, seed=seed).each
            held += [
                interval is not None and interval.low <= value <= interval.high
                for interval, value in zip(found, true, strict=True)
            ]
        print(f"| {name} | {' | '.join(f'{share:.3f}' for share in held / samples)} |", flush=True)


def draw_pairs(rng: Any, n: int) -> tuple[Rows, Rows, Rows, Any]:
    """RETURNS (tuple): Left rows, right rows as base and as tuned vectors, and the pairs."""
    left = rng.normal(size=(n, 8))
    return left, left + 1.6 * rng.normal(size=(n, 8)), left + 1.2 * rng.normal(size=(n, 8)), None


def draw_several(rng: Any, n: int) -> tuple[Rows, Rows, Rows, Any]:
    """RETURNS (tuple): As `draw_pairs`; each left row has three right rows."""
    left = rng.normal(size=(n // 3, 8))
    right = np.repeat(left, 3, axis=0)
    pairs = [[i // 3, i] for i in range(len(right))]
    noise = rng.normal(size=(2, *right.shape))
    return left, right + 1.6 * noise[0], right + 1.2 * noise[1], pairs


def draw_hubs(rng: Any, n: int) -> tuple[Rows, Rows, Rows, Any]:
    """RETURNS (tuple): As `draw_pairs`; some right rows are near to many left rows."""
    hidden = rng.normal(size=(n, 30))
    rights = [
        hidden + noise * rng.normal(size=(n, 30)) + 1.5 * rng.exponential(size=(n, 1))
        for noise in (2.2, 1.7)
    ]
    return hidden + 1.0, rights[0], rights[1], None


def split(left: Rows, base: Rows, tuned: Rows, pairs: Any) -> tuple[list[Any], list[Any]]:
    """RETURNS (tuple): The parts of the metrics of base and of tuned vectors."""
    found = [answer_ratios(left, right, pairs) for right in (base, tuned)]
    before, after = ([*ratios.recall.values(), ratios.mrr] for ratios in found)
    return before, after


if __name__ == "__main__":
    typer.run(main)
