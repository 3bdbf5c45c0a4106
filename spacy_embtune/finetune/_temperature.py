"""The temperature of a tuner, computed when it is first needed."""

from collections.abc import Callable
from typing import Any


class Temperature:
    """Holds a temperature, or the function that computes it. Most tuners only transform vectors, so
    that computing it in every `fit` would make most fits several times as slow for nothing.

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
        """RETURNS (float): The temperature."""
        if self._value is None:
            self._value = 1.0 if self._compute is None else self._compute()
            # What it holds, the rows of the fit, is not needed any more.
            self._compute = None
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        return (Temperature, (self.value,))
