"""The temperature of a tuner, computed when it is first needed."""

import threading
from collections.abc import Callable
from typing import Any

# One lock for all temperatures, because training draws from a generator that threads share.
_LOCK = threading.Lock()


class Temperature:
    """Holds a temperature, or the function that computes it. Most tuners only transform vectors and
    need no temperature. Computing it in every `fit` would make `fit` several times slower.

    >>> held = Temperature(compute=lambda: 1.5)
    >>> held.value
    1.5

    value (float | None): The temperature. None: `compute` gives it.
    compute (Callable[[], float] | None): Is called once, when `value` is first read, or before a
        copy or a pickle is made.
    """

    def __init__(
        self, value: float | None = None, compute: Callable[[], float] | None = None
    ) -> None:
        self._value = value
        self._compute = compute

    @property
    def value(self) -> float:
        """RETURNS (float): The temperature. After Ctrl-C the next call computes it again."""
        if self._value is None:
            with _LOCK:
                if self._value is None:
                    self._value = 1.0 if self._compute is None else self._compute()
                    # The function holds the rows of the fit. They are no longer needed.
                    self._compute = None
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        return (Temperature, (self.value,))
