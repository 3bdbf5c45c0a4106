"""How many steps of training suit a number of texts."""

import math

# The number of steps with few texts, and the factor of the square root of the number of texts.
# Measured with configs/encoder.cfg on trec: with 96 texts more than 20 steps are no better, with
# 2,000 texts 100 steps give MAP@R .887 where 20 give .798 (benchmarks/README.md).
LEAST_STEPS = 20
STEPS_PER_ROOT = 2.0


def suitable_steps(n_texts: int) -> int:
    """Choose the number of steps of 64 texts in which an encoder learns.

    >>> [suitable_steps(n) for n in (10, 96, 200, 2000, 20000)]
    [20, 20, 28, 89, 283]

    n_texts (int): The number of labelled texts.
    RETURNS (int): The number of steps.
    """
    return max(LEAST_STEPS, round(STEPS_PER_ROOT * math.sqrt(n_texts)))
