"""Adam for the training of a head outside of spaCy, computed with numpy."""

from typing import Any

import numpy as np
from thinc.api import Optimizer
from thinc.optimizers import ADAM_DEFAULTS

# The number of weights that are updated at a time, so that an update of many weights needs little
# memory and finds it in the cache of a processor.
BLOCK = 2**17


class BlockAdam(Optimizer):
    """Adam with clipped gradients and decoupled weight decay, as thinc's `Adam` without averages,
    and with the same state. It takes about half of the time, because thinc computes Adam one
    weight at a time and needs several passes over all weights for the rest.

    >>> weights, gradient = np.ones(3, dtype="float32"), np.ones(3, dtype="float32")
    >>> weights, gradient = BlockAdam(0.1)((0, "W"), weights, gradient)
    >>> np.allclose(weights, 0.9), gradient.tolist()
    (True, [0.0, 0.0, 0.0])

    learn_rate (float): The learning rate.
    weight_decay (float): The share of the weights that a step with the learning rate 1 subtracts.
    """

    def __init__(self, learn_rate: float = 0.001, *, weight_decay: float = 0.0) -> None:
        super().__init__(
            learn_rate,
            L2=weight_decay,
            beta1=ADAM_DEFAULTS["beta1"],
            beta2=ADAM_DEFAULTS["beta2"],
            eps=ADAM_DEFAULTS["eps"],
            grad_clip=1.0,
            use_averages=False,
        )

    def __call__(
        self, key: tuple[int, str], weights: Any, gradient: Any, *, lr_scale: float = 1.0
    ) -> tuple[Any, Any]:
        """Update an array of weights.

        key (tuple[int, str]): The id of the layer and the name of the parameter.
        weights (array): The weights, float32; they are changed in place.
        gradient (array): Their gradient, float32, of the same shape; it is set to zero.
        lr_scale (float): A factor of the learning rate.
        RETURNS (tuple[array, array]): Weights and gradient.
        """
        on_processor = isinstance(weights, np.ndarray)
        if not on_processor or not (weights.flags.c_contiguous and gradient.flags.c_contiguous):
            return super().__call__(key, weights, gradient, lr_scale=lr_scale)
        self.nr_update[key] += 1
        moments: Any
        for moments in (self.mom1, self.mom2):
            if key not in moments:
                moments[key] = np.zeros(weights.size, dtype="float32")
        self._update(
            weights.reshape(-1),
            gradient.reshape(-1),
            self.mom1[key],
            self.mom2[key],
            n_updates=self.nr_update[key],
            rate=self.learn_rate * lr_scale,
        )
        return weights, gradient

    def _update(
        self, weights: Any, gradient: Any, mom1: Any, mom2: Any, *, n_updates: int, rate: float
    ) -> None:
        norm = float(np.dot(gradient, gradient)) ** 0.5
        clip = self.grad_clip / norm if norm >= self.grad_clip else 1.0
        step = rate * (1.0 - self.b2**n_updates) ** 0.5 / (1.0 - self.b1**n_updates)
        of_mean, of_square = (1.0 - self.b1) * clip, (1.0 - self.b2) * clip * clip
        kept = 1.0 - rate * self.L2
        space = np.empty(min(BLOCK, weights.size), dtype="float32")
        for start in range(0, weights.size, BLOCK):
            w, g, m1, m2 = (x[start : start + BLOCK] for x in (weights, gradient, mom1, mom2))
            new = space[: w.size]
            np.multiply(g, of_mean, out=new)
            m1 *= self.b1
            m1 += new
            np.multiply(g, g, out=new)
            new *= of_square
            m2 *= self.b2
            m2 += new
            np.sqrt(m2, out=new)
            new += self.eps
            np.divide(m1, new, out=new)
            new *= step
            w -= new
            if kept != 1.0:
                w *= kept
            g.fill(0.0)
